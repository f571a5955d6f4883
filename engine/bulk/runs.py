"""Runs: a bulk command is confirmed, its targets frozen in the same transaction, and left as background work.

What is frozen are the cards that meet the filter at that moment, in ascending order. A card that meets it later is not
touched; one that meets it no more is handled by what it has become. Each run is worked off in `engine.bulk.handler`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency, settings, work
from engine.actor import Actor
from engine.bulk.money import moved
from engine.bulk.orders import MONEY, VERBS, BulkOrder, Listed, checked
from engine.bulk.preview import assess, one_currency, require_cards, resolved
from engine.cards import search
from engine.cards.serials import serial_of
from engine.cards.timeline import checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.funds.large import is_large
from engine.people import audit, consents
from engine.permissions import command
from engine.schema import BulkChunk, BulkRun, Card

KIND = "bulk"
CHUNK = 5_000
"""Cards in one transaction."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What somebody saw in the preview and said yes to: how many cards, the money that is moved, and which cards.

    `amount` in micro-units and `digest` as the `Preview` has them; None: any.
    """

    cards: int
    amount: int | None = None
    digest: str | None = None


def confirm(
    db: Database,
    order: BulkOrder,
    actor: Actor,
    now: datetime,
    key: str | None = None,
    *,
    expected: Expected | None = None,
) -> int:
    """Freeze the targets of an order, leave the work, and return the run's id; the command `bulk.<verb>`.

    The same `key` with the same order counts once. Raises what `preview` raises, `Conflict` ("no_targets";
    "targets_changed" where the frozen cards or what they move are not as `expected`; "key_reused") and
    `ConsentNeeded` where money over the setting `consent_recharge_over` is moved without a second person's consent.
    """
    run = _CONFIRM.get(order.verb)
    if run is None:
        raise InvalidInput("not_a_choice", field="verb", allowed=VERBS)
    return run(db, order, actor, now, key or idempotency.new_key(), expected)


def confirmed(db: Database, key: str) -> int | None:
    """The run that was confirmed with a key, or None: sent again, an order needs no second look."""
    with db.begin() as session:
        return session.scalar(select(BulkRun.id).where(BulkRun.idempotency_key == key))


def _confirming(verb: str) -> Callable[..., int]:
    @command(f"bulk.{verb}")
    @reruns
    def run(
        db: Database, order: BulkOrder, actor: Actor, now: datetime, key: str, expected: Expected | None
    ) -> int:
        try:
            return _confirmed(db, checked(order), actor, now, key, expected)
        except IntegrityError as error:
            if "uq_bulk_run_idempotency_key" not in str(error.orig):
                raise
            raise Conflict("key_reused") from None  # the runs remember a key longer than its answer is kept

    return run


_CONFIRM = {verb: _confirming(verb) for verb in VERBS}


def _confirmed(
    db: Database, order: BulkOrder, actor: Actor, now: datetime, key: str, expected: Expected | None
) -> int:
    asked = idempotency.fingerprint(order.verb, order.targets_digest, order.params, order.reason)
    with db.begin() as session:
        first = idempotency.claim(session, "bulk", key, asked, now)
        if first is not None:
            return int(first["run"])
        run = BulkRun(
            command=order.verb,
            params={},
            filter=order.filter_json,
            cards=0,
            actor=str(actor),
            actor_name=actor.name,
            reason=order.reason,
            idempotency_key=key,
            created_at=now,
        )
        session.add(run)
        session.flush()
        frozen = _freeze(session, run.id, order, now)
        currency = one_currency(order.verb, frozen.currencies)
        params = resolved(session, order, currency)
        _check_expected(session, run.id, order.verb, params, frozen, expected, now)
        if order.verb == "recharge":
            _need_consent(session, run.id, order, frozen.cards, currency or "", actor, now)
        run.params, run.cards, run.currency = params, frozen.cards, currency
        run.work_id = work.enqueue(session, KIND, {"run_id": run.id}, actor, now, total=frozen.cards)
        _record(session, run, order, frozen, actor, now)
        idempotency.keep(session, "bulk", key, {"run": run.id})
        return run.id


@dataclass(frozen=True, slots=True)
class _Frozen:
    """How many cards were frozen, their currencies, and what they have together in micro-units."""

    cards: int
    currencies: list[str]
    balance: int


_FREEZE_LIST = text(
    """
    INSERT INTO bulk_chunk (run_id, n, card_ids, callers)
    SELECT :run_id, (at - 1) / :size, array_agg(id ORDER BY at),
        CASE WHEN :with_callers THEN array_agg(caller ORDER BY at) END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:callers AS text[])) WITH ORDINALITY AS listed (id, caller, at)
    GROUP BY 2
    """
)
_OF_RUN = text(
    """
    SELECT count(*) AS cards, coalesce(array_agg(DISTINCT currency), '{}') AS currencies,
        coalesce(sum(balance), 0) AS balance
    FROM card WHERE id = ANY (CAST(:ids AS bigint[]))
    """
)


def _freeze(session: Session, run_id: int, order: BulkOrder, now: datetime) -> _Frozen:
    targets = order.targets
    if isinstance(targets, Listed):
        require_cards(session, targets)
        ids = list(targets.card_ids)
        values = {"ids": ids, "callers": list(targets.callers), "with_callers": bool(targets.callers)}
        session.execute(_FREEZE_LIST, {"run_id": run_id, "size": CHUNK, **values})
        row = session.execute(_OF_RUN, {"ids": ids}).one()
        return _Frozen(row.cards, list(row.currencies), int(row.balance))
    place = ((func.row_number().over(order_by=Card.id) - 1) // CHUNK).label("n")
    found = (
        select(Card.id, Card.currency, Card.balance, place).where(*search.where(targets, now)).cte("found")
    )
    chunks = select(
        literal(run_id), found.c.n, func.array_agg(aggregate_order_by(found.c.id, found.c.id))
    ).group_by(found.c.n)
    put = insert(BulkChunk).from_select(["run_id", "n", "card_ids"], chunks).returning(BulkChunk.n).cte("put")
    counted = select(
        func.count(), func.array_agg(found.c.currency.distinct()), func.coalesce(func.sum(found.c.balance), 0)
    ).select_from(found)
    cards, currencies, balance = session.execute(counted.add_cte(put)).one()
    if not cards:
        raise Conflict("no_targets")
    return _Frozen(cards, list(currencies), int(balance))


def _check_expected(
    session: Session,
    run_id: int,
    verb: str,
    params: Mapping[str, Any],
    frozen: _Frozen,
    expected: Expected | None,
    now: datetime,
) -> None:
    if expected is None:
        return
    if frozen.cards != expected.cards:
        raise Conflict("targets_changed", before=expected.cards, after=frozen.cards)
    if expected.digest is not None and _which(session, run_id).digest != expected.digest:
        raise Conflict("targets_changed")
    if expected.amount is not None and verb in MONEY:
        amount = assess(session, verb, run_id, params, now).amount
        if amount != expected.amount:
            raise Conflict("targets_changed")


_WHICH = text(
    """
    SELECT min(card_ids[1]) AS first, max(card_ids[cardinality(card_ids)]) AS last,
        encode(sha256(convert_to(string_agg(array_to_string(card_ids, ','), ',' ORDER BY n), 'UTF8')), 'hex') AS digest
    FROM bulk_chunk WHERE run_id = :run_id
    """
)


def _which(session: Session, run_id: int) -> Any:
    return session.execute(_WHICH, {"run_id": run_id}).one()


def _need_consent(
    session: Session, run_id: int, order: BulkOrder, cards: int, currency: str, actor: Actor, now: datetime
) -> None:
    """A second person agrees to these very cards: the facts name them, with a digest of the frozen ids.

    Cards that come to meet the filter, or no longer do, between the yes and its use make it a yes to something else.
    """
    total = moved("recharge", order.params, cards, 0)
    if not is_large(settings.load(session), total):
        return
    which = _which(session, run_id)
    facts = {
        "cards": cards,
        "amount": order.params["amount"],
        "bonus": order.params["bonus"],
        "total": total,
        "currency": currency,
        "first": serial_of(which.first),
        "last": serial_of(which.last),
        "filter": order.filter_json,
        "digest": which.digest,
    }
    consents.need(session, actor, "bulk.recharge", f"cards:{order.targets_digest}", facts, now)


def _record(
    session: Session, run: BulkRun, order: BulkOrder, frozen: _Frozen, actor: Actor, now: datetime
) -> None:
    told: dict[str, Any] = {"cards": run.cards, "params": run.params, "filter": run.filter}
    if run.filter is None:
        told["list"] = order.targets_digest
    if order.verb in MONEY:
        # If none of them is refused; what was moved in the end is the run's amount.
        told["amount"], told["currency"] = (
            moved(order.verb, run.params, run.cards, frozen.balance),
            run.currency,
        )
    audit.record(session, actor, f"bulk.{order.verb}", f"run:{run.id}", now, reason=order.reason, **told)


@command("bulk.cancel")
@reruns
def cancel(db: Database, run_id: int, actor: Actor, now: datetime, *, reason: str | None = None) -> bool:
    """Stop a run after the chunk in hand; what is done stays done. False where it was over, or cancelled, already.

    Raises `NotFound` ("run_not_found").
    """
    why = checked_reason(reason)
    with db.begin() as session:
        run = _locked(session, run_id)
        if run.work_id is None or _asked_to_end(session, run.work_id):
            return False
        stopped = work.cancel(session, run.work_id, actor, now)
        if stopped:
            audit.record(session, actor, "bulk.cancel", f"run:{run_id}", now, reason=why, verb=run.command)
        return stopped


@command("bulk.resume")
@reruns
def resume(db: Database, run_id: int, actor: Actor, now: datetime, *, reason: str | None = None) -> int:
    """Go on with a run that failed or was cancelled, where it was; returns the id of its work.

    Raises `NotFound` ("run_not_found") and `Conflict` ("work_not_stopped").
    """
    why = checked_reason(reason)
    with db.begin() as session:
        run = _locked(session, run_id)
        if run.work_id is None:
            raise Conflict("work_not_stopped", id=run_id)
        work.resume(session, run.work_id, actor, now)
        audit.record(session, actor, "bulk.resume", f"run:{run_id}", now, reason=why, verb=run.command)
        return run.work_id


def _asked_to_end(session: Session, work_id: int) -> bool:
    asked = session.scalar(text("SELECT cancel_requested FROM work WHERE id = :id"), {"id": work_id})
    return bool(asked)


def _locked(session: Session, run_id: int) -> BulkRun:
    run = session.get(BulkRun, run_id, with_for_update=True)
    if run is None:
        raise NotFound("run_not_found", id=run_id)
    return run
