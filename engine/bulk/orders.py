"""What is asked of many cards: a verb, the cards it is for, its parameters; checked, and as plain values.

The cards are those of a filter or of a list. A list may come as a text, one card a line, whose mistakes are told with
their line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from engine.cards import search
from engine.cards.lifecycle import MOST_CALLS, MOST_DAYS, check_whole
from engine.cards.search import CardFilter
from engine.cards.serials import card_id_of
from engine.cards.timeline import checked_reason
from engine.errors import InvalidInput
from engine.funds.recharges import MOST
from engine.idempotency import fingerprint
from engine.messages import sentence
from engine.money import format_amount
from engine.phone import parse_caller
from engine.stock.custody import Range

VERBS = (
    "lock",
    "unlock",
    "damage",
    "activate",
    "hold_back",
    "extend",
    "recharge",
    "bind",
    "unbind",
    "change_deck",
    "set_concurrency",
    "change_rules",
    "assign",
    "discard",
    "export",
)
MONEY = ("recharge", "discard")
"""Verbs that move money; a run moves one currency."""

FINAL = ("damage", "discard")
"""Verbs that nothing undoes."""

MOST_LISTED = 1_000_000
"""Cards in one list."""

FORMATS = ("csv", "txt", "xlsx")
REASON_NEEDED = ("lock", "damage", "discard")
"""Verbs that nobody may order without saying why."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Cards by their ids, each once, in any order; `callers` are theirs, where the verb is about callers.

    `lines` tell where in a text each stood, for what is said about a card that doesn't exist.
    """

    card_ids: tuple[int, ...]
    callers: tuple[str, ...] = ()
    lines: tuple[int, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return f"Listed({len(self.card_ids)} cards)"


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """One command for many cards.

    `params` by verb: extend `days`; recharge `amount` and `bonus` (micro-units a card, no bonus rule has a say);
    bind and unbind `caller` (E.164 digits) where the list has none, bind also `pinless`; change_deck `deck` (a name);
    set_concurrency `calls`; change_rules `rules` (a name); assign `reseller_id` (None: back to the operator) and
    `transfer` (from another reseller, too); export `format` and `folder` (where the file will stand).
    """

    verb: str
    targets: CardFilter | Listed
    params: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None

    @property
    def filter_json(self) -> dict[str, Any] | None:
        """The filter as plain values, None for a list."""
        return search.to_json(self.targets) if isinstance(self.targets, CardFilter) else None

    @property
    def targets_digest(self) -> str:
        """A digest of the filter or the list: the same for the same targets."""
        targets = self.targets
        facts = (
            search.to_json(targets)
            if isinstance(targets, CardFilter)
            else [targets.card_ids, targets.callers]
        )
        return fingerprint(facts).hex()


def checked(order: BulkOrder) -> BulkOrder:
    """The order with tidied parameters: exactly those of its verb. A list is sorted by card and has each card once.

    Raises `InvalidInput`, for whatever is wrong about it by itself.
    """
    if order.verb not in VERBS:
        raise InvalidInput("not_a_choice", field="verb", allowed=VERBS)
    reason = checked_reason(order.reason, required=order.verb in REASON_NEEDED)
    params = _PARAMS.get(order.verb, _none)(dict(order.params))
    targets = order.targets
    if isinstance(targets, Listed):
        targets = _sorted(targets)
    _check_callers(order.verb, targets, params)
    return BulkOrder(order.verb, targets, params, reason)


def _sorted(listed: Listed) -> Listed:
    if not listed.card_ids:
        raise InvalidInput("list_empty", field="list")
    if len(listed.card_ids) > MOST_LISTED:
        raise InvalidInput("too_many_cards", field="list", high=MOST_LISTED)
    lines = listed.lines or (0,) * len(listed.card_ids)
    if not listed.callers:
        kept = dict(sorted(zip(reversed(listed.card_ids), reversed(lines), strict=True)))
        return Listed(tuple(kept), (), tuple(kept.values()) if listed.lines else ())
    rows = sorted(zip(listed.card_ids, listed.callers, lines, strict=True))
    for before, row in pairwise(rows):
        if before[0] == row[0]:
            raise _wrong_line(row[2], InvalidInput("listed_twice"))
    return Listed(
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        tuple(row[2] for row in rows) if listed.lines else (),
    )


def _check_callers(verb: str, targets: CardFilter | Listed, params: dict[str, Any]) -> None:
    """Binding is for pairs of card and caller; unbinding for pairs, or for one caller off many cards."""
    callers = targets.callers if isinstance(targets, Listed) else ()
    if verb not in ("bind", "unbind"):
        if callers:
            raise InvalidInput("callers_unwanted", field="list")
        return
    if not callers and not params.get("caller"):
        raise InvalidInput("callers_missing", field="caller")
    if callers and params.get("caller"):
        raise InvalidInput("callers_unwanted", field="caller")
    for caller in {*callers, *filter(None, [params.get("caller")])}:
        if parse_caller(f"+{caller}", None) != caller:
            raise InvalidInput("bad_caller", field="caller", value=caller[:40])
    if params.get("pinless") and (len(set(callers)) < len(callers) or (not callers and verb == "bind")):
        raise InvalidInput("pinless_once", field="list")


# --- parameters by verb ---


def _none(given: dict[str, Any]) -> dict[str, Any]:
    return _only(given)


def _only(given: dict[str, Any], **kept: Any) -> dict[str, Any]:
    unknown = set(given) - set(kept)
    if unknown:
        raise InvalidInput("unknown_parameter", field=min(unknown)[:40])
    return kept


def _extend(given: dict[str, Any]) -> dict[str, Any]:
    check_whole("days", given.get("days"), MOST_DAYS)  # type: ignore[arg-type]
    return _only(given, days=given["days"])


def _recharge(given: dict[str, Any]) -> dict[str, Any]:
    amount, bonus = given.get("amount"), given.get("bonus") or 0
    for name, value, low in (("amount", amount, 1), ("bonus", bonus, 0)):
        if type(value) is not int:
            raise InvalidInput("not_a_number", field=name)
        if value < 0:
            raise InvalidInput("negative", field=name, text=format_amount(value, 2))
        if value < low:
            raise InvalidInput("amount_too_small", field=name)
        if value > MOST:
            raise InvalidInput("amount_too_large", field=name, high=MOST)
    return _only(given, amount=amount, bonus=bonus)


def _bind(given: dict[str, Any]) -> dict[str, Any]:
    return _only(given, caller=given.get("caller") or None, pinless=bool(given.get("pinless")))


def _unbind(given: dict[str, Any]) -> dict[str, Any]:
    return _only(given, caller=given.get("caller") or None)


def _concurrency(given: dict[str, Any]) -> dict[str, Any]:
    check_whole("calls", given.get("calls"), MOST_CALLS)  # type: ignore[arg-type]
    return _only(given, calls=given["calls"])


def _named(name: str) -> Any:
    def check(given: dict[str, Any]) -> dict[str, Any]:
        value = given.get(name)
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput("empty", field=name)
        return _only(given, **{name: value})

    return check


def _assign(given: dict[str, Any]) -> dict[str, Any]:
    reseller_id = given.get("reseller_id")
    if reseller_id is not None and type(reseller_id) is not int:
        raise InvalidInput("not_a_number", field="reseller")
    return _only(given, reseller_id=reseller_id, transfer=bool(given.get("transfer")))


def _export(given: dict[str, Any]) -> dict[str, Any]:
    format_ = given.get("format", "csv")
    if format_ not in FORMATS:
        raise InvalidInput("unknown_format", field="format", allowed=FORMATS)
    folder = given.get("folder")
    if not isinstance(folder, str) or not folder.startswith("/"):
        raise InvalidInput("not_a_file", field="folder", path=str(folder)[:80])
    return _only(given, format=format_, folder=folder)


_PARAMS: dict[str, Any] = {
    "extend": _extend,
    "recharge": _recharge,
    "bind": _bind,
    "unbind": _unbind,
    "change_deck": _named("deck"),
    "set_concurrency": _concurrency,
    "change_rules": _named("rules"),
    "assign": _assign,
    "export": _export,
}


# --- lists as texts ---


def serial_ranges(text: str) -> Listed:
    """The cards of ranges of serials, such as `10000000017-10000000058,10000000074`. Raises `InvalidInput`."""
    card_ids: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        cards = Range.of_serials(first, last or None)
        card_ids.extend(range(cards.first, cards.last + 1))
        if len(card_ids) > MOST_LISTED:
            raise InvalidInput("too_many_cards", field="list", high=MOST_LISTED)
    return Listed(tuple(card_ids))


def read_list(text: str | Iterable[str], *, country: str | None = None, callers: bool = False) -> Listed:
    """The cards of a text: one serial a line, with `callers` also its caller behind a comma, a semicolon or a tab.

    Empty lines and a first line without a digit (a heading) are passed over. A caller may be written as dialled in
    `country`. Raises `InvalidInput` ("bad_line": the line and what is wrong there; "list_empty").
    """
    card_ids, found, lines = [], [], []
    for number, line in _lines(text):
        serial, _, caller = line.replace(";", ",").replace("\t", ",").partition(",")
        try:
            card_ids.append(card_id_of(serial.strip().strip('"')))
            lines.append(number)
            if callers:
                found.append(_caller(caller, country))
        except InvalidInput as error:
            raise _wrong_line(number, error) from None
        if len(card_ids) > MOST_LISTED:
            raise InvalidInput("too_many_cards", field="list", high=MOST_LISTED)
    if not card_ids:
        raise InvalidInput("list_empty", field="list")
    return Listed(tuple(card_ids), tuple(found), tuple(lines))


def _lines(text: str | Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines() if isinstance(text, str) else text, 1):
        plain = line.strip().lstrip("\ufeff")
        heading = number == 1 and not any(character.isdigit() for character in plain)
        if plain and not heading:
            yield number, plain


def _caller(written: str, country: str | None) -> str:
    plain = written.split(",")[0].strip().strip('"')
    e164 = parse_caller(plain, country) if plain else None
    if e164 is None:
        raise InvalidInput("bad_caller", field="caller", value=plain[:40])
    return e164


def _wrong_line(line: int, error: InvalidInput) -> InvalidInput:
    if not line:
        return error
    return InvalidInput(
        "bad_line", field="list", line=line, why=sentence(error).removesuffix("."), problem=error.code
    )


def missing_card(listed: Listed, at: int) -> InvalidInput:
    """What to raise where the card at this place of the list doesn't exist."""
    line = listed.lines[at] if listed.lines else 0
    if line:
        return _wrong_line(line, InvalidInput("card_not_found"))
    return InvalidInput("cards_not_found", field="list", count=1)
