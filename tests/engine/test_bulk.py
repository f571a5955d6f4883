"""Bulk commands: what is frozen, what counts once, what is refused and why, cancelled, resumed, fetched."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine import work
from engine.bulk import handler, runs
from engine.bulk.export import COLUMNS, KEPT, exported, remove_old
from engine.bulk.orders import VERBS, BulkOrder, Listed, read_list, serial_ranges
from engine.bulk.preview import preview
from engine.bulk.runs import Expected, cancel, confirm, resume
from engine.bulk.views import list_runs, refused, refused_csv, show
from engine.cards import lifecycle
from engine.cards.search import CardFilter
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import Conflict, EngineError, Forbidden, InvalidInput, NotFound
from engine.funds import recharges
from engine.people.resellers import add_reseller, disable_reseller
from engine.permissions import COMMANDS
from engine.schema import Card
from engine.stock import custody, resale
from engine.vault import Vault
from tests import scenes
from tests.engine.bulkscenes import LATER, audited, bulk, do, entries, listed, timeline
from tests.engine.test_resale import shop
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

CALLER = "491711234567"
RECHARGE = {"amount": USD("2"), "bonus": USD("0.50")}


@pytest.fixture
def cards(db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> list[TestCard]:
    """Ten unused cards; runs take four at a time."""
    monkeypatch.setattr(runs, "CHUNK", 4)
    return scenes.batch(
        db, vault, 10, name="May", binding="multi", max_bound=1, pinless=True, first_use="answered_call"
    )


def put(db: Database, card: TestCard, **values: Any) -> None:
    """Change facts of a card behind the counter."""
    with db.begin() as session:
        row = session.get_one(Card, card.id)
        for name, value in values.items():
            setattr(row, name, value)


def test_every_verb_is_a_command() -> None:
    assert {f"bulk.{verb}" for verb in VERBS} <= set(COMMANDS)


# --- targets ---


def test_a_card_that_fits_later_is_not_touched_and_one_that_fits_no_more_is_judged_as_it_is(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    for card in cards[:6]:
        put(db, card, locked_at=NOW, locked_by="staff:7", lock_reason="lost")
    run_id = confirm(db, BulkOrder("recharge", CardFilter(statuses=("unused",)), RECHARGE), OPERATOR, LATER)
    lifecycle.unlock(db, vault, card_id=cards[0].id, actor=OPERATOR, now=LATER)
    lifecycle.lock(db, card_id=cards[9].id, reason="stolen", actor=OPERATOR, now=LATER)
    run = do(db, vault, run_id)
    assert (run.cards, run.changed, run.refused, run.reasons) == (4, 3, 1, {"locked": 1})
    assert run.amount == 3 * USD("2.50")
    assert [entries(db, card.id) for card in (cards[0], cards[9])] == [[], []]
    assert [line.serial for line in refused(db, run_id)] == [cards[9].serial]
    assert list(refused_csv(db, run_id))[1] == f"{cards[9].serial},locked,The card is locked.\r\n"


def test_targets_are_in_ascending_order_in_chunks(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    by_filter = confirm(db, BulkOrder("unlock", CardFilter()), OPERATOR, LATER)
    by_list = confirm(db, BulkOrder("unlock", listed(*reversed(cards), cards[3])), OPERATOR, LATER)
    with db.begin() as session:
        rows = session.execute(text("SELECT run_id, n, card_ids FROM bulk_chunk ORDER BY run_id, n")).all()
    ids = [card.id for card in cards]
    chunks = [(0, ids[:4]), (1, ids[4:8]), (2, ids[8:])]
    assert [(row.n, row.card_ids) for row in rows] == chunks + chunks
    assert {row.run_id for row in rows} == {by_filter, by_list}


def test_what_differs_from_what_was_seen_does_nothing(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    order = BulkOrder("recharge", CardFilter(statuses=("unused", "locked")), RECHARGE)
    seen = preview(db, order, LATER)
    assert (seen.cards, seen.amount, seen.moves) == (10, USD("25"), {"USD": USD("25")})
    with pytest.raises(Conflict, match="targets_changed"):
        confirm(db, order, OPERATOR, LATER, expected=Expected(9))
    lifecycle.lock(db, card_id=cards[0].id, reason="lost", actor=OPERATOR, now=LATER)
    with pytest.raises(Conflict, match="targets_changed"):
        confirm(db, order, OPERATOR, LATER, expected=Expected(10, seen.amount))
    assert list_runs(db) == []
    assert audited(db, "bulk.recharge") == []
    assert confirm(db, order, OPERATOR, LATER, expected=Expected(10, USD("22.50")))
    with pytest.raises(Conflict, match="no_targets"):
        confirm(db, BulkOrder("unlock", CardFilter(statuses=("empty",))), OPERATOR, LATER)


@pytest.mark.parametrize(("verb", "params"), [("recharge", RECHARGE), ("damage", {})])
def test_as_many_other_cards_are_not_the_ones_that_were_seen(
    db: Database, vault: Vault, cards: list[TestCard], verb: str, params: dict[str, Any]
) -> None:
    lifecycle.lock(db, card_id=cards[0].id, reason="lost", actor=OPERATOR, now=LATER)
    order = BulkOrder(verb, CardFilter(statuses=("locked",)), params, "why")
    seen = preview(db, order, LATER)
    expected = Expected(seen.cards, seen.amount, seen.digest)
    lifecycle.unlock(db, vault, card_id=cards[0].id, reason="found", actor=OPERATOR, now=LATER)
    lifecycle.lock(db, card_id=cards[1].id, reason="lost", actor=OPERATOR, now=LATER)
    again = preview(db, order, LATER)
    assert (again.cards, again.amount) == (seen.cards, seen.amount)
    with pytest.raises(Conflict, match="targets_changed"):
        confirm(db, order, OPERATOR, LATER, expected=expected)
    assert list_runs(db) == []
    assert confirm(db, order, OPERATOR, LATER, expected=Expected(again.cards, again.amount, again.digest))


def test_a_list_is_the_same_cards_whatever_its_order(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    one, other = (
        preview(db, BulkOrder("lock", chosen, {}, "why"), LATER)
        for chosen in (listed(*cards), listed(*reversed(cards), cards[3]))
    )
    assert one.digest == other.digest
    order = BulkOrder("lock", listed(*reversed(cards)), {}, "why")
    assert confirm(db, order, OPERATOR, LATER, expected=Expected(len(cards), 0, one.digest))


def test_one_run_moves_one_currency(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    euro = scenes.batch(db, vault, 2, name="Euro", currency="EUR", deck="Euro")
    order = BulkOrder("recharge", CardFilter(), RECHARGE)
    for act in (lambda: preview(db, order, LATER), lambda: confirm(db, order, OPERATOR, LATER)):
        with pytest.raises(InvalidInput, match="currency_mismatch"):
            act()
    assert bulk(db, vault, replace(order, targets=CardFilter(currency="EUR"))).currency == "EUR"
    assert facts(db, euro[0]).balance == USD("7.50")
    assert bulk(db, vault, BulkOrder("change_deck", CardFilter(), {"deck": "Euro"})).reasons == {
        "currency_mismatch": 10
    }


def test_a_list_is_read_and_its_mistakes_are_told_with_their_line(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    serials = [card.serial for card in cards[:3]]
    read = read_list("Serial\n" + "\n\n".join(serials) + "\n")
    assert (read.card_ids, read.lines) == (tuple(card.id for card in cards[:3]), (2, 4, 6))
    ranged = serial_ranges(f"{cards[0].serial}-{cards[2].serial}, {cards[7].serial}")
    assert ranged.card_ids == tuple(cards[at].id for at in (0, 1, 2, 7))
    with pytest.raises(InvalidInput, match="bad_line") as told:
        read_list(f"{serials[0]}\n10000000000\n")
    assert told.value.data["line"] == 2
    unknown = read_list(f"{serials[0]}\n{serial_of(2_000_000_000)}\n{serials[1]}")
    order = BulkOrder("unlock", unknown)
    for act in (lambda: preview(db, order, LATER), lambda: confirm(db, order, OPERATOR, LATER)):
        with pytest.raises(InvalidInput, match="bad_line") as told:
            act()
        assert (told.value.data["line"], told.value.data["problem"]) == (2, "card_not_found")
    with pytest.raises(InvalidInput, match="cards_not_found"):
        preview(db, BulkOrder("unlock", Listed((cards[0].id, 2_000_000_000))), LATER)
    pairs = read_list(f"{serials[0]}; +49 171 1234567\n{serials[1]},491721234567", callers=True)
    assert pairs.callers == ("491711234567", "491721234567")
    with pytest.raises(InvalidInput, match="bad_line"):
        preview(db, BulkOrder("bind", read_list(f"{serials[0]},+491711234567\n" * 2, callers=True)), LATER)


# --- once ---


def test_twice_with_one_key_is_one_run(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    order = BulkOrder("recharge", CardFilter(), RECHARGE, "Christmas")
    first = confirm(db, order, OPERATOR, LATER, "key")
    assert confirm(db, order, OPERATOR, LATER + timedelta(days=1), "key") == first
    with pytest.raises(Conflict, match="key_reused"):
        confirm(db, replace(order, reason="Easter"), OPERATOR, LATER, "key")
    do(db, vault, first)
    assert len(list_runs(db)) == 1
    assert facts(db, cards[0]).balance == USD("7.50")
    (row,) = audited(db, "bulk.recharge")
    assert (row.actor, row.subject, row.reason) == (str(OPERATOR), f"run:{first}", "Christmas")
    assert (row.data["cards"], row.data["filter"], row.data["amount"]) == (10, {}, USD("25"))
    with db.begin() as session:
        session.execute(text("DELETE FROM idempotent_request"))
    with pytest.raises(Conflict, match="key_reused"):
        confirm(db, order, OPERATOR, LATER, "key")


def test_a_cancelled_run_stops_between_chunks_and_goes_on_where_it_was(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    run_id = confirm(db, BulkOrder("recharge", CardFilter(), RECHARGE), OPERATOR, LATER)
    work_id = show(db, run_id).work_id
    claimed = work.claim(db, "test", ["bulk"], LATER, work_id=work_id)
    assert claimed is not None
    times: list[None] = []

    def clock() -> datetime:
        times.append(None)
        if len(times) == 2:  # between the first chunk and the second
            assert cancel(db, run_id, OPERATOR, LATER)
        return LATER

    with pytest.raises(work.Stopped, match="work_cancelled"):
        handler.run(db, vault, claimed, clock)
    work.mark_cancelled(db, claimed, LATER)
    half = show(db, run_id)
    assert (half.state, half.changed, half.amount) == ("cancelled", 4, 4 * USD("2.50"))
    assert not cancel(db, run_id, OPERATOR, LATER)
    resume(db, run_id, OPERATOR, LATER)
    with pytest.raises(Conflict, match="work_not_stopped"):
        resume(db, run_id, OPERATOR, LATER)
    done = do(db, vault, run_id)
    assert (done.state, done.changed, done.amount) == ("done", 10, USD("25"))
    assert {facts(db, card).balance for card in cards} == {USD("7.50")}
    assert len(audited(db, "bulk.cancel")) == len(audited(db, "bulk.resume")) == 1


def test_nobody_finds_a_run_that_is_not_there(db: Database) -> None:
    for act in (
        lambda: show(db, 7),
        lambda: cancel(db, 7, OPERATOR, NOW),
        lambda: resume(db, 7, OPERATOR, NOW),
        lambda: list(refused_csv(db, 7)),
        lambda: exported(db, 7),
    ):
        with pytest.raises(NotFound, match="run_not_found"):
            act()


# --- verbs ---


def test_discarded_stock_is_void_and_its_opening_amount_goes_back(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[0], caller=CALLER)
    line.end(seconds=1)
    line.open(cards[1], ref="live", caller=CALLER)
    recharges.recharge(db, card_id=cards[2].id, amount=USD("1"), actor=OPERATOR, now=NOW)
    put(db, cards[3], damaged_at=NOW, damaged_by="staff:7")
    owner, charged = shop(db), custody.Range(cards[4].id, cards[4].id)
    resale.assign(db, charged, OPERATOR, NOW, reseller_id=owner.id)
    resale.activate(db, charged, owner.till, NOW)
    put(db, cards[5], sold_at=NOW)
    for amount in (-1, 1):
        recharges.adjust(db, card_id=cards[6].id, amount=amount, reason="x", actor=OPERATOR, now=NOW)
    run = bulk(db, vault, BulkOrder("discard", CardFilter(), reason="water"))
    assert run.reasons == {
        "stock_used": 3,
        "stock_in_call": 1,
        "damaged": 1,
        "stock_charged": 1,
        "stock_sold": 1,
    }
    assert (run.changed, run.amount, run.currency) == (3, -USD("15"), "USD")
    gone = facts(db, cards[9])
    assert (gone.balance, gone.damaged_by, gone.damage_reason) == (0, str(OPERATOR), "water")
    assert entries(db, cards[9].id) == [("discard", "sales", -USD("5"))]
    kind, data = timeline(db, cards[9].id)[-1]
    assert (kind, data["amount"], data["run"], data["reason"]) == ("discard", USD("5"), run.id, "water")
    line.end("live", seconds=60)


@pytest.mark.parametrize("verb", ["lock", "damage"])
def test_live_calls_go_on_to_their_end(db: Database, vault: Vault, cards: list[TestCard], verb: str) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[0], caller=CALLER)
    line.answer()
    assert bulk(db, vault, BulkOrder(verb, CardFilter(), reason="lost")).changed == 10
    line.later(60)
    assert line.end(seconds=60).charged > 0
    assert facts(db, cards[0]).held == 0


def test_whoever_used_a_locked_card_is_logged_out_and_unlocking_forgets_failures(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.authenticate(cards[0], caller="491711234567")
    for _ in range(2):
        line.authenticate(cards[1].with_password("00000000"))
    count = (
        "SELECT (SELECT count(*) FROM card_token),"
        " (SELECT count(*) FROM failure_counter WHERE window_ends_at IS NULL)"
    )
    with db.begin() as session:
        tokens, failures = session.execute(text(count)).one()
    assert (tokens, failures) == (1, 1)
    bulk(db, vault, BulkOrder("lock", CardFilter(), reason="audit"))
    bulk(db, vault, BulkOrder("unlock", CardFilter()))
    with db.begin() as session:
        assert tuple(session.execute(text(count)).one()) == (0, 0)


def test_assigned_stock_is_a_resellers_until_it_comes_back(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    buyer = add_reseller(db, "Shop", OPERATOR, NOW)
    kiosk = shop(db, "Kiosk")
    put(db, cards[0], reseller_id=kiosk.id)
    put(db, cards[1], sold_at=NOW)
    put(db, cards[2], reseller_id=kiosk.id)
    resale.activate(db, custody.Range(cards[2].id, cards[2].id), kiosk.till, NOW)
    put(db, cards[3], first_used_at=NOW)
    to_shop = {"reseller_id": buyer.id}
    run = bulk(db, vault, BulkOrder("assign", CardFilter(), to_shop))
    assert run.reasons == {"stock_other_reseller": 2, "stock_sold": 1, "stock_used": 1}
    run = bulk(db, vault, BulkOrder("assign", CardFilter(), {**to_shop, "transfer": True}))
    assert (run.changed, run.unchanged) == (1, 6)
    assert timeline(db, cards[0].id) == [
        ("assign", {"before": kiosk.id, "reseller": buyer.id, "run": run.id})
    ]
    back = bulk(db, vault, BulkOrder("assign", CardFilter(reseller_id=buyer.id), {"reseller_id": None}))
    assert back.changed == 7
    assert timeline(db, cards[9].id)[-1] == ("unassign", {"reseller": buyer.id, "run": back.id})
    with pytest.raises(NotFound, match="reseller_not_found"):
        preview(db, BulkOrder("assign", CardFilter(), {"reseller_id": 99}), LATER)


def test_a_reseller_that_is_disabled_after_the_confirmation_gets_nothing(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    shop = add_reseller(db, "Shop", OPERATOR, NOW)
    run_id = confirm(db, BulkOrder("assign", CardFilter(), {"reseller_id": shop.id}), OPERATOR, LATER)
    disable_reseller(db, shop.id, OPERATOR, LATER)
    done = do(db, vault, run_id)
    assert (done.changed, done.reasons) == (0, {"stock_reseller_disabled": 10})
    assert facts(db, cards[0]).reseller_id is None


def test_sold_stock_is_discarded_only_once_it_was_returned(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    owner = shop(db)
    whole = custody.Range(cards[0].id, cards[-1].id)
    resale.assign(db, whole, OPERATOR, NOW, reseller_id=owner.id)
    resale.sell(db, whole, owner.till, NOW)
    resale.give_back(db, whole, owner.till, NOW, to_operator=True)
    assert bulk(db, vault, BulkOrder("discard", CardFilter(), reason="water")).changed == 10


def test_a_resellers_stock_is_not_released_past_its_account(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    owner = shop(db)
    held = custody.Range(cards[0].id, cards[3].id)
    custody.hold_back(db, held, OPERATOR, NOW)
    resale.assign(db, held, OPERATOR, NOW, reseller_id=owner.id)
    put(db, cards[0], released_at=NOW)
    resale.activate(db, custody.Range(cards[1].id, cards[1].id), owner.till, NOW)
    put(db, cards[1], released_at=None)  # charged, and held back since
    put(db, cards[9], released_at=None)
    run = bulk(db, vault, BulkOrder("activate", CardFilter()))
    assert (run.changed, run.unchanged, run.reasons) == (2, 6, {"resellers_stock": 2})
    assert facts(db, cards[1]).released_at == LATER


def test_deck_and_rules_change_with_their_names_told(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    from engine.calls.destinations import add_rules

    scenes.deck(db, name="Cheap")
    add_rules(db, "Strict", OPERATOR, NOW, barred=["premium"])
    vouchers = scenes.vouchers(db, vault, 1)
    deck = bulk(db, vault, BulkOrder("change_deck", CardFilter(), {"deck": "Cheap"}))
    assert deck.reasons == {"voucher_not_allowed": 1}
    assert timeline(db, cards[0].id) == [
        ("change_deck", {"before": "Standard", "deck": "Cheap", "run": deck.id})
    ]
    rules = bulk(db, vault, BulkOrder("change_rules", CardFilter(), {"rules": "Strict"}))
    assert timeline(db, vouchers[0].id) == [
        ("change_rules", {"before": "Standard", "rules": "Strict", "run": rules.id})
    ]
    for verb, params in (("change_deck", {"deck": "No"}), ("change_rules", {"rules": "No"})):
        with pytest.raises(NotFound):
            preview(db, BulkOrder(verb, CardFilter(), params), LATER)


def test_pairs_are_bound_each_caller_pinless_on_one_card(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    callers = tuple(f"49171000000{n}" for n in range(10))
    pairs = Listed(tuple(card.id for card in cards), callers)
    assert bulk(db, vault, BulkOrder("bind", pairs, {"pinless": True})).changed == 10
    assert bulk(db, vault, BulkOrder("bind", pairs, {"pinless": True})).unchanged == 10
    shifted = Listed(pairs.card_ids, (*callers[1:], callers[0]))
    assert bulk(db, vault, BulkOrder("bind", shifted, {"pinless": True})).reasons == {"pinless_elsewhere": 10}
    assert bulk(db, vault, BulkOrder("bind", shifted)).reasons == {"binding_full": 10}
    off = bulk(db, vault, BulkOrder("unbind", CardFilter(), {"caller": callers[3]}))
    assert (off.changed, off.unchanged) == (1, 9)
    with pytest.raises(InvalidInput, match="pinless_once"):
        preview(db, BulkOrder("bind", Listed((1, 2), (callers[0],) * 2), {"pinless": True}), LATER)


@pytest.mark.parametrize("format_", ["csv", "txt", "xlsx"])
def test_an_export_is_fetched_once_it_is_done(
    db: Database, vault: Vault, cards: list[TestCard], tmp_path: Path, format_: str
) -> None:
    order = BulkOrder("export", CardFilter(), {"format": format_, "folder": str(tmp_path / "out")})
    run_id = confirm(db, order, OPERATOR, LATER)
    with pytest.raises(Conflict, match="run_not_done"):
        exported(db, run_id)
    done = do(db, vault, run_id)
    made = exported(db, run_id)
    assert (made.rows, done.changed, made.path.stat().st_mode & 0o777) == (10, 10, 0o600)
    assert cards[0].password not in made.path.read_bytes().decode("latin-1")
    if format_ != "xlsx":
        lines = made.path.read_text().splitlines()
        sign = "," if format_ == "csv" else "\t"
        assert lines[0] == sign.join(COLUMNS)
        assert lines[1].split(sign)[:5] == [cards[0].serial, cards[0].number, "unused", "5.00", "USD"]
        assert len(lines) == 11
    assert remove_old(db, LATER + KEPT - timedelta(seconds=1)) == 0
    assert remove_old(db, LATER + KEPT) == 1
    assert remove_old(db, LATER + KEPT) == 0
    with pytest.raises(NotFound, match="export_gone"):
        exported(db, run_id)


# --- who and how much ---


def test_only_whom_the_table_names(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    support = replace(OPERATOR, role="support")
    for verb, params in (("lock", {}), ("recharge", RECHARGE), ("discard", {})):
        with pytest.raises(Forbidden):
            confirm(db, BulkOrder(verb, CardFilter(), params, "because"), support, LATER)
    assert list_runs(db) == []


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (BulkOrder("melt", CardFilter()), "not_a_choice"),
        (BulkOrder("lock", CardFilter()), "reason_missing"),
        (BulkOrder("extend", CardFilter(), {"days": 0}), "too_small"),
        (BulkOrder("extend", CardFilter(), {"days": 5, "speed": 1}), "unknown_parameter"),
        (BulkOrder("recharge", CardFilter(), {"amount": 0}), "amount_too_small"),
        (BulkOrder("recharge", CardFilter(), {"amount": 1.5}), "not_a_number"),
        (BulkOrder("recharge", CardFilter(), {"amount": 1, "bonus": -1}), "negative"),
        (BulkOrder("set_concurrency", CardFilter(), {"calls": "3"}), "not_a_number"),
        (BulkOrder("change_deck", CardFilter(), {}), "empty"),
        (BulkOrder("bind", CardFilter(), {}), "callers_missing"),
        (BulkOrder("unbind", CardFilter(), {"caller": "12"}), "bad_caller"),
        (BulkOrder("lock", Listed((1,), ("491711234567",)), {}, "x"), "callers_unwanted"),
        (BulkOrder("unlock", Listed(())), "list_empty"),
        (BulkOrder("export", CardFilter(), {"format": "pdf", "folder": "/x"}), "unknown_format"),
        (BulkOrder("export", CardFilter(), {"folder": "x"}), "not_a_file"),
    ],
)
def test_an_order_that_makes_no_sense(db: Database, order: BulkOrder, code: str) -> None:
    for act in (lambda: preview(db, order, LATER), lambda: confirm(db, order, OPERATOR, LATER)):
        with pytest.raises(EngineError) as told:
            act()
        assert told.value.code == code
