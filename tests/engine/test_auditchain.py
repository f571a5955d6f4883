"""The chain over the audit trail: it grows, late commits included, and names whatever was done to it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict
from engine.people import audit, auditchain
from engine.people.auditchain import ChainProblem, Head, verify_chain
from engine.schema import AuditLink, AuditPending, AuditRow
from engine.vault import Vault
from tests.proof import scaled

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ADA = Actor("staff", 3, "Ada Moss", "admin")


def write(db: Database, count: int = 1, at: datetime = NOW) -> None:
    for turn in range(count):
        with db.begin() as session:
            audit.record(
                session,
                ADA,
                "card.lock",
                f"card:{turn}",
                at,
                reason="straße 🂡",
                turn=turn,
                nested={"b": [1], "a": None},
            )


def chained(db: Database, count: int = 5) -> None:
    write(db, count)
    assert auditchain.extend(db, NOW) == count


def meddle(db: Database, *statements: str) -> None:
    """What somebody with the database's own password could do."""
    tables = ("audit", "audit_link")
    with db.raw() as conn:
        conn.execute("ALTER TABLE audit_link DROP CONSTRAINT IF EXISTS fk_audit_link_audit_id_audit")
        for table in tables:
            conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            conn.execute(statement)
        for table in tables:
            conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def problems(db: Database, head: Head | None = None, vault: Vault | None = None) -> tuple[ChainProblem, ...]:
    return verify_chain(db, NOW, head=head, vault=vault).problems


def counts(db: Database) -> tuple[int, int]:
    with db.begin() as session:
        return (
            session.scalar(select(func.count()).select_from(AuditLink)) or 0,
            session.scalar(select(func.count()).select_from(AuditPending)) or 0,
        )


def test_every_row_waits_and_gets_its_link(db: Database) -> None:
    write(db, 3)
    assert counts(db) == (0, 3)
    assert auditchain.extend(db, NOW) == 3
    assert counts(db) == (3, 0)
    assert auditchain.extend(db, NOW) == 0
    write(db, 2)
    report = verify_chain(db, NOW)
    assert (report.links, report.problems, report.unchained, report.late) == (3, (), 2, False)
    auditchain.extend(db, NOW)
    report = verify_chain(db, NOW)
    assert (report.links, report.problems, report.unchained, report.unchained_since) == (5, (), 0, None)


def test_an_empty_trail_is_whole(db: Database, vault: Vault) -> None:
    report = verify_chain(db, NOW)
    assert (report.links, report.hash, report.problems) == (0, None, ())
    with pytest.raises(Conflict, match="chain_empty"):
        auditchain.export_head(db, vault, ADA, NOW)


def test_rows_that_wait_longer_than_a_minute_are_suspicious(db: Database) -> None:
    write(db)
    assert not verify_chain(db, NOW + timedelta(seconds=60)).late
    report = verify_chain(db, NOW + timedelta(seconds=61))
    assert (report.late, report.unchained, report.unchained_since) == (True, 1, NOW)


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'staff:4'",
        "actor_name = 'Ada Mosz'",
        "action = 'card.loc'",
        "subject = 'card:7'",
        "reason = NULL",
        "reason = reason || ' '",
        "at = at + interval '1 microsecond'",
        "data = jsonb_set(data, '{turn}', '9')",
        "data = data - 'nested'",
        "data = data || '{\"more\": 1}'",
    ],
)
def test_a_row_that_was_altered_is_named(db: Database, change: str) -> None:
    chained(db)
    meddle(db, f"UPDATE audit SET {change} WHERE id = 3")
    assert problems(db) == (ChainProblem("altered", 3, 3),)


def test_a_link_that_was_altered_is_named(db: Database) -> None:
    chained(db)
    meddle(db, "UPDATE audit_link SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1) WHERE seq = 4")
    assert problems(db)[0] == ChainProblem("altered", 4, 4)


def test_a_row_that_was_removed_is_named(db: Database) -> None:
    chained(db)
    meddle(db, "DELETE FROM audit WHERE id = 2")
    assert problems(db) == (ChainProblem("missing", 2, 2),)


