"""Reading a card by what a door presents: number, token or caller, with all that a decision needs, in one query."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeAlias

from psycopg import Connection

from engine import house
from engine.db import Database, Statement
from engine.house import House
from engine.limits import line_of
from engine.phone import parse_caller
from engine.settings import Settings
from engine.vault import Secret, Vault, token_digest

NUMBER, TOKEN, CALLER = "number", "token", "caller"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


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


def printable(text: str, longest: int = 64) -> str:
    """What somebody sent, as an attempt may keep it."""
    return _UNPRINTABLE.sub("?", text)[:longest]


class Allowance(NamedTuple):
    """How many failures a source may make within how many seconds."""

    failures: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Phone:
    """A caller (E.164 digits, None where withheld) whose switch asks for them.

    What is limited is the caller, never the switch: behind it stand all the others. A withheld caller can't be told
    from the others either, so that only the limits of the number hold there.
    """

    switch: SwitchLike
    caller: str | None
    door: str = "http"
    voice = True

    @property
    def name(self) -> str:
        """Who asks, as attempts and timelines keep it."""
        return f"switch:{self.switch.id}"

    @property
    def source(self) -> str:
        """What a right password makes known to its card; empty where there is nothing to know it by."""
        return f"caller:{self.caller}" if self.caller else ""

    @property
    def shared(self) -> str:
        """What failures are limited by whoever makes them; empty where that is nothing."""
        return self.source

    def allowance(self, rules: Settings) -> Allowance:
        """What `shared` may."""
        return Allowance(rules.caller_failures, rules.caller_window_s)


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser: the random id that its cookie keeps (None where it has none yet), and the address it asks from.

    Many may stand behind one address, so a browser is known to a card by its id; kept is only a digest of that.
    """

    address: str
    browser: str | None
    caller: str | None = None
    door: str = "web"
    voice = False

    @property
    def name(self) -> str:
        """Who asks, as attempts keep it."""
        return f"address:{printable(self.address)}"

    @property
    def source(self) -> str:
        """What a right password makes known to its card; empty for a browser without an id."""
        return f"browser:{token_digest(self.browser).hex()}" if self.browser else ""

    @property
    def shared(self) -> str:
        """What failures are limited by: the line behind the address."""
        return f"address:{line_of(self.address)}"

    def allowance(self, rules: Settings) -> Allowance:
        """What `shared` may."""
        return Allowance(rules.address_failures, rules.address_window_s)


Asker: TypeAlias = Phone | Browser


class Counters(NamedTuple):
    """The names under which failures with a number are counted; all None where no number was presented."""

    strangers: bytes | None = None
    """Everybody's, on this number."""
    own: bytes | None = None
    """This source's on this number, if it was right there before."""
    shared: bytes | None = None
    """The caller's or the address's, on whatever number."""


@dataclass(frozen=True, slots=True)
class Presented:
    """One try at a door: who asks, with what, and through which access number."""

    asker: Asker
    credentials: Credentials
    access: house.Access
    house: House
    now: datetime
    counters: Counters

    @property
    def caller(self) -> str | None:
        """The caller as E.164 digits; None where withheld, and at a browser."""
        return self.asker.caller

    @property
    def switch(self) -> SwitchLike:
        """The switch that asks. Raises `TypeError` where it is a browser."""
        if isinstance(self.asker, Phone):
            return self.asker.switch
        raise TypeError("no switch stands between us and a browser")


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
    (b.binding <> 'none' OR b.pinless) AND EXISTS (
        SELECT 1 FROM pending_binding WHERE card_id = c.id AND caller = %(caller)s AND expires_at > %(now)s
    ) AS caller_waits,
    (SELECT revision FROM settings_head WHERE id = 1) AS revision
"""
_NUMBER = re.compile(r"[0-9]{1,32}", re.ASCII)
# What a proof by this way needs besides. Failures are counted, and sources known, only where a password is asked.
_PROOF_COLUMNS = {
    NUMBER: """,
    k.card_id IS NOT NULL AS source_known,
    coalesce(f.failures, 0) AS failures, f.blocked_until,
    coalesce(o.failures, 0) AS own_failures, o.blocked_until AS own_blocked_until,
    coalesce(s.failures, 0) AS shared_failures, s.window_ends_at AS shared_window
""",
    TOKEN: """,
    t.digest AS token, t.switch_id AS token_switch, t.caller AS token_caller, t.used_at AS token_used_at,
    EXISTS (SELECT 1 FROM call WHERE card_id = c.id AND call.token = t.digest) AS token_calling
