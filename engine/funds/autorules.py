"""The rules of auto-recharge and the cards that are enrolled in them; what they do is `engine.funds.autorecharge`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, literal, null, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.cards import search
from engine.cards.search import CardFilter
from engine.cards.timeline import checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.funds.large import need_consent
from engine.money import MAX_UNITS, MICROS, format_amount
from engine.names import checked_name, sought
from engine.people import audit
from engine.permissions import command
from engine.schema import Account, AutoRechargeMember, AutoRechargeRule, Batch, Card, CardEvent

MOST_CARDS = 100_000
"""Cards that are enrolled or withdrawn at once."""


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule as it may be shown; amounts in micro-units of `currency`. `cards`: how many are enrolled."""

    id: int
    name: str
    currency: str
    threshold: int
    amount: int
    account_id: int
    account: str
    day_limit: int | None
    month_limit: int | None
    card_filter: CardFilter | None
    cards: int
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What enrolling or withdrawing did: cards that changed, and those that were so already or may not be."""

    changed: int
    left: int


@command("auto_recharge.add")
@reruns
def add_rule(
    db: Database,
    *,
    name: str,
    threshold: int,
    amount: int,
    account_id: int,
    day_limit: int | None = None,
    month_limit: int | None = None,
    card_filter: CardFilter | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> RuleView:
    """Recharge enrolled cards by `amount` whenever their balance falls under `threshold` by a call or a fee.

    It is paid from a funding account, whose currency is the rule's, and never more than the limits for each card and
    day or month of the operator's zone. With `card_filter` the cards that fit are enrolled by the catch-up, then and
    later; without it they are enrolled by hand. The same rule again under its name changes nothing. Raises `Conflict`
    ("name_taken"), `InvalidInput` (amounts; limit_under_amount, rule_for_whom), `Refused` ("currency_mismatch"),
    `NotFound` ("account_not_found"), and `ConsentNeeded` where the amount is large (`engine.funds.large`).
    """
    facts: dict[str, Any] = {
        "name": checked_name(name),
        "threshold": _amount("threshold", threshold),
        "amount": _amount("amount", amount),
        "account_id": account_id,
        "day_limit": _limit("day_limit", day_limit, amount),
        "month_limit": _limit("month_limit", month_limit, amount),
        "filter": _plain(card_filter),
    }
    why = checked_reason(reason)
    with db.begin() as session:
        session.execute(text("LOCK TABLE auto_recharge_rule IN SHARE ROW EXCLUSIVE MODE"))
        known = session.scalar(select(AutoRechargeRule).where(AutoRechargeRule.name == facts["name"]))
        if known is not None:
            if known.disabled_at is None and all(getattr(known, f) == v for f, v in facts.items()):
                return _view(session, known)
            raise Conflict("name_taken", name=facts["name"])
        currency = _funding(session, account_id).currency
        _check_filter(card_filter, currency)
        told = {**facts, "currency": currency}
        need_consent(session, actor, "auto_recharge.add", f"auto_recharge:{facts['name']}", amount, told, now)
        rule = AutoRechargeRule(
            **_row(facts), currency=currency, created_by=str(actor), created_at=now, armed_since=now
        )
        session.add(rule)
        session.flush()
        session.refresh(rule)
        audit.record(session, actor, "auto_recharge.add", f"auto_recharge:{rule.id}", now, reason=why, **told)
        return _view(session, rule)


KEEP: Any = object()
"""A limit or filter that is to stay as it is, where None takes it away."""


@command("auto_recharge.change")
@reruns
def change_rule(
    db: Database,
    *,
    rule_id: int,
    threshold: int | None = None,
    amount: int | None = None,
    account_id: int | None = None,
    day_limit: int | None = KEEP,
    month_limit: int | None = KEEP,
    card_filter: CardFilter | None = KEEP,
    disabled: bool | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> RuleView:
    """Change a rule, disable it or let it count again; what isn't named stays. Twice is as once. Raises as `add_rule`.

    Cards stay enrolled. What was noted and is not done yet is done by the rule as it then is; what fell under a new
    threshold before, or while the rule was disabled, is nothing to it. A change that leaves a rule with a large amount
    in force needs a consent to the rule as it then is.
    """
    wanted: dict[str, Any] = {
        "threshold": None if threshold is None else _amount("threshold", threshold),
        "amount": None if amount is None else _amount("amount", amount),
        "account_id": account_id,
    }
    wanted = {fact: value for fact, value in wanted.items() if value is not None}
    why = checked_reason(reason)
    with db.begin() as session:
        rule = session.get(AutoRechargeRule, rule_id, with_for_update=True)
        if rule is None:
            raise NotFound("auto_recharge_not_found")
        payer = rule.account_id if account_id is None else account_id
        # An account may have been closed while nothing used it. Locked, so that nobody closes it now.
        if (payer != rule.account_id or disabled is False) and (
            _funding(session, payer).currency != rule.currency
        ):
            raise Refused("currency_mismatch")
        each = wanted.get("amount", rule.amount)
        for fact, limit in (("day_limit", day_limit), ("month_limit", month_limit)):
            wanted[fact] = _limit(fact, getattr(rule, fact) if limit is KEEP else limit, each)
        if card_filter is not KEEP:
            _check_filter(card_filter, rule.currency)
            wanted["filter"] = _plain(card_filter)
        if disabled is not None and disabled != (rule.disabled_at is not None):
            wanted["disabled_at"] = now if disabled else None
        changed = {fact: value for fact, value in wanted.items() if getattr(rule, fact) != value}
        if changed:
            _change(session, rule, changed, actor, now, why)
        return _view(session, rule)


def _change(
    session: Session,
    rule: AutoRechargeRule,
    changed: dict[str, Any],
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> None:
    subject = f"auto_recharge:{rule.id}"
    if changed.get("disabled_at", rule.disabled_at) is None:
        asked = _terms(rule) | changed
        asked.pop("disabled_at", None)
        need_consent(session, actor, "auto_recharge.change", subject, asked["amount"], asked, now)
    for fact, value in _row(changed).items():
        setattr(rule, fact, value)
    if "threshold" in changed or ("disabled_at" in changed and changed["disabled_at"] is None):
        rule.armed_since = now
    told = {**changed, "disabled_at": now.isoformat()} if changed.get("disabled_at") else changed
    audit.record(session, actor, "auto_recharge.change", subject, now, reason=reason, **told)
    session.flush()
    session.refresh(rule)


_TERMS = ("name", "threshold", "amount", "account_id", "day_limit", "month_limit", "filter", "currency")


def _terms(rule: AutoRechargeRule) -> dict[str, Any]:
    """What a second person consents to where a rule needs it (subject: `auto_recharge:ID`, its name for a new one)."""
    return {fact: getattr(rule, fact) for fact in _TERMS}


@command("auto_recharge.enrol")
@reruns
def enrol(
    db: Database,
    *,
    rule_id: int,
    card_ids: Sequence[int],
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> Enrolled:
    """Enrol cards by their ids: from now on the rule recharges them. Twice is as once.

    Left out are cards that were enrolled, vouchers, void cards and those of another currency. A card that is under the
    threshold already has crossed nothing, and waits until it falls under it anew. Raises `NotFound` and `InvalidInput`.
    """
    ids, why = _checked_cards(card_ids), checked_reason(reason)
    with db.begin() as session:
        rule = _locked(session, rule_id)
        changed = _enrol(session, rule, select(Card.id).where(Card.id.in_(ids)), str(actor), now)
        return _told(session, "enrol", rule, len(ids), changed, actor, now, why)


@command("auto_recharge.withdraw")
@reruns
def withdraw(
    db: Database,
    *,
    rule_id: int,
    card_ids: Sequence[int],
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> Enrolled:
    """Take cards off a rule; what is noted for them is not done any more. Twice is as once.

    A card that the rule's filter fits comes back with the next catch-up: change the filter first. Raises `NotFound` and
    `InvalidInput`.
    """
    ids, why = _checked_cards(card_ids), checked_reason(reason)
    with db.begin() as session:
        rule = _locked(session, rule_id)
        gone = session.scalars(
            text(
                "DELETE FROM auto_recharge_member WHERE rule_id = :rule AND card_id = ANY(:ids) RETURNING card_id"
            ),
            {"rule": rule_id, "ids": ids},
        ).all()
        _tell_cards(session, "auto_withdraw", rule, gone, str(actor), now)
        return _told(session, "withdraw", rule, len(ids), len(gone), actor, now, why)


def list_rules(db: Database, *, disabled: bool = True) -> list[RuleView]:
    """All rules, those in force first, the newest first; without the `disabled` ones where they aren't wanted."""
    statement = select(AutoRechargeRule).order_by(
        AutoRechargeRule.disabled_at.is_not(None), AutoRechargeRule.id.desc()
    )
    if not disabled:
        statement = statement.where(AutoRechargeRule.disabled_at.is_(None))
    with db.begin() as session:
        return [_view(session, rule) for rule in session.scalars(statement)]


