"""All the prices of a deck, or some of them, raised or lowered at once: a new version with an effective date.

The database computes: exactly, in whole micro-units, and the preview by the same statement as the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.calls.deckcells import MAX_PRICE
from engine.calls.deckdiff import check_version, driver
from engine.calls.deckimport import checked_start
from engine.calls.deckversions import version_in_force
from engine.calls.rating import MAX_PRECISION
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.money import format_amount
from engine.names import sought
from engine.people import audit
from engine.permissions import command
from engine.schema import Deck, DeckVersion, DestinationGroup

FIRST = 20
MOST_PERCENT = 1_000_000
"""Ten-thousandths of a percent: 100 % is 1,000,000. Down no further than that, up no further than tenfold of it."""

_SCOPE = "deck.change"


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What happens to prices, and to which.

    First `percent` (ten-thousandths of a percent, signed) of the old price is added, then `amount` (micro-units,
    signed); the result is rounded half up to `decimals` and never below zero. `fees`: connect fees change by the
    percentage, too. `prefixes` (digits), `group` (a destination group of the operator's own) and `name` (a part of the
    destination's name) narrow it down; a rate must fit all that are given.
    """

    percent: int = 0
    amount: int = 0
    decimals: int = 4
    fees: bool = False
    prefixes: tuple[str, ...] = ()
    group: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ChangedRate:
    """One rate of a change: its price and connect fee in micro-units, before and after."""

    prefix: str
    destination_name: str
    old_price: int
    new_price: int
    old_fee: int
    new_fee: int


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What a change would do: of `rates`, `fitting` were meant, and `changed` get another price or fee.

    `free`: rates that would cost nothing a minute, and did before. `until`: a version that was made before takes its
    place then. `first` are the first that change, by prefix. `digest` stands for all that decides which rates get which
    prices: the version, the change, and the prefixes of its group as they were when it was looked at.
    """

    deck_id: int
    version_id: int
    effective_from: datetime
    rates: int
    fitting: int
    changed: int
    free: int
    first: tuple[ChangedRate, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class DeckChanged:
    """A change that was made: the new version and how many of its rates are not as before."""

    deck_id: int
    version_id: int
    effective_from: datetime
    rates: int
    changed: int


_WHERE = """
    version_id = %(base)s
    AND (%(prefixes)s::text[] IS NULL OR EXISTS (
        SELECT FROM unnest(%(prefixes)s::text[]) AS wanted WHERE starts_with(prefix, wanted)))
    AND (%(group)s::text[] IS NULL OR EXISTS (
        SELECT FROM unnest(%(group)s::text[]) AS wanted WHERE starts_with(prefix, wanted)))
    AND (%(name)s::text IS NULL OR destination_name ILIKE %(name)s)
"""


def _new(column: str, amount: str) -> str:
    """numeric arithmetic is exact, and its round() takes a half away from zero: up, as nothing is below it."""
    exact = f"{column} * (1000000 + %(percent)s::numeric) / 1000000 + {amount}"
    return f"(greatest(0, round(({exact}) / %(unit)s) * %(unit)s))::numeric"


_PRICE = _new("price_per_minute", "%(amount)s")
_FEE = f"CASE WHEN %(fees)s THEN {_new('connect_fee', '0')} ELSE connect_fee END"
_CHANGED = f"""
    SELECT prefix, id, destination_name, price_per_minute AS old_price, {_PRICE} AS new_price,
           connect_fee AS old_fee, {_FEE} AS new_fee
    FROM deck_rate WHERE {_WHERE}
"""
_COUNTS = f"""
    SELECT count(*), count(*) FILTER (WHERE new_price <> old_price OR new_fee <> old_fee),
           count(*) FILTER (WHERE new_price = 0 AND old_price > 0), coalesce(max(greatest(new_price, new_fee)), 0)
    FROM ({_CHANGED}) changing
"""
_FIRST = f"""
    SELECT prefix, destination_name, old_price, new_price::bigint, old_fee, new_fee::bigint FROM ({_CHANGED}) changing
    WHERE new_price <> old_price OR new_fee <> old_fee ORDER BY prefix, id LIMIT %(first)s
