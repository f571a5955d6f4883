"""Worlds in the words of the field, made through the engine's own commands: decks, batches, vouchers, switches, calls.

cards = scenes.batch(db, vault, count=3, denomination="5.00")
line = scenes.Line(db, vault, scenes.switch(db))
line.authorize(cards[0], "8801712345678", ref="a")
line.later(61)
line.end("a", seconds=61)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

from PIL import Image
from sqlalchemy import select, text

from engine import settings, work
from engine.actor import CONSOLE, Actor
from engine.calls import access_numbers, control
from engine.calls.control import Authorized, Credentials, Ended
from engine.calls.decks import import_deck
from engine.cards.authentication import Authenticated, authenticate
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import ConsentNeeded
from engine.funds.vouchers import Redeemed, redeem_voucher
from engine.money import parse_amount
from engine.people import consents, staff
from engine.people.switches import SwitchIdentity, add_switch
from engine.refusal import Refusal
from engine.schema import BatchKey, Card, Deck, IdempotentRequest
from engine.stock import generation
from engine.stock.batches import BatchOrder, order_batch
from engine.vault import Sealer, Secret, Vault

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""When the worlds begin. The clock of a test stands until it is moved."""

OPERATOR = Actor("staff", 1, "Operator", "admin")
BANGLADESH = "8801712345678"
BRITAIN = "442079460000"


def USD(text: str) -> int:
    """Micro-units of an amount written as people do."""
    return parse_amount(text, allow_negative=True)


@dataclass(frozen=True)
class TestCard:
    """A card as its holder knows it, with its inner id for looking behind the counter."""

    __test__ = False

    id: int
    number: str
    password: str

    @property
    def serial(self) -> str:
        return serial_of(self.id)

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.number, Secret(self.password))

    def with_password(self, password: str) -> Credentials:
        """The right number with another password."""
        return Credentials(self.number, Secret(password))


def logo(colour: str = "#b3261e", size: tuple[int, int] = (120, 40), format: str = "PNG") -> bytes:
    """A logo as somebody sends it: a box of one colour."""
    made = BytesIO()
    Image.new("RGB", size, colour).save(made, format)
    return made.getvalue()


def deck(
    db: Database,
    rates: dict[str, str] | str | None = None,
    *,
    name: str = "Standard",
    currency: str = "USD",
    now: datetime = NOW,
    **more: Any,
) -> None:
    """A deck from {prefix: price a minute}, or from the text of a CSV file."""
    if not isinstance(rates, str):
        rates = rates or {"880": "0.015", "44": "0.02"}
        rates = "prefix,destination,price\n" + "".join(
            f"{prefix},Destination {prefix},{price}\n" for prefix, price in rates.items()
        )
    import_deck(
        db,
        name=name,
        currency=currency,
        data=rates.encode(),
        filename="rates.csv",
        actor=OPERATOR,
        now=now,
        **more,
    )


def batch(
    db: Database,
    vault: Vault,
    count: int = 1,
    denomination: str = "5.00",
    *,
    now: datetime = NOW,
    **order: Any,
) -> list[TestCard]:
    """Generated, ready cards, in the order of their serials; a deck is made where there is none."""
    order = {"name": f"Batch {now:%f}", "currency": "USD", "deck": "Standard", **order}
    with db.begin() as session:
        has_deck = session.scalar(select(Deck.id).where(Deck.name == order["deck"]))
    if order["deck"] is not None and has_deck is None:
        deck(db, name=order["deck"], currency=order["currency"], now=now)
    ordered = order_batch(
        db, vault, BatchOrder(count=count, denomination=USD(denomination), **order), OPERATOR, now
    )
    claimed = work.claim(db, "test", ["generate"], now, work_id=ordered.work_id)
    assert claimed is not None
    generation.run(db, vault, claimed, lambda: now)
    return cards_of(db, vault, ordered.batch_id)


def vouchers(
    db: Database, vault: Vault, count: int = 1, denomination: str = "5.00", **order: Any
) -> list[TestCard]:
    """Recharge-only cards."""
    return batch(
        db, vault, count, denomination, **{"name": "Vouchers", "kind": "voucher", "deck": None, **order}
    )


def cards_of(db: Database, vault: Vault, batch_id: int) -> list[TestCard]:
    """The cards of a batch with their passwords, read from their seals."""
    with db.begin() as session:
        key = session.get_one(BatchKey, batch_id)
        assert key.wrapped is not None
        sealer = Sealer(vault.unwrap(key.wrapped, key.master), batch_id)
        rows = session.scalars(select(Card).where(Card.batch_id == batch_id).order_by(Card.id))
        return [
            TestCard(row.id, row.number, sealer.open(row.id, row.sealed).decode())
            for row in rows
            if row.sealed is not None
        ]


def card(db: Database, vault: Vault, denomination: str = "5.00", **order: Any) -> TestCard:
    """One card of a batch of its own."""
    return batch(db, vault, 1, denomination, **order)[0]


def facts(db: Database, card: TestCard) -> Card:
    """The card's row as it stands."""
    with db.begin() as session:
        return session.get_one(Card, card.id)


def kept_requests(db: Database) -> list[IdempotentRequest]:
    """What is kept of requests with a key; not of the import of the deck that a scene begins with."""
    with db.begin() as session:
        later = select(IdempotentRequest).where(IdempotentRequest.scope != "deck.import")
        return list(session.scalars(later))


