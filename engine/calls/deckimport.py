"""The import of a rate sheet into a new version of a deck: checked, compared, and written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.calls.deckdiff import (
    ADDED,
    REMOVED,
    Comparison,
    compare,
    driver,
    stored_rates,
)
from engine.calls.deckfile import DeckFile, DeckRow, read_deck
from engine.calls.deckmerge import late, merged_rates
from engine.calls.deckversions import instant, version_in_force
from engine.calls.rating import MAX_PRECISION, ROUNDINGS
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput
from engine.money import parse_currency
from engine.names import checked_name, tidied
from engine.people import audit
from engine.permissions import command
from engine.schema import Deck, DeckVersion

LAST_YEAR = 2100
_DEFAULTS = {"precision": 4, "rounding": "half_up", "timezone": "UTC"}
MOST_SHOWN = 100
"""Changes of each kind that an import's answer holds; all are counted."""

_TYPES = (
    ("version_id", "int8"),
    ("prefix", "varchar"),
    ("destination_name", "text"),
    ("price_per_minute", "int8"),
    ("connect_fee", "int8"),
    ("first_increment", "int4"),
    ("increment", "int4"),
    ("grace", "int4"),
    ("effective_from", "timestamptz"),
    ("effective_until", "timestamptz"),
    ("days", "int2[]"),
    ("from_time", "time"),
    ("to_time", "time"),
)
_SCOPE = "deck.import"
_COPY = f"COPY deck_rate ({', '.join(name for name, _ in _TYPES)}) FROM STDIN (FORMAT BINARY)"


