"""What may be done with a range of a reseller's stock, in SQL over `card` and its `batch`.

Beside each condition stands what it changes and what it costs, so that a look at a range (`engine.stock.deskviews`) and
the command (`engine.stock.moves`) read the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.stock import conditions
from engine.stock.conditions import FACE, reason_sql

PRICE = f"""coalesce(card.reseller_price,
    CAST(div(CAST({FACE} AS numeric) * (10000 - :discount) + 5000, 10000) AS bigint))"""
"""What a card costs its reseller: what it was charged, else its face value less the `discount`."""
_UNCHARGED, _CHARGED = "card.reseller_price IS NULL", "card.reseller_price IS NOT NULL"
_DUE = f"CASE WHEN card.reseller_price IS NULL THEN {PRICE} ELSE 0 END"


@dataclass(frozen=True, slots=True)
class Verb:
    """What may be done with a range, in SQL: what keeps a card from it, what it changes, what a card costs, and which
    cards it costs something for (or, of a return, gives something back for).
    """

    reasons: Mapping[str, str]
    changes: str
    amount: str | None = None
    due: str | None = None
    sign: int = 1

    @property
    def why(self) -> str:
        """SQL that gives the reason why a card is left, or NULL."""
        return reason_sql(self.reasons)


VERBS = {
    "assign": Verb(conditions.ASSIGN, "reseller_id = :reseller_id"),
    "unassign": Verb(conditions.UNASSIGN, "reseller_id = NULL"),
    "activate": Verb(
        conditions.ACTIVATE,
        "activated_at = coalesce(card.activated_at, :now), released_at = coalesce(card.released_at, :now),"
        f" reseller_price = {PRICE}",
        _DUE,
        _UNCHARGED,
    ),
    "sell": Verb(
        conditions.SELL,
        # What is released at generation waits for no activation, also where a return took the release back.
        "released_at = CASE WHEN batch.release = 'generation' AND card.reseller_price IS NULL"
        " THEN coalesce(card.released_at, :now)"
        f" ELSE card.released_at END, sold_at = coalesce(card.sold_at, :now), reseller_price = {PRICE}",
        _DUE,
        _UNCHARGED,
    ),
    "return": Verb(
        conditions.RETURN,
        "sold_at = NULL, activated_at = NULL, reseller_price = NULL,"
        # Whoever got its price back may know its password.
        " released_at = CASE WHEN batch.release = 'generation' AND card.reseller_price IS NULL"
        " THEN card.released_at END,"
        " reseller_id = CASE WHEN :to_operator THEN NULL ELSE card.reseller_id END",
        "-coalesce(card.reseller_price, 0)",
        _CHARGED,
        sign=-1,
    ),
}
RANGE = "card.id BETWEEN :first AND :last AND batch.id = card.batch_id"
