"""What `cardtone batches` says: orders, lists, exports and imports, as text and as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from cli.tables import table
from engine.calls.deckproblem import Problem
from engine.money import format_amount, format_money
from engine.stock.batches import BatchOrder, BatchOrdered, strength
from engine.stock.cardfile import CardRow, describe
from engine.stock.export import Exported
from engine.stock.imports import CardImport, state_of
from engine.stock.queries import BatchLine, BatchPage, Handout
from engine.stock.templates import Template

FIRST_ROWS = 5
MOST_LINES = 100

WARNINGS = {
    "short_number": "Card numbers with fewer than 12 digits are easier to guess.",
    "short_password": "Passwords with fewer than 6 digits are easy to guess.",
    "dense_range": "More than one in 1,000 numbers of the range is a card, which makes them easy to guess.",
}
STATES = {
    "queued": "waiting",
    "running": "being made",
    "interrupted": "interrupted; it goes on by itself",
    "failed": "failed",
    "stopped": "stopped",
    "ready": "ready",
    "discarded": "discarded",
}


def warning_lines(warnings: Iterable[str]) -> list[str]:
    """Each warning in a sentence."""
    return [f"Take care: {WARNINGS[code]}" for code in warnings]


def ordered_text(order: BatchOrder, ordered: BatchOrdered, ready: bool) -> str:
    """A batch that was ordered, and generated if it is ready."""
    what = f"{order.count:,} {'vouchers' if order.kind == 'voucher' else 'cards'}"
    state = "ready" if ready else "ordered; a jobs process makes them"
    return (
        f"{ordered.name}: {what} {state}, serials {ordered.first_serial} to {ordered.last_serial}.\n"
        f"One blind guess in {strength(order):,} finds a card."
    )


def ordered_data(order: BatchOrder, ordered: BatchOrdered, ready: bool) -> dict[str, Any]:
    """The same as data."""
    return {
        "name": ordered.name,
        "batch_id": ordered.batch_id,
        "work_id": ordered.work_id,
        "count": order.count,
        "denomination": format_amount(order.denomination, 2),
        "currency": order.currency,
        "first_serial": ordered.first_serial,
        "last_serial": ordered.last_serial,
        "state": "ready" if ready else "queued",
        "guesses_per_hit": str(strength(order)),  # JSON readers lose digits beyond 2^53
        "warnings": list(ordered.warnings),
    }


def list_text(batches: Sequence[BatchLine]) -> str:
    """Every batch on a line."""
    headers = ["Batch", "State", "Cards", "Value", "Deck", "Made", "By"]
    rows = [
        [
            batch.name,
            STATES[batch.state] if batch.state == "ready" or not batch.generated else _partly(batch),
            f"{batch.count:,}",
            format_money(batch.denomination, batch.currency),
            batch.deck,
            _time(batch.created_at),
            batch.created_by,
        ]
        for batch in batches
    ]
    return table(headers, rows, right=["Cards", "Value"])


def _partly(batch: BatchLine) -> str:
    return f"{STATES[batch.state]} ({batch.generated:,})"


def line_data(batch: BatchLine) -> dict[str, Any]:
    """A line of the list as data."""
    return {
        "id": batch.id,
        "name": batch.name,
        "kind": batch.kind,
        "state": batch.state,
        "count": batch.count,
        "generated": batch.generated,
        "denomination": format_amount(batch.denomination, 2),
        "currency": batch.currency,
        "deck": batch.deck,
        "created_at": batch.created_at.isoformat(),
        "created_by": batch.created_by,
    }


def page_text(page: BatchPage) -> str:
    """All of a batch."""
    numbers = f"{page.number_length} digits" + (
        f", begin with {page.number_prefix}" if page.number_prefix else ""
    )
    validity = (
        "for ever" if page.validity_days is None else f"{page.validity_days} days from {page.validity_from}"
    )
    passwords = "sealed, can be exported" if page.printable else "shredded"
    rows = [
        ["State", _ready(page) if page.state == "ready" else _partly(page)],
        ["Cards", f"{page.count:,} {page.kind}"],
        ["Face value", format_money(page.denomination, page.currency)],
        ["Serials", f"{page.first_serial} to {page.last_serial}"],
        ["Numbers", numbers],
        ["Passwords", f"{page.password_length} digits; {passwords}"],
        ["Deck", page.deck or "none"],
        ["Validity", validity.replace("_", " ")],
        ["Grace", f"{page.grace_days} days"],
        ["Binding", page.binding + (f", up to {page.max_bound}" if page.binding == "multi" else "")],
        ["PINless", "allowed" if page.pinless else "no"],
        ["Calls at a time", str(page.concurrency)],
        ["Released", page.release],
        ["Reseller", page.reseller or "none"],
        ["Made", f"{_time(page.created_at)} by {page.created_by}"],
        ["Ready", _time(page.ready_at) if page.ready_at else "not yet"],
    ]
    rows += [["Handed out" if n == 0 else "", _handout(one)] for n, one in enumerate(page.handouts)]
    return f"{page.name}\n" + "\n".join(f"  {name:16}{value}" for name, value in rows)


def _handout(one: Handout) -> str:
    passwords = "with passwords" if one.with_passwords else "without passwords"
    why = f": {one.reason}" if one.reason else ""
    return f"{_time(one.issued_at)} by {one.actor}, {one.format}, {passwords}{why}"


def _ready(page: BatchPage) -> str:
    held = {
        "none": ", held back: no card can be used until it is activated",
        "some": ", a part of it held back until it is activated",
    }
    return STATES["ready"] + held.get(page.released, "")


def page_data(page: BatchPage) -> dict[str, Any]:
    """All of a batch as data."""
    return {
        **line_data(page),
        "first_serial": page.first_serial,
        "last_serial": page.last_serial,
        "number_prefix": page.number_prefix,
        "number_length": page.number_length,
        "password_length": page.password_length,
        "validity_days": page.validity_days,
        "validity_from": page.validity_from,
        "grace_days": page.grace_days,
        "binding": page.binding,
        "max_bound": page.max_bound,
        "pinless": page.pinless,
        "concurrency": page.concurrency,
        "release": page.release,
        "released": page.released,
        "handouts": [
            {
                "at": one.issued_at.isoformat(),
                "by": one.actor,
                "format": one.format,
                "file": one.file,
                "cards": one.cards,
                "with_passwords": one.with_passwords,
                "reason": one.reason,
            }
            for one in page.handouts
        ],
        "reseller": page.reseller,
        "imported": page.imported,
        "ready_at": page.ready_at.isoformat() if page.ready_at else None,
        "passwords_sealed": page.printable,
        "shredded_at": page.shredded_at.isoformat() if page.shredded_at else None,
    }


def exported_text(done: Exported, with_passwords: bool) -> str:
    """A file that was handed out."""
    what = f"{done.cards:,} cards of {done.batch} {'with' if with_passwords else 'without'} passwords"
    reset = (
        f"\n{done.without_password:,} of the passwords were reset since and are left empty."
        if done.without_password
        else ""
    )
    return f"{done.path}: {what}.\nSHA-256 {done.sha256}{reset}"


def exported_data(done: Exported, with_passwords: bool) -> dict[str, Any]:
    """The same as data."""
    return {
        "name": done.batch,
        "file": str(done.path),
        "format": done.format,
        "cards": done.cards,
        "with_passwords": with_passwords,
        "without_password": done.without_password,
        "sha256": done.sha256,
    }


def templates_text(kept: Sequence[Template]) -> str:
    """Export templates with their format and columns."""
    rows = [(one.name, one.form.format, one.form.encoding, ", ".join(one.form.columns)) for one in kept]
    return table(["Template", "Format", "Encoding", "Columns"], rows)


def import_text(told: CardImport, name: str) -> str:
    """A list of cards that was looked at or taken in."""
    parts = []
    looked = told.batch_id is None
    if looked:
        parts.append("Columns\n" + table(["Field", "Column"], list(told.mapping.items())))
    if looked and told.preview:
        parts.append("First cards\n" + _cards(told.preview[:FIRST_ROWS], told.currency))
    if told.ignored:
        parts.append(f"Not read: {', '.join(told.ignored)}")
    if told.problems:
        parts.append(problems_text(told.problems))
    else:
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(told.states.items()))
        worth = format_money(told.total, told.currency)
        what = f"{told.cards:,} cards worth {worth} ({states})"
        parts.append(
            f"Nothing was changed. An import would bring {what}."
            if looked
            else f"{name}: {what}, serials {told.first_serial} to {told.last_serial}."
        )
    return "\n\n".join(parts)


def problems_text(problems: Sequence[Problem]) -> str:
    """What is wrong with a list, line by line."""
    lines = [f"  {describe(problem)}" for problem in problems[:MOST_LINES]]
    if len(problems) > MOST_LINES:
        lines.append(f"  and {len(problems) - MOST_LINES:,} more; --json lists them all")
    return "Wrong\n" + "\n".join(lines)


def problems_data(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """The same as data."""
    return [
        {"line": one.line, "column": one.column, "code": one.code, "message": describe(one)}
        for one in problems
    ]


def import_data(told: CardImport, name: str) -> dict[str, Any]:
    """A list of cards as data: never a number or a password."""
    return {
        "name": name,
        "dry_run": told.batch_id is None,
        "batch_id": told.batch_id,
        "cards": told.cards,
        "total": format_amount(told.total, 2),
        "currency": told.currency,
        "states": told.states,
        "mapping": told.mapping,
        "ignored": list(told.ignored),
        "warnings": list(told.warnings),
        "problems": problems_data(told.problems),
        "first_serial": told.first_serial,
        "last_serial": told.last_serial,
    }


def _cards(cards: Sequence[CardRow], currency: str) -> str:
    """The first rows of a list; of numbers and passwords only how long they are, since a terminal remembers."""
    rows = [
        [
            card.line,
            f"{len(card.number)} digits",
            f"{len(card.password)} digits",
            format_money(card.balance, currency),
            _time(card.expires_at) if card.expires_at else "",
            state_of(card),
        ]
        for card in cards
    ]
    return table(
        ["Line", "Number", "Password", "Balance", "Expires", "State"], rows, right=["Line", "Balance"]
    )


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
