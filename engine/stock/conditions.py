"""Conditions on stock, in SQL over `card` and its `batch`, that every command on ranges and on many cards shares.

Each reason is a word and the condition behind it. A card is left for the first one that holds.
"""

from __future__ import annotations

from collections.abc import Mapping

USED = """(card.first_used_at IS NOT NULL
    OR EXISTS (SELECT 1 FROM ledger_entry entry WHERE entry.card_id = card.id AND entry.kind <> 'opening')
    OR EXISTS (SELECT 1 FROM payment WHERE payment.card_id = card.id))"""
"""Somebody used the card, or its value was ever moved. The balance doesn't tell: what left may have come back."""
IN_CALL = "(card.held > 0 OR card.live_calls > 0)"
DAMAGED = "card.damaged_at IS NOT NULL"
SOLD = "card.sold_at IS NOT NULL"
CHARGED = "card.reseller_price IS NOT NULL"
RESELLERS_STOCK = f"(card.reseller_id IS NOT NULL AND NOT {CHARGED})"
"""In a reseller's stock and not charged yet: only the reseller's own sale or activation charges it."""
_EXPIRED = "card.expires_at <= :now"
_LOCKED = "card.locked_at IS NOT NULL"
_RESELLER = "CAST(:reseller_id AS bigint)"


def _printed_by_another(owner: str) -> str:
    """SQL: a reseller that is not `owner` (SQL, too) fetched the card's password in a print run of its own.

    Whoever has such a paper could use the card, and somebody else would have paid for it. A reset makes it worthless,
    and so does voiding the card.
    """
    return f"""(card.damaged_at IS NULL AND EXISTS (
        SELECT 1 FROM print_run run JOIN print_run_part part ON part.run_id = run.id
        WHERE run.batch_id = card.batch_id AND run.downloads > 0 AND run.reseller_id IS NOT NULL
            AND run.reseller_id IS DISTINCT FROM {owner} AND card.id BETWEEN part.first_id AND part.last_id)
        AND NOT EXISTS (SELECT 1 FROM card_event event
            WHERE event.card_id = card.id AND event.kind = 'reset_password'))"""


_PRINTED_BY_ANOTHER = _printed_by_another("card.reseller_id")
_NOT_OF_THE_PRESS = """(CAST(:undoes AS bigint[]) IS NOT NULL AND NOT coalesce((
    SELECT bool_or(done.own AND done.charged) AND (array_agg(done.own ORDER BY done.id DESC))[1] FROM (
        SELECT event.id, CAST(event.data ->> 'move' AS bigint) = ANY(CAST(:undoes AS bigint[])) AS own,
            event.data -> 'price' IS NOT NULL AS charged
        FROM card_event event WHERE event.card_id = card.id AND event.kind IN ('activate', 'sell', 'return')) done
    ), false))"""
"""Not charged by one of the documents `:undoes`, or something was done with the card after them."""

FACE = (
    "CASE WHEN batch.imported THEN (SELECT entry.amount FROM ledger_entry entry"
    " WHERE entry.card_id = card.id AND entry.kind = 'opening') ELSE batch.denomination END"
)
"""What the card was born with, in micro-units."""

ASSIGN = {
    "damaged": DAMAGED,
    "assigned": f"card.reseller_id = {_RESELLER}",
    "other_reseller": "card.reseller_id IS NOT NULL AND NOT :transfer",
    "charged": CHARGED,
    "sold": SOLD,
    "used": USED,
    "in_call": IN_CALL,
    "printed_by_reseller": _printed_by_another(_RESELLER),
}
UNASSIGN = {
    "unassigned": "card.reseller_id IS NULL",
    "other_reseller": f"card.reseller_id <> {_RESELLER}",
    "charged": CHARGED,
    "used": USED,
    "in_call": IN_CALL,
    "printed_by_reseller": _printed_by_another("NULL"),
}
# A fact that stands without a charge is charged now: the card was usable, or marked so, before.
ACTIVATE = {
    "damaged": DAMAGED,
    "released": f"card.released_at IS NOT NULL AND {CHARGED}",
    "expired": _EXPIRED,
    "locked": _LOCKED,
    "printed_by_reseller": _PRINTED_BY_ANOTHER,
}
SELL = {
    "damaged": DAMAGED,
    "sold": f"{SOLD} AND {CHARGED}",
    "expired": _EXPIRED,
    "locked": _LOCKED,
    "printed_by_reseller": _PRINTED_BY_ANOTHER,
}
RETURN = {
    "used": USED,
    "in_call": IN_CALL,
    "not_sold": f"NOT :to_operator AND NOT {SOLD} AND card.activated_at IS NULL AND NOT {CHARGED}",
    "other_press": _NOT_OF_THE_PRESS,
    "printed_by_reseller": f":to_operator AND {_printed_by_another('NULL')}",
}
# What staff do without a reseller.
MARK_SOLD = {
    "sold": SOLD,
    "resellers_stock": RESELLERS_STOCK,
    "printed_by_reseller": _PRINTED_BY_ANOTHER,
}
RELEASE = {
    "damaged": DAMAGED,
    "released": "card.released_at IS NOT NULL",
    "resellers_stock": RESELLERS_STOCK,
    "printed_by_reseller": _PRINTED_BY_ANOTHER,
}
HOLD_BACK = {"held_back": "card.released_at IS NULL", "used": USED, "in_call": IN_CALL}


def reason_sql(reasons: Mapping[str, str]) -> str:
    """SQL that says why a card is left: the first of `reasons` (word: condition) that holds, or NULL."""
    cases = " ".join(f"WHEN {condition} THEN '{word}'" for word, condition in reasons.items())
    return f"CASE {cases} END"
