"""What waits for a second person: who asks for what exactly, and a yes or no from somebody else."""

from __future__ import annotations

from flask import abort, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from engine.errors import NotFound
from engine.people import consents
from engine.people.consents import ConsentView
from portal import arguments
from portal.formats import until, when
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, may, needs
from portal.operator.people.forms import WhyForm
from portal.operator.people.words import Names, address_of, consent_said, fact_rows
from portal.respond import respond

PAGE = 25
ONE = "/people/consents/<int(max=9223372036854775807):consent_id>"
STATES = {
    "open": ("calm", "Waits"),
    "approved": ("good", "Agreed, not used yet"),
    "refused": ("bad", "Refused"),
    "used": ("good", "Agreed and done"),
    "expired": ("faint", "Too late"),
}


@console.get("/people/consents")
@needs("consent.ask")
def consent_list() -> ResponseReturnValue:
    """What waits, and below what was decided: all of it for who decides and who audits, one's own for the others."""
    before = arguments.key("before")
    waiting = [] if before else [one for one in consents.list_open(db(), now()) if _mine_to_see(one)]
    asked_by = None if _sees_all() else str(actor())
    decided = consents.list_consents(db(), now(), asked_by=asked_by, before=before, limit=PAGE + 1)
    names = Names(one.subject for one in (*waiting, *decided))
    return respond(
        "operator/people/consents.html",
        waiting=[_line(one, names) for one in waiting],
        decided=[_line(one, names) for one in decided[:PAGE] if one.state != "open"],
        older=decided[PAGE - 1].id if len(decided) > PAGE else None,
        before=before,
        states=STATES,
        all_of_them=_sees_all(),
    )


@console.route(ONE + "/approve", methods=["GET", "POST"])
@needs("consent.decide")
def consent_approve(consent_id: int) -> ResponseReturnValue:
    """Say yes."""
    return _decide(consent_id, approve=True)


@console.route(ONE + "/refuse", methods=["GET", "POST"])
@needs("consent.decide")
def consent_refuse(consent_id: int) -> ResponseReturnValue:
    """Say no."""
    return _decide(consent_id, approve=False)


def _decide(consent_id: int, *, approve: bool) -> ResponseReturnValue:
    try:
        one = consents.show(db(), consent_id, now())
    except NotFound:
        abort(404)
    form = WhyForm()
    sentence = consent_said(one, Names([one.subject]))
    intro = Markup("<bdi>{}</bdi> asks to {}. Why: <bdi>{}</bdi>. {}").format(
        one.asked_name, sentence, one.reason or "not said", _exactly(one)
    )
    return act(
        form,
        lambda: consents.decide(
            db(), consent_id=consent_id, approve=approve, actor=actor(), now=now(), reason=form.reason.data
        ),
        Ask(
            "Agree to this" if approve else "Refuse this",
            "Agree" if approve else "Refuse",
            url_for("operator.consent_list"),
            intro=intro,
            tone="" if approve else "bad",
        ),
        done=_told(one, approve),
        undo=_way_on(one) if approve else None,
    )


def _told(one: ConsentView, approve: bool) -> str:
    if not approve:
        return f"Refused. {one.asked_name} sees it here."
    return f"Agreed. {one.asked_name} can do it now, once, by sending it again."


def _way_on(one: ConsentView) -> tuple[str, str] | None:
    where = address_of(one.subject)
    return (where, "What it is about") if where else None


def _exactly(one: ConsentView) -> Markup:
    rows = [Markup("{}: {}").format(label, value) for label, value in fact_rows(one.facts)]
    return Markup("Exactly: {}. A yes counts once and until {}.").format(
        Markup("; ").join(rows), until(one.expires_at)
    )


def _line(one: ConsentView, names: Names) -> dict[str, object]:
    own = one.asked_by == str(actor())
    return {
        "one": one,
        "said": consent_said(one, names),
        "own": own,
        "where": address_of(one.subject) if own and one.state == "approved" else None,
        "decided": when(one.decided_at, ""),
    }


def _sees_all() -> bool:
    return may("consent.decide") or may("audit.see")


def _mine_to_see(one: ConsentView) -> bool:
    return _sees_all() or one.asked_by == str(actor())
