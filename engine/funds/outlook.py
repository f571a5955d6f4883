"""What a recharge would bring, before it is made: its bonus, the balance and validity after it, who must agree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from engine import settings
from engine.cards.status import validity_end
from engine.db import Database
from engine.errors import NotFound
from engine.funds.bonus import bonus_for
from engine.funds.large import is_large
from engine.funds.recharges import MOST, read_target, recharge_refusal
from engine.house import zone_of
from engine.schema import BonusRule


@dataclass(frozen=True, slots=True)
class RechargeOutlook:
    """A recharge that was only asked about. Amounts in micro-units of `currency`; `balance` and `expires_at` after it.

    `rule`: the bonus rule that gives the bonus, where one does. `refused`: the code of what forbids it. `revives`: an
    expired card lives again by it. `consent`: a second person has to agree first.
    """

    amount: int
    bonus: int
    rule: str | None
    balance: int
    currency: str
    expires_at: datetime | None
    revives: bool
    refused: str | None
    consent: bool


def recharge_outlook(
    db: Database, *, card_id: int, amount: int, bonus: int | None, now: datetime
) -> RechargeOutlook:
    """What a recharge of a card by staff would do now; nothing is changed, and nothing locked.

    `bonus` None: what the bonus rules give. Raises `NotFound` ("card_not_found").
    """
    with db.begin() as session:
        card = read_target(session, card_id)
        if card is None:
            raise NotFound("card_not_found")
        rules = settings.load(session)
        zone = zone_of(rules)
        gift = bonus_for(session, card, amount, "operator", now) if bonus is None else None
        extra = gift.amount if gift else bonus or 0
        named = gift.rule_id if gift and gift.amount else None
        rule = session.scalar(select(BonusRule.name).where(BonusRule.id == named)) if named else None
    refused = recharge_refusal(card, now, zone)
    balance = card.balance + amount + extra
    if refused is None and balance > MOST:
        refused = "amount_too_large"
    expires_at, revives = card.expires_at, False
    if expires_at is not None and expires_at <= now and card.extension_days is not None:
        expires_at, revives = max(expires_at, validity_end(now, card.extension_days, zone)), True
    return RechargeOutlook(
        amount=amount,
        bonus=extra,
        rule=rule,
        balance=balance,
        currency=card.currency,
        expires_at=expires_at,
        revives=revives,
        refused=refused,
        consent=is_large(rules, amount + extra),
    )