def test_a_link_that_was_removed_is_named_and_so_is_its_row(db: Database) -> None:
    chained(db)
    meddle(db, "DELETE FROM audit_link WHERE seq = 2")
    assert problems(db) == (ChainProblem("missing", 2), ChainProblem("added", None, 2))
    meddle(db, "DELETE FROM audit WHERE id = 2")
    assert problems(db) == (ChainProblem("missing", 2),)


def test_a_gap_that_was_closed_is_seen(db: Database) -> None:
    chained(db)
    meddle(
        db,
        "DELETE FROM audit_link WHERE seq = 2",
        "DELETE FROM audit WHERE id = 2",
        "UPDATE audit_link SET seq = -seq WHERE seq > 2",
        "UPDATE audit_link SET seq = -seq - 1 WHERE seq < 0",
    )
    assert problems(db) == (ChainProblem("altered", 2, 3),)


def test_rows_put_in_another_order_are_named(db: Database) -> None:
    chained(db)
    meddle(
        db,
        "UPDATE audit_link SET audit_id = -2 WHERE seq = 2",
        "UPDATE audit_link SET audit_id = 2 WHERE seq = 3",
        "UPDATE audit_link SET audit_id = 3 WHERE seq = 2",
    )
    assert problems(db) == (ChainProblem("out_of_order", 2, 2),)


def test_a_row_that_went_around_the_chain_is_named(db: Database) -> None:
    chained(db)
    meddle(
        db,
        "INSERT INTO audit (at, actor, actor_name, action, subject, data) VALUES"
        " ('2026-03-01', 'staff:3', 'Ada Moss', 'card.lock', 'card:1', '{}')",
    )
    assert problems(db) == (ChainProblem("added", None, 6),)


def test_a_row_that_vanished_while_it_waited_is_named(db: Database) -> None:
    chained(db)
    write(db)
    meddle(db, "DELETE FROM audit WHERE id = 6")
    assert auditchain.extend(db, NOW) == 0
    assert problems(db) == (ChainProblem("missing", None, 6),)


def test_a_chain_that_was_cut_off_is_known_by_the_exported_head(db: Database, vault: Vault) -> None:
    chained(db)
    head = auditchain.export_head(db, vault, ADA, NOW)
    auditchain.extend(db, NOW)
    assert problems(db, head, vault) == ()
    meddle(db, "DELETE FROM audit_link WHERE seq > 3", "DELETE FROM audit WHERE id > 3")
    assert problems(db) == (), "by itself it looks whole"
    assert problems(db, head, vault) == (ChainProblem("truncated", 4),)


def test_a_chain_that_was_written_anew_is_known_by_the_exported_head(db: Database, vault: Vault) -> None:
    chained(db)
    head = auditchain.export_head(db, vault, ADA, NOW)
    meddle(
        db,
        "UPDATE audit SET actor = 'staff:4' WHERE id = 2",
        "DELETE FROM audit_link",
        "INSERT INTO audit_pending SELECT id FROM audit ON CONFLICT DO NOTHING",
    )
    auditchain.extend(db, NOW)
    assert problems(db) == ()
    assert problems(db, head, vault) == (ChainProblem("head_differs", 5),)


def test_a_head_that_is_not_ours_is_recognised(db: Database, vault: Vault) -> None:
    chained(db)
    head = auditchain.export_head(db, vault, ADA, NOW)
    for forged in (
        replace(head, seq=3),
        replace(head, hash="0" * 64),
        replace(head, at="2020-01-01T00:00:00+00:00"),
        replace(head, signature="0" * 64),
        replace(head, signature="é"),
    ):
        assert problems(db, forged, vault) == (ChainProblem("head_forged", forged.seq),)


def test_asking_leaves_a_row(db: Database, vault: Vault) -> None:
    chained(db)
    head = auditchain.export_head(db, vault, ADA, NOW)
    assert auditchain.verify(db, vault, ADA, NOW, head=head).problems == ()
    meddle(db, "UPDATE audit SET actor = 'staff:4' WHERE id = 2")
    auditchain.verify(db, vault, ADA, NOW)
    rows = audit.search(db, action="audit.").rows
    assert [(row.action, row.data.get("problems"), row.data.get("first")) for row in rows] == [
        ("audit.verify", 1, ["altered", 2, 2]),
        ("audit.verify", 0, None),
        ("audit.export_head", None, None),
    ]


