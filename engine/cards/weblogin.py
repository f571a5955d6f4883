"""The cardholder's way in at a browser: number and password, under the limits of every other door."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from engine.cards import access
from engine.cards.access import Browser, Credentials
from engine.cards.authentication import MAX_TURNS, PROVEN, admit, state_refusal
from engine.cards.proving import note_refusal, prove
from engine.cards.serials import serial_of
from engine.cards.status import status_of
from engine.db import Database, reruns
from engine.errors import EngineUnavailable
from engine.people import sessions
from engine.refusal import Refusal
from engine.vault import Secret, Vault

_FIND = access.card_queries()
_STILL_PROVEN = text(PROVEN.replace("%(card_id)s", ":card_id").replace("%(password)s", ":password"))


@dataclass(frozen=True, slots=True)
class CardProof:
    """A card whose password was right just now, and the `session` that was opened for it.

    Amounts in micro-units of `currency`. With each request of the session the card is looked at again.
    """

    session: Secret
    card_id: int
    serial: str
    status: str
    balance: int
    available: int
    currency: str
    expires_at: datetime | None
    language: str


@reruns
def log_in_card(
    db: Database,
    vault: Vault,
    number: str,
    password: Secret,
    address: str,
    browser: str | None,
    now: datetime,
) -> CardProof | Refusal:
    """Prove a card at a browser. `browser`: the random id of its own that its cookie keeps; `address`: its address.

    Ok for unused, active, empty and expired cards within grace; a browser starts no validity and binds nothing. The
    session is opened in the transaction that sees the proof still stand, so that no lock slips in between.
    Returns a `Refusal` otherwise: `bad_credentials`, the same for an unknown number and a wrong password; `throttled`
    with `retry_after_s`; and once the password was right `locked`, `damaged`, `expired`, `not_activated` and
    `voucher_not_allowed`, with the serial. A lock that wrong passwords brought is lifted where the browser was right
    on this card before. From its first right password on the browser has tries of its own here.
    """
    asker = Browser(address, browser)
    credentials = Credentials(number, password)
    for _ in range(MAX_TURNS):
        with db.connection() as conn:
            presented, row = access.read_card_at_browser(
                conn, db, vault, _FIND, browser=asker, credentials=credentials, now=now
            )
        refusal = (
            prove(db, vault, presented, row)
            or state_refusal(row, presented, inquiry=True)
            or admit(db, presented, row)
        )
        if refusal is not None:
            note_refusal(db, presented, row, refusal)
            return refusal
        with db.begin() as session:
            card = session.execute(_STILL_PROVEN, {"card_id": row.id, "password": row.digest}).one_or_none()
            if card is None:
                continue  # locked, or its password changed, since it was read: look again
            token = sessions.add_session(session, "cardholder", row.id, address, now)
        return CardProof(
            session=token,
            card_id=row.id,
            serial=serial_of(row.id),
            status=status_of(card, now),
            balance=card.balance,
            available=card.balance - card.held,
            currency=row.currency,
            expires_at=card.expires_at,
            language=row.language,
        )
    raise EngineUnavailable("busy")
