"""What may be done with a card as it stands: which acts a page offers. The commands themselves still judge."""

from __future__ import annotations

from datetime import datetime

from engine.cards.queries import CardPage

RARE = frozenset(
    {
        "concurrency",
        "sold",
        "sell",
        "assign",
        "unassign",
        "return",
        "hold_back",
        "adjust",
        "transfer",
        "replace",
        "damage",
    }
)
"""Acts that stand behind "More"."""


def possible(card: CardPage, now: datetime) -> tuple[str, ...]:
    """The acts that would not be refused outright, in the order of how often they are wanted, what is final last."""
    if not card.batch_ready:
        return ()
    calling = card.kind == "calling"
    if card.damaged_at is not None:
        return ("replace",) if calling and card.replaced_by is None else ()
    return tuple(
        name
        for name, fits in (
            ("reseller_activate", card.released_at is None and card.in_resellers_stock),
            ("activate", card.released_at is None and not card.in_resellers_stock),
            ("lock", card.locked_at is None),
            ("unlock", card.locked_at is not None),
            ("recharge", calling and _takes_money(card, now)),
            ("extend", card.expires_at is not None),
            ("reset_password", True),
            ("bind", card.binding != "none" or card.pinless),
            ("concurrency", calling),
            *_stock(card),
            ("adjust", True),
            ("transfer", calling and _gives_money(card, now)),
            ("replace", calling and card.released_at is not None and card.replaced_by is None),
            ("damage", True),
        )
        if fits
    )


def _stock(card: CardPage) -> tuple[tuple[str, bool], ...]:
    """Its way to a customer, and back."""
    used, charged = card.first_used_at is not None, card.reseller_price is not None
    return (
        ("sell", card.in_resellers_stock and card.locked_at is None),
        ("sold", not card.in_resellers_stock and card.sold_at is None),
        ("hold_back", card.released_at is not None and not used and not charged),
        ("assign", not (used or charged or card.sold_at)),
        ("unassign", card.reseller_id is not None and not (used or charged)),
        ("return", charged and not used),
    )


def _takes_money(card: CardPage, now: datetime) -> bool:
    if card.released_at is None or card.locked_at is not None:
        return False
    if card.expires_at is None or card.expires_at > now:
        return True
    return card.extension_days is not None and card.grace_until is not None and card.grace_until > now


def _gives_money(card: CardPage, now: datetime) -> bool:
    lives = card.expires_at is None or card.expires_at > now
    return (
        card.released_at is not None and card.locked_at is None and lives and not card.live_calls
    ) and card.balance > 0
