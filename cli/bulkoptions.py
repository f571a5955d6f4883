"""The options of `cardtone bulk`: which cards, what is done to them, and the order that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from cli.app import Context
from engine import house
from engine.bulk.orders import FORMATS, VERBS, BulkOrder, Listed, read_list, serial_ranges
from engine.cards.search import CUSTODY, CardFilter
from engine.cards.status import STATUSES, end_of_day
from engine.errors import InvalidInput
from engine.funds.recharges import MOST
from engine.money import parse_amount
from engine.people.resellers import find_reseller
from engine.phone import parse_caller
from engine.schema import Batch
from engine.stock.batches import find_batch

_DAY = click.DateTime(["%Y-%m-%d"])


def card_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which cards: a filter, or a list."""
    for option in (
        click.option("--batch", metavar="NAME", help="Cards of this batch."),
        click.option(
            "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Any of these."
        ),
        click.option("--reseller", metavar="NAME", help="Cards in the stock of this reseller."),
        click.option("--custody", multiple=True, type=click.Choice(CUSTODY), help="Any of these."),
        click.option("--released/--held-back", default=None, help="Cards that may be used, or may not yet."),
        click.option("--currency", metavar="CODE"),
        click.option("--phone", metavar="CALLER", help="Cards that this caller is bound to."),
        click.option("--created-from", type=_DAY, metavar="DAY"),
        click.option("--created-to", type=_DAY, metavar="DAY", help="This day included, as with the others."),
        click.option("--first-used-from", type=_DAY, metavar="DAY"),
        click.option("--first-used-to", type=_DAY, metavar="DAY"),
        click.option("--expires-from", type=_DAY, metavar="DAY"),
        click.option("--expires-to", type=_DAY, metavar="DAY"),
        click.option("--balance-from", metavar="AMOUNT"),
        click.option("--balance-to", metavar="AMOUNT", help="This amount included."),
        click.option(
            "--all", "everything", is_flag=True, help="Every card, where no other option says which."
        ),
        click.option("--serials", metavar="A-B,C", help="These serials and ranges, instead of a filter."),
        click.option(
            "--file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="A list of serials, one a line; for bind and unbind with a caller behind a comma.",
        ),
    ):
        command = option(command)
    return command


def verb_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is done, and with what."""
    for option in (
        click.option("--days", type=int, metavar="N", help="extend: whole days more."),
        click.option("--amount", metavar="AMOUNT", help="recharge: what each card gets."),
        click.option("--bonus", metavar="AMOUNT", help="recharge: a gift beside it."),
        click.option("--calls", type=int, metavar="N", help="set_concurrency: calls at once."),
        click.option("--deck", metavar="NAME", help="change_deck: the new deck."),
        click.option("--rules", metavar="NAME", help="change_rules: the new destination rules."),
        click.option(
            "--to-reseller", metavar="NAME", help="assign: who gets the cards; without it the operator."
        ),
        click.option("--transfer", is_flag=True, help="assign: from other resellers, too."),
        click.option("--caller", metavar="CALLER", help="unbind: the caller to take off all the cards."),
        click.option("--pinless", is_flag=True, help="bind: the callers need no password."),
        click.option("--format", "format_", type=click.Choice(FORMATS), help="export: csv where left out."),
        click.option("--reason", help="Kept in the audit trail and on the timelines."),
    ):
        command = option(command)
    return click.argument("verb", type=click.Choice(VERBS))(command)


def order_of(context: Context, verb: str, given: dict[str, Any]) -> BulkOrder:
    """The order that the options ask for. Raises `InvalidInput` and `NotFound`."""
    return BulkOrder(verb, _targets(context, verb, given), _params(context, verb, given), given["reason"])


def _targets(context: Context, verb: str, given: dict[str, Any]) -> CardFilter | Listed:
    filtered = _filter(context, given)
    ways = [given["serials"], given["file"], filtered != CardFilter() or given["everything"]]
    if sum(map(bool, ways)) != 1:
        raise InvalidInput("targets_unclear")
    if given["serials"]:
        return serial_ranges(given["serials"])
    if given["file"]:
        with given["file"].open(encoding="utf-8-sig", errors="replace") as lines:
            callers = verb == "bind" or (verb == "unbind" and not given["caller"])
            return read_list(lines, country=_country(context), callers=callers)
    return filtered


def _filter(context: Context, given: dict[str, Any]) -> CardFilter:
    batch_id = reseller_id = phone = None
    if given["batch"]:
        with context.db.begin() as session:
            batch_id = find_batch(session, given["batch"]).id
    if given["reseller"]:
        reseller_id = find_reseller(context.db, given["reseller"]).id
    if given["phone"]:
        phone = _caller(context, given["phone"])
    return CardFilter(
        batch_id=batch_id,
        reseller_id=reseller_id,
        phone=phone,
        statuses=given["statuses"],
        custody=given["custody"],
        released=given["released"],
        currency=given["currency"].upper() if given["currency"] else None,
        created=_days(context, given, "created"),
        first_used=_days(context, given, "first_used"),
        expires=_days(context, given, "expires"),
        balance=_balances(given),
    )


def _days(
    context: Context, given: dict[str, Any], name: str
) -> tuple[datetime | None, datetime | None] | None:
    """From the beginning of the first day to the end of the last, in the operator's zone."""
    first, last = given[f"{name}_from"], given[f"{name}_to"]
    if first is None and last is None:
        return None
    zone = house.current(context.db).zone
    before: date | None = date.fromordinal(first.toordinal() - 1) if first else None
    return end_of_day(before, zone) if before else None, end_of_day(last.date(), zone) if last else None


