"""One transaction over a range of a reseller's stock: who may, what is left and why, the account, the document.

The commands are in `engine.stock.resale`. The lock order is the cards of the range, ascending, then the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.funds import accounts
from engine.funds.accounts import MOST
from engine.people import audit
from engine.people.resellers import trading
from engine.schema import Reseller
from engine.stock.conditions import FACE
from engine.stock.custody import Range, lock_range, missing_of, require_own, require_ready, subject_of
from engine.stock.verbs import RANGE, VERBS, Verb

_CHARGED = ("activate", "sell")


@dataclass(frozen=True, slots=True)
class Resold:
    """What became of a range: cards changed, and cards left, with how many for what reason.

    `amount` is what the reseller's account was charged, in micro-units of `currency` (negative: given back); `balance`
    is the account's after it, None where nothing was charged. `move` is the document, None where nothing changed.
    `repeated`: the key had counted before, and nothing was done now.
    """

    kind: str
    reseller: str | None
    changed: int
    left: int
    why: Mapping[str, int]
    batches: tuple[str, ...]
    amount: int = 0
    currency: str | None = None
    balance: int | None = None
    move: int | None = None
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A command on a range as it was asked for. `values` are more for its SQL."""

    kind: str
    cards: Range
    actor: Actor
    now: datetime
    reseller_id: int | None
    key: str
    reason: str | None
    values: dict[str, Any]

    @property
    def scope(self) -> str:
        """Whose keys they are."""
        return scope_of(self.kind, self.actor)


@dataclass(frozen=True, slots=True)
class _Act:
    """The same, for the reseller whose stock it is, with all that its SQL asks for."""

    asked: Wanted
    verb: Verb
    reseller: Reseller | None
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counted:
    """What a range holds before it is changed: cards to change, cards left by reason, what the changed ones cost, their
    face value, and how many of them it is for."""

    changed: int
    why: dict[str, int]
    amount: int
    face: int
    due: int


@reruns
def move(db: Database, asked: Wanted) -> Resold:
    """Do it, once for its key, in one transaction."""
    facts = idempotency.fingerprint(
        asked.cards.first, asked.cards.last, asked.reseller_id, asked.values, asked.reason
    )
    with db.begin() as session:
        first = idempotency.claim(session, asked.scope, asked.key, facts, asked.now)
        if first is not None:
            return replace(Resold(**{**first, "batches": tuple(first["batches"])}), repeated=True)
        reseller = _reseller(session, asked)
        values = {
            "first": asked.cards.first,
            "last": asked.cards.last,
            "now": asked.now,
            "discount": reseller.discount_bp if reseller else 0,
            **asked.values,
        }
        done = _do(session, _Act(asked, VERBS[asked.kind], reseller, values))
        kept = {name: value for name, value in asdict(done).items() if name != "repeated"}
        idempotency.keep(session, asked.scope, asked.key, kept)
        return done


def _do(session: Session, act: _Act) -> Resold:
    asked, reseller = act.asked, act.reseller
    batches = _require_theirs(session, act)
    currency = currency_of(session, asked.cards) if act.verb.amount else None
    counted = count(session, act.verb, act.values)
    move_id = balance = None
    if counted.changed:
        pays = reseller is not None and counted.amount != 0
        account_id = account_of(session, reseller, currency or "") if pays and reseller else None
        move_id = _add_moves(session, act, counted, account_id)
        _change(session, act, move_id)
        if account_id is not None:
            balance = _charge(session, act, account_id, counted.amount, move_id)
    name, left = reseller.name if reseller else None, sum(counted.why.values())
    told = {"changed": counted.changed, "left": left, "why": counted.why, "reseller": name, "move": move_id}
    money = {"amount": counted.amount, "currency": currency} if act.verb.amount else {}
    subject = subject_of(asked.cards)
    audit.record(
        session, asked.actor, f"stock.{asked.kind}", subject, asked.now, reason=asked.reason, **told, **money
    )
    return Resold(
        kind=asked.kind,
        reseller=name,
        changed=counted.changed,
        left=left,
        why=counted.why,
        batches=batches,
        amount=counted.amount,
        currency=currency,
        balance=balance,
        move=move_id,
    )