@dataclass(frozen=True, slots=True)
class DeckImport:
    """What an import did, or with `dry_run` would do. `version_id` is None where nothing was written.

    `added`, `changed`, `removed` and `unchanged` count prefixes against the version it takes the place of (none for a
    `new_deck`); `comparison` has the first of each. `total`: rates of the version, more than the file's where that was
    `merged`. `late`: prefixes whose rates all begin later than the version. `until`: a version imported before takes
    its place then. `file` holds the rates that were read, the columns they were read from, and every problem, warning
    and note.
    """

    deck: str
    deck_id: int | None
    currency: str
    precision: int
    rounding: str
    timezone: str
    new_deck: bool
    version_id: int | None
    effective_from: datetime
    until: datetime | None
    merged: bool
    total: int
    late: int
    comparison: Comparison
    file: DeckFile

    @property
    def rates(self) -> int:
        """How many rates were read."""
        return len(self.file.rows)

    @property
    def added(self) -> int:
        """Prefixes that there were not before."""
        return self.comparison.counts[ADDED]

    @property
    def changed(self) -> int:
        """Prefixes whose rates are not as before."""
        return self.comparison.changed

    @property
    def removed(self) -> int:
        """Prefixes that will have no rate of their own any more."""
        return self.comparison.counts[REMOVED]

    @property
    def unchanged(self) -> int:
        """Prefixes with the very rates that they had."""
        return self.comparison.unchanged

    @property
    def thins(self) -> bool:
        """Whether so much goes (a tenth of the prefixes or more) that it may be a partial sheet, sent by mistake."""
        return self.removed > 0 and self.removed * 10 >= self.comparison.before


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a deck keeps as it was made, and whether it is still to be made."""

    name: str
    currency: str
    precision: int
    rounding: str
    timezone: str
    deck_id: int | None


@command("deck.import")
def import_deck(
    db: Database,
    *,
    name: str,
    currency: str,
    data: bytes,
    filename: str,
    actor: Actor,
    now: datetime,
    effective_from: date | None = None,
    precision: int | None = None,
    rounding: str | None = None,
    timezone: str | None = None,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    merge: bool = False,
    key: str | None = None,
    dry_run: bool = False,
    most: int | None = MOST_SHOWN,
) -> DeckImport:
    """Read a rate sheet (CSV or XLSX) into a new version of a deck, in force from `effective_from` (default: now).

    A day begins at midnight in the deck's zone, where a time without a zone is meant too.
    The deck is made where there is none of that name. `precision` (decimals of a charge), `rounding` and `timezone`
    may be left out: they are the deck's own, or for a new deck 4, half_up and UTC. `mapping` ({field: column name}) and
    `delimiter` overrule what is found out from the file. The file is the whole deck; with `merge` it is a part of one:
    see `merged_rates`. With `dry_run` nothing is written, the problems are in the answer, and of each kind of
    change the first `most`; otherwise any bad row refuses the whole file. The same `key` counts once.

    Raises `InvalidInput` (deck_file_refused with `problems`; effective_from_past, effective_from_far, bad_precision,
    bad_rounding, unknown_zone, the codes of `AmountError` and of `checked_name`), `Conflict` (deck_currency_fixed,
    deck_settings_fixed, key_reused).
    """
    asked = {"precision": precision, "rounding": rounding, "timezone": timezone}
    _check_settings(asked)
    name, currency = checked_name(name), parse_currency(currency, field="currency")
    with db.begin() as session:
        terms = _terms(session, name, currency, asked)
    start = checked_start(effective_from, ZoneInfo(terms.timezone), now)
    file = read_deck(data, zone=terms.timezone, currency=currency, mapping=mapping, delimiter=delimiter)
    if dry_run:
        with db.begin() as session:
            return _told(session, terms, file, start, merge, most=most)
    if file.problems:
        raise InvalidInput(
            "deck_file_refused",
            field="file",
            filename=_source(filename),
            count=len(file.problems),
            problems=file.problems,
        )
    facts = [
        name,
        currency,
        hashlib.sha256(data).hexdigest(),
        str(effective_from),
        asked,
        file.mapping,
        merge,
    ]
    order = _Order(terms, file, start, merge, _source(filename), key, idempotency.fingerprint(*facts))
    return _write(db, order, asked, actor, now)


@dataclass(frozen=True, slots=True)
class _Order:
    """A file that was read and is to be written."""

    terms: _Terms
    file: DeckFile
    start: datetime
    merge: bool
    source: str
    key: str | None
    facts: bytes


@reruns
def _write(db: Database, order: _Order, asked: Mapping[str, Any], actor: Actor, now: datetime) -> DeckImport:
    key = order.key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.claim(session, _SCOPE, key, order.facts, now)
        if first is not None:
            return _as_before(session, order, first)
        terms = _make_sure(session, order.terms, asked, actor, now)
        version = DeckVersion(
            deck_id=terms.deck_id,
            effective_from=order.start,
            source=order.source,
            rates=0,  # until they are counted, in this transaction
            created_by=str(actor),
            created_at=now,
        )
        told = _told(session, terms, order.file, order.start, order.merge, version)
        audit.record(
            session,
            actor,
            "deck.import",
            f"deck:{terms.deck_id}",
            now,
            name=terms.name,
            version=told.version_id,
            source=version.source,
            effective_from=order.start.isoformat(),
            rates=told.total,
            added=told.added,
            changed=told.changed,
            removed=told.removed,
            merged=told.merged,
        )
        kept = {"version": told.version_id, "counts": told.comparison.counts, "unchanged": told.unchanged}
        idempotency.keep(session, _SCOPE, key, kept)
    return told


def _as_before(session: Session, order: _Order, first: Mapping[str, Any]) -> DeckImport:
    """The answer that this key got before."""
    version = session.get_one(DeckVersion, first["version"])
    deck = session.get_one(Deck, version.deck_id)
    return DeckImport(
        deck=deck.name,
        deck_id=deck.id,
        currency=deck.currency,
        precision=deck.precision,
        rounding=deck.rounding,
        timezone=deck.timezone,
        new_deck=False,
        version_id=version.id,
        effective_from=version.effective_from,
        until=_next_start(session, deck.id, version.effective_from),
        merged=order.merge,
        total=version.rates,
        late=0,
        comparison=Comparison(dict(first["counts"]), first["unchanged"], ()),
        file=order.file,
    )


def checked_start(wanted: date | None, zone: ZoneInfo, now: datetime) -> datetime:
    """A version may not begin in the past: what was in force then would change after the fact."""
    if wanted is None:
        return now
    if wanted.year > LAST_YEAR:
        raise InvalidInput("effective_from_far", field="effective_from", last=str(LAST_YEAR))
    start = instant(wanted, zone)
    if start < now:
        raise InvalidInput("effective_from_past", field="effective_from", value=start)
    return start


def _check_settings(asked: Mapping[str, Any]) -> None:
    precision, rounding, zone = asked["precision"], asked["rounding"], asked["timezone"]
    if precision is not None and not 0 <= precision <= MAX_PRECISION:
        raise InvalidInput("bad_precision", field="precision", high=MAX_PRECISION)
    if rounding is not None and rounding not in ROUNDINGS:
        raise InvalidInput("bad_rounding", field="rounding", allowed=ROUNDINGS)
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise InvalidInput("unknown_zone", field="timezone", value=zone[:40]) from None


def _terms(
    session: Session, name: str, currency: str, asked: Mapping[str, Any], lock: bool = False
) -> _Terms:
    """The deck as it stands, or as it will be made. Raises `Conflict` where it was made otherwise."""
    found = select(Deck).where(Deck.name == name)
    deck = session.scalar(found.with_for_update(key_share=True) if lock else found)
    if deck is None:
        given = {key: value for key, value in asked.items() if value is not None}
        return _Terms(name, currency, **{**_DEFAULTS, **given}, deck_id=None)
    if deck.currency != currency:
        raise Conflict("deck_currency_fixed", field="currency", deck=name, kept=deck.currency, asked=currency)
    for field, value in asked.items():
        kept = getattr(deck, field)
        if value not in (None, kept):
            raise Conflict("deck_settings_fixed", field=field, deck=name, kept=str(kept))
    return _Terms(name, currency, deck.precision, deck.rounding, deck.timezone, deck.id)


def _make_sure(
    session: Session, terms: _Terms, asked: Mapping[str, Any], actor: Actor, now: datetime
) -> _Terms:
    """Make the deck where it is still missing, and lock it: two imports into one deck take turns."""
    if terms.deck_id is None:
        session.execute(
            insert(Deck)
            .values(
                name=terms.name,
                currency=terms.currency,
                precision=terms.precision,
                rounding=terms.rounding,
                timezone=terms.timezone,
                created_by=str(actor),
                created_at=now,
            )
            .on_conflict_do_nothing()
        )
    # Another import may have made it meanwhile, in another zone than this file was read in.
    return _terms(session, terms.name, terms.currency, {**asked, "timezone": terms.timezone}, lock=True)


def _told(
    session: Session,
    terms: _Terms,
    file: DeckFile,
    start: datetime,
    merge: bool,
    version: DeckVersion | None = None,
    most: int | None = MOST_SHOWN,
) -> DeckImport:
    """Compare the file with the version it takes the place of; and write it, where a `version` is given."""
    link = driver(session)
    before = None if terms.deck_id is None else version_in_force(session, terms.deck_id, start)
    old = stored_rates(link, before) if before is not None else []
    rows = merged_rates(old, file.rows, start) if merge else file.rows
    until = None if terms.deck_id is None else _next_start(session, terms.deck_id, start)
    if version is not None:
        version.rates = len(rows)
        session.add(version)
        session.flush()
        _copy(link, version.id, rows)
    return DeckImport(
        deck=terms.name,
        deck_id=terms.deck_id,
        currency=terms.currency,
        precision=terms.precision,
        rounding=terms.rounding,
        timezone=terms.timezone,
        new_deck=before is None and until is None,  # a deck is made with its first version
        version_id=None if version is None else version.id,
        effective_from=start,
        until=until,
        merged=merge,
        total=len(rows),
        late=late(rows, start),
        comparison=compare(old, rows, most),
        file=file,
    )


def _next_start(session: Session, deck_id: int, start: datetime) -> datetime | None:
    """When a version of the deck that begins after `start` takes its place; None where there is none."""
    return session.scalar(
        select(func.min(DeckVersion.effective_from)).where(
            DeckVersion.deck_id == deck_id, DeckVersion.effective_from > start
        )
    )


def _copy(link: psycopg.Connection[Any], version_id: int, rows: Iterable[DeckRow]) -> None:
    with link.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types([kind for _, kind in _TYPES])
        for row in rows:
            _, *facts, days, start, end = row
            copy.write_row((version_id, *facts, None if days is None else list(days), start, end))


def _source(filename: str) -> str:
    """The file's bare name, so that what is kept and shown holds no path and nothing invisible."""
    bare = tidied(filename.replace("\\", "/").rsplit("/", 1)[-1])
    return "".join(sign for sign in bare if sign.isprintable())[:200]
