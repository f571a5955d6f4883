"""From the form of a verb over a look at what it would do to the run: nothing is changed before the last step.

What was filled in travels along unseen. The last step says what was looked at, and where the cards are other ones by
then the look is shown anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue

from engine.bulk import runs
from engine.bulk.orders import FINAL, VERBS
from engine.bulk.preview import Preview, preview
from engine.bulk.runs import Expected
from engine.errors import InvalidInput, NotFound
from engine.messages import sentence
from engine.permissions import require
from portal import arguments
from portal.forms import attempt, new_form_key, place
from portal.installation import db, now
from portal.operator.bulk.forms import OrderForm, SureForm, order_form, sure_form
from portal.operator.bulk.words import INTROS, VERB_WORDS, cards_of
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond
from portal.security import takes_files

CHANGED = "The cards have changed since you looked. This is how it is now."
SEVERAL = "Money moves in one currency at a time, and these cards have several: {}. Search for cards of one currency."


@console.get("/bulk/new")
@needs("cards.see")
def new_bulk() -> ResponseReturnValue:
    """To the form of a verb, for a list of cards."""
    verb = arguments.choice("verb", VERBS)
    return go_to(url_for(f"operator.bulk_{verb}" if verb else "operator.bulk_runs"))


@console.post("/bulk/new")
@needs("cards.see")
def new_bulk_post() -> ResponseReturnValue:
    """From a search: for the ticked cards, or for all that it finds (`every`)."""
    verb = _verb(request.form.get("do") or request.form.get("verb"))
    require(actor(), f"bulk.{verb}")
    form = order_form(verb, formdata=None)
    form.every.data = "1" if request.form.get("every") else ""
    form.query.data = request.form.get("query", "")[:4_000]
    ticked = [text for text in request.form.getlist("card") if text.isascii() and text.isdigit()]
    form.ticked.data = "" if form.every.data else ",".join(ticked)
    if verb == "bind":
        form.list.data = "\n".join(f"{serial}, " for serial in ticked)
        form.every.data = form.ticked.data = ""
    elif not form.known:
        return _form_page(verb, form, 422, "Tick the cards first, or say that you mean all that were found.")
    return _look(verb, form) if not form.own else _form_page(verb, form)


def _verb(text: str | None) -> str:
    if text not in VERBS:
        abort(400)
    return text


def _order_view(verb: str) -> Callable[[], ResponseReturnValue]:
    """The pages of one verb; each asks for the verb's own permission."""

    @needs(f"bulk.{verb}")
    @takes_files
    def order() -> ResponseReturnValue:
        """GET: the form, or with `run` a look at what would take that run back. POST: `step` is look, change or go."""
        if request.method == "GET":
            return _begin(verb)
        form, step = order_form(verb, undoes=bool(request.form.get("run"))), request.form.get("step", "look")
        if step == "change":
            form.recall_list()
            return _form_page(verb, form)
        if step == "go" and (first := runs.confirmed(db(), form.key.data or "")) is not None:
            return _to_run(first)
        if not form.validate():
            return _form_page(verb, form, 422)
        form.keep_list()
        return _go(verb, form) if step == "go" else _look(verb, form)

    return order


for _name in VERBS:
    console.add_url_rule(f"/bulk/new/{_name}", f"bulk_{_name}", _order_view(_name), methods=["GET", "POST"])


def _begin(verb: str) -> ResponseReturnValue:
    run, before = arguments.key("run"), arguments.words("before")
    form = order_form(verb, undoes=run is not None, formdata=None)
    form.run.data, form.before.data = str(run or ""), before
    return _look(verb, form) if run is not None else _form_page(verb, form)


def _look(verb: str, form: OrderForm, sure: SureForm | None = None) -> ResponseReturnValue:
    """What the order would do now, with the last step below; where there is no such order, the form."""
    seen = None if form.refused else _tried(form, lambda: preview(db(), form.order(verb, "a look"), now()))
    if seen is None:
        form.recall_list()
        return _form_page(verb, form, 422)
    status = 200 if sure is None else 422
    now_seen = Expected(seen.cards, seen.amount, seen.digest)
    moved = sure is not None and sure.seen != now_seen
    if sure is None:
        sure = sure_form(verb, formdata=None)
        sure.key.data = new_form_key()
        sure.reason.data = f"Takes back run {form.undoes}" if form.undoes else None
    sure.seen_cards.data, sure.seen_amount.data = str(seen.cards), str(seen.amount)
    sure.seen_digest.data = seen.digest
    return respond(
        "operator/bulk/look.html",
        status=status,
        form=form,
        sure=sure,
        seen=seen,
        changed=CHANGED if moved and not sure.refusal else None,
        final=verb in FINAL,
        **_told(verb, form),
        **_reasons(seen),
    )


def _go(verb: str, form: OrderForm) -> ResponseReturnValue:
    """The last step: it becomes a run, unless something is missing or the cards are other ones by now."""
    sure = sure_form(verb)
    if form.refused or not sure.validate() or sure.seen is None:
        return _look(verb, form, sure)
    expected = sure.seen
    run = _tried(
        sure,
        lambda: runs.confirm(
            db(), form.order(verb, sure.reason.data), actor(), now(), sure.key.data, expected=expected
        ),
    )
    return _look(verb, form, sure) if run is None else _to_run(run)


def _tried(form: OrderForm | SureForm, act: Callable[[], Any]) -> Any:
    """As `attempt`; what an order names and is not there is told in the form, too."""

    def in_one_currency() -> Any:
        try:
            return act()
        except InvalidInput as error:
            if error.code == "currency_mismatch":
                form.refusal = SEVERAL.format(error.data["text"])
                return None
            raise

    try:
        return attempt(form, in_one_currency)
    except NotFound as error:
        if error.code == "run_not_found":
            raise
        place(form, error)
        return None


def _to_run(run_id: int) -> ResponseReturnValue:
    return go_to(url_for("operator.bulk_run", run_id=run_id))


def _form_page(verb: str, form: OrderForm, status: int = 200, told: str | None = None) -> ResponseReturnValue:
    form.refusal = told or form.refusal
    return respond("operator/bulk/order.html", status=status, form=form, **_told(verb, form))


def _told(verb: str, form: OrderForm) -> dict[str, Any]:
    back = f"/cards?{form.query.data}" if form.query.data else url_for("operator.cards")
    if form.undoes:
        back = url_for("operator.bulk_run", run_id=form.undoes)
    here = url_for(f"operator.bulk_{verb}")
    return {
        "verb": verb,
        "title": VERB_WORDS[verb],
        "intro": INTROS[verb],
        "back": back,
        "here": here,
        "cards_of": cards_of,
    }


def _reasons(seen: Preview) -> dict[str, Any]:
    """Why cards would be refused, in sentences."""
    told = [
        (number, sentence(code, name="of the card", high=1, field="amount"))
        for code, number in seen.refused.items()
    ]
    return {"refused": sorted(told, reverse=True)}
