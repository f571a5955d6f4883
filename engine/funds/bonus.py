"""Bonus rules: what a recharge brings on top, unless whoever pays says so himself.

A rule gives a percentage of the amount, a fixed sum, or both, for recharges of at least so much in one currency, by
some of the ways to pay, from one time until another, for every recharge or only for a card's first. Of the rules that
hold, the one that gives the most counts, alone; the payment keeps which it was. A rule is never changed, so that this
stays true: disable it and add another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.money import MAX_UNITS, MICROS, parse_currency
from engine.names import checked_name, sought
from engine.people import audit
from engine.permissions import command
from engine.schema import BonusRule

METHODS = ("operator", "voucher", "reseller", "auto", "online")
"""The ways to pay that a rule may count for: the `method` of a payment."""

MOST_BP = 100_000
"""Ten times the amount, in hundredths of a percent."""

_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"


@dataclass(frozen=True, slots=True)
class Bonus:
    """What a recharge brings on top, in micro-units, and the rule that says so (None: nobody's or nothing)."""

    amount: int
    rule_id: int | None = None


@dataclass(frozen=True, slots=True)
class RuleView:
    """A bonus rule as it may be shown. `percent_bp`: hundredths of a percent; amounts in micro-units of `currency`."""

    id: int
    name: str
    currency: str
    methods: tuple[str, ...]
    percent_bp: int
    fixed: int
    least: int
    first_only: bool
    starts_at: datetime
    ends_at: datetime | None
    created_at: datetime
    disabled_at: datetime | None


@command("bonus_rule.add")
@reruns
def add_rule(
    db: Database,
    *,
    name: str,
    currency: str,
    percent_bp: int = 0,
    fixed: int = 0,
    least: int = 0,
    first_only: bool = False,
    methods: Sequence[str] = METHODS,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> RuleView:
    """Add a rule, from `starts_at` (now, where it is None) until before `ends_at`.

    The same rule again under its name changes nothing. Raises `Conflict` ("name_taken" for another one),
    `InvalidInput` (bonus_missing, bonus_backwards, not_a_choice, too_large, negative, currency, and what names may not
    hold).
    """
    given: dict[str, Any] = {
        "name": checked_name(name),
        "currency": parse_currency(currency, field="currency"),
        "methods": _checked_methods(methods),
        "percent_bp": _whole("percent_bp", percent_bp, MOST_BP),
        "fixed": _whole("fixed", fixed, MAX_UNITS * MICROS),
        "least": _whole("least", least, MAX_UNITS * MICROS),
        "first_only": first_only,
        "ends_at": ends_at,
    }
    if not percent_bp and not fixed:
        raise InvalidInput("bonus_missing", field="percent")
    if ends_at is not None and ends_at <= (starts_at or now):
        raise InvalidInput("bonus_backwards", field="ends_at")
    with db.begin() as session:
        _one_at_a_time(session)
        known = session.scalar(select(BonusRule).where(BonusRule.name == given["name"]))
        if known is not None:
            same = all(getattr(known, fact) == value for fact, value in given.items())
            if same and known.disabled_at is None and starts_at in (None, known.starts_at):
                return _view(known)
            raise Conflict("name_taken", name=given["name"])
        rule = BonusRule(**given, starts_at=starts_at or now, created_by=str(actor), created_at=now)
        session.add(rule)
        session.flush()
        told = {**given, "starts_at": rule.starts_at.isoformat(), "ends_at": ends_at and ends_at.isoformat()}
        audit.record(session, actor, "bonus_rule.add", f"bonus_rule:{rule.id}", now, reason=reason, **told)
        return _view(rule)


@command("bonus_rule.disable")
@reruns
def disable_rule(
    db: Database, *, rule_id: int, reason: str | None = None, actor: Actor, now: datetime
) -> RuleView:
    """Let a rule count no more, for good. Disabling it again changes nothing. Raises `NotFound`."""
    with db.begin() as session:
        rule = session.get(BonusRule, rule_id, with_for_update=True)
        if rule is None:
            raise NotFound("bonus_rule_not_found")
        if rule.disabled_at is None:
            rule.disabled_at = now
            told = {"name": rule.name}
            audit.record(
                session, actor, "bonus_rule.disable", f"bonus_rule:{rule.id}", now, reason=reason, **told
            )
        return _view(rule)


def list_rules(db: Database, *, disabled: bool = True) -> list[RuleView]:
    """All rules, those in force first, the newest first; without the `disabled` ones where they aren't wanted."""
    statement = select(BonusRule).order_by(BonusRule.disabled_at.is_not(None), BonusRule.id.desc())
    if not disabled:
        statement = statement.where(BonusRule.disabled_at.is_(None))
    with db.begin() as session:
        return [_view(rule) for rule in session.scalars(statement)]


def find_rule(db: Database, rule_id: int) -> RuleView:
    """A rule by its number. Raises `NotFound` ("bonus_rule_not_found")."""
    with db.begin() as session:
        rule = session.get(BonusRule, rule_id)
        if rule is None:
            raise NotFound("bonus_rule_not_found")
        return _view(rule)


def rule_named(db: Database, name: str) -> RuleView:
    """The rule of a name. Raises `NotFound` ("bonus_rule_not_found")."""
    with db.begin() as session:
        rule = session.scalar(select(BonusRule).where(BonusRule.name == sought(name)))
        if rule is None:
            raise NotFound("bonus_rule_not_found", name=name)
        return _view(rule)


_IN_FORCE = text(
    """
    SELECT id, percent_bp, fixed FROM bonus_rule r
    WHERE currency = :currency AND :method = ANY(methods) AND least <= :amount AND disabled_at IS NULL
        AND starts_at <= :now AND (ends_at IS NULL OR ends_at > :now)
        AND (NOT first_only OR NOT EXISTS (
            SELECT 1 FROM ledger_entry WHERE card_id = :card_id AND kind IN ('recharge', 'voucher')
        ))
    ORDER BY id
    """
)


def bonus_for(session: Session, card: Any, amount: int, method: str, now: datetime) -> Bonus:
    """What the rules give for a recharge of `card` by `amount` micro-units; the oldest of equally good ones counts.

    Ask before the recharge is posted: a card's first is the one that no recharge and no voucher came before. A
    percentage is rounded half up to the smallest unit of the currency as ISO 4217 has it (0.01 of most, whole yen).
    """
    facts = {"currency": card.currency, "method": method, "amount": amount, "now": now, "card_id": card.id}
    best = Bonus(0)
    for rule in session.execute(_IN_FORCE, facts):
        gift = percentage(amount, rule.percent_bp, card.currency) + rule.fixed
        if gift > best.amount:
            best = Bonus(gift, rule.id)
    return best


def would_give(
    rules: Sequence[RuleView], currency: str, amount: int, method: str, now: datetime, *, first: bool = False
) -> tuple[int, RuleView | None]:
    """What a recharge of `amount` micro-units would get on top by these rules, and the rule that says so; an example.

    `first`: for a card's first recharge. The same choice as `bonus_for`: the most, and of equally good ones the oldest.
    """
    best: tuple[int, RuleView | None] = (0, None)
    for rule in sorted(rules, key=lambda one: one.id):
        counts = (
            rule.currency == currency
            and method in rule.methods
            and rule.least <= amount
            and rule.disabled_at is None
            and rule.starts_at <= now
            and (rule.ends_at is None or now < rule.ends_at)
            and (first or not rule.first_only)
        )
        gift = percentage(amount, rule.percent_bp, currency) + rule.fixed if counts else 0
        if gift > best[0]:
            best = (gift, rule)
    return best


def percentage(amount: int, percent_bp: int, currency: str) -> int:
    """So many hundredths of a percent of an amount, in micro-units, rounded half up to the currency's smallest unit."""
    unit = smallest_unit(currency)
    return (2 * amount * percent_bp + 10_000 * unit) // (2 * 10_000 * unit) * unit


def smallest_unit(currency: str) -> int:
    """The smallest unit of a currency (ISO 4217), in micro-units."""
    if currency in _WHOLE:
        return MICROS
    return MICROS // 1000 if currency in _THOUSANDTHS else MICROS // 100


def _checked_methods(methods: Sequence[str]) -> list[str]:
    if not methods or set(methods) - set(METHODS):
        raise InvalidInput("not_a_choice", field="methods", allowed=METHODS)
    return [method for method in METHODS if method in methods]


def _whole(field: str, value: int, high: int) -> int:
    if type(value) is not int:
        raise InvalidInput("not_a_number", field=field)
    if value < 0:
        raise InvalidInput("negative", field=field, text=str(value))
    if value > high:
        raise InvalidInput("too_large", field=field, high=high)
    return value


def _one_at_a_time(session: Session) -> None:
    """Rules are few and added by hand: two of one name at once must not both find it free."""
    session.execute(text("LOCK TABLE bonus_rule IN SHARE ROW EXCLUSIVE MODE"))


def _view(rule: BonusRule) -> RuleView:
    facts = {name: getattr(rule, name) for name in RuleView.__dataclass_fields__}
    return RuleView(**{**facts, "methods": tuple(rule.methods)})
