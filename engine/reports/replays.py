"""Replays as people ask for them, stop them and read them; `engine.reports.replay` does the work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import idempotency, work
from engine.actor import Actor
from engine.calls.deckdiff import check_version
from engine.cards.names import actor_names
from engine.db import Database, reruns
from engine.errors import InvalidInput, NotFound
from engine.people import audit
from engine.permissions import command
from engine.reports.replay import KIND
from engine.schema import Deck, DeckVersion, ReplayLine, Work
from engine.work import WorkView, find_work

LONGEST = timedelta(days=366)
_SCOPE = "deck.replay"

ORDERS = {
    "name": "destination_name",
    "calls": "calls",
    "charged": "charged",
    "replayed": "replayed",
    "difference": "replayed - charged",
    "unrated": "unrated",
}
"""What the lines of a replay can be put in order by."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay: of which calls (ended from `begins` up to `ends`), at which rates, how far it is, what it found.

    `version_id` is None where calls were priced at what they cost us. Its result (`work.result`): calls, billed_s,
    charged, replayed_s, replayed, unrated, and `borne`, what the calls cost more than their cards could pay.
    """

    work: WorkView
    deck_id: int
    deck: str
    currency: str
    version_id: int | None
    version_from: datetime | None
    begins: datetime
    ends: datetime
    asked_by: str

    @property
    def of_costs(self) -> bool:
        """Whether it tells what calls cost us, and so what they earned."""
        return self.version_id is None


@dataclass(frozen=True, slots=True)
class ReplayedLine:
    """One destination: what its calls brought (`charged`) and what they would at the other rates (`replayed`)."""

    destination_name: str
    calls: int
    billed_s: int
    charged: int
    replayed_s: int
    replayed: int
    unrated: int

    @property
    def difference(self) -> int:
        """What the other rates would bring more, in micro-units."""
        return self.replayed - self.charged


def last_month(now: datetime, zone: ZoneInfo) -> tuple[date, date]:
    """The first and the last day of the calendar month before the one that it is in `zone`."""
    first = now.astimezone(zone).date().replace(day=1)
    last = first - timedelta(days=1)
    return last.replace(day=1), last


def period(first: date, last: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """From the beginning of the first day to the end of the last, as instants."""
    after = last + timedelta(days=1)
    begins, ends = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in (first, after))
    return begins.astimezone(UTC), ends.astimezone(UTC)


@command("deck.replay")
@reruns
def start_replay(
    db: Database,
    *,
    deck_id: int,
    version_id: int | None,
    begins: datetime,
    ends: datetime,
    actor: Actor,
    now: datetime,
    key: str | None = None,
) -> int:
    """Have the calls of a deck in a period priced at one of its versions; answers the id of the work.

    `version_id` None: at the rates of its buy deck. The same `key` counts once. Raises `NotFound` (deck_not_found,
    deck_version_not_found), `InvalidInput` (period_reversed, period_too_long, period_in_future, buy_deck_missing).
    """
    if begins >= ends:
        raise InvalidInput("period_reversed", field="ends")
    if ends - begins > LONGEST:
        raise InvalidInput("period_too_long", field="ends", days=LONGEST.days)
    if begins >= now:
        raise InvalidInput("period_in_future", field="begins")
    params: dict[str, Any] = {
        "deck_id": deck_id,
        "version_id": version_id,
        "begins": begins.astimezone(UTC).isoformat(),
        "ends": ends.astimezone(UTC).isoformat(),
    }
    key = key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.claim(session, _SCOPE, key, idempotency.fingerprint(params), now)
        if first is not None:
            return int(first["work"])
        deck = _deck(session, deck_id)
        if version_id is not None:
            check_version(session, deck_id, version_id)
        elif deck.buy_deck_id is None or _first_version(session, deck.buy_deck_id) is None:
            raise InvalidInput("buy_deck_missing", field="version", deck=deck.name)
        work_id = work.enqueue(session, KIND, params, actor, now)
        audit.record(
            session, actor, "deck.replay", f"deck:{deck_id}", now, **params, name=deck.name, work=work_id
        )
        idempotency.keep(session, _SCOPE, key, {"work": work_id})
        return work_id


@command("deck.cancel_replay")
@reruns
def cancel_replay(db: Database, *, work_id: int, actor: Actor, now: datetime) -> bool:
    """Stop a replay; answers whether it was not over. Nothing of it is kept. Raises `NotFound("replay_not_found")`."""
    with db.begin() as session:
        row = _replay_row(session, work_id)
        stopped = work.cancel(session, work_id, actor, now) if not row.cancel_requested else False
        if stopped:
            audit.record(
                session, actor, "deck.cancel_replay", f"deck:{row.params['deck_id']}", now, work=work_id
            )
        return stopped


def find_replay(db: Database, work_id: int, now: datetime) -> Replay:
    """One replay. Raises `NotFound("replay_not_found")`."""
    with db.begin() as session:
        _replay_row(session, work_id)
    return _views(db, [work_id], now)[0]


def replays_of(db: Database, deck_id: int, now: datetime, *, limit: int = 10) -> list[Replay]:
    """The replays of a deck, the newest first."""
    statement = (
        select(Work.id)
        .where(Work.kind == KIND, Work.params["deck_id"].as_integer() == deck_id)
        .order_by(Work.id.desc())
        .limit(limit)
    )
    with db.begin() as session:
        numbers = list(session.scalars(statement))
    return _views(db, numbers, now)


def lines_of(
    db: Database,
    work_id: int,
    *,
    order: str = "charged",
    place: tuple[int | str, str] | None = None,
    limit: int = 50,
) -> tuple[list[ReplayedLine], tuple[int | str, str] | None]:
    """A page of the destinations of a replay, the largest first (by name: the first first), and where the next begins.

    `order` is one of `ORDERS`; `place` the value and the name of the last line of the page before.
    """
    by = ORDERS[order]
    down = order != "name"
    columns = ", ".join(ReplayedLine.__dataclass_fields__)
    shown = f"SELECT {columns}, {by} AS value FROM replay_line WHERE work_id = :work"
    given: dict[str, Any] = {"work": work_id, "limit": limit + 1}
    if place is not None:
        given |= {"value": place[0], "name": place[1]}
        # The name always rises: two destinations with the same sum stand in the order of the alphabet.
        passed = f"{by} {'<' if down else '>'} :value OR ({by} = :value AND destination_name > :name)"
        shown += f" AND ({passed})"
    shown += f" ORDER BY {by} {'DESC' if down else ''}, destination_name LIMIT :limit"
    with db.begin() as session:
        rows = session.execute(text(shown), given).all()
    lines = [ReplayedLine(*row[:-1]) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return lines, None if last is None else (last.value, last.destination_name)


def all_lines(db: Database, work_id: int) -> Iterator[ReplayedLine]:
    """Every destination of a replay, by name."""
    with db.begin() as session:
        rows = session.scalars(
            select(ReplayLine).where(ReplayLine.work_id == work_id).order_by(ReplayLine.destination_name)
        ).all()
    for row in rows:
        yield ReplayedLine(*(getattr(row, name) for name in ReplayedLine.__dataclass_fields__))


def _views(db: Database, numbers: list[int], now: datetime) -> list[Replay]:
    shown = []
    for number in numbers:
        view = find_work(db, number, now)
        with db.begin() as session:
            params = session.get_one(Work, number).params
            deck = session.get_one(Deck, params["deck_id"])
            version = session.get(DeckVersion, params["version_id"] or 0)
            shown.append(
                Replay(
                    work=view,
                    deck_id=deck.id,
                    deck=deck.name,
                    currency=deck.currency,
                    version_id=params["version_id"],
                    version_from=None if version is None else version.effective_from,
                    begins=datetime.fromisoformat(params["begins"]),
                    ends=datetime.fromisoformat(params["ends"]),
                    asked_by=actor_names(session, (view.created_by,))[view.created_by],
                )
            )
    return shown


def _replay_row(session: Session, work_id: int) -> Work:
    row = session.scalar(select(Work).where(Work.id == work_id, Work.kind == KIND))
    if row is None:
        raise NotFound("replay_not_found", id=work_id)
    return row


def _deck(session: Session, deck_id: int) -> Deck:
    deck = session.get(Deck, deck_id)
    if deck is None:
        raise NotFound("deck_not_found")
    return deck


def _first_version(session: Session, deck_id: int) -> int | None:
    return session.scalar(select(DeckVersion.id).where(DeckVersion.deck_id == deck_id).limit(1))
