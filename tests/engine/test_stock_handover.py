"""Hand-overs: a large file is made in the background, readable by nobody on the disk, fetched once by its maker."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from pyrage import x25519
from sqlalchemy import select

from engine import work
from engine.actor import CONSOLE, Actor
from engine.db import Database
from engine.errors import Conflict, ConsentNeeded, NotFound
from engine.people import staff
from engine.schema import AuditRow, ExportRun
from engine.stock import handover, rows, sealedfile
from engine.stock.export import Wanted, wanted_file
from engine.stock.shredding import shred
from engine.vault import SealBroken, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, TestCard

SOMEBODY = Actor("staff", 2, "Somebody", "operator")


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    staff.add_staff(db, "desk", "Operator", "admin", None, CONSOLE, NOW)
    return scenes.batch(db, vault, 9, name="Big")


def ordered(db: Database, vault: Vault, folder: Path, wanted: Wanted | None = None) -> int:
    return handover.order(db, vault, "Big", wanted or wanted_file("csv"), folder, OPERATOR, NOW)


def claimed(db: Database, work_id: int) -> work.Claimed:
    found = work.claim(db, "test", [handover.KIND], NOW, work_id=work_id)
    assert found is not None
    return found


def do(db: Database, vault: Vault, work_id: int) -> dict[str, Any]:
    """Make the file as a worker does."""
    found = claimed(db, work_id)
    result = handover.run(db, vault, found, lambda: NOW)
    work.finish(db, found, NOW, result)
    return result


def fetched(db: Database, vault: Vault, work_id: int, actor: Actor = OPERATOR) -> bytes:
    found = handover.fetch(db, vault, 1, work_id, actor, lambda: NOW)
    return b"".join(found.pieces)


def test_the_file_waits_sealed_and_is_gone_once_it_was_fetched(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 4)
    monkeypatch.setattr(sealedfile, "PIECE", 64)
    work_id = ordered(db, vault, tmp_path / "exports")
    assert not handover.find(db, 1, work_id, OPERATOR, NOW).ready
    with pytest.raises(Conflict, match="hand_over_not_done"):
        fetched(db, vault, work_id)
    do(db, vault, work_id)
    (path,) = (tmp_path / "exports").iterdir()
    kept = path.read_bytes()
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert not any(secret.encode() in kept for card in cards for secret in (card.number, card.password))
    (order,) = handover.orders(db, 1, OPERATOR, NOW)
    assert (order.ready, order.name, order.work.progress) == (True, "Big.csv", 9)
    data = fetched(db, vault, work_id)
    assert data.count(b"\r\n") == 10
    assert all(f",{card.number},{card.password},".encode() in data for card in cards)
    assert not path.exists()
    with db.begin() as session:
        run = session.query(ExportRun).one()
    assert run.sha256 == hashlib.sha256(data).digest()
    assert handover.find(db, 1, work_id, OPERATOR, NOW).gone
    with pytest.raises(NotFound, match="hand_over_gone"):
        fetched(db, vault, work_id)


def test_a_download_that_breaks_off_can_begin_again(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealedfile, "PIECE", 64)
    work_id = ordered(db, vault, tmp_path)
    do(db, vault, work_id)
    pieces = handover.fetch(db, vault, 1, work_id, OPERATOR, lambda: NOW).pieces
    assert len(next(pieces)) == 64
    pieces.close()  # type: ignore[attr-defined]
    assert fetched(db, vault, work_id).endswith(b"Big\r\n")


def test_nobody_else_knows_of_it(db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path) -> None:
    work_id = ordered(db, vault, tmp_path)
    do(db, vault, work_id)
    assert handover.orders(db, 1, SOMEBODY, NOW) == ()
    for actor, batch_id, at in (
        (SOMEBODY, 1, work_id),
        (OPERATOR, 2, work_id),
        (OPERATOR, 1, work_id + 1),
        (OPERATOR, 1, 1),
    ):
        with pytest.raises(NotFound, match="hand_over_gone"):
            handover.fetch(db, vault, batch_id, at, actor, lambda: NOW)


def test_an_encrypted_one_is_for_the_recipient_only(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path
) -> None:
    identity = x25519.Identity.generate()
    wanted = wanted_file("xlsx", recipient=str(identity.to_public()))
    work_id = ordered(db, vault, tmp_path, wanted)
    do(db, vault, work_id)
    data = fetched(db, vault, work_id)
    with db.begin() as session:
        assert session.query(ExportRun).one().sha256 == hashlib.sha256(data).digest()
    assert pyrage.decrypt(data, [identity]).startswith(b"PK")


def killed(*_: object) -> None:
    """The process ends here."""
    raise KeyboardInterrupt


def test_a_killed_one_begins_again_and_is_one_issue(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_id = ordered(db, vault, tmp_path)
    found = claimed(db, work_id)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            handover.run(db, vault, found, lambda: NOW)
    assert list(tmp_path.iterdir()) == []
    work.release(db, found)
    handover.run(db, vault, found := claimed(db, work_id), lambda: NOW)
    work.release(db, found)  # recorded and in its place, and ended before that was said
    do(db, vault, work_id)
    with db.begin() as session:
        assert session.query(ExportRun).count() == 1
    assert cards[0].password.encode() in fetched(db, vault, work_id)
    with db.begin() as session:
        row = session.scalars(select(AuditRow).where(AuditRow.action == "batch.fetch")).one()
    assert (row.actor, row.data["work"], row.data["with_passwords"]) == (str(OPERATOR), work_id, True)
    assert cards[0].password not in str(row.data)


def test_it_stops_when_its_work_is_cancelled(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path
) -> None:
    work_id = ordered(db, vault, tmp_path)
    found = claimed(db, work_id)
    with db.begin() as session:
        work.cancel(session, work_id, OPERATOR, NOW)
    with pytest.raises(work.Stopped, match="work_cancelled"):
        handover.run(db, vault, found, lambda: NOW)
    assert list(tmp_path.iterdir()) == []
    with db.begin() as session:
        assert session.query(ExportRun).count() == 0


def test_of_two_orders_the_second_fails_and_the_same_one_is_one(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path
) -> None:
    first = ordered(db, vault, tmp_path, wanted_file("csv", key="k"))
    assert ordered(db, vault, tmp_path, wanted_file("csv", key="k")) == first
    second = ordered(db, vault, tmp_path)
    do(db, vault, first)
    with pytest.raises(Conflict, match="already_issued"):
        handover.run(db, vault, claimed(db, second), lambda: NOW)
    with pytest.raises(Conflict, match="already_issued"):
        ordered(db, vault, tmp_path)
    # Sent again after the file was made: still the first.
    assert ordered(db, vault, tmp_path, wanted_file("csv", key="k")) == first


def test_a_second_person_is_asked_before_and_counted_when_it_is_made(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path
) -> None:
    scenes.setting(db, "consent_exports", True)
    wanted = wanted_file("csv", template="Printer", recipient=str(x25519.Identity.generate().to_public()))
    with pytest.raises(ConsentNeeded) as needed:
        ordered(db, vault, tmp_path, wanted)
    assert {"template", "recipient", "columns"} <= needed.value.data["facts"].keys()
    scenes.consented(db, needed.value)
    changed = replace(wanted, form=replace(wanted.form, columns=wanted.form.columns[::-1]))
    with pytest.raises(ConsentNeeded):
        ordered(db, vault, tmp_path, changed)
    do(db, vault, ordered(db, vault, tmp_path, wanted))
    with pytest.raises(ConsentNeeded):
        ordered(db, vault, tmp_path, wanted_file("csv", again=True, reason="lost"))


def test_who_may_no_longer_export_gets_no_file(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path
) -> None:
    work_id = ordered(db, vault, tmp_path)
    staff.add_staff(db, "other", "Other", "admin", None, CONSOLE, NOW)
    staff.disable_staff(db, "desk", CONSOLE, NOW)
    with pytest.raises(Conflict, match="hand_over_not_theirs"):
        handover.run(db, vault, claimed(db, work_id), lambda: NOW)


def test_shredding_takes_what_waits_along(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path
) -> None:
    work_id = ordered(db, vault, tmp_path)
    do(db, vault, work_id)
    shred(db, "Big", OPERATOR, NOW)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Conflict, match="batch_shredded"):
        fetched(db, vault, work_id)


def test_what_nobody_fetches_is_gone_after_a_day(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path
) -> None:
    work_id = ordered(db, vault, tmp_path)
    do(db, vault, work_id)
    assert handover.remove_old(db, NOW + timedelta(hours=23)) == 0
    later = NOW + handover.KEPT
    with pytest.raises(NotFound, match="hand_over_gone"):
        handover.fetch(db, vault, 1, work_id, OPERATOR, lambda: later)
    assert handover.remove_old(db, later) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
def test_a_sealed_file_opens_to_what_it_was(
    vault: Vault, size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sealedfile, "PIECE", 64)
    clear = os.urandom(size)
    path = tmp_path / "sealed"
    path.write_bytes(b"".join(sealedfile.sealed(vault, [clear[:10], clear[10:]])))
    with path.open("rb") as file:
        assert b"".join(sealedfile.opened(vault, file)) == clear


def test_a_sealed_file_that_was_cut_changed_or_shuffled_does_not_open(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sealedfile, "PIECE", 64)
    whole = b"".join(sealedfile.sealed(vault, [os.urandom(200)]))
    head, piece = len(whole) - 200 - 4 * 16, 64 + 16
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    shuffled = (
        whole[:head]
        + whole[head + piece : head + 2 * piece]
        + whole[head : head + piece]
        + whole[head + 2 * piece :]
    )
    for wrong in (
        b"",
        whole[:30],
        whole[:head],
        whole[: head + piece],
        whole[:-1],
        bytes(flipped),
        shuffled,
        b"x" + whole,
    ):
        path = tmp_path / "sealed"
        path.write_bytes(wrong)
        with path.open("rb") as file, pytest.raises(SealBroken):
            b"".join(sealedfile.opened(vault, file))
