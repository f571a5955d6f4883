"""The options of `cardtone bulk`: which cards, what is done to them, and the order that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from cli.app import Context
from cli.cardsearch import OPTIONS, filter_of, filter_options
from engine import house
from engine.bulk.orders import FORMATS, VERBS, BulkOrder, Listed, read_list, serial_ranges
from engine.cards.search import CardFilter
from engine.errors import InvalidInput
from engine.money import parse_amount
from engine.people.resellers import find_reseller
from engine.phone import parse_caller
from engine.schema import Batch


def card_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which cards: a filter, or a list."""
    for option in (
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
    return filter_options(command)


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
    names = [option.removeprefix("--").replace("-", "_") for option, _, _ in OPTIONS]
    return filter_of(context, {name: given[name] for name in names})


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
