"""Reading a card by what a door presents: number, token or caller, with all that a decision needs, in one query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from psycopg import Connection

from engine import house
from engine.db import Database, Statement
from engine.house import House
from engine.phone import parse_caller
from engine.vault import Secret, Vault, token_digest

NUMBER, TOKEN, CALLER = "number", "token", "caller"


class SwitchLike(Protocol):
    """The switch that asks, as its key identified it."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def trusted_callers(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was presented: a number with its password, or a card_token, or nothing but the caller (PINless)."""

    number: str | None = None
    password: Secret | None = None
    token: Secret | None = None

    @property
    def how(self) -> str:
        """`number`, `token` or `caller`."""
        if self.token is not None:
            return TOKEN
        return NUMBER if self.number is not None else CALLER


@dataclass(frozen=True, slots=True)
class Presented:
    """One try at a door, with its caller (E.164 digits, None where withheld) in the country of the access number."""

    switch: SwitchLike
    credentials: Credentials
    caller: str | None
    access: house.Access
    house: House
    now: datetime
    door: str = "http"

    @property
    def source(self) -> str:
        """Where it came from, as `known_source` keeps it."""
        return f"caller:{self.caller}" if self.caller else ""


_FACTS = """
    c.id, c.number, c.digest, c.pepper, c.batch_id, c.currency, c.balance, c.held, c.live_calls, c.concurrency,
    c.deck_id, c.destination_rules_id, c.released_at, c.first_used_at, c.expires_at, c.locked_at, c.locked_by,
    c.damaged_at, b.kind, b.ready_at, b.validity_days, b.validity_from, b.first_use, b.grace_days, b.binding,
    b.max_bound, b.auto_bind, b.pinless AS batch_pinless, b.post_call_fee, b.language,
    b.maintenance_fee, b.maintenance_days,
    CASE WHEN b.binding <> 'none' OR b.pinless
        THEN (SELECT count(*) FROM binding WHERE card_id = c.id) ELSE 0 END AS bound,
    (b.binding <> 'none' OR b.pinless)
        AND EXISTS (SELECT 1 FROM binding WHERE card_id = c.id AND caller = %(caller)s) AS caller_bound,
    k.card_id IS NOT NULL AS source_known,
    coalesce(f.failures, 0) AS failures, f.blocked_until,
    coalesce(o.failures, 0) AS own_failures, o.blocked_until AS own_blocked_until,
    (SELECT revision FROM settings_head WHERE id = 1) AS revision
"""
_NUMBER = re.compile(r"[0-9]{1,32}", re.ASCII)
_PROOF_COLUMNS = """,
    t.digest AS token, t.switch_id AS token_switch, t.caller AS token_caller, t.used_at AS token_used_at,
    EXISTS (SELECT 1 FROM call WHERE card_id = c.id AND call.token = t.digest) AS token_calling
"""
_FROM = {
    NUMBER: "(VALUES (1)) asked LEFT JOIN card c ON c.number = %(number)s",
    TOKEN: "(VALUES (1)) asked LEFT JOIN card_token t ON t.digest = %(token)s LEFT JOIN card c ON c.id = t.card_id",
    CALLER: "(VALUES (1)) asked LEFT JOIN binding p ON p.caller = %(caller)s AND p.pinless"
    " LEFT JOIN card c ON c.id = p.card_id",
}
_JOINS = """
    LEFT JOIN batch b ON b.id = c.batch_id
    LEFT JOIN known_source k ON k.card_id = c.id AND k.source = %(source)s
    LEFT JOIN failure_counter f ON f.key = %(counter)s
    LEFT JOIN failure_counter o ON o.key = %(own_counter)s
"""


def card_queries(columns: str = "") -> dict[str, Statement]:
    """The query that finds a card, one for each way to present it, with further columns."""
    return {
        how: Statement(
            f"SELECT {_FACTS}{_PROOF_COLUMNS if how == TOKEN else ''}{columns} FROM {source} {_JOINS}"
        )
        for how, source in _FROM.items()
    }


def read_card(
    conn: Connection[Any],
    db: Database,
    vault: Vault,
    queries: dict[str, Statement],
    *,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    access_number: str | None,
    now: datetime,
    **more: Any,
) -> tuple[Presented, Any]:
    """The try, and the one row of facts it met (its `id` is None where there is no such card).

    Reads again where the rules of the house have changed meanwhile.
    """
    rules = house.current(db)
    while True:
        access = rules.access(access_number)
        presented = Presented(switch, credentials, parse_caller(caller, access.country), access, rules, now)
        number = credentials.number
        row: Any = queries[credentials.how].one(
            conn,
            {
                # What is no number is nobody's; PostgreSQL could not even hold some of it.
                "number": number if number and _NUMBER.fullmatch(number) else None,
                "token": token_digest(credentials.token.value) if credentials.token else None,
                "caller": presented.caller,
                "source": presented.source,
                "counter": counter_key(vault, credentials.number),
                "own_counter": counter_key(vault, credentials.number, presented.source),
                "now": now,
                **more,
            },
        )
        if row.revision == rules.revision:
            return presented, row
        rules = house.refresh(db)


def counter_key(vault: Vault, number: str | None, source: str = "") -> bytes:
    """The failure counter of a presented number; a source that was right on it before has one of its own."""
    return vault.name("card", f"{number or ''}:{source}" if source else number or "")


def token_is_live(row: Any, presented: Presented) -> bool:
    """Whether a token that was found still opens its card for this switch and caller."""
    idle = timedelta(seconds=presented.house.settings.token_idle_s)
    return bool(
        row.token_switch == presented.switch.id
        and (row.token_caller is None or presented.caller is None or row.token_caller == presented.caller)
        and (row.token_calling or presented.now - row.token_used_at <= idle)
    )