def _charge(session: Session, act: _Act, account_id: int, amount: int, move_id: int) -> int:
    """Charge the account, or give back where the amount is negative; gives its balance after."""
    entry = accounts.post(
        session,
        account_id=account_id,
        amount=-amount,
        kind="stock" if act.asked.kind in _CHARGED else "return",
        reference=f"move:{move_id}",
        actor=act.asked.actor,
        now=act.asked.now,
        reason=act.asked.reason,
    )
    return entry.balance_after


# --- whose stock it is ---


def scope_of(kind: str, actor: Actor) -> str:
    """Whose keys they are: each reseller has its own, and staff theirs."""
    whose = f":{actor.reseller_id}" if actor.kind == "reseller" else ""
    return f"stock.{kind}{whose}"


def acting_for(actor: Actor, reseller_id: int | None) -> int:
    """The reseller whose stock it is. Its own people never act for another, whatever was asked."""
    if actor.kind == "reseller":
        if actor.reseller_id is None:
            raise NotFound("reseller_not_found")
        return actor.reseller_id
    if reseller_id is None:
        raise InvalidInput("reseller_unnamed", field="reseller")
    return reseller_id


def _reseller(session: Session, asked: Wanted) -> Reseller | None:
    """The reseller of a command, which must be allowed to trade; stock is taken back from a disabled one, too."""
    if asked.reseller_id is None:
        return None
    if asked.kind in ("unassign", "return") and asked.actor.kind != "reseller":
        reseller = session.get(Reseller, asked.reseller_id)
        if reseller is None:
            raise NotFound("reseller_not_found")
        return reseller
    return trading(session, asked.reseller_id)


def _require_theirs(session: Session, act: _Act) -> tuple[str, ...]:
    """Lock the cards of the range, each of which must be the reseller's own; gives the names of their batches."""
    cards, owner = act.asked.cards, act.reseller.id if act.reseller else 0
    if act.asked.actor.kind == "reseller":
        # Looked at before anything is locked, so that nobody can keep another's cards waiting.
        require_own(session, cards, owner)
    batches = require_ready(session, act.asked.cards)
    lock_range(session, act.asked.cards)
    if act.asked.kind not in ("assign", "unassign"):
        missing = missing_of(session, cards, owner)
        if missing and act.asked.actor.kind == "reseller":
            raise NotFound("cards_not_found", count=missing)
        if missing:
            raise Conflict("not_their_stock", count=missing, name=act.reseller.name if act.reseller else "")
    return batches


def currency_of(session: Session, cards: Range) -> str:
    """The currency of a range. Raises `Conflict` ("mixed_currencies")."""
    found = session.scalars(
        text("SELECT DISTINCT currency FROM batch WHERE first_id <= :last AND last_id >= :first ORDER BY 1"),
        {"first": cards.first, "last": cards.last},
    ).all()
    if len(found) > 1:
        raise Conflict("mixed_currencies", currencies=list(found))
    return str(found[0])


def account_of(session: Session, reseller: Reseller, currency: str) -> int:
    """The reseller's open account in a currency. Raises `Conflict` ("no_reseller_account")."""
    account_id = session.scalar(
        text(
            "SELECT id FROM account WHERE reseller_id = :reseller AND currency = :currency AND closed_at IS NULL"
        ),
        {"reseller": reseller.id, "currency": currency},
    )
    if account_id is None:
        raise Conflict("no_reseller_account", name=reseller.name, currency=currency)
    return int(account_id)


# --- the statements ---


def count(session: Session, verb: Verb, values: Mapping[str, Any]) -> Counted:
    """What `verb` would change in a range now, and what that costs. Raises `InvalidInput` ("range_too_dear")."""
    rows = session.execute(
        text(
            f"SELECT {verb.why} AS why, count(*) AS cards,"
            f" sum({verb.amount or '0'}) AS amount, count(*) FILTER (WHERE {verb.due or 'false'}) AS due,"
            f" coalesce(sum({FACE}) FILTER (WHERE {verb.due or 'false'}), 0) AS face"
            f" FROM card, batch WHERE {RANGE} GROUP BY 1"
        ),
        values,
    ).all()
    changed = next((row for row in rows if row.why is None), None)
    if changed is None:
        return Counted(0, {row.why: row.cards for row in rows}, 0, 0, 0)
    amount = int(changed.amount)
    if abs(amount) > MOST:
        raise InvalidInput("range_too_dear", field="last")
    why = {row.why: row.cards for row in rows if row.why is not None}
    return Counted(changed.cards, why, amount, verb.sign * int(changed.face), changed.due)


