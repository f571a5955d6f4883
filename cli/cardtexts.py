"""A card as `cardtone cards show` tells it: as text for people, as data for scripts. Never its number or password."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cli.tables import table
from engine.calls.explain import explain
from engine.cards.queries import CallLine, CardPage, EntryLine, LiveCall
from engine.money import format_amount, format_money


def when(at: datetime, zone: ZoneInfo) -> str:
    """A time to the minute, in the operator's zone."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def until(at: datetime, zone: ZoneInfo) -> str:
    """When something is over: `the end of 2026-05-03` where that is a midnight of the operator's zone."""
    local = at.astimezone(zone)
    if local.time() != time.min:
        return when(at, zone)
    return f"the end of {local.date() - timedelta(days=1)}"


def card_text(card: CardPage, zone: ZoneInfo) -> str:
    """Facts, status and why, live calls, calls explained, ledger."""
    parts = [f"Card {card.serial}: {card.status}", _lines(_facts(card, zone))]
    if card.live:
        parts.append("Live calls\n" + _lines(_live_text(call, card, zone) for call in card.live))
    if card.calls:
        older = "\n(older calls are not shown)" if card.older_calls else ""
        parts.append("Calls\n" + _lines(_call_text(call, zone) for call in card.calls) + older)
    older = "\n(older entries are not shown)" if card.older_entries else ""
    parts.append("Ledger\n" + _ledger_text(card.entries, zone) + older)
    return "\n\n".join(parts)


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    """Columns without headers."""
    cells = list(rows)
    return table([""] * len(cells[0]), cells).split("\n", 1)[1]


