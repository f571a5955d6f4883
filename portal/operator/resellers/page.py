"""The list of resellers, and each with its page: credit, stock, documents, people."""

from __future__ import annotations

from flask import Response, abort, url_for
from flask.typing import ResponseReturnValue

from engine.funds import accountviews
from engine.people import resellerpeople, resellers
from engine.people.logins import list_log_ins
from engine.people.resellers import ResellerView
from engine.stock import stockviews
from portal import arguments
from portal.forms import CommandForm
from portal.installation import db, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, may, needs
from portal.operator.people.forms import WhyForm
from portal.operator.resellers.forms import ResellerForm, percent
from portal.respond import go_to, respond
from portal.sessions import DESK, look_at

BOTH = ["GET", "POST"]
ONE = "/resellers/<int(max=9223372036854775807):reseller_id>"


@console.get("/resellers")
@needs("resellers.see")
def reseller_list() -> ResponseReturnValue:
    """All of them, disabled ones last."""
    found = sorted(resellers.list_resellers(db()), key=lambda one: one.disabled_at is not None)
    credit: dict[int, list[accountviews.AccountView]] = {}
    for account in accountviews.list_accounts(db(), kind="reseller") if may("money.see") else ():
        credit.setdefault(account.reseller_id or 0, []).append(account)
    return respond(
        "operator/resellers/list.html",
        resellers=found,
        credit=credit,
        cards=stockviews.cards_of_resellers(db()),
        percent=percent,
    )


@console.route("/resellers/new", methods=BOTH)
@needs("reseller.add")
def reseller_add() -> ResponseReturnValue:
    """Add a reseller."""
    form = ResellerForm(data={"discount": "0"})
    return act(
        form,
        lambda: resellers.add_reseller(
            db(),
            form.name.data or "",
            actor(),
            now(),
            discount_bp=form.discount.bp,
            key=form.key.data,
            reason=form.reason.data,
        ),
        Ask("Add a reseller", "Add it", url_for("operator.reseller_list")),
        done="",
        result=_added,
    )


def _added(made: ResellerView) -> Response:
    said(f"{made.name} is added. Next: an account for its credit, its people, its cards.")
    return go_to(page_of(made.id))


@console.get(ONE)
@needs("resellers.see")
def reseller(reseller_id: int) -> ResponseReturnValue:
    """One reseller: credit, stock by batch, documents, people."""
    found = reseller_or_404(reseller_id)
    accounts = accountviews.list_accounts(db(), reseller_id=reseller_id) if may("money.see") else []
    moves = stockviews.moves_of(db(), reseller_id, before=arguments.key("before"), limit=10)
    return respond(
        "operator/resellers/page.html",
        reseller=found,
        accounts=[(one, accountviews.account_page(db(), one.id).entries[:5]) for one in accounts],
        stock=stockviews.stock_of(db(), reseller_id),
        moves=moves.moves,
        older=None
        if moves.older is None
        else url_for("operator.reseller", reseller_id=reseller_id, before=moves.older),
        later=arguments.key("before") is not None,
        people=list_log_ins(db(), resellerpeople.REALM, reseller_id=reseller_id),
        percent=percent,
    )


@console.post(ONE + "/look")
@needs("resellers.see")
def reseller_look(reseller_id: int) -> ResponseReturnValue:
    """See its desk as its people do, until one leaves it."""
    resellers.look(db(), reseller_id, actor(), now())
    look_at(reseller_id)
    return go_to(DESK)


@console.route(ONE + "/change", methods=BOTH)
@needs("reseller.change")
def reseller_change(reseller_id: int) -> ResponseReturnValue:
    """Give a reseller another name or discount."""
    found = reseller_or_404(reseller_id)
    form = ResellerForm(data={"name": found.name, "discount": percent(found.discount_bp).removesuffix(" %")})
    return act(
        form,
        lambda: resellers.change_reseller(
            db(),
            reseller_id,
            actor(),
            now(),
            name=form.name.data,
            discount_bp=form.discount.bp,
            reason=form.reason.data,
        ),
        Ask(f"Change {found.name}", "Save", page_of(reseller_id)),
        done=lambda after: f"{after.name} buys cards at {percent(after.discount_bp)} off from now on.",
    )


@console.route(ONE + "/disable", methods=BOTH)
@needs("reseller.disable")
def reseller_disable(reseller_id: int) -> ResponseReturnValue:
    """Let a reseller sell nothing more."""
    found = reseller_or_404(reseller_id)
    form = WhyForm()
    return act(
        form,
        lambda: resellers.disable_reseller(db(), reseller_id, actor(), now(), reason=form.reason.data),
        Ask(
            f"Disable {found.name}",
            "Disable it",
            page_of(reseller_id),
            intro="It sells nothing more and its people are logged out at once. Its cards and its credit stay.",
            tone="bad",
        ),
        done=f"{found.name} is disabled.",
        undo=(url_for("operator.reseller_enable", reseller_id=reseller_id), "Enable it again"),
    )


@console.route(ONE + "/enable", methods=BOTH)
@needs("reseller.enable")
def reseller_enable(reseller_id: int) -> ResponseReturnValue:
    """Let a reseller sell again."""
    found = reseller_or_404(reseller_id)
    return act(
        CommandForm(),
        lambda: resellers.enable_reseller(db(), reseller_id, actor(), now()),
        Ask(
            f"Enable {found.name}",
            "Enable it",
            page_of(reseller_id),
            intro="It can sell again, and its people can log in.",
        ),
        done=f"{found.name} can sell again.",
    )


def reseller_or_404(reseller_id: int) -> ResellerView:
    """The reseller of an address."""
    found = resellers.reseller_page(db(), reseller_id)
    if found is None:
        abort(404)
    return found


def page_of(reseller_id: int) -> str:
    """Its page."""
    return url_for("operator.reseller", reseller_id=reseller_id)
