"""What the console shows of decks: the list, one deck, its versions a page at a time, the rates of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text, tuple_
from sqlalchemy.orm import Session, aliased

from engine.calls.deckdiff import check_version, driver, narrowing
from engine.calls.deckrow import DeckRow
from engine.calls.decks import VersionView
from engine.calls.deckversions import version_in_force
from engine.cards.names import actor_names
from engine.db import Database
from engine.errors import NotFound
from engine.schema import Deck, DeckVersion, DestinationGroup


@dataclass(frozen=True, slots=True)
class DeckLine:
    """A deck in the list: the version in force and the next (None: there is none), and the deck it buys at."""

    id: int
    name: str
    currency: str
    buy_deck_id: int | None
    buy_deck: str | None
    in_force: VersionView | None
    coming: VersionView | None


@dataclass(frozen=True, slots=True)
class DeckPage(DeckLine):
    """A deck: what stays as it was made, and who buys at it (`sold_as`: id and name of each deck)."""

    precision: int
    rounding: str
    timezone: str
    created_at: datetime
    created_by: str
    sold_as: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Versions:
    """A page of versions, the one that takes effect last first; `place` is where the next page goes on."""

    versions: tuple[VersionView, ...]
    place: tuple[datetime, int] | None


@dataclass(frozen=True, slots=True)
class Rates:
    """A page of rates by prefix; `place` (prefix and id) is where the next page goes on."""

    rates: tuple[DeckRow, ...]
    place: tuple[str, int] | None


_NEXT = """
    SELECT id FROM deck_version WHERE deck_id = :deck AND effective_from > :now ORDER BY effective_from, id LIMIT 1
