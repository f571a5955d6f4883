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
_RESELLER = "CAST(:reseller_id AS bigint)"

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
}
UNASSIGN = {
    "unassigned": "card.reseller_id IS NULL",
    "other_reseller": f"card.reseller_id <> {_RESELLER}",
    "charged": CHARGED,
    "used": USED,
    "in_call": IN_CALL,
}
# A fact that stands without a charge is charged now: the card was usable, or marked so, before.
ACTIVATE = {
    "damaged": DAMAGED,
    "released": f"card.released_at IS NOT NULL AND {CHARGED}",
    "expired": _EXPIRED,
}
SELL = {
    "damaged": DAMAGED,
    "sold": f"{SOLD} AND {CHARGED}",
    "expired": _EXPIRED,
    "locked": "card.locked_at IS NOT NULL",
}
RETURN = {
    "used": USED,
    "in_call": IN_CALL,
    "not_sold": f"NOT :to_operator AND NOT {SOLD} AND card.activated_at IS NULL AND NOT {CHARGED}",
}
# What staff do without a reseller.
MARK_SOLD = {"sold": SOLD, "resellers_stock": RESELLERS_STOCK}
RELEASE = {"damaged": DAMAGED, "released": "card.released_at IS NOT NULL", "resellers_stock": RESELLERS_STOCK}
HOLD_BACK = {"held_back": "card.released_at IS NULL", "used": USED, "in_call": IN_CALL}


def reason_sql(reasons: Mapping[str, str]) -> str:
    """SQL that says why a card is left: the first of `reasons` (word: condition) that holds, or NULL."""
    cases = " ".join(f"WHEN {condition} THEN '{word}'" for word, condition in reasons.items())
    return f"CASE {cases} END"
