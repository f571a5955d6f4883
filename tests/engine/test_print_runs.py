"""Print runs: each password is issued once, to who ordered it, and lies nowhere in the clear."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from sqlalchemy import select, text

from engine import work
from engine.actor import CONSOLE, SYSTEM, Actor
from engine.cards import lifecycle
from engine.db import Database
from engine.errors import Conflict, ConsentNeeded, EngineError, Forbidden, InvalidInput, NotFound
from engine.funds import accounts
from engine.people import consents, resellerpeople, resellers, staff
from engine.schema import AuditRow, Card, PrintRun
from engine.stock import custody, export, handover, resale
from engine.stock.custody import Range
from engine.stock.printing import designs, files, making, printers, runs, runviews
from engine.stock.printing.design import Design
from engine.stock.printing.markup import grouped
from engine.stock.shredding import shred
from engine.vault import SealBroken, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, TestCard

LATER = NOW + timedelta(minutes=5)
URL = "https://cards.example.com/card/log-in"


@dataclass
class Press:
    """A batch, a design, and how runs are ordered and made."""

    db: Database
    vault: Vault
    folder: Path
    cards: list[TestCard]
    design: int

    def range(self, first: int = 0, last: int = -1) -> Range:
        return Range(self.cards[first].id, self.cards[last].id)

    def order(self, cards: Range | None = None, actor: Actor = OPERATOR, **how: Any) -> int:
        how = {"log_in_url": URL, **how}
        return runs.order(
            self.db, self.vault, cards or self.range(), self.design, self.folder, actor, NOW, **how
        )

    def make(self, run_id: int) -> dict[str, Any]:
        """As a worker does it."""
        found = work.claim(self.db, "test", [runs.KIND], NOW, work_id=self.view(run_id).work.id)
        assert found is not None
        try:
            result = making.make(self.db, self.vault, found, lambda: NOW)
        except EngineError as error:
            work.fail(self.db, found, error, NOW)
            raise
        work.finish(self.db, found, NOW, result)
        return result

    def printed(self, cards: Range | None = None, actor: Actor = OPERATOR, **how: Any) -> int:
        run_id = self.order(cards, actor, **how)
        self.make(run_id)
        return run_id

    def view(self, run_id: int, actor: Actor = OPERATOR, **later: float) -> runviews.RunView:
        return runviews.run(self.db, run_id, actor, NOW + timedelta(**later))

    def fetched(self, run_id: int, actor: Actor = OPERATOR) -> bytes:
        return b"".join(files.fetch(self.db, self.vault, run_id, actor, lambda: LATER).pieces)

    def path(self, run_id: int) -> Path:
        return files.path_of(str(self.folder), run_id)


class Killed(BaseException):
    """A process that ends in the middle."""


def kill(*args: Any) -> None:
    """End here."""
    raise Killed


@pytest.fixture
def press(db: Database, vault: Vault, tmp_path: Path) -> Press:
    staff.add_staff(db, "desk", "Operator", "admin", None, CONSOLE, NOW)
    cards = scenes.batch(db, vault, 12, name="Big", release="activation")
    design = designs.add(db, "Sheet", Design("labels-a4-65", logo=False), OPERATOR, NOW)
    return Press(db, vault, tmp_path / "exports", cards, design.id)


def text_of(pdf: bytes) -> str:
    with pypdfium2.PdfDocument(pdf) as document:
        return "\n".join(page.get_textpage().get_text_range() for page in document)


def numbers_in(pdf: bytes, cards: list[TestCard]) -> list[int]:
    """Which of some cards stand in a file, with number and password."""
    told = text_of(pdf)
    return [
        at for at, card in enumerate(cards) if grouped(card.number) in told and grouped(card.password) in told
    ]


def test_a_run_holds_every_card_of_its_range_and_is_confirmed(press: Press) -> None:
    run_id = press.order(press.range(0, 10), start_at=60)
    assert press.view(run_id).state == "queued"
    assert press.make(run_id)["pages"] == 2
    shown = press.view(run_id)
    assert (shown.state, shown.cards, shown.left_out, shown.downloads) == ("ready", 11, {}, 0)
    pdf = press.fetched(run_id)
    assert numbers_in(pdf, press.cards) == list(range(11))
    assert press.fetched(run_id) == pdf  # a printer may jam
    assert press.view(run_id).downloads == 2
    assert press.view(run_id).size == len(pdf)
    done = runs.confirm(press.db, run_id, OPERATOR, LATER)
    assert (done.cards, done.may_shred) == (11, False)
    assert runs.confirm(press.db, run_id, OPERATOR, LATER) == done
    assert not press.path(run_id).exists()
    assert press.view(run_id).state == "confirmed"
    with pytest.raises(NotFound, match="print_run_gone"):
        press.fetched(run_id)
    facts = [scenes.facts(press.db, card) for card in press.cards]
    assert [card.printed_at for card in facts] == [LATER] * 11 + [None]
    last = press.printed(press.range(11, 11))
    # What nobody has downloaded is on no paper: its passwords must not be shredded.
    with pytest.raises(Conflict, match="print_run_not_fetched"):
        runs.confirm(press.db, last, OPERATOR, LATER)
    assert press.path(last).exists()
    press.fetched(last)
    assert runs.confirm(press.db, last, OPERATOR, LATER).may_shred


def test_passwords_are_issued_once_and_again_only_with_a_reason(press: Press) -> None:
    press.printed(press.range(0, 3))
    ahead = runs.outlook(press.db, press.range(), OPERATOR, NOW)
    assert (ahead.cards, ahead.left_out) == (8, {"issued": 4})
    with pytest.raises(Conflict, match="nothing_to_print"):
        press.order(press.range(1, 2))
    with pytest.raises(InvalidInput, match="reason_missing"):
        press.order(press.range(1, 2), again=True)
    rest = press.printed()
    assert press.view(rest).left_out == {"issued": 4}
    assert numbers_in(press.fetched(rest), press.cards) == list(range(4, 12))
    again = press.printed(press.range(1, 2), again=True, reason="The printer ate them")
    assert numbers_in(press.fetched(again), press.cards) == [1, 2]
    assert press.view(again).reason == "The printer ate them"


def test_an_export_issues_too_and_is_kept_back_by_a_print(press: Press) -> None:
    press.printed(press.range(0, 0))
    with pytest.raises(Conflict, match="already_issued"):
        export.export_batch(press.db, press.vault, "Big", "csv", io.BytesIO(), OPERATOR, NOW)
    export.export_batch(
        press.db, press.vault, "Big", "csv", io.BytesIO(), OPERATOR, NOW, again=True, reason="shop"
    )
    assert runs.outlook(press.db, press.range(), OPERATOR, NOW).left_out == {"issued": 12}


def test_an_export_is_kept_back_by_a_print_that_waits(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = press.order(press.range(0, 3))
    with pytest.raises(Conflict, match="already_issued"):
        export.export_batch(press.db, press.vault, "Big", "csv", io.BytesIO(), OPERATOR, NOW)
    runs.cancel(press.db, run_id, OPERATOR, NOW)
    written = export.issue

    def ordered_meanwhile(*args: Any, **more: Any) -> None:
        press.order(press.range(0, 3))
        written(*args, **more)

    monkeypatch.setattr(export, "issue", ordered_meanwhile)
    with pytest.raises(Conflict, match="already_issued"):
        export.export_batch(press.db, press.vault, "Big", "csv", io.BytesIO(), OPERATOR, NOW)


def test_of_two_orders_at_once_each_card_is_in_one(press: Press) -> None:
    made: list[int] = []
    refused: list[str] = []
    barrier = threading.Barrier(4)

    def order() -> None:
        barrier.wait()
        try:
            made.append(press.order(press.range(0, 5)))
        except Conflict as error:
            refused.append(error.code)

    threads = [threading.Thread(target=order) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), refused) == (1, ["nothing_to_print"] * 3)


def test_a_stopped_run_issued_nothing(press: Press) -> None:
    run_id = press.order()
    assert runs.cancel(press.db, run_id, OPERATOR, NOW)
    assert not runs.cancel(press.db, run_id, OPERATOR, NOW)
    assert press.view(run_id).state == "cancelled"
    assert runs.outlook(press.db, press.range(), OPERATOR, NOW).cards == 12
    running = press.order()
    found = work.claim(press.db, "test", [runs.KIND], NOW)
    assert found is not None
    runs.cancel(press.db, running, OPERATOR, NOW)
    with pytest.raises(work.Stopped, match="work_cancelled"):
        making.make(press.db, press.vault, found, lambda: NOW)
    assert list(press.folder.iterdir()) == []
    assert press.view(running).made_at is None


def test_what_cannot_be_printed_is_left_out_and_counted(press: Press) -> None:
    lifecycle.damage(press.db, card_id=press.cards[0].id, reason="lost", actor=OPERATOR, now=NOW)
    lifecycle.lock(press.db, card_id=press.cards[1].id, reason="asked", actor=OPERATOR, now=NOW)
    lifecycle.reset_password(press.db, press.vault, card_id=press.cards[2].id, actor=OPERATOR, now=NOW)
    with press.db.begin() as session:
        session.get_one(Card, press.cards[3].id).first_used_at = NOW
        session.get_one(Card, press.cards[4].id).expires_at = NOW
    run_id = press.order()
    left = {"damaged": 1, "locked": 1, "no_password": 1, "used": 1, "expired": 1}
    assert press.view(run_id).left_out == left
    # What happens to a card between the order and its print counts, too.
    lifecycle.damage(press.db, card_id=press.cards[5].id, reason="lost", actor=OPERATOR, now=NOW)
    press.make(run_id)
    assert press.view(run_id).left_out == {**left, "damaged": 2}
    assert numbers_in(press.fetched(run_id), press.cards) == list(range(6, 12))
    runs.confirm(press.db, run_id, OPERATOR, LATER)
    assert scenes.facts(press.db, press.cards[5]).printed_at is None
    lifecycle.unlock(press.db, press.vault, card_id=press.cards[1].id, actor=OPERATOR, now=NOW)
    assert runs.outlook(press.db, press.range(), OPERATOR, NOW).cards == 1


def test_a_file_is_gone_after_a_day_or_with_its_batch(press: Press) -> None:
    old, other = press.printed(press.range(0, 1)), press.printed(press.range(2, 3))
    assert files.remove_old(press.db, NOW + timedelta(hours=23, minutes=59)) == 0
    assert press.view(old, hours=24).state == "gone"
    shred(press.db, "Big", OPERATOR, NOW)
    assert not press.path(old).exists()
    assert not press.path(other).exists()
    with pytest.raises(Conflict, match="batch_shredded"):
        press.fetched(other)
    with pytest.raises(Conflict, match="batch_shredded"):
        press.order(press.range(4, 5))


def test_a_batch_that_is_shredded_while_its_file_is_put_in_place_leaves_none(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, place, shredders = press.order(), making.put_in_place, list[threading.Thread]()

    def shredded_meanwhile(part: Path, path: Path) -> None:
        shredders.append(threading.Thread(target=shred, args=(press.db, "Big", OPERATOR, NOW)))
        shredders[0].start()
        shredders[0].join(0.3)
        place(part, path)

    monkeypatch.setattr(making, "put_in_place", shredded_meanwhile)
    press.make(run_id)
    shredders[0].join(20)
    assert not shredders[0].is_alive()
    assert list(press.folder.iterdir()) == []
    with pytest.raises(Conflict, match="batch_shredded"):
        press.fetched(run_id)


def test_a_file_that_is_gone_is_no_download(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = press.printed()

    def gone_meanwhile(run: PrintRun, path: Path, now: datetime) -> bool:
        path.unlink()
        return True

    with monkeypatch.context() as patch:
        patch.setattr(files, "is_ready", gone_meanwhile)
        with pytest.raises(NotFound, match="print_run_gone"):
            press.fetched(run_id)
    assert press.view(run_id).downloads == 0
    with pytest.raises(Conflict, match="print_run_not_fetched"):
        runs.confirm(press.db, run_id, OPERATOR, LATER)


def test_who_may_not_print_any_more_fetches_nothing(press: Press) -> None:
    run_id = press.printed()
    with pytest.raises(Forbidden):
        press.fetched(run_id, replace(OPERATOR, role="support"))


def test_a_day_old_file_is_deleted(press: Press) -> None:
    run_id = press.printed()
    assert files.remove_old(press.db, NOW + timedelta(days=1)) == 1
    assert not press.path(run_id).exists()
    with pytest.raises(NotFound, match="print_run_gone"):
        press.fetched(run_id)


def test_only_who_ordered_it_fetches_or_confirms(press: Press) -> None:
    run_id = press.printed()
    other = staff.add_staff(press.db, "other", "Other", "admin", None, CONSOLE, NOW)[0].actor
    assert not press.view(run_id, other).mine
    with pytest.raises(NotFound, match="print_run_not_found"):
        press.fetched(run_id, other)
    with pytest.raises(NotFound, match="print_run_not_found"):
        runs.confirm(press.db, run_id, other, NOW)


def test_nothing_is_readable_on_the_disk_or_in_rows(press: Press) -> None:
    run_id = press.printed(printer_id=printers.add(press.db, "Back", (500, 0), OPERATOR, NOW).id)
    sealed = press.path(run_id).read_bytes()
    assert press.path(run_id).stat().st_mode & 0o777 == 0o600
    assert b"%PDF" not in sealed
    assert [path.name for path in press.folder.iterdir()] == [press.path(run_id).name]
    with press.db.begin() as session:
        rows = "".join(
            str(session.scalars(text(f"SELECT string_agg(t::text, ' ') FROM {table} t")).all())
            for table in ("print_run", "print_run_part", "work", "audit", "idempotent_request", "card_event")
        )
    for card in press.cards:
        for secret in (card.number, card.password):
            assert secret not in rows
            assert secret.encode() not in sealed
    broken = press.path(run_id)
    broken.write_bytes(sealed[:-1])
    with pytest.raises(SealBroken):
        press.fetched(run_id)


def test_a_run_that_was_killed_is_made_anew_and_is_one_issue(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = press.order()

    for step in ("_record", "put_in_place"):
        found = work.claim(press.db, "test", [runs.KIND], NOW + timedelta(hours=1))
        assert found is not None
        with monkeypatch.context() as patch:
            patch.setattr(making, step, kill)
            with pytest.raises(Killed):
                making.make(press.db, press.vault, found, lambda: NOW)
        work.release(press.db, found)
    assert not press.path(run_id).exists()
    press.make(run_id)
    with pikepdf.open(io.BytesIO(press.fetched(run_id))) as opened:
        assert len(opened.pages) == 1
    with press.db.begin() as session:
        told = session.scalars(select(AuditRow.action).where(AuditRow.action == "print_run.make")).all()
    assert len(told) == 1, "a file is written down where it is in its place"


def test_what_was_cut_off_while_it_was_confirmed_is_deleted_later(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = press.printed()
    press.fetched(run_id)
    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", kill)
        with pytest.raises(Killed):
            runs.confirm(press.db, run_id, OPERATOR, NOW)
    assert press.path(run_id).exists()
    assert files.remove_old(press.db, NOW + timedelta(days=1)) == 1
    assert not press.path(run_id).exists()


def test_what_is_in_its_place_is_not_stopped_and_not_confirmed_before_its_work_ended(press: Press) -> None:
    run_id = press.order()
    found = work.claim(press.db, "test", [runs.KIND], NOW)
    assert found is not None
    making.make(press.db, press.vault, found, lambda: NOW)
    press.fetched(run_id)
    work.release(press.db, found)
    assert not runs.cancel(press.db, run_id, OPERATOR, NOW)
    with pytest.raises(Conflict, match="print_run_not_made"):
        runs.confirm(press.db, run_id, OPERATOR, NOW)
    press.make(run_id)
    assert press.view(run_id).state == "ready"
    press.fetched(run_id)
    assert runs.confirm(press.db, run_id, OPERATOR, NOW).cards == 12


def test_it_is_stopped_up_to_the_moment_it_is_written_down(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = press.order()
    found = work.claim(press.db, "test", [runs.KIND], NOW)
    assert found is not None
    record = making._record

    def stopped_just_before(*args: Any) -> None:
        assert runs.cancel(press.db, run_id, OPERATOR, NOW)
        record(*args)

    monkeypatch.setattr(making, "_record", stopped_just_before)
    with pytest.raises(work.Stopped, match="work_cancelled"):
        making.make(press.db, press.vault, found, lambda: NOW)
    assert press.view(run_id).made_at is None
    assert list(press.folder.iterdir()) == []


def test_a_card_that_was_reset_does_not_keep_a_batch_from_shredding(press: Press) -> None:
    lifecycle.reset_password(press.db, press.vault, card_id=press.cards[2].id, actor=OPERATOR, now=NOW)
    run_id = press.printed()
    press.fetched(run_id)
    assert runs.confirm(press.db, run_id, OPERATOR, LATER).may_shred


def test_a_second_person_is_needed_where_the_house_wants_one(press: Press) -> None:
    scenes.setting(press.db, "consent_exports", True)
    with pytest.raises(ConsentNeeded) as needed:
        press.order(press.range(0, 3))
    assert needed.value.data["facts"]["first"] == press.cards[0].serial
    scenes.consented(press.db, needed.value)
    run_id = press.order(press.range(0, 3))
    press.make(run_id)
    assert numbers_in(press.fetched(run_id), press.cards) == [0, 1, 2, 3]
    with pytest.raises(ConsentNeeded):  # it was for one run
        press.order(press.range(0, 3), again=True, reason="jam")


def test_whoever_may_not_print_any_more_gets_no_file(press: Press) -> None:
    who = staff.add_staff(press.db, "other", "Other", "operator", None, CONSOLE, NOW)[0]
    run_id = press.order(actor=who.actor)
    staff.disable_staff(press.db, "other", CONSOLE, NOW)
    with pytest.raises(Conflict, match="print_not_theirs"):
        press.make(run_id)


def test_wrong_orders_are_refused(press: Press) -> None:
    more = scenes.batch(press.db, press.vault, 3, name="More")
    for cards, error, code in (
        (Range(press.cards[-1].id, more[0].id), InvalidInput, "one_batch_a_run"),
        (Range(more[-1].id, more[-1].id + 1), NotFound, "cards_not_found"),
        (Range(press.cards[0].id, press.cards[0].id + runs.MOST), InvalidInput, "print_too_many"),
    ):
        with pytest.raises(error, match=code):
            press.order(cards)
    for how, error, code in (
        ({"start_at": 0}, InvalidInput, "start_off_the_sheet"),
        ({"start_at": 66}, InvalidInput, "start_off_the_sheet"),
        ({"printer_id": 99}, NotFound, "printer_not_found"),
    ):
        with pytest.raises(error, match=code):
            press.order(**how)
    press.design = 99
    with pytest.raises(NotFound, match="print_design_not_found"):
        press.order()


def test_the_same_key_orders_one_run(press: Press) -> None:
    assert press.order(key="once") == press.order(key="once")
    with pytest.raises(Conflict, match="key_reused"):
        press.order(press.range(0, 1), key="once")


# --- a reseller's people ---


@dataclass
class Shop:
    """A reseller with an account and somebody who works there."""

    id: int
    actor: Actor


@pytest.fixture
def shop(press: Press) -> Callable[[str], Shop]:
    def make(name: str) -> Shop:
        made = resellers.add_reseller(press.db, name, OPERATOR, NOW, discount_bp=1000)
        person = resellerpeople.add_person(
            press.db, made.id, name.lower(), name, "owner", None, OPERATOR, NOW
        )[0]
        accounts.open_account(
            press.db,
            name=name,
            kind="reseller",
            currency="USD",
            reseller_id=made.id,
            credit_limit=USD("1000"),
            actor=OPERATOR,
            now=NOW,
        )
        return Shop(made.id, person.actor)

    return make


def test_a_reseller_prints_its_own_stock_and_sees_no_other_run(
    press: Press, shop: Callable[[str], Shop]
) -> None:
    one, two = shop("Corner"), shop("Harbour")
    resale.assign(press.db, press.range(0, 3), OPERATOR, NOW, reseller_id=one.id)
    for cards in (press.range(0, 4), press.range(4, 5), Range(1, 2)):
        with pytest.raises(NotFound, match="cards_not_found"):
            press.order(cards, one.actor)
        with pytest.raises(NotFound, match="cards_not_found"):
            runs.outlook(press.db, cards, one.actor, NOW)
    mine = press.printed(press.range(0, 3), one.actor)
    assert numbers_in(press.fetched(mine, one.actor), press.cards) == [0, 1, 2, 3]
    theirs = press.printed(press.range(4, 5))
    assert [row.id for row in runviews.runs(press.db, one.actor, NOW).runs] == [mine]
    assert runviews.runs(press.db, two.actor, NOW).runs == ()
    assert [row.id for row in runviews.runs(press.db, OPERATOR, NOW).runs] == [theirs, mine]
    for actor, run_id in ((one.actor, theirs), (two.actor, mine)):
        for act in (runs.confirm, runs.cancel, runviews.run):
            with pytest.raises(NotFound, match="print_run_not_found"):
                act(press.db, run_id, actor, NOW)
        with pytest.raises(NotFound, match="print_run_not_found"):
            press.fetched(run_id, actor)
    press.fetched(mine, one.actor)
    assert not runs.confirm(press.db, mine, one.actor, LATER).may_shred
    designs.change(press.db, press.design, OPERATOR, NOW, name="Sheet", design=Design(), for_resellers=False)
    with pytest.raises(NotFound, match="print_design_not_found"):
        press.order(press.range(0, 3), one.actor, again=True, reason="jam")


def test_a_reseller_cannot_print_what_it_could_use_unpaid_or_has_sold(
    press: Press, shop: Callable[[str], Shop]
) -> None:
    one = shop("Corner")
    custody.activate(press.db, press.range(0, 1), OPERATOR, NOW)
    resale.assign(press.db, press.range(), OPERATOR, NOW, reseller_id=one.id)
    ahead = runs.outlook(press.db, press.range(), one.actor, NOW)
    assert (ahead.cards, ahead.left_out) == (10, {"not_charged": 2})
    press.printed(press.range(2, 5), one.actor)
    resale.activate(press.db, press.range(0, 3), one.actor, NOW)
    resale.sell(press.db, press.range(2, 3), one.actor, NOW)
    # What it sold belongs to who bought it; what was charged and never printed may be printed now.
    ahead = runs.outlook(press.db, press.range(), one.actor, NOW, again=True)
    assert ahead.left_out == {"sold": 2}
    assert runs.outlook(press.db, press.range(), one.actor, NOW).left_out == {"sold": 2, "issued": 2}


def test_a_reseller_that_lost_its_cards_or_its_log_in_gets_no_file(
    press: Press, shop: Callable[[str], Shop]
) -> None:
    one, two = shop("Corner"), shop("Harbour")
    resale.assign(press.db, press.range(0, 3), OPERATOR, NOW, reseller_id=one.id)
    run_id = press.order(press.range(0, 3), one.actor)
    resale.assign(press.db, press.range(1, 1), OPERATOR, NOW, reseller_id=two.id, transfer=True)
    with pytest.raises(Conflict, match="print_not_theirs"):
        press.make(run_id)
    other = press.order(press.range(1, 1), two.actor)
    resellers.disable_reseller(press.db, two.id, OPERATOR, NOW)
    with pytest.raises(Conflict, match="print_not_theirs"):
        press.make(other)


def test_a_file_is_not_fetched_by_whoever_has_the_cards_no_more(
    press: Press, shop: Callable[[str], Shop]
) -> None:
    one, two = shop("Corner"), shop("Harbour")
    resale.assign(press.db, press.range(0, 3), OPERATOR, NOW, reseller_id=one.id)
    run_id = press.printed(press.range(0, 3), one.actor)
    resale.assign(press.db, press.range(3, 3), OPERATOR, NOW, reseller_id=two.id, transfer=True)
    with pytest.raises(NotFound, match="cards_not_found"):
        press.fetched(run_id, one.actor)
    assert press.view(run_id).downloads == 0


@pytest.mark.parametrize("way", ["transfer", "taken back", "given back", "released"])
def test_a_password_that_a_reseller_printed_is_nobody_elses_before_it_is_reset(
    press: Press, shop: Callable[[str], Shop], way: str
) -> None:
    db, cards = press.db, press.range(0, 3)
    one, two = shop("Corner"), shop("Harbour")
    resale.assign(db, cards, OPERATOR, NOW, reseller_id=one.id)
    charged = way == "given back"
    if charged:
        resale.activate(db, cards, one.actor, NOW)
    run_id = press.printed(cards, one.actor)
    if way == "released":
        # Fetched at the very moment at which they were taken from it.
        resale.unassign(db, cards, OPERATOR, NOW)
        with db.begin() as session:
            session.execute(text("UPDATE print_run SET downloads = 1"))
    else:
        press.fetched(run_id, one.actor)
    lifecycle.reset_password(db, press.vault, card_id=press.cards[1].id, actor=OPERATOR, now=NOW)
    lifecycle.damage(db, card_id=press.cards[2].id, reason="Printed", actor=OPERATOR, now=NOW)

    if way == "transfer":
        done = resale.assign(db, cards, OPERATOR, LATER, reseller_id=two.id, transfer=True)
        assert (done.changed, done.why) == (1, {"damaged": 1, "printed_by_reseller": 2})
    elif way == "taken back":
        done = resale.unassign(db, cards, OPERATOR, LATER)
        assert (done.changed, done.why) == (2, {"printed_by_reseller": 2})
        again = resale.activate(db, press.range(0, 0), one.actor, LATER)
        assert again.changed == 1, "who printed it may sell it"
    elif way == "given back":
        done = resale.give_back(db, cards, one.actor, LATER, to_operator=True)
        assert (done.changed, done.why) == (2, {"printed_by_reseller": 2})
        assert resale.give_back(db, press.range(0, 0), one.actor, LATER).changed == 1, "its own it may stay"
    else:
        released = custody.activate(db, cards, OPERATOR, LATER)
        assert (released.changed, released.why) == (1, {"damaged": 1, "printed_by_reseller": 2})
        assert resale.assign(db, cards, OPERATOR, LATER, reseller_id=two.id).why["printed_by_reseller"] == 2
        assert resale.assign(db, press.range(0, 0), OPERATOR, LATER, reseller_id=one.id).changed == 1
    assert scenes.facts(db, press.cards[0]).reseller_id == one.id


def test_a_run_is_not_confirmed_for_cards_that_went_elsewhere(
    press: Press, shop: Callable[[str], Shop]
) -> None:
    one, two = shop("Corner"), shop("Harbour")
    resale.assign(press.db, press.range(0, 3), OPERATOR, NOW, reseller_id=one.id)
    run_id = press.printed(press.range(0, 3), one.actor)
    press.fetched(run_id, one.actor)
    lifecycle.reset_password(press.db, press.vault, card_id=press.cards[3].id, actor=OPERATOR, now=NOW)
    resale.assign(press.db, press.range(3, 3), OPERATOR, NOW, reseller_id=two.id, transfer=True)
    with pytest.raises(NotFound, match="cards_not_found"):
        runs.confirm(press.db, run_id, one.actor, LATER)
    assert scenes.facts(press.db, press.cards[3]).printed_at is None


def test_what_a_reseller_sells_before_it_is_printed_again_is_left_out(
    press: Press, shop: Callable[[str], Shop]
) -> None:
    one = shop("Corner")
    resale.assign(press.db, press.range(0, 3), OPERATOR, NOW, reseller_id=one.id)
    press.printed(press.range(0, 3), one.actor)
    again = press.order(press.range(0, 3), one.actor, again=True, reason="jam")
    resale.activate(press.db, press.range(0, 1), one.actor, NOW)
    resale.sell(press.db, press.range(0, 1), one.actor, NOW)
    press.make(again)
    assert numbers_in(press.fetched(again, one.actor), press.cards) == [2, 3]
    assert press.view(again).left_out == {"sold": 2}


def test_a_reseller_needs_a_second_person_to_print_again_and_a_yes_is_for_one_run(
    press: Press, shop: Callable[[str], Shop]
) -> None:
    one = shop("Corner")
    resale.assign(press.db, press.range(0, 3), OPERATOR, NOW, reseller_id=one.id)
    scenes.setting(press.db, "consent_exports", True)
    press.printed(press.range(0, 3), one.actor)
    how = {"actor": one.actor, "again": True, "reason": "jam"}
    with pytest.raises(ConsentNeeded) as needed:
        press.order(press.range(0, 3), **how)
    number = consents.ask(press.db, **needed.value.data, reason="jam", actor=one.actor, now=NOW)
    second = scenes.second_person(press.db)
    consents.decide(press.db, consent_id=number, approve=True, actor=second, now=NOW)
    first, other = press.order(press.range(0, 3), **how), press.order(press.range(0, 3), **how)
    press.make(first)
    with pytest.raises(ConsentNeeded):
        press.make(other)
    assert press.view(other).state == "failed"


def test_another_persons_printer_is_nowhere(press: Press, shop: Callable[[str], Shop]) -> None:
    one, two = shop("Corner"), shop("Harbour")
    mine = printers.add(press.db, "Till", (100, -200), one.actor, NOW)
    assert printers.printers(press.db, one.id) == (mine,)
    assert printers.printers(press.db, None) == printers.printers(press.db, two.id) == ()
    for actor in (two.actor, OPERATOR, SYSTEM):
        with pytest.raises(NotFound, match="printer_not_found"):
            printers.change(press.db, mine.id, actor, NOW, name="X", offset_um=(0, 0))
        with pytest.raises(NotFound, match="printer_not_found"):
            printers.remove(press.db, mine.id, actor, NOW)
    with pytest.raises(InvalidInput, match="name_taken"):
        printers.add(press.db, "Till", (0, 0), one.actor, NOW)
    with pytest.raises(InvalidInput, match="offset_too_large"):
        printers.add(press.db, "Other", (20_001, 0), one.actor, NOW)


def test_a_hand_over_still_counts_as_its_own(press: Press) -> None:
    wanted = export.wanted_file("csv")
    assert handover.order(press.db, press.vault, "Big", wanted, press.folder, OPERATOR, NOW)