"""


def deck_lines(db: Database, now: datetime) -> list[DeckLine]:
    """Every deck, by name."""
    buy = aliased(Deck)
    decks = select(Deck, buy.name).outerjoin(buy, Deck.buy_deck_id == buy.id)
    with db.begin() as session:
        rows = session.execute(decks.order_by(func.lower(Deck.name), Deck.id)).all()
        return [
            DeckLine(
                deck.id,
                deck.name,
                deck.currency,
                deck.buy_deck_id,
                bought,
                *_now_and_next(session, deck.id, now),
            )
            for deck, bought in rows
        ]


def deck_page(db: Database, deck_id: int, now: datetime) -> DeckPage:
    """One deck. Raises `NotFound("deck_not_found")`."""
    with db.begin() as session:
        deck = session.get(Deck, deck_id)
        if deck is None:
            raise NotFound("deck_not_found")
        bought = None if deck.buy_deck_id is None else session.get_one(Deck, deck.buy_deck_id).name
        sellers = select(Deck.id, Deck.name).where(Deck.buy_deck_id == deck_id).order_by(Deck.name)
        in_force, coming = _now_and_next(session, deck_id, now)
        return DeckPage(
            id=deck.id,
            name=deck.name,
            currency=deck.currency,
            buy_deck_id=deck.buy_deck_id,
            buy_deck=bought,
            in_force=in_force,
            coming=coming,
            precision=deck.precision,
            rounding=deck.rounding,
            timezone=deck.timezone,
            created_at=deck.created_at,
            created_by=actor_names(session, (deck.created_by,))[deck.created_by],
            sold_as=tuple((row.id, row.name) for row in session.execute(sellers)),
        )


def versions_of(
    db: Database, deck_id: int, now: datetime, *, place: tuple[datetime, int] | None = None, limit: int = 50
) -> Versions:
    """The versions of a deck, the one that takes effect last first, from behind `place` on."""
    wanted = select(DeckVersion).where(DeckVersion.deck_id == deck_id)
    if place is not None:
        wanted = wanted.where(tuple_(DeckVersion.effective_from, DeckVersion.id) < place)
    newest_first = wanted.order_by(DeckVersion.effective_from.desc(), DeckVersion.id.desc())
    with db.begin() as session:
        rows = session.scalars(newest_first.limit(limit + 1)).all()
        in_force = version_in_force(session, deck_id, now)
        shown = tuple(_views(session, rows[:limit], in_force, now))
    last = shown[-1] if len(rows) > limit else None
    return Versions(shown, None if last is None else (last.effective_from, last.id))


def version_view(db: Database, deck_id: int, version_id: int, now: datetime) -> VersionView:
    """One version of a deck. Raises `NotFound("deck_version_not_found")`."""
    with db.begin() as session:
        version = check_version(session, deck_id, version_id)
        return _views(session, [version], version_in_force(session, deck_id, now), now)[0]


def version_before(db: Database, deck_id: int, version_id: int) -> int | None:
    """The id of the version whose place this one takes; None for the first."""
    with db.begin() as session:
        version = check_version(session, deck_id, version_id)
        before = tuple_(DeckVersion.effective_from, DeckVersion.id) < (version.effective_from, version.id)
        return session.scalar(
            select(DeckVersion.id)
            .where(DeckVersion.deck_id == deck_id, before)
            .order_by(DeckVersion.effective_from.desc(), DeckVersion.id.desc())
            .limit(1)
        )


def rates_of(
    db: Database,
    version_id: int,
    *,
    words: str = "",
    only: Sequence[str] | None = None,
    place: tuple[str, int] | None = None,
    limit: int = 50,
) -> Rates:
    """The rates of a version by prefix, from behind `place` on; each `DeckRow` has its rate's id as its `line`.

    `words`: digits that a prefix begins with, or a part of a destination's name; `only`: some prefixes alone.
    """
    fits, values = narrowing(words)
    statement = f"""
        SELECT id, {", ".join(DeckRow._fields[1:])} FROM deck_rate
        WHERE version_id = %(version)s AND {fits}
          AND (%(only)s::text[] IS NULL OR prefix = ANY(%(only)s))
          AND (%(prefix)s::text IS NULL OR (prefix, id) > (%(prefix)s::text, %(id)s::bigint))
        ORDER BY prefix, id LIMIT %(limit)s
    """
    after, rate_id = place or (None, None)
    given = {
        **values,
        "version": version_id,
        "only": None if only is None else list(only),
        "prefix": after,
        "id": rate_id,
        "limit": limit + 1,
    }
    with db.begin() as session:
        rows = driver(session).execute(statement, given).fetchall()
    rates = tuple(DeckRow._make(row) for row in rows[:limit])
    return Rates(rates, (rates[-1].prefix, rates[-1].line) if len(rows) > limit else None)


def groups_of(db: Database, e164: str) -> list[str]:
    """The operator's own destination groups that a number falls into."""
    with db.begin() as session:
        rows = session.scalars(select(DestinationGroup).order_by(DestinationGroup.name))
        return [row.name for row in rows if e164.startswith(tuple(row.prefixes))]


def _now_and_next(
    session: Session, deck_id: int, now: datetime
) -> tuple[VersionView | None, VersionView | None]:
    in_force = version_in_force(session, deck_id, now)
    coming: int | None = session.scalar(text(_NEXT), {"deck": deck_id, "now": now})
    rows = session.scalars(select(DeckVersion).where(DeckVersion.id.in_({in_force, coming} - {None})))
    found = {view.id: view for view in _views(session, rows.all(), in_force, now)}
    return found.get(in_force or 0), found.get(coming or 0)


def _views(
    session: Session, versions: Iterable[DeckVersion], in_force: int | None, now: datetime
) -> list[VersionView]:
    rows = list(versions)
    names = actor_names(session, (row.created_by for row in rows))
    return [
        VersionView(
            row.id,
            row.effective_from,
            row.source,
            row.rates,
            names[row.created_by],
            row.created_at,
            "in force" if row.id == in_force else "coming" if row.effective_from > now else "past",
        )
        for row in rows
    ]