def rule_named(db: Database, name: str) -> RuleView:
    """The rule of a name. Raises `NotFound` ("auto_recharge_not_found")."""
    with db.begin() as session:
        rule = session.scalar(select(AutoRechargeRule).where(AutoRechargeRule.name == sought(name)))
        if rule is None:
            raise NotFound("auto_recharge_not_found", name=name)
        return _view(session, rule)


def find_rule(db: Database, rule_id: int) -> RuleView:
    """A rule by its number. Raises `NotFound` ("auto_recharge_not_found")."""
    with db.begin() as session:
        rule = session.get(AutoRechargeRule, rule_id)
        if rule is None:
            raise NotFound("auto_recharge_not_found")
        return _view(session, rule)


def enrol_by_filters(db: Database, now: datetime) -> int:
    """Enrol the cards that fit the filter of a rule in force and aren't enrolled yet; returns how many."""
    return sum(_enrol_by_filter(db, rule_id, now) for rule_id in _with_filter(db))


@reruns
def _with_filter(db: Database) -> Sequence[int]:
    with db.begin() as session:
        rules = select(AutoRechargeRule.id).where(
            AutoRechargeRule.disabled_at.is_(None), AutoRechargeRule.filter.is_not(None)
        )
        return session.scalars(rules.order_by(AutoRechargeRule.id)).all()


