"""A card's password, chosen by its holder."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from sqlalchemy import text

from engine import idempotency
from engine.actor import Actor
from engine.cards import access
from engine.cards.access import Browser, Credentials
from engine.cards.lifecycle import ask_again, locked_card, tell
from engine.cards.proving import note_refusal, prove
from engine.cards.serials import serial_of
from engine.db import Database, reruns
from engine.errors import InvalidInput, NotFound, Refused
from engine.people import sessions
from engine.permissions import command
from engine.refusal import Refusal
from engine.schema import Batch, Card
from engine.vault import Secret, Vault

SHORTEST, LONGEST = 6, 12
"""Of cards that came with passwords of their own; others keep the length that their batch has."""

_SCOPE = "change_password"
_FIND = access.card_queries()


@command("card.change_password")
@reruns
def change_password(
    db: Database,
    vault: Vault,
    *,
    card_id: int,
    present: Secret,
    chosen: Secret,
    browser: Browser,
    kept: Secret | None = None,
    key: str,
    actor: Actor,
    now: datetime,
) -> Refusal | None:
    """Put a password that its holder chose in the place of the present one; None once that is done.

    The present one is proven under the limits of every door: a `Refusal` says what that brought. The sealed copy is
    deleted; tokens and all sessions but `kept` end, and every phone asks for the password again: whoever knew the old
    one may have registered theirs. The same `key` counts once. Raises `Refused` ("damaged")
    and `InvalidInput` with `field` "chosen": "password_not_digits", "password_length" (`low`, `high`), "password_easy",
    "password_same".
    """
    with db.begin() as session:
        card = session.get(Card, card_id)
        if card is None:
            raise NotFound("card_not_found")
        asked = vault.name("change of password", idempotency.canonical(card_id, present.value, chosen.value))
        if idempotency.find(session, _SCOPE, key, asked) is not None:
            return None
        number, digest = card.number, card.digest
        batch = session.get_one(Batch, card.batch_id)
        low, high = (SHORTEST, LONGEST) if batch.imported else (batch.password_length, batch.password_length)
    refusal = _prove(db, vault, browser, Credentials(number, present), now)
    if refusal is not None:
        return refusal
    # Only now: what it says of the card's number is for nobody else.
    check_password(chosen.value, number, low, high)
    if chosen.value == present.value:
        raise InvalidInput("password_same", field="chosen")
    with db.begin() as session:
        card = locked_card(session, card_id)
        if card.damaged_at is not None:
            raise Refused("damaged", serial=serial_of(card_id))
        if idempotency.claim(session, _SCOPE, key, asked, now) is not None:
            return None
        if card.digest != digest:
            session.rollback()
            return Refusal("bad_credentials")  # it was changed meanwhile
        card.digest, card.pepper, card.sealed = vault.digest(number, chosen.value), vault.pepper, None
        session.execute(text("DELETE FROM card_token WHERE card_id = :id"), {"id": card_id})
        ask_again(session, card_id)
        sessions.close_others(session, "cardholder", card_id, kept)
        tell(session, card_id, "change_password", actor, now, None)
    return None


def check_password(chosen: str, number: str, low: int, high: int) -> None:
    """Raise `InvalidInput` (see `change_password`) for a password no keypad can type, or that is easily guessed."""
    if not (chosen.isascii() and chosen.isdecimal()):
        raise InvalidInput("password_not_digits", field="chosen")
    if not low <= len(chosen) <= high:
        raise InvalidInput("password_length", field="chosen", low=low, high=high)
    if is_easy(chosen) or chosen in number or chosen[::-1] in number:
        raise InvalidInput("password_easy", field="chosen")


def is_easy(digits: str) -> bool:
    """Whether digits follow a plain pattern: few different ones, a run up or down, a short group again and again."""
    if len(set(digits)) < 3:
        return True
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(digits)}
    if steps in ({1}, {9}):
        return True
    return any(
        digits == (digits[:size] * len(digits))[: len(digits)] for size in range(1, len(digits) // 2 + 1)
    )


def _prove(
    db: Database, vault: Vault, browser: Browser, credentials: Credentials, now: datetime
) -> Refusal | None:
    with db.connection() as conn:
        presented, row = access.read_card_at_browser(
            conn, db, vault, _FIND, browser=browser, credentials=credentials, now=now
        )
    refusal = prove(db, vault, presented, row)
    if refusal is not None:
        note_refusal(db, presented, row, refusal)
    return refusal