def _balances(given: dict[str, Any]) -> tuple[int | None, int | None] | None:
    first, last = given["balance_from"], given["balance_to"]
    if first is None and last is None:
        return None
    low = None if first is None else parse_amount(first, field="balance", allow_negative=True)
    high = None if last is None else parse_amount(last, field="balance", allow_negative=True)
    return low, None if high is None else min(high, MOST) + 1


def _params(context: Context, verb: str, given: dict[str, Any]) -> dict[str, Any]:
    def amount(name: str) -> int | None:
        return None if given[name] is None else parse_amount(given[name], field=name)

    asked: dict[str, Callable[[], dict[str, Any]]] = {
        "extend": lambda: {"days": given["days"]},
        "recharge": lambda: {"amount": amount("amount"), "bonus": amount("bonus") or 0},
        "set_concurrency": lambda: {"calls": given["calls"]},
        "change_deck": lambda: {"deck": given["deck"]},
        "change_rules": lambda: {"rules": given["rules"]},
        "assign": lambda: {"reseller_id": _reseller(context, given), "transfer": given["transfer"]},
        "bind": lambda: {"pinless": given["pinless"]},
        "unbind": lambda: {"caller": _caller(context, given["caller"]) if given["caller"] else None},
        "export": lambda: {
            "format": given["format_"] or "csv",
            "folder": str(context.config.home / "exports"),
        },
    }
    return asked[verb]() if verb in asked else {}


def _reseller(context: Context, given: dict[str, Any]) -> int | None:
    return find_reseller(context.db, given["to_reseller"]).id if given["to_reseller"] else None


def _country(context: Context) -> str | None:
    return house.current(context.db).settings.home_country or None


def _caller(context: Context, written: str) -> str:
    e164 = parse_caller(written, _country(context))
    if e164 is None:
        raise InvalidInput("bad_caller", field="caller", value=written[:40])
    return e164


def filter_words(context: Context, plain: Mapping[str, Any] | None) -> str:
    """A filter as a person may read it, with the names of its batch."""
    if plain is None:
        return "a list"
    if not plain:
        return "every card"
    told = dict(plain)
    if "batch_id" in told:
        with context.db.begin() as session:
            told["batch"] = session.scalar(select(Batch.name).where(Batch.id == told.pop("batch_id")))
    return ", ".join(f"{name} {value}" for name, value in told.items())
