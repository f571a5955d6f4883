"""The options that describe a batch, shared by `create` and `import`, and how they become an order."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from engine.money import parse_amount
from engine.stock.orders import BatchOrder

_PLAIN = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)


class Whole(click.ParamType[Any]):
    """A whole number in plain digits; Python's own reading would take digits of any script, and underscores."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int):
            return value
        if not _PLAIN.fullmatch(value):
            self.fail(f"“{value[:40]}” is not a whole number.", param, ctx)
        return int(value)


class WholeOrNone(Whole):
    """A whole number, or `none`."""

    name = "number|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value in (None, "none") else super().convert(value, param, ctx)


class Binding(click.ParamType[Any]):
    """`none`, `single` or `multi:N` as (binding, number of callers)."""

    name = "none|single|multi:N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        kind, _, callers = value.partition(":")
        if kind == "multi" and _PLAIN.fullmatch(callers):
            return kind, int(callers)
        if value not in ("none", "single"):
            self.fail(f"“{value[:40]}” is not none, single or multi:N, such as multi:3.", param, ctx)
        return value, 0


def _amount(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    return None if value is None else parse_amount(value, field=str(param.name))


_WORDS = {
    "first-use": "first_use",
    "generation": "generation",
    "activation": "activation",
    "authentication": "authentication",
    "answered-call": "answered_call",
}


def _word(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return _WORDS[value]


_RULES = [
    click.option("--name", required=True, help="What the batch is called."),
    click.option("--currency", required=True, metavar="CCC", help="Three letters, such as USD."),
    click.option("--deck", help="The rate deck; vouchers need none."),
    click.option("--kind", type=click.Choice(["calling", "voucher"]), default="calling", show_default=True),
    click.option(
        "--validity-days",
        type=WholeOrNone(),
        metavar="DAYS|none",
        default=90,
        show_default=True,
        help="Days, or none: for ever.",
    ),
    click.option(
        "--validity-from",
        type=click.Choice(["first-use", "generation"]),
        default="first-use",
        show_default=True,
        callback=_word,
    ),
    click.option(
        "--first-use",
        type=click.Choice(["authentication", "answered-call"]),
        default="authentication",
        show_default=True,
        callback=_word,
        help="What counts as the first use.",
    ),
    click.option(
        "--grace-days",
        type=Whole(),
        default=0,
        show_default=True,
        help="Days after expiry with balance inquiry and recharge.",
    ),
    click.option(
        "--extension-days",
        type=WholeOrNone(),
        metavar="DAYS|none",
        default="none",
        show_default=True,
        help="Days that a recharge adds to an expired card; none: an expired card takes no recharge.",
    ),
    click.option(
        "--binding",
        type=Binding(),
        metavar="none|single|multi:N",
        default="none",
        show_default=True,
        help="Callers that a card is bound to.",
    ),
    click.option(
        "--auto-bind/--no-auto-bind",
        default=True,
        show_default=True,
        help="Bind the first callers by themselves.",
    ),
    click.option("--pinless", is_flag=True, help="Let a bound caller in without number and password."),
    click.option(
        "--concurrency", type=Whole(), default=1, show_default=True, help="Calls at a time on one card."
    ),
    click.option(
        "--rules", default="Standard", show_default=True, help="Destination rules: what may be called."
    ),
    click.option(
        "--post-call-fee", default="0", metavar="AMOUNT", callback=_amount, help="Added to every call."
    ),
    click.option(
        "--maintenance-fee", default="0", metavar="AMOUNT", callback=_amount, help="Taken every so many days."
    ),
    click.option("--maintenance-days", type=Whole(), help="Every how many days after first use."),
    click.option("--language", default="en", show_default=True, help="Of the voice prompts."),
    click.option("--reseller", help="Who gets the cards."),
    click.option(
        "--release",
        type=click.Choice(["generation", "activation"]),
        default="generation",
        show_default=True,
        callback=_word,
        help="Usable from the start, or held back until activated.",
    ),
]
_NUMBERS = [
    click.option("--count", type=Whole(), required=True, help="How many cards, up to 1,000,000."),
    click.option("--denomination", required=True, metavar="AMOUNT", callback=_amount, help="Such as 5.00."),
    click.option("--prefix", default="", metavar="DIGITS", help="What every card number begins with."),
    click.option(
        "--number-length",
        type=Whole(),
        default=12,
        show_default=True,
        help="Digits of a card number, the prefix included.",
    ),
    click.option("--first", metavar="NUMBER", help="The lowest card number, for an explicit range."),
    click.option("--last", metavar="NUMBER", help="The highest card number, for an explicit range."),
    click.option("--luhn", is_flag=True, help="End card numbers with a check digit."),
    click.option(
        "--password-length", type=Whole(), default=8, show_default=True, help="Digits of a password."
    ),
]


def rule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options for what every batch has; they arrive as keywords for `order_of`."""
    return _decorated(command, _RULES)


def number_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options for cards that are to be generated."""
    return _decorated(command, _NUMBERS)


def _decorated(command: Callable[..., Any], options: list[Callable[..., Any]]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def order_of(given: dict[str, Any]) -> BatchOrder:
    """The order that the options describe; what only generated cards have may be left out."""
    binding, max_bound = given.pop("binding")
    renamed = {
        "prefix": "number_prefix",
        "first": "range_first",
        "last": "range_last",
        "rules": "destination_rules",
    }
    values = {renamed.get(name, name): value for name, value in given.items()}
    return BatchOrder(**{"count": 1, "denomination": 0, "binding": binding, "max_bound": max_bound, **values})
