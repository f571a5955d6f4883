"""The chain over the audit trail: each link's hash covers the link before it and one whole audit row.

An audit row is written by the command it tells of and waits in `audit_pending`; one writer appends links, in the order
in which rows became visible, so that commands never queue behind each other. Who changes, removes, swaps or slips in a
row breaks a hash that can be recomputed here. Who rewrites the whole chain, or cuts off its end, is told by comparing
with a head (number and hash of a link) that was exported before and is kept elsewhere.

    hash = SHA-256(hash before (32 zero bytes at first) || seq as 8 bytes, big endian || canonical row, UTF-8)
    canonical row = JSON array [id, at in UTC microseconds, actor, actor name, action, subject, reason, data]
                    without blanks, object keys in order, all beyond ASCII escaped
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row, tuple_row

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict
from engine.people import audit
from engine.permissions import command
from engine.vault import Vault

BATCH = 10_000
"""Rows that are chained in one transaction."""
START = bytes(32)
"""What the first link follows."""
LATE_S = 60
"""A row that waits longer than this for its link is suspicious: the writer stands still, or was kept from it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROW = "a.id, a.at, a.actor, a.actor_name, a.action, a.subject, a.reason, a.data"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain at some time, to be kept elsewhere. `signature` is ours, so that a made-up head is known."""

    seq: int
    hash: str
    at: str
    signature: str


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """What is wrong first. `audit_id` names the row and `seq` the link, where there is one.

    `kind`: altered, out_of_order (another row stood here), missing, added (a row that went around the chain),
    head_forged, truncated (links that the head knew are gone), head_differs (the chain was written anew).
    """

    kind: str
    seq: int | None = None
    audit_id: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification saw. `unchained` rows are not in the chain yet; `late`: some for more than a minute."""

    links: int
    hash: str | None
    problems: tuple[ChainProblem, ...]
    unchained: int
    unchained_since: datetime | None
    late: bool


def extend(db: Database, now: datetime) -> int:
    """Give every waiting audit row its link; returns how many. Writers that race take turns.

    Each `BATCH` is one transaction, so that a kill leaves whole links and the rest waiting.
    """
    chained = 0
    while True:
        with db.raw() as conn:
            count = _extend(conn, now)
        chained += count
        if count < BATCH:
            return chained


def _extend(conn: psycopg.Connection[Any], now: datetime) -> int:
    conn.execute("SELECT pg_advisory_xact_lock(hashtext('cardtone audit chain'))")
    rows = conn.execute(
        f"SELECT {_ROW} FROM audit_pending p JOIN audit a ON a.id = p.audit_id ORDER BY p.audit_id LIMIT %s",
        (BATCH,),
    ).fetchall()
    if not rows:
        return 0
    last = conn.execute("SELECT seq, hash FROM audit_link ORDER BY seq DESC LIMIT 1").fetchone()
    seq, digest = (0, START) if last is None else (last[0], bytes(last[1]))
    with conn.cursor().copy("COPY audit_link (seq, audit_id, hash, chained_at) FROM STDIN") as copy:
        for row in rows:
            seq += 1
            digest = link_hash(digest, seq, row)
            copy.write_row((seq, row[0], digest, now))
    conn.execute("DELETE FROM audit_pending WHERE audit_id = ANY(%s)", ([row[0] for row in rows],))
    return len(rows)


