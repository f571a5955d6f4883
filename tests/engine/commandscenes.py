"""For each command of the engine, a world in which it can be done, and what doing it twice means.

`@scene("card.lock")` stands over a function that makes the world and gives the act: `act(actor, key)`. A new command
without a scene fails the tests that are made from the list of commands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, text

from engine import alarms, permissions, work
from engine.actor import SYSTEM, Actor
from engine.bulk import runs
from engine.bulk.orders import BulkOrder, Listed
from engine.calls import access_numbers, destinations, ending, reviews, trial
from engine.calls.deckchange import PriceChange, change_deck
from engine.calls.deckcosts import set_buy_deck
from engine.calls.decks import find_deck, import_deck, version_in_force
from engine.cards import binding, lifecycle, passwords, phones, speeddials
from engine.cards.access import Browser
from engine.db import Database
from engine.funds import accounts, autorules, bonus, checkouts, recharges, replacements, transfers
from engine.people import (
    alarmdesk,
    auditchain,
    brands,
    consents,
    jobdesk,
    policy,
    resellerpeople,
    resellers,
    staff,
    switches,
)
from engine.people.switches import SwitchIdentity
from engine.reports import exports, replays
from engine.schema import Card, Cdr, SwitchKey, Totp, WebSession
from engine.stock import batches, custody, export, handover, imports, resale, shipments, shredding, templates
from engine.stock.batches import BatchOrder
from engine.stock.forms import Form
from engine.stock.printing import designs, printers
from engine.stock.printing import runs as print_runs
from engine.stock.printing.design import Design
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard

Act = Callable[[Actor, str], Any]

AFTER = NOW + timedelta(hours=1)
CALLER = "491711234567"

ANEW = {
    "card.reset_password": "each gives another password",
    "staff.reset_password": "each gives another password",
    "switch.rotate": "refused where two keys live",
    "batch.export": "issued again with a reason",
    "destination_group.set": "states what holds from now on",
    "destination_rules.change": "states what holds from now on",
    "access_number.change": "states what holds from now on",
    "switch.change": "states what holds from now on",
    "staff.change": "states what holds from now on",
    "setting.set": "states what holds from now on",
    "cards.printed": "tells each time what was asked for",
    "cards.shipped": "tells each time what was asked for",
    "cards.sold": "tells each time what was asked for",
    "cards.activate": "tells each time what was asked for",
    "cards.hold_back": "tells each time what was asked for",
    "reseller_person.change": "states what holds from now on",
    "reseller_person.reset_password": "each gives another password",
    "audit.export_head": "a look at the trail, told each time",
    "audit.verify": "a look at the trail, told each time",
}
"""Commands that count each time they are called, and why that is meant."""


@dataclass
class World:
    """Where a command is done: a database of its own, and what most commands need, made when asked for."""

    db: Database
    vault: Vault
    folder: Path

    @cached_property
    def cards(self) -> list[TestCard]:
        """Three cards in use, from a batch that binds up to two callers."""
        made = scenes.batch(
            self.db, self.vault, 3, name="Cards", binding="multi", max_bound=2, auto_bind=False
        )
        self.use(*made)
        return made

    def use(self, *cards: TestCard) -> None:
        """Mark a first use, with a validity of 90 days."""
        with self.db.begin() as session:
            for card in cards:
                row = session.get_one(Card, card.id)
                row.first_used_at, row.expires_at = NOW, scenes.end_of_utc_day(NOW + timedelta(days=90))

    @cached_property
    def card_id(self) -> int:
        return self.cards[0].id

    @cached_property
    def switch(self) -> SwitchIdentity:
        return scenes.switch(self.db)

    @cached_property
    def stock(self) -> custody.Range:
        """A range of unused cards that are held back."""
        made = scenes.batch(self.db, self.vault, 4, name="Stock", release="activation")
        return custody.Range(made[0].id, made[-1].id)

    def queued_batch(self) -> str:
        """A batch that was ordered and stopped before a card was made."""
        scenes.deck(self.db)
        order = BatchOrder("Queued", 10, USD("5"), "USD", "Standard")
        ordered = batches.order_batch(self.db, self.vault, order, OPERATOR, NOW)
        with self.db.begin() as session:
            work.cancel(session, ordered.work_id, OPERATOR, NOW)
        return "Queued"


SCENES: dict[str, Callable[[World], Act]] = {}


def scene(name: str) -> Callable[[Callable[[World], Act]], Callable[[World], Act]]:
    """Register the world of a command."""

    def put(make: Callable[[World], Act]) -> Callable[[World], Act]:
        assert name in permissions.PERMISSIONS, name
        assert name not in SCENES, name
        SCENES[name] = make
        return make

    return put


# --- one card ---


@scene("card.lock")
def _lock(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: lifecycle.lock(w.db, card_id=card_id, reason="lost", actor=actor, now=AFTER)


@scene("card.unlock")
def _unlock(w: World) -> Act:
    card_id = w.card_id
    lifecycle.lock(w.db, card_id=card_id, reason="lost", actor=OPERATOR, now=NOW)
    return lambda actor, key: lifecycle.unlock(w.db, w.vault, card_id=card_id, actor=actor, now=AFTER)


@scene("card.damage")
def _damage(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: lifecycle.damage(w.db, card_id=card_id, reason="torn", actor=actor, now=AFTER)


@scene("card.extend")
def _extend(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: lifecycle.extend(
        w.db, card_id=card_id, days=30, key=key, actor=actor, now=AFTER
    )


@scene("card.set_concurrency")
def _set_concurrency(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: lifecycle.set_concurrency(
        w.db, card_id=card_id, calls=3, actor=actor, now=AFTER
    )


@scene("card.reset_password")
def _reset_card_password(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: lifecycle.reset_password(w.db, w.vault, card_id=card_id, actor=actor, now=AFTER)


@scene("card.bind")
def _bind(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: binding.bind(w.db, card_id=card_id, caller=CALLER, actor=actor, now=AFTER)


@scene("card.unbind")
def _unbind(w: World) -> Act:
    card_id = w.card_id
    binding.bind(w.db, card_id=card_id, caller=CALLER, actor=OPERATOR, now=NOW)
    return lambda actor, key: binding.unbind(w.db, card_id=card_id, caller=CALLER, actor=actor, now=AFTER)


@scene("card.add_phone")
def _add_phone(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: phones.add_phone(w.db, card_id=card_id, caller=CALLER, actor=actor, now=AFTER)


@scene("card.remove_phone")
def _remove_phone(w: World) -> Act:
    card_id = w.card_id
    binding.bind(w.db, card_id=card_id, caller=CALLER, actor=OPERATOR, now=NOW)
    return lambda actor, key: phones.remove_phone(
        w.db, card_id=card_id, caller=CALLER, actor=actor, now=AFTER
    )


@scene("card.set_pinless")
def _set_pinless(w: World) -> Act:
    card_id = w.card_id
    with w.db.begin() as session:
        session.execute(text("UPDATE batch SET pinless = true"))
    binding.bind(w.db, card_id=card_id, caller=CALLER, actor=OPERATOR, now=NOW)
    return lambda actor, key: phones.set_pinless(
        w.db, card_id=card_id, caller=CALLER, pinless=True, actor=actor, now=AFTER
    )


@scene("card.set_speed_dial")
def _set_speed_dial(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: speeddials.set_speed_dial(
        w.db, card_id=card_id, slot=1, destination="+8801712345678", name="Mother", actor=actor, now=AFTER
    )


@scene("card.remove_speed_dial")
def _remove_speed_dial(w: World) -> Act:
    card_id = w.card_id
    speeddials.set_speed_dial(
        w.db, card_id=card_id, slot=1, destination="+8801712345678", actor=SYSTEM, now=NOW
    )
    return lambda actor, key: speeddials.remove_speed_dial(
        w.db, card_id=card_id, slot=1, actor=actor, now=AFTER
    )


@scene("card.change_password")
def _change_password(w: World) -> Act:
    card = w.cards[0]
    return lambda actor, key: passwords.change_password(
        w.db,
        w.vault,
        card_id=card.id,
        present=Secret(card.password),
        chosen=Secret("83620475"),
        browser=Browser("192.0.2.1", "b" * 32),
        key=key,
        actor=actor,
        now=AFTER,
    )


@scene("card.recharge")
def _recharge(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: recharges.recharge(
        w.db, card_id=card_id, amount=USD("2"), bonus=USD("0.5"), key=key, actor=actor, now=AFTER
    )


@scene("card.adjust")
def _adjust(w: World) -> Act:
    card_id = w.card_id
    return lambda actor, key: recharges.adjust(
        w.db, card_id=card_id, amount=-USD("1"), reason="mistake", key=key, actor=actor, now=AFTER
    )


@scene("call.end")
def _end_call(w: World) -> Act:
    card = scenes.card(w.db, w.vault, name="Plain")
    w.use(card)
    line = Line(w.db, w.vault, w.switch)
    line.open(card)
    line.answer()
    return lambda actor, key: ending.end_call(
        w.db,
        switch="Asterisk",
        call_ref="call-1",
        reason="stuck",
        actor=actor,
        now=NOW + timedelta(minutes=2),
    )


@scene("trial.call")
def _trial_call(w: World) -> Act:
    card = scenes.card(w.db, w.vault, name="Plain")
    return lambda actor, key: trial.prepare(
        w.db,
        w.vault,
        serial=card.serial,
        destination=scenes.BANGLADESH,
        caller=None,
        key=key,
        actor=actor,
        now=AFTER,
    )


# --- rates ---


@scene("deck.import")
def _import_deck(w: World) -> Act:
    rates = b"prefix,destination,price\n44,United Kingdom,0.02\n"
    return lambda actor, key: import_deck(
        w.db, name="New", currency="USD", data=rates, filename="new.csv", key=key, actor=actor, now=AFTER
    )


def _deck(w: World, name: str = "Standard") -> tuple[int, int]:
    """A deck and its only version."""
    scenes.deck(w.db, name=name)
    with w.db.begin() as session:
        deck_id = find_deck(session, name).id
        return deck_id, version_in_force(session, deck_id, AFTER) or 0


@scene("deck.change")
def _change_deck(w: World) -> Act:
    deck_id, version = _deck(w)
    return lambda actor, key: change_deck(
        w.db,
        deck_id=deck_id,
        base_version=version,
        change=PriceChange(percent=100_000),
        key=key,
        actor=actor,
        now=AFTER,
    )


@scene("deck.set_buy_deck")
def _set_buy_deck(w: World) -> Act:
    deck_id, bought = _deck(w)[0], _deck(w, "Bought")[0]
    return lambda actor, key: set_buy_deck(w.db, deck_id=deck_id, buy_deck_id=bought, actor=actor, now=AFTER)


def _replay(w: World) -> Act:
    deck_id, version = _deck(w)
    return lambda actor, key: replays.start_replay(
        w.db,
        deck_id=deck_id,
        version_id=version,
        begins=NOW - timedelta(days=1),
        ends=NOW,
        key=key,
        actor=actor,
        now=AFTER,
    )


scene("deck.replay")(_replay)


@scene("deck.cancel_replay")
def _cancel_replay(w: World) -> Act:
    work_id = _replay(w)(OPERATOR, "first")
    return lambda actor, key: replays.cancel_replay(w.db, work_id=work_id, actor=actor, now=AFTER)


@scene("call.resolve")
def _resolve_call(w: World) -> Act:
    card = scenes.card(w.db, w.vault, name="Plain")
    line = Line(w.db, w.vault, w.switch)
    line.open(card)
    line.later(5).end(seconds=500)
    with w.db.begin() as session:
        call_id = session.scalar(select(Cdr.id))
    calls = [(card.serial, call_id or 0)]
    return lambda actor, key: reviews.resolve(w.db, calls=calls, reason="Clock", actor=actor, now=AFTER)


NOTHING = exports.register(
    exports.Source("nothing", "Nothing", "calls.see", ("what",), lambda db, given, asked: iter(()))
)


@scene("report.export")
def _export_report(w: World) -> Act:
    return lambda actor, key: exports.order(
        w.db,
        source=NOTHING.name,
        filter={},
        format="csv",
        folder=w.folder,
        zone=ZoneInfo("UTC"),
        actor=actor,
        now=AFTER,
        key=key,
    )


@scene("report.cancel")
def _cancel_report(w: World) -> Act:
    work_id = _export_report(w)(OPERATOR, "first")
    return lambda actor, key: exports.cancel(w.db, work_id=work_id, actor=actor, now=AFTER)


@scene("destination_group.set")
def _set_group(w: World) -> Act:
    return lambda actor, key: destinations.set_group(w.db, "Islands", ["44", "1246"], actor, AFTER)


@scene("destination_group.remove")
def _remove_group(w: World) -> Act:
    destinations.set_group(w.db, "Islands", ["1246"], OPERATOR, NOW)
    return lambda actor, key: destinations.remove_group(w.db, "Islands", actor, AFTER)


@scene("destination_rules.add")
def _add_rules(w: World) -> Act:
    return lambda actor, key: destinations.add_rules(w.db, "Strict", actor, AFTER, barred=["premium"])


@scene("destination_rules.change")
def _change_rules(w: World) -> Act:
    return lambda actor, key: destinations.change_rules(w.db, "Standard", actor, AFTER, barred=["premium"])


@scene("access_number.add")
def _add_access_number(w: World) -> Act:
    return lambda actor, key: access_numbers.add_access_number(w.db, "18005550100", "Toll free", actor, AFTER)


@scene("access_number.change")
def _change_access_number(w: World) -> Act:
    scenes.access_number(w.db)
    return lambda actor, key: access_numbers.change_access_number(
        w.db, "18005550100", actor, AFTER, per_call=USD("0.1")
    )


@scene("access_number.disable")
def _disable_access_number(w: World) -> Act:
    scenes.access_number(w.db)
    return lambda actor, key: access_numbers.disable_access_number(w.db, "18005550100", actor, AFTER)


@scene("access_number.enable")
def _enable_access_number(w: World) -> Act:
    scenes.access_number(w.db)
    access_numbers.disable_access_number(w.db, "18005550100", OPERATOR, NOW)
    return lambda actor, key: access_numbers.enable_access_number(w.db, "18005550100", actor, AFTER)


# --- stock ---


@scene("batch.create")
def _create(w: World) -> Act:
    scenes.deck(w.db)
    order = BatchOrder("May", 100, USD("5"), "USD", "Standard")
    return lambda actor, key: batches.order_batch(w.db, w.vault, order, actor, AFTER)


@scene("batch.discard")
def _discard(w: World) -> Act:
    name = w.queued_batch()
    return lambda actor, key: batches.discard(w.db, name, actor, AFTER)


@scene("batch.resume")
def _resume(w: World) -> Act:
    name = w.queued_batch()
    return lambda actor, key: batches.resume(w.db, name, actor, AFTER)


@scene("batch.stop")
def _stop(w: World) -> Act:
    scenes.deck(w.db)
    order = BatchOrder("Queued", 10, USD("5"), "USD", "Standard")
    batches.order_batch(w.db, w.vault, order, OPERATOR, NOW)
    return lambda actor, key: batches.stop(w.db, "Queued", actor, AFTER)


@scene("batch.hand_over")
def _hand_over(w: World) -> Act:
    assert w.cards

    def act(actor: Actor, key: str) -> int:
        return handover.order(
            w.db, w.vault, "Cards", export.wanted_file("csv", key=key), w.folder, actor, AFTER
        )

    return act


def _held(w: World) -> tuple[custody.Range, int]:
    """Cards that can be printed, and a design."""
    design = designs.add(w.db, "Sheet", Design(), OPERATOR, NOW)
    return w.stock, design.id


def _print(w: World, actor: Actor, key: str | None = None) -> int:
    cards, design = _held(w)
    return print_runs.order(
        w.db,
        w.vault,
        cards,
        design,
        w.folder,
        actor,
        NOW,
        log_in_url="https://a.example/card/log-in",
        key=key,
    )


@scene("print_design.add")
def _add_design(w: World) -> Act:
    return lambda actor, key: designs.add(w.db, "Sheet", Design(), actor, AFTER, key=key)


@scene("print_design.change")
def _change_design(w: World) -> Act:
    made = designs.add(w.db, "Sheet", Design(), OPERATOR, NOW)
    wanted = {"name": "Label", "design": Design("labels-a4-65"), "for_resellers": False}
    return lambda actor, key: designs.change(w.db, made.id, actor, AFTER, **wanted)


@scene("print_design.remove")
def _remove_design(w: World) -> Act:
    made = designs.add(w.db, "Sheet", Design(), OPERATOR, NOW)
    return lambda actor, key: designs.remove(w.db, made.id, actor, AFTER)


@scene("print_run.order")
def _order_print(w: World) -> Act:
    cards, design = _held(w)
    return lambda actor, key: print_runs.order(
        w.db, w.vault, cards, design, w.folder, actor, AFTER, log_in_url="https://a.example/", key=key
    )


@scene("print_run.confirm")
def _confirm_print(w: World) -> Act:
    run_id = _print(w, Actor("staff", 7, "Somebody", "admin"))  # only who ordered it confirms it
    with w.db.begin() as session:
        session.execute(
            text("UPDATE print_run SET made_at = :now, sha256 = '\\x00', downloads = 1"), {"now": NOW}
        )
        session.execute(
            text("UPDATE work SET state = 'done', finished_at = :now WHERE kind = 'print'"), {"now": NOW}
        )
    return lambda actor, key: print_runs.confirm(w.db, run_id, actor, AFTER)


@scene("print_run.cancel")
def _cancel_print(w: World) -> Act:
    run_id = _print(w, OPERATOR)
    return lambda actor, key: print_runs.cancel(w.db, run_id, actor, AFTER)


@scene("shipment.send")
def _send_shipment(w: World) -> Act:
    cards = w.stock
    return lambda actor, key: shipments.send(w.db, [cards], "Corner shop", actor, AFTER, key=key)


@scene("shipment.change")
def _change_shipment(w: World) -> Act:
    made = shipments.send(w.db, [w.stock], "Corner shop", OPERATOR, NOW)
    return lambda actor, key: shipments.change(w.db, made.id, actor, AFTER, carrier="Post", tracking="77")


@scene("shipment.receive")
def _receive_shipment(w: World) -> Act:
    made = shipments.send(w.db, [w.stock], "Corner shop", OPERATOR, NOW)
    return lambda actor, key: shipments.receive(w.db, made.id, actor, AFTER)


@scene("shipment.take_back")
def _take_back_shipment(w: World) -> Act:
    made = shipments.send(w.db, [w.stock], "Corner shop", OPERATOR, NOW)
    return lambda actor, key: shipments.take_back(w.db, made.id, actor, AFTER, "It came back")


@scene("printer.add")
def _add_printer(w: World) -> Act:
    return lambda actor, key: printers.add(w.db, "Back office", (500, -300), actor, AFTER, key=key)


@scene("printer.change")
def _change_printer(w: World) -> Act:
    made = printers.add(w.db, "Back office", (0, 0), OPERATOR, NOW)
    return lambda actor, key: printers.change(w.db, made.id, actor, AFTER, name="Front", offset_um=(100, 0))


@scene("printer.remove")
def _remove_printer(w: World) -> Act:
    made = printers.add(w.db, "Back office", (0, 0), OPERATOR, NOW)
    return lambda actor, key: printers.remove(w.db, made.id, actor, AFTER)


@scene("export_template.add")
def _add_template(w: World) -> Act:
    return lambda actor, key: templates.add(w.db, "Printer", Form(), actor, AFTER, key=key)


@scene("export_template.change")
def _change_template(w: World) -> Act:
    made = templates.add(w.db, "Printer", Form(), OPERATOR, NOW)
    other = Form(format="fixed", grouping=4)
    return lambda actor, key: templates.change(w.db, made.id, actor, AFTER, name="Printer A", form=other)


@scene("export_template.remove")
def _remove_template(w: World) -> Act:
    made = templates.add(w.db, "Printer", Form(), OPERATOR, NOW)
    return lambda actor, key: templates.remove(w.db, made.id, actor, AFTER)


@scene("batch.import")
def _import_cards(w: World) -> Act:
    scenes.deck(w.db)
    order = BatchOrder("Old", 1, 0, "USD", "Standard")
    cards = b"number,password,balance\n123456789012,12345678,5.00\n"
    return lambda actor, key: imports.import_cards(w.db, w.vault, order, cards, "old.csv", actor, AFTER)


@scene("batch.export")
def _export(w: World) -> Act:
    assert w.cards
    path = w.folder / "cards.csv"
    return lambda actor, key: export.export_batch(
        w.db, w.vault, "Cards", "csv", path, actor, AFTER, again=True, reason="Printer jam"
    )


@scene("batch.shred")
def _shred(w: World) -> Act:
    assert w.cards
    return lambda actor, key: shredding.shred(w.db, "Cards", actor, AFTER)


def _custody(name: str, do: Callable[..., Any]) -> None:
    @scene(name)
    def make(w: World) -> Act:
        if name == "cards.hold_back":
            custody.activate(w.db, w.stock, OPERATOR, NOW)
        stock = w.stock
        return lambda actor, key: do(w.db, stock, actor, AFTER)


_custody("cards.printed", custody.mark_printed)
_custody("cards.shipped", custody.mark_shipped)
_custody("cards.sold", custody.mark_sold)
_custody("cards.activate", custody.activate)
_custody("cards.hold_back", custody.hold_back)


# --- people and machines ---


def _ada(w: World) -> str:
    staff.add_staff(w.db, "root", "Root", "admin", None, OPERATOR, NOW)
    staff.add_staff(w.db, "ada", "Ada Moss", "support", None, OPERATOR, NOW)
    return "ada"


@scene("staff.add")
def _add_staff(w: World) -> Act:
    return lambda actor, key: staff.add_staff(w.db, "ada", "Ada Moss", "support", None, actor, AFTER)


@scene("staff.change")
def _change_staff(w: World) -> Act:
    login = _ada(w)
    return lambda actor, key: staff.change_staff(w.db, login, actor, AFTER, role="finance")


@scene("staff.disable")
def _disable_staff(w: World) -> Act:
    login = _ada(w)
    return lambda actor, key: staff.disable_staff(w.db, login, actor, AFTER)


@scene("staff.enable")
def _enable_staff(w: World) -> Act:
    login = _ada(w)
    staff.disable_staff(w.db, login, OPERATOR, NOW)
    return lambda actor, key: staff.enable_staff(w.db, login, actor, AFTER)


@scene("staff.reset_password")
def _reset_staff_password(w: World) -> Act:
    login = _ada(w)
    return lambda actor, key: staff.reset_password(w.db, w.vault, login, actor, AFTER)


@scene("switch.add")
def _add_switch(w: World) -> Act:
    return lambda actor, key: switches.add_switch(w.db, "Sippy", actor, AFTER)


@scene("switch.change")
def _change_switch(w: World) -> Act:
    name = w.switch.name
    return lambda actor, key: switches.change_switch(w.db, name, actor, AFTER, trusted_callers=False)


@scene("switch.rotate")
def _rotate(w: World) -> Act:
    name = w.switch.name
    return lambda actor, key: switches.rotate_key(w.db, name, actor, AFTER)


@scene("switch.finish_rotation")
def _finish_rotation(w: World) -> Act:
    name = w.switch.name
    switches.rotate_key(w.db, name, OPERATOR, NOW)
    return lambda actor, key: switches.finish_rotation(w.db, name, actor, AFTER)


@scene("switch.revoke_key")
def _revoke_key(w: World) -> Act:
    name = w.switch.name
    prefix = switches.rotate_key(w.db, name, OPERATOR, NOW).value[:9]
    with w.db.begin() as session:
        keys = session.scalars(select(SwitchKey.prefix)).all()
    prefix = next(known for known in keys if known.startswith(prefix[:5]))
    return lambda actor, key: switches.revoke_key(w.db, name, prefix, actor, AFTER)


@scene("switch.revoke")
def _revoke(w: World) -> Act:
    name = w.switch.name
    return lambda actor, key: switches.revoke_switch(w.db, name, actor, AFTER)


@scene("setting.set")
def _set(w: World) -> Act:
    return lambda actor, key: policy.set_setting(w.db, "slice_s", 300, actor, AFTER)


# --- money ---


def _account(w: World) -> int:
    made = accounts.open_account(w.db, name="Fund", kind="funding", currency="USD", actor=OPERATOR, now=NOW)
    accounts.deposit(w.db, account_id=made.id, amount=USD("100"), actor=OPERATOR, now=NOW)
    return made.id


@scene("account.open")
def _open_account(w: World) -> Act:
    return lambda actor, key: accounts.open_account(
        w.db, name="Fund", kind="funding", currency="USD", key=key, actor=actor, now=AFTER
    )


@scene("account.change")
def _change_account(w: World) -> Act:
    account = _account(w)
    return lambda actor, key: accounts.change_account(
        w.db, account_id=account, credit_limit=USD("50"), actor=actor, now=AFTER
    )


@scene("account.deposit")
def _deposit(w: World) -> Act:
    account = _account(w)
    return lambda actor, key: accounts.deposit(
        w.db, account_id=account, amount=USD("5"), key=key, actor=actor, now=AFTER
    )


@scene("account.adjust")
def _adjust_account(w: World) -> Act:
    account = _account(w)
    return lambda actor, key: accounts.adjust_account(
        w.db, account_id=account, amount=-USD("5"), reason="mistake", key=key, actor=actor, now=AFTER
    )


@scene("bonus_rule.add")
def _add_bonus(w: World) -> Act:
    return lambda actor, key: bonus.add_rule(
        w.db, name="Ten", currency="USD", percent_bp=1000, actor=actor, now=AFTER
    )


@scene("bonus_rule.disable")
def _disable_bonus(w: World) -> Act:
    rule = bonus.add_rule(w.db, name="Ten", currency="USD", percent_bp=1000, actor=OPERATOR, now=NOW)
    return lambda actor, key: bonus.disable_rule(w.db, rule_id=rule.id, actor=actor, now=AFTER)


def _auto(w: World) -> int:
    rule = autorules.add_rule(
        w.db,
        name="Keep going",
        threshold=USD("1"),
        amount=USD("5"),
        account_id=_account(w),
        actor=OPERATOR,
        now=NOW,
    )
    return rule.id


@scene("auto_recharge.add")
def _add_auto(w: World) -> Act:
    account = _account(w)
    return lambda actor, key: autorules.add_rule(
        w.db,
        name="Keep going",
        threshold=USD("1"),
        amount=USD("5"),
        account_id=account,
        actor=actor,
        now=AFTER,
    )


@scene("auto_recharge.change")
def _change_auto(w: World) -> Act:
    rule = _auto(w)
    return lambda actor, key: autorules.change_rule(
        w.db, rule_id=rule, amount=USD("6"), actor=actor, now=AFTER
    )


@scene("auto_recharge.enrol")
def _enrol(w: World) -> Act:
    rule, cards = _auto(w), [card.id for card in w.cards]
    return lambda actor, key: autorules.enrol(w.db, rule_id=rule, card_ids=cards, actor=actor, now=AFTER)


@scene("auto_recharge.withdraw")
def _withdraw(w: World) -> Act:
    rule, cards = _auto(w), [card.id for card in w.cards]
    autorules.enrol(w.db, rule_id=rule, card_ids=cards, actor=OPERATOR, now=NOW)
    return lambda actor, key: autorules.withdraw(w.db, rule_id=rule, card_ids=cards, actor=actor, now=AFTER)


@scene("card.transfer")
def _transfer(w: World) -> Act:
    source, target, _ = w.cards
    return lambda actor, key: transfers.transfer(
        w.db, from_id=source.id, to_id=target.id, amount=USD("1"), key=key, actor=actor, now=AFTER
    )


@scene("card.replace")
def _replace(w: World) -> Act:
    old, new, _ = w.cards
    return lambda actor, key: replacements.replace_card(
        w.db, old_id=old.id, new_id=new.id, reason="torn", actor=actor, now=AFTER
    )


@scene("checkout.begin")
def _begin_checkout(w: World) -> Act:
    card = w.cards[0]
    return lambda actor, key: checkouts.begin(
        w.db, card_id=card.id, amount=USD("10"), language="en", key=key, actor=actor, now=AFTER
    )


@scene("checkout.credit")
def _credit_checkout(w: World) -> Act:
    card = w.cards[0]
    begun = checkouts.begin(
        w.db, card_id=card.id, amount=USD("10"), language="en", key="c", actor=SYSTEM, now=NOW
    )
    lifecycle.lock(w.db, card_id=card.id, reason="lost", actor=OPERATOR, now=NOW)
    checkouts.paid(w.db, begun.ref, provider_ref="cs_1", amount=USD("10"), currency="USD", now=NOW)
    lifecycle.unlock(w.db, w.vault, card_id=card.id, actor=OPERATOR, now=NOW)
    return lambda actor, key: checkouts.credit(w.db, ref=begun.ref, actor=actor, now=AFTER)


# --- resellers and their stock ---


def _brand(w: World) -> int:
    """A reseller with a brand and a logo."""
    shop = resellers.add_reseller(w.db, "Corner shop", OPERATOR, NOW)
    brands.set_brand(w.db, shop.id, "Corner", "#0b6b64", OPERATOR, NOW, logo=scenes.logo())
    return shop.id


def _shop(w: World) -> int:
    made = resellers.add_reseller(w.db, "Corner shop", OPERATOR, NOW, discount_bp=1000)
    account = accounts.open_account(
        w.db,
        name="Corner shop",
        kind="reseller",
        currency="USD",
        reseller_id=made.id,
        actor=OPERATOR,
        now=NOW,
    )
    accounts.deposit(w.db, account_id=account.id, amount=USD("100"), actor=OPERATOR, now=NOW)
    return made.id


def _stocked(w: World) -> tuple[int, custody.Range]:
    shop, stock = _shop(w), w.stock
    resale.assign(w.db, stock, OPERATOR, NOW, reseller_id=shop)
    return shop, stock


@scene("reseller.add")
def _add_reseller(w: World) -> Act:
    return lambda actor, key: resellers.add_reseller(w.db, "Corner shop", actor, AFTER, key=key)


@scene("reseller.change")
def _change_reseller(w: World) -> Act:
    shop = _shop(w)
    return lambda actor, key: resellers.change_reseller(w.db, shop, actor, AFTER, discount_bp=500)


@scene("brand.set")
def _set_brand(w: World) -> Act:
    shop = _brand(w)
    return lambda actor, key: brands.set_brand(w.db, shop, "Call Home", "#b3261e", actor, AFTER)


@scene("brand.remove_logo")
def _remove_logo(w: World) -> Act:
    shop = _brand(w)
    return lambda actor, key: brands.remove_logo(w.db, shop, actor, AFTER)


@scene("brand.remove")
def _remove_brand(w: World) -> Act:
    shop = _brand(w)
    return lambda actor, key: brands.remove_brand(w.db, shop, actor, AFTER)


@scene("reseller.disable")
def _disable_reseller(w: World) -> Act:
    shop = _shop(w)
    return lambda actor, key: resellers.disable_reseller(w.db, shop, actor, AFTER)


@scene("reseller.enable")
def _enable_reseller(w: World) -> Act:
    shop = _shop(w)
    resellers.disable_reseller(w.db, shop, OPERATOR, NOW)
    return lambda actor, key: resellers.enable_reseller(w.db, shop, actor, AFTER)


@scene("stock.assign")
def _assign(w: World) -> Act:
    shop, stock = _shop(w), w.stock
    return lambda actor, key: resale.assign(w.db, stock, actor, AFTER, reseller_id=shop, key=key)


@scene("stock.unassign")
def _unassign(w: World) -> Act:
    _, stock = _stocked(w)
    return lambda actor, key: resale.unassign(w.db, stock, actor, AFTER, key=key)


@scene("stock.activate")
def _activate(w: World) -> Act:
    shop, stock = _stocked(w)
    return lambda actor, key: resale.activate(w.db, stock, actor, AFTER, reseller_id=shop, key=key)


@scene("stock.sell")
def _sell(w: World) -> Act:
    shop, stock = _stocked(w)
    return lambda actor, key: resale.sell(w.db, stock, actor, AFTER, reseller_id=shop, key=key)


@scene("stock.return")
def _give_back(w: World) -> Act:
    shop, stock = _stocked(w)
    resale.sell(w.db, stock, OPERATOR, NOW, reseller_id=shop)
    return lambda actor, key: resale.give_back(w.db, stock, actor, AFTER, reseller_id=shop, key=key)


@scene("stock.recharge")
def _stock_recharge(w: World) -> Act:
    shop, stock = _stocked(w)
    resale.activate(w.db, stock, OPERATOR, NOW, reseller_id=shop)
    return lambda actor, key: resale.recharge(
        w.db, card_id=stock.first, amount=USD("5"), key=key, actor=actor, now=AFTER
    )


def _clerk(w: World) -> str:
    shop = _shop(w)
    for login, role in (("owner", "owner"), ("till", "clerk")):
        resellerpeople.add_person(w.db, shop, login, f"The {login}", role, None, OPERATOR, NOW)
    return "till"


@scene("reseller_person.add")
def _add_person(w: World) -> Act:
    shop = _shop(w)
    return lambda actor, key: resellerpeople.add_person(
        w.db, shop, "till", "The till", "owner", None, actor, AFTER
    )


@scene("reseller_person.change")
def _change_person(w: World) -> Act:
    login = _clerk(w)
    return lambda actor, key: resellerpeople.change_person(w.db, login, actor, AFTER, name="Evening till")


@scene("reseller_person.disable")
def _disable_person(w: World) -> Act:
    login = _clerk(w)
    return lambda actor, key: resellerpeople.disable_person(w.db, login, actor, AFTER)


@scene("reseller_person.enable")
def _enable_person(w: World) -> Act:
    login = _clerk(w)
    resellerpeople.disable_person(w.db, login, OPERATOR, NOW)
    return lambda actor, key: resellerpeople.enable_person(w.db, login, actor, AFTER)


@scene("reseller_person.reset_password")
def _reset_person_password(w: World) -> Act:
    login = _clerk(w)
    return lambda actor, key: resellerpeople.reset_password(w.db, w.vault, login, actor, AFTER)


def _with_totp(w: World, realm: str, login: str) -> None:
    table = "staff" if realm == "staff" else "reseller_person"
    with w.db.begin() as session:
        who = session.scalar(text(f"SELECT id FROM {table} WHERE login = :login"), {"login": login})
        session.add(
            Totp(realm=realm, subject_id=who, sealed=b"x", master=1, created_at=NOW, confirmed_at=NOW)
        )


def _with_session(w: World, realm: str, login: str) -> None:
    table = "staff" if realm == "staff" else "reseller_person"
    with w.db.begin() as session:
        who = session.scalar(text(f"SELECT id FROM {table} WHERE login = :login"), {"login": login})
        session.add(WebSession(digest=b"x", realm=realm, subject_id=who, created_at=NOW, last_seen_at=NOW))


@scene("reseller_person.reset_totp")
def _reset_person_totp(w: World) -> Act:
    login = _clerk(w)
    _with_totp(w, "reseller", login)
    return lambda actor, key: resellerpeople.reset_totp(w.db, w.vault, login, actor, AFTER)


@scene("reseller_person.end_sessions")
def _end_person_sessions(w: World) -> Act:
    login = _clerk(w)
    _with_session(w, "reseller", login)
    return lambda actor, key: resellerpeople.end_sessions(w.db, login, actor, AFTER)


@scene("staff.reset_totp")
def _reset_staff_totp(w: World) -> Act:
    login = _ada(w)
    _with_totp(w, "staff", login)
    return lambda actor, key: staff.reset_totp(w.db, w.vault, login, actor, AFTER)


@scene("staff.end_sessions")
def _end_staff_sessions(w: World) -> Act:
    login = _ada(w)
    _with_session(w, "staff", login)
    return lambda actor, key: staff.end_sessions(w.db, login, actor, AFTER)


# --- what a second person, the trail and the clock need ---


@scene("consent.ask")
def _ask(w: World) -> Act:
    return lambda actor, key: consents.ask(
        w.db,
        action="batch.export",
        subject="batch:1",
        facts={"again": True},
        reason="Printer jam",
        actor=actor,
        now=AFTER,
    )


@scene("consent.decide")
def _decide(w: World) -> Act:
    asked = consents.ask(
        w.db, action="batch.export", subject="batch:1", facts={}, reason="Jam", actor=OPERATOR, now=NOW
    )
    return lambda actor, key: consents.decide(w.db, consent_id=asked, approve=True, actor=actor, now=AFTER)


@scene("audit.export_head")
def _export_head(w: World) -> Act:
    scenes.switch(w.db)
    auditchain.extend(w.db, NOW)
    return lambda actor, key: auditchain.export_head(w.db, w.vault, actor, AFTER)


@scene("audit.verify")
def _verify_trail(w: World) -> Act:
    scenes.switch(w.db)
    auditchain.extend(w.db, NOW)
    return lambda actor, key: auditchain.verify(w.db, w.vault, actor, AFTER)


@scene("alarm.clear")
def _clear_alarm(w: World) -> Act:
    with w.db.begin() as session:
        alarms.raise_alarm(session, "books", "card:10000000017", NOW)
    (alarm,) = alarms.open_alarms(w.db)
    return lambda actor, key: alarmdesk.clear(w.db, alarm_id=alarm.id, actor=actor, now=AFTER)


@scene("job.run")
def _run_job(w: World) -> Act:
    return lambda actor, key: jobdesk.run_now(w.db, job="verify", actor=actor, now=AFTER)


@scene("job.pause")
def _pause_job(w: World) -> Act:
    return lambda actor, key: jobdesk.pause(w.db, job="verify", actor=actor, now=AFTER)


@scene("job.continue")
def _continue_job(w: World) -> Act:
    jobdesk.pause(w.db, job="verify", actor=OPERATOR, now=NOW)
    return lambda actor, key: jobdesk.go_on(w.db, job="verify", actor=actor, now=AFTER)


# --- many cards ---

_BULK: dict[str, dict[str, Any]] = {
    "lock": {},
    "unlock": {},
    "damage": {},
    "activate": {},
    "hold_back": {},
    "extend": {"days": 30},
    "recharge": {"amount": USD("1"), "bonus": 0},
    "bind": {"caller": CALLER},
    "unbind": {"caller": CALLER},
    "change_deck": {"deck": "Standard"},
    "set_concurrency": {"calls": 2},
    "change_rules": {"rules": "No bars"},
    "assign": {"reseller_id": None},
    "discard": {},
    "export": {"format": "csv"},
}


def _order(w: World, verb: str) -> BulkOrder:
    params = _BULK[verb] | ({"folder": str(w.folder)} if verb == "export" else {})
    return BulkOrder(verb, Listed(tuple(card.id for card in w.cards)), params, "stock-taking")


def _bulk(verb: str) -> None:
    @scene(f"bulk.{verb}")
    def make(w: World) -> Act:
        order = _order(w, verb)
        return lambda actor, key: runs.confirm(w.db, order, actor, AFTER, key)


for _verb in _BULK:
    _bulk(_verb)


@scene("bulk.cancel")
def _cancel_run(w: World) -> Act:
    run = runs.confirm(w.db, _order(w, "lock"), OPERATOR, NOW, "first")
    return lambda actor, key: runs.cancel(w.db, run, actor, AFTER)


@scene("bulk.resume")
def _resume_run(w: World) -> Act:
    run = runs.confirm(w.db, _order(w, "lock"), OPERATOR, NOW, "first")
    runs.cancel(w.db, run, OPERATOR, NOW)
    return lambda actor, key: runs.resume(w.db, run, actor, AFTER)
