"""Where a card's money went: talk, fees, steps of billing, and all that was no call; the parts sum to the whole.

Each call is taken apart by the rate on its CDR: the seconds talked at the plain price, what the steps of its increments
added, surcharges, fees, and the rounding. Every call is told as its late end corrected it. All is summed in the
database, exactly, in sixtieths of a micro-unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from engine.cards.serials import card_id_of
from engine.db import Database
from engine.errors import NotFound
from engine.money import Money
from engine.telling import Fact, Said, Span, joined, said

CREDITS = ("recharge", "bonus", "voucher")
"""The entries that a recharge leaves."""


@dataclass(frozen=True, slots=True)
class Part:
    """One cause: `amount` in micro-units (negative: it came back), in so many `times`."""

    kind: str
    amount: int
    times: int = 0


@dataclass(frozen=True, slots=True)
class Spending:
    """What came onto a card and where it went, in micro-units of `currency`; `parts`: the largest first.

    `base` is what it had when the period began, at `since` (None: from its making on). `base` + `came` − the parts =
    `left`, to the last micro-unit. `talked_s` and `billed_s` are those of calls that cost something, `calls` in number;
    `steps`: the least and the longest increment that added seconds, None where none did.
    """

    currency: str
    since: datetime | None
    base: int
    came: tuple[Part, ...]
    parts: tuple[Part, ...]
    left: int
    calls: int
    talked_s: int
    billed_s: int
    steps: tuple[int, int] | None
    recharges: int

    @property
    def had(self) -> int:
        """All that there was to spend."""
        return self.base + sum(part.amount for part in self.came)

    @property
    def spent(self) -> int:
        """All that went."""
        return sum(part.amount for part in self.parts)


_BOUNDARY = text(
    """
    SELECT id, at, balance_after FROM ledger_entry
    WHERE card_id = :card AND kind = ANY(:credits) AND amount > 0 ORDER BY id DESC LIMIT 1
    """
)
# One statement, so that a call that ends meanwhile is in all of it or in none.
_SUMS = text(
    """
    WITH entry AS MATERIALIZED (
        SELECT kind, amount, reference FROM ledger_entry WHERE card_id = :card AND id > :after
    ), net AS (
        SELECT CAST(substr(reference, 6) AS bigint) AS call_id, -sum(amount) AS charged FROM entry
        WHERE kind IN ('usage', 'overrun', 'correction') AND reference LIKE 'call:%' GROUP BY 1
    ), told AS (
        SELECT d.id, coalesce(c.duration_s, d.duration_s) AS talked, coalesce(c.billed_s, d.billed_s) AS billed,
            coalesce(c.cost, d.cost) AS cost, coalesce(c.charged, d.charged) AS charged, d.price_per_minute AS price,
            d.access_per_minute, d.access_per_call, d.post_call_fee, d.connect_fee,
            greatest(d.first_increment, d.increment) AS step
        FROM cdr d LEFT JOIN cdr_correction c ON c.card_id = d.card_id AND c.cdr_id = d.id
        WHERE d.card_id = :card
    ), whole AS (
        SELECT told.* FROM net JOIN told ON told.id = net.call_id
        WHERE told.charged = net.charged AND told.cost > 0
    )
    SELECT
        (SELECT coalesce(json_agg(k), '[]') FROM (
            SELECT kind, amount > 0 AS came, count(*) AS times, sum(amount) AS amount FROM entry
            WHERE kind NOT IN ('usage', 'overrun', 'correction') GROUP BY 1, 2) k) AS kinds,
        (SELECT coalesce(sum(charged), 0) FROM net) AS charged,
        count(*) AS calls, coalesce(sum(charged), 0) AS told, coalesce(sum(cost), 0) AS cost,
        coalesce(sum(talked), 0) AS talked, coalesce(sum(billed), 0) AS billed,
        min(step) FILTER (WHERE billed > talked) AS least_step,
        max(step) FILTER (WHERE billed > talked) AS most_step,
        coalesce(sum((price - access_per_minute) * CAST(talked AS numeric)), 0) AS talk_60,
        coalesce(sum(access_per_minute * CAST(talked AS numeric)), 0) AS access_60,
        coalesce(sum(price * CAST(billed - talked AS numeric)), 0) AS steps_60,
        count(*) FILTER (WHERE billed > talked) AS stepped,
        coalesce(sum(connect_fee - access_per_call - post_call_fee), 0) AS connect,
        count(*) FILTER (WHERE connect_fee > access_per_call + post_call_fee) AS connects,
        coalesce(sum(access_per_call), 0) AS access_call,
        count(*) FILTER (WHERE access_per_call + access_per_minute > 0) AS accesses,
        coalesce(sum(post_call_fee), 0) AS post, count(*) FILTER (WHERE post_call_fee > 0) AS posts,
        count(*) FILTER (WHERE cost > charged) AS borne
    FROM whole
    """
)
_FOUND = text(
    """
    SELECT currency, (SELECT count(*) FROM ledger_entry e
        WHERE e.card_id = card.id AND e.kind IN ('recharge', 'voucher') AND e.amount > 0) AS recharges
    FROM card WHERE id = :card
    """
)


def spending_of(db: Database, serial: str, *, since_recharge: bool = False) -> Spending:
    """Where a card's money went since it was made, or since its last recharge where there was one.

    Raises `NotFound` ("card_not_found") and `InvalidInput` ("bad_serial").
    """
    card_id = card_id_of(serial)
    with db.begin() as session:
        card = session.execute(_FOUND, {"card": card_id}).one_or_none()
        if card is None:
            raise NotFound("card_not_found")
        begin = None
        if since_recharge and card.recharges:
            asked = {"card": card_id, "credits": list(CREDITS)}
            begin = session.execute(_BOUNDARY, asked).one_or_none()
        sums = session.execute(_SUMS, {"card": card_id, "after": begin.id if begin else 0}).one()
    base = begin.balance_after if begin else 0
    came, gone = _others(sums.kinds)
    parts = [part for part in (*_calls(sums), *gone) if part.amount]
    parts.sort(key=lambda part: -part.amount)
    return Spending(
        currency=card.currency,
        since=begin.at if begin else None,
        base=base,
        came=tuple(came),
        parts=tuple(parts),
        left=base + sum(part.amount for part in came) - sum(part.amount for part in parts),
        calls=sums.calls,
        talked_s=int(sums.talked),
        billed_s=int(sums.billed),
        steps=(sums.least_step, sums.most_step) if sums.stepped else None,
        recharges=card.recharges,
    )


def _calls(sums: Any) -> list[Part]:
    """The calls taken apart. What halves of micro-units the parts lose is in the rounding, so that the sum is exact."""
    talk, access, steps = (_sixtieth(value) for value in (sums.talk_60, sums.access_60, sums.steps_60))
    fees = [int(value) for value in (sums.connect, sums.access_call, sums.post)]
    cost = int(sums.cost)
    return [
        Part("talk", talk, sums.calls),
        Part("steps", steps, sums.stepped),
        Part("connect", fees[0], sums.connects),
        Part("access", access + fees[1], sums.accesses),
        Part("post_call", fees[2], sums.posts),
        Part("rounding", cost - talk - access - steps - sum(fees), sums.calls),
        Part("borne", int(sums.told) - cost, sums.borne),
        Part("earlier_calls", int(sums.charged) - int(sums.told)),
    ]


def _sixtieth(value: Any) -> int:
    whole = int(value)
    return (2 * whole + 60) // 120


def _others(kinds: list[dict[str, Any]]) -> tuple[list[Part], list[Part]]:
    """What came, and what went otherwise than by calls."""
    came = [Part(row["kind"], int(row["amount"]), row["times"]) for row in kinds if row["came"]]
    gone = [Part(row["kind"], -int(row["amount"]), row["times"]) for row in kinds if not row["came"]]
    return sorted(came, key=lambda part: -part.amount), gone


_CAME = {
    "opening": "{amount} face value",
    "recharge": "{amount} in {times} recharge{s}",
    "bonus": "{amount} bonus",
    "voucher": "{amount} in {times} voucher{s}",
    "transfer": "{amount} from other cards",
    "adjustment": "{amount} by correction",
    "fee": "{amount} of fees given back",
}
_PARTS = {
    "talk": "{amount} talk time in {times} call{s}",
    "steps": "{amount} because {steps}",
    "connect": "{amount} connect fees in {times} call{s}",
    "access": "{amount} surcharges of access numbers in {times} call{s}",
    "post_call": "{amount} post-call fees in {times} call{s}",
    "rounding": "{amount} rounding",
    "borne": "{amount} that the operator bore of {times} call{s}",
    "earlier_calls": "{amount} late corrections of calls before that",
    "fee": "{amount} maintenance fees, taken {times} time{s}",
    "transfer": "{amount} moved to other cards",
    "voucher": "{amount} paid into another card",
    "adjustment": "{amount} taken off by correction",
    "refund": "{amount} of online payments that went back to who paid them",
    "breakage": "{amount} written off after expiry",
    "discard": "{amount} written off as unused stock",
}


def part_said(part: Part, spending: Spending, *, came: bool = False) -> Said:
    """One part in words, as a piece of a sentence."""
    template = (_CAME if came else _PARTS).get(part.kind, "{amount} " + part.kind.replace("_", " "))
    template = template.replace("{s}", "" if part.times == 1 else "s").replace("{steps}", _steps(spending))
    facts: dict[str, Any] = {"amount": Money(part.amount, spending.currency)}
    if "{times}" in template:
        facts["times"] = part.times
    return Said(template, facts)


def _steps(spending: Spending) -> str:
    least, most = spending.steps or (1, 1)
    return f"calls are billed in steps of {f'{least} to ' if least != most else ''}{most} s"


def spending_said(spending: Spending) -> tuple[Said, ...]:
    """Why the balance is what it is, in sentences, the biggest causes first."""
    had, currency = Money(spending.had, spending.currency), spending.currency
    if not spending.parts:
        return (said("Nothing was spent; {had} are on it.", had=had),)
    pieces = [part_said(part, spending) for part in spending.parts]
    told = joined(said("Of {had}:", had=had), *_list(pieces))
    lines = [told, said("{left} are left.", left=Money(spending.left, currency))]
    if len(spending.came) > 1 or spending.base:
        came = [part_said(part, spending, came=True) for part in spending.came]
        if spending.base:
            came.insert(0, said("{base} after its last recharge", base=Money(spending.base, currency)))
        lines.insert(0, joined(Said("There were"), *_list(came)))
    if spending.talked_s:
        lines.append(_per_minute(spending))
    return tuple(lines)


def _list(pieces: list[Said]) -> list[Said]:
    """Pieces with commas between them and a point at the end."""
    last = len(pieces) - 1
    return [
        Said(piece.template + ("." if number == last else ","), piece.facts)
        for number, piece in enumerate(pieces)
    ]


def _per_minute(spending: Spending) -> Said:
    """What a minute talked cost in all, against the plain price, both rounded to a hundredth of a cent."""
    amounts = {part.kind: part.amount for part in spending.parts}
    calls = sum(
        amounts.get(kind, 0) for kind in ("talk", "steps", "connect", "access", "post_call", "rounding")
    )
    told: dict[str, Fact] = {
        "talked": Span(spending.talked_s),
        "real": Money(_a_minute(calls, spending.talked_s), spending.currency),
        "plain": Money(_a_minute(amounts.get("talk", 0), spending.talked_s), spending.currency),
        "billed": Span(spending.billed_s),
    }
    return said(
        "They talked {talked} and were billed {billed}: {real} a minute talked in all, against a price of {plain}.",
        **told,
    )


def _a_minute(micros: int, seconds: int) -> int:
    return (micros * 60 * 2 + seconds * 100) // (seconds * 2 * 100) * 100
