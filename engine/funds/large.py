"""Large sums: what brings more value into the books at once than the setting `consent_recharge_over` allows one person.

Asked about are recharges of a card with their bonus, adjustments upwards, deposits to accounts and credit limits, and
rules of auto-recharge; a command over many cards asks by itself (`engine.bulk.runs`). What a reseller pays from its
account isn't, nor is what a rule does that was consented to.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from engine import settings
from engine.actor import Actor
from engine.money import MICROS
from engine.people import consents
from engine.settings import Settings


def is_large(rules: Settings, amount: int) -> bool:
    """Whether so many micro-units need a second person."""
    return 0 < rules.consent_recharge_over * MICROS < amount


def need_consent(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    amount: int,
    facts: dict[str, Any],
    now: datetime,
) -> None:
    """Use up a consent to these facts where `amount` is large; the rest as `consents.need`.

    A shared step: never commits. Raises `ConsentNeeded`.
    """
    if is_large(settings.load(session), amount):
        consents.need(session, actor, action, subject, facts, now)