"""
_KEPT = (
    "prefix, destination_name, first_increment, increment, grace, effective_from, effective_until, days, "
    "from_time, to_time"
)
_COPY = f"""
    INSERT INTO deck_rate (version_id, {_KEPT}, price_per_minute, connect_fee)
    SELECT %(version)s, {_KEPT}, price, fee FROM (
        SELECT id, {_KEPT}, CASE WHEN {_WHERE} THEN {_PRICE}::bigint ELSE price_per_minute END AS price,
               CASE WHEN {_WHERE} THEN ({_FEE})::bigint ELSE connect_fee END AS fee
        FROM deck_rate WHERE version_id = %(base)s
    ) changed ORDER BY id
"""


def preview_change(
    db: Database,
    *,
    deck_id: int,
    change: PriceChange,
    now: datetime,
    effective_from: date | None = None,
) -> ChangePreview:
    """What a change would do to the version that would be in force at `effective_from` (default: now).

    Raises what `change_deck` raises.
    """
    _check(change)
    with db.begin() as session:
        deck = _deck(session, deck_id)
        start = checked_start(effective_from, ZoneInfo(deck.timezone), now)
        base = _base(session, deck_id, start)
        return _preview(session, base, _values(session, base.id, change), start)


@command("deck.change")
def change_deck(
    db: Database,
    *,
    deck_id: int,
    base_version: int,
    change: PriceChange,
    actor: Actor,
    now: datetime,
    effective_from: date | None = None,
    seen: str | None = None,
    key: str | None = None,
) -> DeckChanged:
    """Make a new version of a deck with other prices, in force from `effective_from` (default: now).

    A day begins at midnight in the deck's zone. `base_version` is the one that was looked at: it must still be the one
    in force then. `seen` is the digest of the preview that was agreed to: where it is given, the change must still do
    just that; a group may have other prefixes by now. The same `key` counts once.

    Raises `NotFound` (deck_not_found, deck_version_not_found, deck_not_in_force, group_not_found), `InvalidInput`
    (bad_change, bad_precision, bad_prefix, change_fits_nothing, change_does_nothing, price_too_large,
    effective_from_past, effective_from_far), `Conflict` (deck_moved_on, key_reused).
    """
    _check(change)
    key = key or idempotency.new_key()
    asked = idempotency.fingerprint(deck_id, base_version, asdict(change), str(effective_from))
    return _change(db, deck_id, base_version, change, effective_from, seen, key, asked, actor, now)


@reruns
def _change(
    db: Database,
    deck_id: int,
    base_version: int,
    change: PriceChange,
    effective_from: date | None,
    agreed: str | None,
    key: str,
    asked: bytes,
    actor: Actor,
    now: datetime,
) -> DeckChanged:
    with db.begin() as session:
        first = idempotency.claim(session, _SCOPE, key, asked, now)
        if first is not None:
            made = session.get_one(DeckVersion, first["version"])
            return DeckChanged(deck_id, made.id, made.effective_from, made.rates, first["changed"])
        deck = _deck(session, deck_id, lock=True)
        start = checked_start(effective_from, ZoneInfo(deck.timezone), now)
        check_version(session, deck_id, base_version)
        base = _base(session, deck_id, start)
        if base.id != base_version:
            raise Conflict("deck_moved_on", deck=deck.name)
        values = _values(session, base.id, change)
        seen = _preview(session, base, values, start)
        if agreed is not None and agreed != seen.digest:
            raise Conflict("deck_moved_on", deck=deck.name)
        if not seen.changed:
            raise InvalidInput("change_does_nothing", field="percent")
        version = DeckVersion(
            deck_id=deck_id,
            effective_from=start,
            source=source_of(change, deck.currency),
            rates=base.rates,
            created_by=str(actor),
            created_at=now,
        )
        session.add(version)
        session.flush()
        driver(session).execute(_COPY, {**values, "version": version.id})
        _record(session, deck, version, base_version, change, seen, actor, now)
        idempotency.keep(session, _SCOPE, key, {"version": version.id, "changed": seen.changed})
        return DeckChanged(deck_id, version.id, start, base.rates, seen.changed)


def _record(
    session: Session,
    deck: Deck,
    version: DeckVersion,
    base: int,
    change: PriceChange,
    seen: ChangePreview,
    actor: Actor,
    now: datetime,
) -> None:
    audit.record(
        session,
        actor,
        "deck.change",
        f"deck:{deck.id}",
        now,
        name=deck.name,
        version=version.id,
        before=base,
        effective_from=version.effective_from.isoformat(),
        source=version.source,
        rates=version.rates,
        changed=seen.changed,
        **{fact: value for fact, value in asdict(change).items() if value},
    )


def source_of(change: PriceChange, currency: str) -> str:
    """A change in one line, which stands where an import has its file: `Prices +10 % for prefixes 44, 49`."""
    parts = []
    if change.percent:
        parts.append(f"{_signed(change.percent * 100, 0)} %")
    if change.amount:
        parts.append(f"{_signed(change.amount, 2)} {currency}")
    what = "Prices and connect fees" if change.fees else "Prices"
    whose = []
    if change.prefixes:
        shown = ", ".join(change.prefixes[:5]) + (", …" if len(change.prefixes) > 5 else "")
        whose.append(f"prefixes {shown}")
    if change.group:
        whose.append(f"the group {change.group}")
    if change.name:
        whose.append(f"names with {change.name}")
    return f"{what} {' and '.join(parts)}" + (f" for {' in '.join(whose)}" if whose else "")


def _signed(micros: int, places: int) -> str:
    sign = "+" if micros > 0 else "\u2212"
    return f"{sign}{format_amount(abs(micros), places)}"


def _check(change: PriceChange) -> None:
    if not change.percent and not change.amount:
        raise InvalidInput("change_missing", field="percent")
    if not -MOST_PERCENT <= change.percent <= 10 * MOST_PERCENT:
        raise InvalidInput("change_percent_far", field="percent")
    if abs(change.amount) > MAX_PRICE:
        raise InvalidInput("price_too_large", field="amount")
    if not 0 <= change.decimals <= MAX_PRECISION:
        raise InvalidInput("bad_precision", field="decimals", high=MAX_PRECISION)
    for prefix in change.prefixes:
        if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 15):
            raise InvalidInput("bad_prefix", field="prefixes", value=prefix[:40])


def _deck(session: Session, deck_id: int, *, lock: bool = False) -> Deck:
    found = select(Deck).where(Deck.id == deck_id)
    deck = session.scalar(found.with_for_update(key_share=True) if lock else found)
    if deck is None:
        raise NotFound("deck_not_found")
    return deck


def _base(session: Session, deck_id: int, start: datetime) -> DeckVersion:
    version_id = version_in_force(session, deck_id, start)
    if version_id is None:
        raise NotFound("deck_not_in_force", deck=_deck(session, deck_id).name, at=start)
    return session.get_one(DeckVersion, version_id)


def _values(session: Session, base: int, change: PriceChange) -> dict[str, Any]:
    group: Sequence[str] | None = None
    if change.group is not None:
        found = session.get(DestinationGroup, sought(change.group))
        if found is None:
            raise InvalidInput("group_not_found", field="group", name=change.group)
        group = list(found.prefixes)
    name = None
    if change.name:
        plain = sought(change.name).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        name = f"%{plain}%"
    return {
        "base": base,
        "percent": change.percent,
        "amount": change.amount,
        "unit": 10 ** (MAX_PRECISION - change.decimals),
        "fees": change.fees,
        "prefixes": list(change.prefixes) or None,
        "group": group,
        "name": name,
        "first": FIRST,
    }


def _preview(
    session: Session, base: DeckVersion, values: Mapping[str, Any], start: datetime
) -> ChangePreview:
    link: psycopg.Connection[Any] = driver(session)
    counted: Any = link.execute(_COUNTS, values).fetchone()
    fitting, changed, free, highest = counted
    if not fitting:
        raise InvalidInput("change_fits_nothing", field="prefixes")
    if highest > MAX_PRICE:
        raise InvalidInput("price_too_large", field="percent")
    first = tuple(ChangedRate(*row) for row in link.execute(_FIRST, values))
    digest = idempotency.fingerprint(dict(values), fitting, changed, free).hex()
    return ChangePreview(base.deck_id, base.id, start, base.rates, fitting, changed, free, first, digest)
