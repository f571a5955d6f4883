"""What an order would become, what became of a batch, and stock commands that are sent twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from engine import work
from engine.db import Database
from engine.errors import Conflict
from engine.people import resellers
from engine.schema import Batch, Card
from engine.stock import batches, custody, figures, imports, orders, outlook, resale
from engine.stock.batches import BatchOrder, order_batch
from engine.stock.custody import Range
from engine.stock.queries import batch_list
from engine.stock.shredding import shred
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD

ORDER = BatchOrder("Dhaka", 50, USD("5"), "USD", "Standard")
UTC_ZONE = ZoneInfo("UTC")


def codes(found: outlook.Outlook) -> list[tuple[str, str]]:
    return [(problem.code, problem.data["field"]) for problem in found.problems]


def test_an_outlook_tells_strength_and_room_and_changes_nothing(db: Database, vault: Vault) -> None:
    scenes.batch(db, vault, 10, name="Before", number_prefix="77", number_length=8)
    order = replace(ORDER, number_prefix="77", number_length=8, password_length=4)
    found = outlook.look(db, order, OPERATOR, NOW)
    assert found.problems == ()
    assert found.warnings == ("short_number", "short_password")
    assert (found.space, found.used, found.room) == (10**6, 10, 1000)
    assert found.tries == orders.strength(order) == 10**6 * 10**4 // 50
    assert found.value == USD("250")
    # Where there is room enough for all cards that ever were, they are not counted.
    wide = outlook.look(db, replace(ORDER, number_prefix="3"), OPERATOR, NOW)
    assert (wide.used, wide.exact) == (10, False)
    tight = outlook.look(db, replace(order, number_prefix="33", count=995), OPERATOR, NOW)
    assert (tight.used, tight.exact) == (0, True)
    assert [line.name for line in batch_list(db, NOW).batches] == ["Before"]


def test_an_outlook_names_all_that_is_wrong(db: Database, vault: Vault) -> None:
    scenes.card(db, vault, name="Dhaka")
    wrong = replace(ORDER, count=0, validity_days=-1, number_prefix="1" * 12)
    assert {"count", "validity_days", "number_prefix"} <= {
        field for _, field in codes(outlook.look(db, wrong, OPERATOR, NOW))
    }
    assert codes(outlook.look(db, ORDER, OPERATOR, NOW)) == [("name_taken", "name")]
    for change, told in (
        ({"deck": "Nowhere"}, ("unknown_deck", "deck")),
        ({"currency": "EUR"}, ("deck_currency", "deck")),
        ({"number_length": 7, "number_prefix": "12", "count": 101}, ("space_too_full", "number_length")),
        ({"range_first": "100000", "range_last": "100049", "count": 51}, ("range_too_small", "range_last")),
    ):
        assert codes(outlook.look(db, replace(ORDER, name="New", **change), OPERATOR, NOW)) == [told]
    dense = replace(ORDER, name="New", range_first="100000", range_last="100099")
    assert "dense_range" in outlook.look(db, dense, OPERATOR, NOW).warnings


def test_each_preset_is_an_order_that_could_be_made(db: Database) -> None:
    scenes.deck(db)
    for preset in outlook.PRESETS:
        order = replace(ORDER, **preset.changes)
        assert outlook.look(db, order, OPERATOR, NOW).problems == (), preset.name
    high = next(preset for preset in outlook.PRESETS if preset.name == "bind-high")
    assert (high.changes["binding"], "denomination" in high.changes) == ("single", False)


def test_a_name_is_proposed_that_is_free(db: Database, vault: Vault) -> None:
    def proposed(region: str = "Dhaka North") -> str:
        return outlook.proposed_name(db, region, USD("5.50"), "calling", NOW, UTC_ZONE)

    for name in (
        "Dhaka-North_5.5_November",
        "Dhaka-North_5.5_November_2026",
        "Dhaka-North_5.5_November_2026_2",
    ):
        assert proposed() == name
        scenes.card(db, vault, name=name)
    assert outlook.proposed_name(db, "", None, "voucher", NOW, UTC_ZONE) == "Voucher_November"
    assert outlook.proposed_name(db, "<i>=%\u202e", None, "calling", NOW, UTC_ZONE) == "i_November"


def test_another_like_a_batch_has_all_its_rules(db: Database, vault: Vault) -> None:
    shop = resellers.add_reseller(db, "Corner", OPERATOR, NOW)
    rules = {
        "binding": "multi",
        "max_bound": 3,
        "release": "activation",
        "post_call_fee": USD("0.02"),
        "extension_days": 30,
        "language": "fr",
        "reseller": shop.name,
        "luhn": True,
    }
    scenes.batch(db, vault, 3, name="First", **rules)
    order = outlook.order_like(db, 1)
    assert order == BatchOrder("First", 3, USD("5"), "USD", "Standard", **rules)
    assert outlook.order_like(db, 2) is None


def test_an_order_with_a_key_is_one_batch(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    first = order_batch(db, vault, ORDER, OPERATOR, NOW, key="k")
    assert order_batch(db, vault, ORDER, OPERATOR, NOW, key="k") == first
    with pytest.raises(Conflict, match="key_reused"):
        order_batch(db, vault, replace(ORDER, count=51), OPERATOR, NOW, key="k")
    with db.begin() as session:
        assert session.query(Batch).count() == 1


def test_a_generation_is_stopped_resumed_and_given_up(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    ordered = order_batch(db, vault, ORDER, OPERATOR, NOW)
    assert batches.stop(db, "Dhaka", OPERATOR, NOW)
    assert not batches.stop(db, "Dhaka", OPERATOR, NOW)
    assert batch_list(db, NOW, state="stopped").batches[0].state == "stopped"
    batches.resume(db, "Dhaka", OPERATOR, NOW)
    claimed = work.claim(db, "test", ["generate"], NOW, work_id=ordered.work_id)
    assert claimed is not None
    assert batches.stop(db, "Dhaka", OPERATOR, NOW)
    with pytest.raises(work.Stopped, match="work_cancelled"), db.connection() as conn:
        work.report(conn, claimed, 1, NOW)
    work.mark_cancelled(db, claimed, NOW)
    assert batches.discard(db, "Dhaka", OPERATOR, NOW, key="k") == 0
    assert batches.discard(db, "Dhaka", OPERATOR, NOW, key="k") == 0
    with pytest.raises(Conflict, match="batch_discarded"):
        batches.stop(db, "Dhaka", OPERATOR, NOW)


def test_what_is_sent_twice_with_a_key_is_told_as_the_first_time(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 4, name="Dhaka", release="activation")
    some = Range(cards[0].id, cards[2].id)
    for command in (
        custody.activate,
        custody.mark_printed,
        custody.mark_shipped,
        custody.mark_sold,
        custody.hold_back,
    ):
        first = command(db, some, OPERATOR, NOW, key="k")
        assert first.changed == 3
        again = command(db, some, OPERATOR, NOW, key="k")
        assert (again, again.why, again.batches) == (first, first.why, first.batches)
        assert command(db, some, OPERATOR, NOW, key="other").changed == 0
    for _ in range(2):
        shred(db, "Dhaka", OPERATOR, NOW, key="k")
    with pytest.raises(Conflict, match="batch_shredded"):
        shred(db, "Dhaka", OPERATOR, NOW, key="other")


def test_an_import_tells_who_asks_again_what_became_of_it(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    data = b"number,password,balance\n123456789012,12345678,5.00\n"
    order = replace(ORDER, name="Old")
    assert imports.imported_before(db, OPERATOR, "k") is None
    looked = imports.import_cards(db, vault, order, data, "a.csv", OPERATOR, NOW, dry_run=True, key="k")
    assert looked.headers == ("number", "password", "balance")
    assert imports.imported_before(db, OPERATOR, "k") is None
    imports.import_cards(db, vault, order, data, "a.csv", OPERATOR, NOW, key="k")
    assert imports.imported_before(db, OPERATOR, "k") == 1


def test_a_look_at_a_range_tells_what_the_command_then_does(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 6, name="Dhaka", release="activation")
    shop = resellers.add_reseller(db, "Corner", OPERATOR, NOW)
    whole = Range(cards[0].id, cards[-1].id)
    custody.activate(db, Range(cards[0].id, cards[1].id), OPERATOR, NOW)
    with db.begin() as session:
        session.get_one(Card, cards[1].id).first_used_at = NOW
    resale.assign(db, Range(cards[4].id, cards[4].id), OPERATOR, NOW, reseller_id=shop.id)
    for verb, command in (
        ("printed", custody.mark_printed),
        ("sold", custody.mark_sold),
        ("activate", custody.activate),
        ("hold_back", custody.hold_back),
    ):
        looked = custody.look(db, whole, verb, NOW)
        assert looked.changed
        done = command(db, whole, OPERATOR, NOW)
        assert (looked, looked.why) == (done, done.why)
    looked = custody.look(db, whole, "assign", NOW, reseller_id=shop.id)
    assigned = resale.assign(db, whole, OPERATOR, NOW, reseller_id=shop.id)
    assert (looked.changed, looked.why) == (assigned.changed, assigned.why)
    looked = custody.look(db, whole, "unassign", NOW)
    taken = resale.unassign(db, whole, OPERATOR, NOW)
    assert (looked.changed, looked.why) == (taken.changed, taken.why)


def test_figures_count_what_became_of_the_cards_and_who_has_them(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = scenes.batch(db, vault, 10, "5.00", name="Dhaka", release="activation")
    scenes.batch(db, vault, 2, name="Other")
    shop = resellers.add_reseller(db, "Corner", OPERATOR, NOW)

    def some(first: int, last: int) -> Range:
        return Range(cards[first].id, cards[last].id)

    custody.mark_printed(db, some(0, 9), OPERATOR, NOW)
    custody.activate(db, some(0, 3), OPERATOR, NOW)
    custody.mark_sold(db, some(0, 1), OPERATOR, NOW)
    resale.assign(db, some(8, 9), OPERATOR, NOW, reseller_id=shop.id)
    counted = figures.batch_figures(db, 1, NOW)
    assert counted is not None
    whole = counted.whole
    assert (whole.cards, whole.printed, whole.shipped, whole.sold, whole.activated, whole.unsold) == (
        10,
        10,
        0,
        2,
        4,
        2,
    )
    assert (whole.liability, whole.balance) == (USD("20"), USD("50"))
    assert [(part.reseller, part.figures.cards) for part in counted.holders] == [(None, 8), ("Corner", 2)]
    # A large batch is counted once a minute.
    monkeypatch.setattr(figures, "AT_ONCE", 5)
    kept = figures.batch_figures(db, 1, NOW)
    custody.mark_shipped(db, some(0, 9), OPERATOR, NOW)
    assert figures.batch_figures(db, 1, NOW + timedelta(seconds=59)) == kept
    later = figures.batch_figures(db, 1, NOW + timedelta(seconds=60))
    assert later is not None
    assert later.whole.shipped == 10
    assert figures.batch_figures(db, 3, NOW) is None


def test_a_list_is_narrowed_by_all_that_is_asked(db: Database, vault: Vault) -> None:
    shop = resellers.add_reseller(db, "Corner", OPERATOR, NOW)
    cards = scenes.batch(db, vault, 3, name="Dhaka_5%")
    scenes.vouchers(db, vault, 1, name="Manila")
    order_batch(db, vault, replace(ORDER, name="Waiting"), OPERATOR, NOW)
    order_batch(db, vault, replace(ORDER, name="Given up"), OPERATOR, NOW)
    batches.discard(db, "Given up", OPERATOR, NOW)
    resale.assign(db, Range(cards[1].id, cards[1].id), OPERATOR, NOW, reseller_id=shop.id)
    shred(db, "Manila", OPERATOR, NOW)

    def names(**asked: object) -> list[str]:
        return [line.name for line in batch_list(db, NOW, **asked).batches]  # type: ignore[arg-type]

    assert names(state="making") == ["Waiting"]
    assert names(state="ready") == ["Manila", "Dhaka_5%"]
    assert names(state="sealed") == ["Dhaka_5%"]
    assert names(state="shredded") == ["Manila"]
    assert names(state="discarded") == ["Given up"]
    assert names(kind="voucher") == ["Manila"]
    assert names(reseller_id=shop.id) == ["Dhaka_5%"]
    assert names(name="dhaka") == names(name="5%") == ["Dhaka_5%"]
    assert names(name="a\0") == []
    assert names(name="_5", kind="voucher") == []