def link_hash(before: bytes, seq: int, row: tuple[Any, ...]) -> bytes:
    """The hash of a link; `row`: id, at, actor, actor_name, action, subject, reason, data."""
    audit_id, at, *rest = row
    facts = [audit_id, (at - _EPOCH) // timedelta(microseconds=1), *rest]
    canonical = json.dumps(facts, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(before + seq.to_bytes(8, "big") + canonical.encode()).digest()


def verify_chain(
    db: Database, now: datetime, *, head: Head | None = None, vault: Vault | None = None
) -> Report:
    """Recompute the whole chain, in one pass and constant memory, and compare it with an exported `head`.

    The `problems` begin with the first link that does not fit; what follows that one is judged by the hashes as they
    stand, so that one changed row is one problem. `vault` is needed to tell whether a head is ours.
    """
    with _snapshot(db) as conn:
        walk = _Walk(head)
        for row in _links(conn):
            walk.step(conn, row)
        problems = [walk.problem] if walk.problem is not None else []
        problems += _added(conn)
        if head is not None:
            problems += _against(head, walk, vault)
        unchained, since = next(
            conn.cursor(row_factory=tuple_row).execute(
                "SELECT count(*), min(a.at) FROM audit_pending p LEFT JOIN audit a ON a.id = p.audit_id"
            )
        )
    late = since is not None and now - since > timedelta(seconds=LATE_S)
    return Report(
        walk.links,
        walk.before.hex() if walk.links else None,
        tuple(problems),
        unchained,
        since,
        late,
    )


@command("audit.verify")
def verify(db: Database, vault: Vault, actor: Actor, now: datetime, *, head: Head | None = None) -> Report:
    """`verify_chain`, and an audit row that says who asked and what was found."""
    report = verify_chain(db, now, head=head, vault=vault)
    first = report.problems[0] if report.problems else None
    with db.begin() as session:
        audit.record(
            session,
            actor,
            "audit.verify",
            "audit:chain",
            now,
            links=report.links,
            unchained=report.unchained,
            late=report.late,
            problems=len(report.problems),
            first=None if first is None else [first.kind, first.seq, first.audit_id],
            head=None if head is None else head.seq,
        )
    return report


@command("audit.export_head")
def export_head(db: Database, vault: Vault, actor: Actor, now: datetime) -> Head:
    """The chain's head as it is now, signed, to be kept elsewhere. Raises `Conflict` ("chain_empty")."""
    with db.connection() as conn:
        row = conn.execute("SELECT seq, hash FROM audit_link ORDER BY seq DESC LIMIT 1").fetchone()
    if row is None:
        raise Conflict("chain_empty")
    head = _signed(vault, row.seq, bytes(row.hash).hex(), now.astimezone(UTC).isoformat())
    with db.begin() as session:
        audit.record(session, actor, "audit.export_head", "audit:chain", now, seq=head.seq, hash=head.hash)
    return head


def _signed(vault: Vault, seq: int, digest: str, at: str) -> Head:
    return Head(seq, digest, at, vault.name("audit head", f"{seq}:{digest}:{at}").hex())


class _Walk:
    """One pass over the links: what was seen, the first thing wrong, and what stands where the head was."""

    def __init__(self, head: Head | None) -> None:
        self.links = 0
        self.seq = 0
        self.before = START
        self.problem: ChainProblem | None = None
        self._head_seq = None if head is None else head.seq
        self.at_head: str | None = None

    def step(self, conn: psycopg.Connection[Any], link: Any) -> None:
        """Look at the next link."""
        if self.problem is None:
            self.problem = self._look(conn, link)
        self.links += 1
        self.seq, self.before = link[0], bytes(link[2])
        if self.seq == self._head_seq:
            self.at_head = self.before.hex()

    def _look(self, conn: psycopg.Connection[Any], link: Any) -> ChainProblem | None:
        seq, audit_id, stored, *row = link
        if seq != self.seq + 1:
            return ChainProblem("missing", self.seq + 1)
        if row[0] is None:
            return ChainProblem("missing", seq, audit_id)
        if link_hash(self.before, seq, tuple(row)) == bytes(stored):
            return None
        other = _fitting(conn, self.before, seq, bytes(stored))
        return ChainProblem("altered" if other is None else "out_of_order", seq, other or audit_id)


def _links(conn: psycopg.Connection[Any]) -> Iterator[Any]:
    with conn.cursor(name="links", row_factory=tuple_row) as cursor:
        cursor.itersize = BATCH
        cursor.execute(
            f"SELECT l.seq, l.audit_id, l.hash, {_ROW} FROM audit_link l LEFT JOIN audit a ON a.id = l.audit_id"
            " ORDER BY l.seq"
        )
        yield from cursor


def _fitting(conn: psycopg.Connection[Any], before: bytes, seq: int, stored: bytes) -> int | None:
    """The row that a link was made over, if it is still there, elsewhere: then rows were put in another order."""
    with conn.cursor(name="rows", row_factory=tuple_row) as cursor:
        cursor.itersize = BATCH
        cursor.execute(f"SELECT {_ROW} FROM audit a")
        return next((int(row[0]) for row in cursor if link_hash(before, seq, row) == stored), None)


def _added(conn: psycopg.Connection[Any]) -> list[ChainProblem]:
    """Rows that neither stand in the chain nor wait for it: the first is named. And waiting rows that are gone."""
    around = conn.execute(
        "SELECT min(a.id) AS id FROM audit a LEFT JOIN audit_link l ON l.audit_id = a.id"
        " LEFT JOIN audit_pending p ON p.audit_id = a.id WHERE l.seq IS NULL AND p.audit_id IS NULL"
    ).fetchone()
    gone = conn.execute(
        "SELECT min(p.audit_id) AS id FROM audit_pending p LEFT JOIN audit a ON a.id = p.audit_id WHERE a.id IS NULL"
    ).fetchone()
    found = (("added", around), ("missing", gone))
    return [ChainProblem(kind, None, row.id) for kind, row in found if row is not None and row.id is not None]


def _against(head: Head, walk: _Walk, vault: Vault | None) -> list[ChainProblem]:
    if vault is not None:
        ours = _signed(vault, head.seq, head.hash, head.at).signature
        if not hmac.compare_digest(ours.encode(), head.signature.encode("utf-8", "surrogatepass")):
            return [ChainProblem("head_forged", head.seq)]
    if walk.seq < head.seq:
        return [ChainProblem("truncated", walk.seq + 1)]
    if walk.at_head != head.hash:
        return [ChainProblem("head_differs", head.seq)]
    return []


@contextmanager
def _snapshot(db: Database) -> Iterator[psycopg.Connection[Any]]:
    """One view of all tables, whatever the writer does meanwhile."""
    with db.raw() as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        conn.row_factory = namedtuple_row
        yield conn