_ADD_MOVE = text(
    """
    INSERT INTO stock_move
        (kind, reseller_id, first_id, last_id, cards, charged, amount, face, account_id, actor, reason,
        idempotency_key, at)
    VALUES (:kind, :reseller, :first, :last, :cards, :charged, :amount, :face, :account, :actor, :reason, :key, :now)
    RETURNING id
    """
)


def _add_moves(session: Session, act: _Act, counted: Counted, account_id: int | None) -> int:
    """The documents: one, and where cards are taken from a reseller without money one for each that had some.

    Returns the id of the command's own (of an `unassign`: the first).
    """
    common = {
        "account": None,
        "actor": str(act.asked.actor),
        "reason": act.asked.reason,
        "now": act.asked.now,
    }
    moves: list[dict[str, Any]] = []
    if act.asked.kind in ("assign", "unassign"):
        for row in _losing(session, act):
            taken = {
                "first": row.first,
                "last": row.last,
                "cards": row.cards,
                "amount": 0,
                "charged": None,
                "face": None,
                "key": None,
            }
            moves.append({**common, **taken, "kind": "unassign", "reseller": row.reseller_id})
    if act.reseller and act.asked.kind != "unassign":
        own = {"first": act.asked.cards.first, "last": act.asked.cards.last, "cards": counted.changed}
        money = {
            "amount": counted.amount,
            "charged": counted.due if act.verb.due else None,
            "face": counted.face if act.verb.due else None,
            "account": account_id,
            "key": f"{act.asked.scope}:{act.asked.key}",
        }
        moves.append({**common, **own, **money, "kind": act.asked.kind, "reseller": act.reseller.id})
    ids = [int(session.scalar(_ADD_MOVE, move) or 0) for move in moves]
    return ids[-1] if act.asked.kind != "unassign" else ids[0]


def _losing(session: Session, act: _Act) -> list[Any]:
    """The resellers that the range is taken from: how many cards, between which."""
    found = session.execute(
        text(
            "SELECT card.reseller_id, count(*) AS cards, min(card.id) AS first, max(card.id) AS last FROM card, batch"
            f" WHERE {RANGE} AND card.reseller_id IS NOT NULL AND {act.verb.why} IS NULL"
            " GROUP BY 1 ORDER BY 1"
        ),
        act.values,
    )
    return list(found)


def _change(session: Session, act: _Act, move: int) -> None:
    """Change the cards that nothing keeps from it, with a line on the timeline of each."""
    # Read before they change: what each one's price was, and whose it was.
    session.execute(
        text(
            f"""
            WITH due AS MATERIALIZED (
                SELECT card.id, card.reseller_id AS was, card.reseller_price AS price_was FROM card, batch
                WHERE {RANGE} AND {act.verb.why} IS NULL
            ), changed AS (
                UPDATE card SET {act.verb.changes} FROM batch, due
                WHERE batch.id = card.batch_id AND due.id = card.id
                RETURNING card.id, card.reseller_id, card.reseller_price, due.was, due.price_was
            )
            INSERT INTO card_event (card_id, at, kind, actor, data)
            SELECT id, :now, :event, :actor, jsonb_strip_nulls(jsonb_build_object(
                'move', CAST(:move AS bigint), 'reseller', coalesce(reseller_id, was),
                'before', CASE WHEN was <> reseller_id THEN was END,
                'price', CASE WHEN reseller_price IS DISTINCT FROM price_was
                    THEN coalesce(reseller_price, price_was) END, 'reason', CAST(:reason AS text)
            )) FROM changed ORDER BY id
            """
        ),
        {
            **act.values,
            "event": act.asked.kind,
            "actor": str(act.asked.actor),
            "move": move,
            "reason": act.asked.reason,
        },
    )
