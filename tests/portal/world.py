"""One house with something of everything in it, every text of it written by somebody with bad intentions.

The walks over all pages share it: whom each page opens to, that each is accessible and fits a phone, that nothing typed
runs anywhere. `MARK` stands in every name, reason and note.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from engine import alarms, uploads, work
from engine.actor import CONSOLE, SYSTEM, Actor
from engine.bulk import runs
from engine.bulk.orders import BulkOrder, Listed
from engine.calls import destinations, trial
from engine.cards import binding, lifecycle, searchcopy
from engine.db import Database
from engine.funds import accounts, accountviews, autorules, bonus, checkouts, recharges
from engine.people import brands, consents, resellerpeople, resellers, sessions, staff, views
from engine.permissions import STAFF_ROLES
from engine.reports import buckets, callexports, exports, replays
from engine.schema import Call, Cdr, Deck, DeckVersion
from engine.stock import custody, export, handover, resale, shipments, templates
from engine.stock.batches import BatchOrder, order_batch
from engine.stock.forms import Form
from engine.stock.printing import designs, printers
from engine.stock.printing import runs as print_runs
from engine.stock.printing.design import Design
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard

MARK = "<img src=x onerror=alert(1)>"
PASSWORD = "seven quiet harbours"
CALLER = "491711234567"
OLD = b"number,password,balance\n123456789012,12345678,5.00\n"


@dataclass
class World:
    """What the walks need to know of it.

    `arguments`: an example for each argument of the console's addresses; where one name leads to different things, the
    beginning of the address stands before it, such as `/batches/import/upload_id`.
    """

    cards: list[TestCard]
    people: dict[str, staff.StaffIdentity]
    arguments: dict[str, Any] = field(default_factory=dict)


def build(db: Database, vault: Vault) -> World:
    """Make it: people of each role, decks, batches, calls of each kind, money, resellers, alarms, work."""
    people = {
        role: staff.add_staff(db, role, f"{role} {MARK}", role, Secret(PASSWORD), CONSOLE, NOW)[0]
        for role in STAFF_ROLES
    }
    scenes.deck(db, name="Cost", rates={"880": "0.01", "44": "0.005"})
    rates = f"prefix,destination,price\n880,Bangladesh {MARK},0.015\n44,Britain,0.02\n"
    scenes.deck(db, rates, name="Standard")
    scenes.deck(db, rates.replace("0.02", "0.03"), now=NOW + timedelta(minutes=1))
    cards = scenes.batch(
        db, vault, 12, name=f"May {MARK}", concurrency=3, binding="multi", max_bound=3, auto_bind=True
    )
    scenes.vouchers(db, vault, 2, name="Vouchers")
    held = scenes.batch(db, vault, 6, name="Held back", release="activation")
    waiting = order_batch(db, vault, BatchOrder("Waiting", 50, USD("5"), "USD", "Standard"), OPERATOR, NOW)
    destinations.set_group(db, f"Islands {MARK}", ["1246"], OPERATOR, NOW)
    rules = destinations.add_rules(db, f"Strict {MARK}", OPERATOR, NOW, barred=["premium"])
    number = scenes.access_number(db, per_minute="0.01")
    line = _calls(db, vault, cards)
    account, rule, gift = _money(db, cards)
    shop = _reseller(db, held)
    run = runs.confirm(
        db,
        BulkOrder("lock", Listed((cards[9].id,)), reason=f"Torn {MARK}"),
        OPERATOR,
        line.now,
        "run-1",
    )
    form = templates.add(db, f"Printer {MARK}", Form(), OPERATOR, NOW)
    consent = consents.ask(
        db,
        action="card.recharge",
        subject=f"card:{cards[0].serial}",
        facts={"amount": USD("500"), "currency": "USD"},
        reason=f"A good customer {MARK}",
        actor=Actor("staff", people["operator"].id, people["operator"].name, "operator"),
        now=line.now,
    )
    view = views.save_view(db, people["admin"].id, "cards", f"Mine {MARK}", "status=locked", line.now)
    with db.begin() as session:
        alarms.raise_alarm(session, "lost_calls", "switch:1", line.now, calls=3, switch_id=1)
        failed = work.enqueue(session, "generate", {"batch_id": waiting.batch_id}, OPERATOR, NOW)
    admin = Actor("staff", people["admin"].id, people["admin"].name, "admin")
    with db.begin() as session:
        deck_id = session.scalars(select(Deck.id).where(Deck.name == "Standard")).one()
        version_id = session.scalars(select(DeckVersion.id).where(DeckVersion.deck_id == deck_id)).first()
    replay = replays.start_replay(
        db,
        deck_id=deck_id,
        version_id=version_id,
        begins=NOW - timedelta(days=1),
        ends=NOW,
        actor=admin,
        now=line.now,
    )
    searchcopy.refold(db, line.now)
    buckets.aggregate(db, line.now)
    return World(
        cards,
        people,
        {
            "serial": cards[0].serial,
            "batch_id": 1,
            "switch_id": 1,
            "rules_id": rules.id,
            "number": number,
            "key": "zone",
            "account_id": account,
            "rule_id": rule,
            "bonus_id": gift,
            "payment_id": 1,
            "/money/online/ref": _paid_online(db, cards[4]),
            "report": "traffic",
            "reseller_id": shop,
            "/resellers/account_id": accountviews.list_accounts(db, reseller_id=shop)[0].id,
            "shipment_id": _shipped(db, admin, held),
            "month": f"{NOW:%Y-%m}",
            "kind": "csv",
            "staff_id": people["support"].id,
            "person_id": 1,
            "ref": _session(db, "staff", people["support"].id),
            "/me/sessions/ref": _session(db, "staff", people["admin"].id),
            "/resellers/people/ref": _session(db, "reseller", 1),
            "run_id": run,
            "template_id": form.id,
            "consent_id": consent,
            "view_id": view,
            "work_id": failed,
            **_call_numbers(db),
            "/calls/exports/work_id": _export(db, admin, line.now),
            "upload_id": uploads.keep(
                db, vault, "deck", f"sheet {MARK}.csv", rates.encode(), admin, line.now
            ),
            "/batches/import/upload_id": uploads.keep(
                db, vault, "cards", f"old {MARK}.csv", OLD, admin, line.now
            ),
            "what": "changes",
            "deck_id": deck_id,
            "version_id": version_id,
            "/rates/replays/work_id": replay,
            "/batches/work_id": _handed_over(db, vault, admin),
            "alarm_id": 1,
            "call_ref": _trial(db, vault, admin, cards[5]),
            "job": "expiry",
            **_printing(db, vault, admin, cards),
        },
    )


def _shipped(db: Database, admin: Actor, cards: list[TestCard]) -> int:
    """A shipment of one card to somebody."""
    parcel = custody.Range(cards[-1].id, cards[-1].id)
    return shipments.send(db, [parcel], f"Fair {MARK}", admin, NOW, address=f"1 Quay\n{MARK}").id


def _handed_over(db: Database, vault: Vault, admin: Actor) -> int:
    """A file of the vouchers that its maker has not fetched yet."""
    folder = Path(tempfile.gettempdir())
    return handover.order(db, vault, "Vouchers", export.Wanted(Form(), "csv"), folder, admin, NOW)


def _printing(db: Database, vault: Vault, admin: Actor, cards: list[TestCard]) -> dict[str, int]:
    """A design, a printer, and a run that waits to be made."""
    labels = Design(
        "labels-a4-65", title=f"Title {MARK}", tagline=MARK, terms={"en": MARK}, fields=("serial",)
    )
    design = designs.add(db, f"Labels {MARK}", labels, OPERATOR, NOW, logo=scenes.logo())
    printer = printers.add(db, f"Office {MARK}", (1500, -300), OPERATOR, NOW)
    run = print_runs.order(
        db,
        vault,
        custody.Range(cards[10].id, cards[11].id),
        design.id,
        Path(tempfile.gettempdir()),
        admin,
        NOW,
        log_in_url="https://cards.example/card/log-in",
        reason=f"First {MARK}",
    )
    return {"design_id": design.id, "printer_id": printer.id, "/print/run_id": run}


def _trial(db: Database, vault: Vault, admin: Actor, card: TestCard) -> str:
    """A trial call that goes on."""
    view = trial.start(
        db,
        vault,
        serial=card.serial,
        destination="8801712345678",
        caller=CALLER,
        key="trial-1",
        actor=admin,
        now=NOW,
    )
    assert isinstance(view, trial.TrialView), view
    return view.call_ref


def _calls(db: Database, vault: Vault, cards: list[TestCard]) -> Line:
    """A call that ended, one with an overrun, one that was swept, one that lives, and tries that were refused."""
    line = Line(db, vault, scenes.switch(db, f"Asterisk {MARK}"))
    line.open(cards[0], ref="plain", caller=CALLER)
    line.later(61).end("plain", seconds=61)
    line.open(cards[0], ref=f"capped {MARK}", caller=CALLER)
    line.later(30).end(f"capped {MARK}", seconds=3_000)
    line.open(cards[0], ref="live", caller=CALLER)
    line.answer("live")
    line.authenticate(cards[0].with_password("00000000"), caller=CALLER)
    line.authorize(cards[0], "8", ref="refused")
    lifecycle.lock(db, card_id=cards[1].id, reason=f"Lost {MARK}", actor=OPERATOR, now=line.now)
    binding.bind(db, card_id=cards[3].id, caller="442079460000", actor=OPERATOR, now=line.now)
    return line


def _call_numbers(db: Database) -> dict[str, int]:
    """The number of the call that was capped, and of the one that lives."""
    with db.begin() as session:
        capped = session.scalar(select(Cdr.id).where(Cdr.flags != []))
        live = session.scalar(select(Call.id))
    assert capped
    assert live
    return {"call_id": capped, "live_id": live}


def _export(db: Database, who: Actor, now: datetime) -> int:
    """An export that waits."""
    return exports.order(
        db,
        source=callexports.CALLS.name,
        filter={"name": f"Bangladesh {MARK}"},
        format="csv",
        folder=Path("/nowhere"),
        zone=ZoneInfo("UTC"),
        actor=who,
        now=now,
    )


def _money(db: Database, cards: list[TestCard]) -> tuple[int, int, int]:
    """A funding account, a rule that recharges from it, a bonus rule, a recharge and a correction."""
    made = accounts.open_account(
        db, name=f"Fund {MARK}", kind="funding", currency="USD", actor=OPERATOR, now=NOW
    )
    accounts.deposit(db, account_id=made.id, amount=USD("100"), actor=OPERATOR, now=NOW)
    rule = autorules.add_rule(
        db,
        name=f"Keep going {MARK}",
        threshold=USD("1"),
        amount=USD("5"),
        account_id=made.id,
        actor=OPERATOR,
        now=NOW,
    )
    autorules.enrol(db, rule_id=rule.id, card_ids=[cards[0].id], actor=OPERATOR, now=NOW)
    gift = bonus.add_rule(db, name=f"Ten {MARK}", currency="USD", percent_bp=1000, actor=OPERATOR, now=NOW)
    recharges.recharge(db, card_id=cards[2].id, amount=USD("2"), key="pay-1", actor=OPERATOR, now=NOW)
    recharges.adjust(
        db,
        card_id=cards[2].id,
        amount=-USD("1"),
        reason=f"A mistake {MARK}",
        key="fix-1",
        actor=OPERATOR,
        now=NOW,
    )
    return made.id, rule.id, gift.id


def _paid_online(db: Database, card: TestCard) -> str:
    """A payment that its card could not take when it came."""
    begun = checkouts.begin(
        db, card_id=card.id, amount=USD("10"), language="en", key="online", actor=SYSTEM, now=NOW
    )
    lifecycle.lock(db, card_id=card.id, reason=f"Lost {MARK}", actor=OPERATOR, now=NOW)
    checkouts.paid(db, begun.ref, provider_ref="cs_1", amount=USD("10"), currency="USD", now=NOW)
    return begun.ref


def _session(db: Database, realm: str, subject_id: int) -> str:
    """A log-in of somebody, as lists name it."""
    return sessions.ref_of(sessions.open_session(db, realm, subject_id, "203.0.113.7", NOW))


def _reseller(db: Database, stock: list[TestCard]) -> int:
    """A reseller with credit, people, stock, and a sold card."""
    shop = resellers.add_reseller(db, f"Corner shop {MARK}", OPERATOR, NOW, discount_bp=1000)
    account = accounts.open_account(
        db,
        name=f"Corner shop {MARK}",
        kind="reseller",
        currency="USD",
        reseller_id=shop.id,
        actor=OPERATOR,
        now=NOW,
    )
    accounts.deposit(db, account_id=account.id, amount=USD("100"), actor=OPERATOR, now=NOW)
    resale.assign(db, custody.Range(stock[0].id, stock[3].id), OPERATOR, NOW, reseller_id=shop.id)
    resale.sell(db, custody.Range(stock[0].id, stock[0].id), OPERATOR, NOW, reseller_id=shop.id)
    brands.set_brand(
        db, shop.id, f"Shop {MARK}", "#ffcc00", OPERATOR, NOW, logo=scenes.logo(), help_hours=f"Noon {MARK}"
    )
    resellerpeople.add_person(db, shop.id, "owner", f"The owner {MARK}", "owner", None, OPERATOR, NOW)
    return shop.id