""",
    CALLER: "",
}
_FROM = {
    NUMBER: "(VALUES (1)) asked LEFT JOIN card c ON c.number = %(number)s",
    TOKEN: "(VALUES (1)) asked LEFT JOIN card_token t ON t.digest = %(token)s LEFT JOIN card c ON c.id = t.card_id",
    CALLER: "(VALUES (1)) asked LEFT JOIN binding p ON p.caller = %(caller)s AND p.pinless"
    " LEFT JOIN card c ON c.id = p.card_id",
}
_JOINS = {
    NUMBER: """
    LEFT JOIN batch b ON b.id = c.batch_id
    LEFT JOIN known_source k ON k.card_id = c.id AND k.source = %(source)s
    LEFT JOIN failure_counter f ON f.key = %(strangers)s
    LEFT JOIN failure_counter o ON o.key = %(own)s
    LEFT JOIN failure_counter s ON s.key = %(shared)s
""",
    TOKEN: "LEFT JOIN batch b ON b.id = c.batch_id",
    CALLER: "LEFT JOIN batch b ON b.id = c.batch_id",
}


def card_queries(columns: str = "") -> dict[str, Statement]:
    """The query that finds a card, one for each way to present it, with further columns."""
    return {
        how: Statement(f"SELECT {_FACTS}{_PROOF_COLUMNS[how]}{columns} FROM {source} {_JOINS[how]}")
        for how, source in _FROM.items()
    }


def facts_query(columns: str = "") -> Statement:
    """The query of the same facts of a card by its id, for looking at what a try with it would meet; `source_known`
    as where its number was presented. None where there is no such card."""
    return Statement(
        f"""
        SELECT {_FACTS}, k.card_id IS NOT NULL AS source_known{columns}
        FROM card c JOIN batch b ON b.id = c.batch_id
        LEFT JOIN known_source k ON k.card_id = c.id AND k.source = %(source)s
        WHERE c.id = %(card_id)s
        """
    )


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
    """A try through a switch, and the one row of facts it met (its `id` is None where there is no such card).

    Reads again where the rules of the house have changed meanwhile.
    """

    def present(rules: House) -> Presented:
        access = rules.access(access_number)
        asker = Phone(switch, parse_caller(caller, access.country))
        return Presented(asker, credentials, access, rules, now, _counters(vault, credentials, asker))

    return _read(conn, db, queries, present, more)


def read_card_at_browser(
    conn: Connection[Any],
    db: Database,
    vault: Vault,
    queries: dict[str, Statement],
    *,
    browser: Browser,
    credentials: Credentials,
    now: datetime,
) -> tuple[Presented, Any]:
    """The same for a try with number and password at a browser."""

    def present(rules: House) -> Presented:
        return Presented(
            browser, credentials, rules.access(None), rules, now, _counters(vault, credentials, browser)
        )

    return _read(conn, db, queries, present, {})


def _read(
    conn: Connection[Any],
    db: Database,
    queries: dict[str, Statement],
    present: Callable[[House], Presented],
    more: dict[str, Any],
) -> tuple[Presented, Any]:
    rules = house.current(db)
    while True:
        presented = present(rules)
        credentials, number = presented.credentials, presented.credentials.number
        row: Any = queries[credentials.how].one(
            conn,
            {
                # What is no number is nobody's; PostgreSQL could not even hold some of it.
                "number": number if number and _NUMBER.fullmatch(number) else None,
                "token": token_digest(credentials.token.value) if credentials.token else None,
                "caller": presented.caller,
                "source": presented.asker.source,
                **presented.counters._asdict(),
                "now": presented.now,
                **more,
            },
        )
        if row.revision == rules.revision:
            return presented, row
        rules = house.refresh(db)


def counter_key(vault: Vault, number: str | None, source: str = "") -> bytes:
    """The failure counter of a presented number; a source that was right on it before has one of its own."""
    # Two kinds, so that nobody presents as a "number" what is another's own counter.
    return (
        vault.name("card source", f"{source}/{number or ''}") if source else vault.name("card", number or "")
    )


def _counters(vault: Vault, credentials: Credentials, asker: Asker) -> Counters:
    if credentials.how != NUMBER:
        return Counters()
    source, shared = asker.source, asker.shared
    return Counters(
        strangers=counter_key(vault, credentials.number),
        own=counter_key(vault, credentials.number, source) if source else None,
        shared=vault.name("source", shared) if shared else None,
    )


def token_is_live(row: Any, presented: Presented) -> bool:
    """Whether a token that was found still opens its card for this switch and caller."""
    idle = timedelta(seconds=presented.house.settings.token_idle_s)
    return bool(
        row.token_switch == presented.switch.id
        and (row.token_caller is None or presented.caller is None or row.token_caller == presented.caller)
        and (row.token_calling or presented.now - row.token_used_at <= idle)
    )