def _facts(card: CardPage, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    what = "voucher" if card.kind == "voucher" else "calling card"
    yield "Batch", f"{card.batch} ({what}){'' if card.batch_ready else ', not ready'}"
    yield "Balance", format_money(card.balance, card.currency)
    if card.held:
        yield "Held by calls", format_money(card.held, card.currency)
    if card.damaged_at is not None:
        yield "Void since", _act(card.damaged_at, card.damaged_by, card.damage_reason, zone)
    if card.locked_at is not None:
        yield "Locked since", _act(card.locked_at, card.locked_by, card.lock_reason, zone)
    yield "Released", when(card.released_at, zone) if card.released_at else "no, held back until activated"
    yield "First used", when(card.first_used_at, zone) if card.first_used_at else "never"
    yield "Valid until", _validity(card, zone)
    if card.expires_at and card.grace_until and card.grace_until > card.expires_at:
        yield "Grace until", until(card.grace_until, zone)
    if card.deck:
        yield "Rate deck", card.deck
    yield "Destination rules", card.rules
    if card.auto_recharge:
        yield "Auto-recharge", ", ".join(card.auto_recharge)
    if card.next_fee_at:
        fee = format_money(card.maintenance_fee, card.currency)
        yield "Next fee", f"{fee}, {until(card.next_fee_at, zone)}"
    if card.replaced_by:
        yield "Replaced by", card.replaced_by
    if card.reseller:
        yield "Reseller", card.reseller
    if card.concurrency > 1:
        yield "Calls at once", str(card.concurrency)
    if card.binding != "none" or card.bound:
        yield "Bound to", ", ".join(f"+{caller}" for caller in card.bound) or "nobody yet"


def _act(at: datetime, actor: str | None, reason: str | None, zone: ZoneInfo) -> str:
    return f"{when(at, zone)}{f', by {actor}' if actor else ''}{f': {reason}' if reason else ''}"


def _validity(card: CardPage, zone: ZoneInfo) -> str:
    if card.expires_at is not None:
        return until(card.expires_at, zone)
    return f"{card.validity_days} days after its first use" if card.validity_days else "for ever"


def _live_text(call: LiveCall, card: CardPage, zone: ZoneInfo) -> tuple[str, str, str]:
    state = "answered" if call.answered_at else "ringing"
    held = format_money(call.hold, card.currency)
    return (
        when(call.authorized_at, zone),
        f"+{call.destination}",
        f"{call.destination_name}: {state}, holds {held}",
    )


def _call_text(call: CallLine, zone: ZoneInfo) -> tuple[str, str, str]:
    told = call.correction or call
    flags = sorted({*call.flags, *told.flags})
    noted = f" [{', '.join(flag.replace('_', ' ') for flag in flags)}]" if flags else ""
    return when(call.ended_at, zone), f"+{call.destination}", f"{explain(told)}{noted}"


def _ledger_text(entries: tuple[EntryLine, ...], zone: ZoneInfo) -> str:
    rows = [
        [
            when(entry.at, zone),
            entry.kind,
            format_amount(entry.amount, 2),
            format_amount(entry.balance_after, 2),
            entry.other,
            entry.actor,
            entry.reason,
        ]
        for entry in entries
    ]
    columns = ["Time", "Kind", "Amount", "Balance", "From or to", "By", "Reason"]
    if not any(entry.other for entry in entries):
        columns, rows = columns[:4] + columns[5:], [row[:4] + row[5:] for row in rows]
    return table(columns, rows, right=["Amount", "Balance"])


def card_data(card: CardPage) -> dict[str, Any]:
    """The same for scripts: amounts as decimals, times in UTC."""
    plain = (
        "serial",
        "status",
        "batch",
        "batch_ready",
        "kind",
        "currency",
        "deck",
        "rules",
        "auto_recharge",
        "next_fee_at",
        "replaced_by",
        "replaces",
        "reseller",
        "concurrency",
        "binding",
        "bound",
        "created_at",
        "released_at",
        "first_used_at",
        "expires_at",
        "grace_until",
        "locked_at",
        "locked_by",
        "lock_reason",
        "damaged_at",
        "damaged_by",
        "damage_reason",
        "printed_at",
        "shipped_at",
        "sold_at",
        "activated_at",
    )
    return {
        **{name: _plain(getattr(card, name)) for name in plain},
        "denomination": format_amount(card.denomination),
        "balance": format_amount(card.balance),
        "held": format_amount(card.held),
        "available": format_amount(card.balance - card.held),
        "live_calls": [_live_data(call) for call in card.live],
        "calls": [_call_data(call) for call in card.calls],
        "more_calls": card.older_calls is not None,
        "ledger": [_entry_data(entry) for entry in card.entries],
        "more_ledger": card.older_entries is not None,
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _live_data(call: LiveCall) -> dict[str, Any]:
    return {
        "call_ref": call.call_ref,
        "switch": call.switch,
        "destination": call.destination,
        "authorized_at": _plain(call.authorized_at),
        "answered_at": _plain(call.answered_at),
        "max_seconds": call.granted_s,
        "held": format_amount(call.hold),
    }


def _call_data(call: CallLine) -> dict[str, Any]:
    told = call.correction or call
    return {
        "call_ref": call.call_ref,
        "switch": call.switch,
        "caller": call.caller,
        "destination": call.destination,
        "destination_name": call.destination_name,
        "authorized_at": _plain(call.authorized_at),
        "answered_at": _plain(call.answered_at),
        "ended_at": _plain(call.ended_at),
        "duration_seconds": told.duration_s,
        "billed_seconds": told.billed_s,
        "charged": format_amount(told.charged),
        "balance": format_amount(told.balance_after),
        "cause": told.cause,
        "flags": sorted({*call.flags, *told.flags}),
        "explanation": explain(told),
    }


def _entry_data(entry: EntryLine) -> dict[str, Any]:
    return {
        "at": _plain(entry.at),
        "kind": entry.kind,
        "amount": format_amount(entry.amount),
        "balance": format_amount(entry.balance_after),
        "reference": entry.reference,
        "other": entry.other,
        "by": entry.actor,
        "reason": entry.reason,
    }