def switch(db: Database, name: str = "Asterisk", **more: Any) -> SwitchIdentity:
    """A switch with a key."""
    return add_switch(db, name, OPERATOR, NOW, **more)[0]


def access_number(
    db: Database, number: str = "18005550100", *, per_minute: str = "0", per_call: str = "0", **more: Any
) -> str:
    """A listed access number with its surcharges."""
    access_numbers.add_access_number(
        db,
        number,
        name=f"Access {number}",
        per_minute=USD(per_minute),
        per_call=USD(per_call),
        actor=OPERATOR,
        now=NOW,
        **more,
    )
    return number


def end_of_utc_day(day: datetime) -> datetime:
    """The instant after a day of the zone that worlds have by default."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def setting(db: Database, key: str, value: Any) -> None:
    """Change a rule of the house."""
    with db.begin() as session:
        settings.put(session, key, value)


def frozen_balance(db: Database, card: TestCard) -> None:
    """From now on the database silently leaves this card's balance as it is, which nothing of ours foresees."""
    with db.begin() as session:
        session.execute(
            text(
                "CREATE FUNCTION leave_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
                f" IF NEW.id = {card.id} AND NEW.balance <> OLD.balance THEN RETURN NULL; END IF; RETURN NEW; END'"
            )
        )
        session.execute(
            text("CREATE TRIGGER leave_it BEFORE UPDATE ON card FOR EACH ROW EXECUTE FUNCTION leave_it()")
        )


def second_person(db: Database) -> Actor:
    """Somebody of the finance staff who isn't `OPERATOR`; the same one each time."""
    known = {one.login: one for one in staff.list_staff(db)}
    if "boss" not in known:
        for login in ("clerk", "boss"):  # whoever is the first has the number of OPERATOR
            staff.add_staff(db, login, login.title(), "finance", None, CONSOLE, NOW)
        known = {one.login: one for one in staff.list_staff(db)}
    boss = known["boss"]
    return Actor("staff", boss.id, boss.name, boss.role)


def consented(db: Database, needed: ConsentNeeded, now: datetime = NOW) -> None:
    """A second person says yes to what `OPERATOR` was told to ask for."""
    number = consents.ask(db, **needed.data, reason="It is right", actor=OPERATOR, now=now)
    consents.decide(db, consent_id=number, approve=True, actor=second_person(db), now=now)


class Line:
    """A switch with a clock: says what happens to calls, and when."""

    def __init__(self, db: Database, vault: Vault, switch: SwitchIdentity, now: datetime = NOW) -> None:
        self.db, self.vault, self.switch, self.now = db, vault, switch, now

    def later(self, seconds: float) -> Line:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self

    def authenticate(
        self, who: TestCard | Credentials, caller: str | None = None, access_number: str | None = None
    ) -> Authenticated | Refusal:
        return authenticate(
            self.db,
            self.vault,
            switch=self.switch,
            credentials=who.credentials if isinstance(who, TestCard) else who,
            caller=caller,
            access_number=access_number,
            now=self.now,
        )

    def authorize(
        self,
        who: TestCard | Credentials,
        destination: str = BANGLADESH,
        *,
        ref: str = "call-1",
        caller: str | None = None,
        access_number: str | None = None,
        one_shot: bool = True,
    ) -> Authorized | Refusal:
        return control.authorize(
            self.db,
            self.vault,
            switch=self.switch,
            call_ref=ref,
            credentials=who.credentials if isinstance(who, TestCard) else who,
            caller=caller,
            destination=destination,
            access_number=access_number,
            one_shot=one_shot,
            now=self.now,
        )

    def open(self, who: TestCard | Credentials, destination: str = BANGLADESH, **more: Any) -> Authorized:
        """An authorize that must succeed."""
        answer = self.authorize(who, destination, **more)
        assert isinstance(answer, Authorized), answer
        return answer

    def answer(self, ref: str = "call-1", at: datetime | None = None) -> None:
        control.answer(self.db, switch=self.switch, call_ref=ref, now=self.now, answered_at=at)

    def progress(self, seconds: float, ref: str = "call-1") -> control.Progress:
        return control.progress(
            self.db, switch=self.switch, call_ref=ref, elapsed_ms=round(seconds * 1000), now=self.now
        )

    def end(self, ref: str = "call-1", *, seconds: float, cause: int | None = 16) -> Ended:
        return control.end(
            self.db,
            switch=self.switch,
            call_ref=ref,
            duration_ms=round(seconds * 1000),
            cause=cause,
            now=self.now,
        )

    def redeem(
        self,
        who: TestCard | Credentials,
        voucher: TestCard,
        *,
        key: str = "key-1",
        password: str | None = None,
        caller: str | None = None,
    ) -> Redeemed | Refusal:
        return redeem_voucher(
            self.db,
            self.vault,
            switch=self.switch,
            credentials=who.credentials if isinstance(who, TestCard) else who,
            caller=caller,
            voucher_number=voucher.number,
            voucher_password=Secret(voucher.password if password is None else password),
            key=key,
            now=self.now,
        )

    def show(self, ref: str = "call-1") -> control.CallView:
        return control.show(self.db, switch=self.switch, call_ref=ref, now=self.now)