@reruns
def _enrol_by_filter(db: Database, rule_id: int, now: datetime) -> int:
    with db.begin() as session:
        rule = _locked(session, rule_id)
        if rule.filter is None or rule.disabled_at is not None:
            return 0
        fits = select(Card.id).where(*search.where(search.from_json(rule.filter), now))
        return _enrol(session, rule, fits, "system", now)


def _enrol(session: Session, rule: AutoRechargeRule, cards: Any, actor: str, now: datetime) -> int:
    """Enrol the cards of a select over `Card.id`, as far as they may be and aren't."""
    enrolled = select(AutoRechargeMember.card_id).where(
        AutoRechargeMember.rule_id == rule.id, AutoRechargeMember.card_id == Card.id
    )
    fit = (
        cards.join(Batch, Batch.id == Card.batch_id)
        .where(Card.currency == rule.currency, Card.damaged_at.is_(None), Batch.kind == "calling")
        .where(Batch.ready_at.is_not(None), ~enrolled.exists())
        .with_only_columns(Card.id, literal(rule.id), literal(now))
        .order_by(Card.id)
    )
    member = upsert(AutoRechargeMember).from_select(["card_id", "rule_id", "since"], fit)
    added = session.scalars(member.on_conflict_do_nothing().returning(AutoRechargeMember.card_id)).all()
    _tell_cards(session, "auto_enrol", rule, added, actor, now)
    return len(added)


def _tell_cards(
    session: Session, kind: str, rule: AutoRechargeRule, ids: Sequence[int], actor: str, now: datetime
) -> None:
    if ids:
        lines = [
            {"card_id": card_id, "at": now, "kind": kind, "actor": actor, "data": {"rule": rule.name}}
            for card_id in ids
        ]
        session.execute(insert(CardEvent), lines)


def _told(
    session: Session,
    verb: str,
    rule: AutoRechargeRule,
    asked: int,
    changed: int,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> Enrolled:
    done = Enrolled(changed, asked - changed)
    if changed:
        told = {"changed": done.changed, "left": done.left}
        subject = f"auto_recharge:{rule.id}"
        audit.record(session, actor, f"auto_recharge.{verb}", subject, now, reason=reason, **told)
    return done


def _locked(session: Session, rule_id: int) -> AutoRechargeRule:
    rule = session.get(AutoRechargeRule, rule_id, with_for_update={"read": True})
    if rule is None:
        raise NotFound("auto_recharge_not_found")
    return rule


def _funding(session: Session, account_id: int) -> Account:
    account = session.get(Account, account_id, with_for_update={"read": True})
    if account is None or account.closed_at is not None:
        raise NotFound("account_not_found")
    if account.kind != "funding":
        raise InvalidInput("account_not_funding", field="account")
    return account


def _check_filter(card_filter: CardFilter | None, currency: str) -> None:
    if card_filter is None:
        return
    if card_filter == CardFilter():
        raise InvalidInput("rule_for_whom", field="filter")
    if card_filter.currency not in (None, currency):
        raise Refused("currency_mismatch", text=f"{card_filter.currency}, {currency}")


def _row(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as columns: no filter is an SQL NULL, and not JSON's."""
    return {**facts, "filter": null()} if "filter" in facts and facts["filter"] is None else facts


def _plain(card_filter: CardFilter | None) -> dict[str, Any] | None:
    return None if card_filter is None else search.to_json(card_filter)


def _checked_cards(card_ids: Sequence[int]) -> list[int]:
    ids = sorted(set(card_ids))
    if len(ids) > MOST_CARDS:
        raise InvalidInput("too_many_cards", field="cards", high=MOST_CARDS)
    return ids


def _amount(field: str, amount: int) -> int:
    if type(amount) is not int:
        raise InvalidInput("not_a_number", field=field)
    if amount < 0:
        raise InvalidInput("negative", field=field, text=format_amount(amount, 2))
    if amount == 0:
        raise InvalidInput("amount_too_small", field=field)
    if amount > MAX_UNITS * MICROS:
        raise InvalidInput("amount_too_large", field=field, high=MAX_UNITS * MICROS)
    return amount


def _limit(field: str, limit: int | None, amount: int) -> int | None:
    if limit is None:
        return None
    if _amount(field, limit) < amount:
        raise InvalidInput("limit_under_amount", field=field)
    return limit


def _view(session: Session, rule: AutoRechargeRule) -> RuleView:
    counted = text("SELECT count(*) FROM auto_recharge_member WHERE rule_id = :id")
    own = ("account", "card_filter", "cards")
    return RuleView(
        **{name: getattr(rule, name) for name in RuleView.__dataclass_fields__ if name not in own},
        account=session.get_one(Account, rule.account_id).name,
        card_filter=None if rule.filter is None else search.from_json(rule.filter),
        cards=int(session.scalar(counted, {"id": rule.id}) or 0),
    )