def test_a_transaction_that_commits_late_is_chained_when_it_does(db: Database) -> None:
    with db.begin() as slow:
        audit.record(slow, ADA, "card.lock", "card:slow", NOW)
        slow.flush()
        write(db, 2)
        assert auditchain.extend(db, NOW) == 2
    assert auditchain.extend(db, NOW) == 1
    assert problems(db) == ()
    with db.begin() as session:
        order = list(session.scalars(select(AuditLink.audit_id).order_by(AuditLink.seq)))
    assert order == [2, 3, 1]


def test_many_commands_and_writers_at_once_make_one_whole_chain(db: Database) -> None:
    each, writing = scaled(1000, 40), threading.Event()
    writing.set()
    made: list[int] = []
    chain_failures: list[BaseException] = []

    def command() -> None:
        write(db, each)

    def extend() -> None:
        try:
            while writing.is_set():
                made.append(auditchain.extend(db, NOW))
                time.sleep(0.001)
        except BaseException as error:
            chain_failures.append(error)

    commands = [threading.Thread(target=command) for _ in range(4)]
    writers = [threading.Thread(target=extend) for _ in range(3)]
    for thread in (*writers, *commands):
        thread.start()
    for thread in commands:
        thread.join()
    writing.clear()
    for thread in writers:
        thread.join()
    made.append(auditchain.extend(db, NOW))
    assert chain_failures == []
    assert sum(made) == 4 * each
    report = verify_chain(db, NOW)
    assert (report.links, report.problems, report.unchained) == (4 * each, (), 0)


def test_ten_thousand_rows_and_more_in_batches(db: Database) -> None:
    rows = auditchain.BATCH + 5
    with db.raw() as conn:
        conn.execute(
            "INSERT INTO audit (at, actor, actor_name, action, subject, data)"
            " SELECT %s, 'staff:3', 'Ada', 'card.lock', 'card:' || n, jsonb_build_object('n', n)"
            " FROM generate_series(1, %s) n",
            (NOW, rows),
        )
    assert auditchain.extend(db, NOW) == rows
    report = verify_chain(db, NOW)
    assert (report.links, report.problems) == (rows, ())


def test_a_link_is_never_changed(db: Database) -> None:
    chained(db, 1)
    for change in ("UPDATE audit_link SET seq = 2", "DELETE FROM audit_link"):
        with pytest.raises(Exception, match="never changed"), db.raw() as conn:
            conn.execute(change)
    assert counts(db) == (1, 0)


def test_the_trail_is_searched_by_who_what_on_what_and_when(db: Database) -> None:
    for turn, (actor, action, subject) in enumerate(
        [
            ("staff:1", "card.lock", "card:1"),
            ("staff:2", "card.unlock", "card:1"),
            ("staff:1", "cards.sold", "card:2"),
            ("console", "staff.add", "staff:1"),
            ("staff:1", "card.lock", "card:2"),
        ]
    ):
        with db.begin() as session:
            session.add(
                AuditRow(
                    at=NOW + timedelta(hours=turn),
                    actor=actor,
                    actor_name="",
                    action=action,
                    subject=subject,
                    data={},
                )
            )

    def found(**by: object) -> list[int]:
        return [row.id for row in audit.search(db, **by).rows]  # type: ignore[arg-type]

    assert found() == [5, 4, 3, 2, 1]
    assert found(actor="staff:1") == [5, 3, 1]
    assert found(action="card.lock") == [5, 1]
    assert found(action="card.") == [5, 2, 1]
    assert found(action="card") == []
    assert found(action="%") == []
    assert found(subject="card:2", actor="staff:1") == [5, 3]
    assert found(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=3)) == [3, 2]
    assert found(subject="\0") == []
    page, seen = audit.search(db, actor="staff:1", limit=2), []
    while True:
        seen.append([row.id for row in page.rows])
        if page.next is None:
            break
        page = audit.search(db, actor="staff:1", limit=2, before=page.next)
    assert seen == [[5, 3], [1]]
