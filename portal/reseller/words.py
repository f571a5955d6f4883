"""The desk's words for stock: states of cards, why one is left, what was done, and refusals for a shopkeeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine import messages
from engine.errors import EngineError
from engine.refusal import Refusal
from engine.stock.deskviews import CardAtTill
from engine.stock.moves import Resold
from engine.stock.stockviews import MoveLine
from portal.formats import amount, cards, count

STATES = {
    "held_back": ("calm", "Held back", "It can't be used before you activate it."),
    "ready": ("good", "Ready to sell", "It works as soon as it is sold."),
    "activated": ("good", "Activated", "It can be used."),
    "waiting": ("warn", "Sold, held back", "It can't be used before you activate it."),
    "sold": ("good", "Sold", "It can be used."),
    "in_use": ("calm", "In use", "Its customer has used it."),
    "used_up": ("faint", "Used up", "Nothing is left on it."),
    "expired": ("faint", "Expired", "It can't be used any more."),
    "locked": ("warn", "Locked", "It can't be used while it is locked. Only the operator unlocks it."),
    "damaged": ("bad", "Voided", "It can never be used. Don't sell it."),
}
"""Tone, word and meaning of each state of a card."""
ACTS = {
    "both": ("Activate and sell", "activated and sold"),
    "activate": ("Activate", "activated"),
    "sell": ("Sell", "sold"),
    "return": ("Return", "returned"),
}
"""What a till does: the word on its button, and for what was done."""
LEFT = {
    "damaged": "voided",
    "released": "activated already",
    "expired": "expired",
    "locked": "locked",
    "sold": "sold already",
    "used": "used by a customer",
    "in_call": "in a call just now",
    "not_sold": "neither activated nor sold",
    "other_press": "charged before, or changed since",
    "printed_by_reseller": "printed by another shop: ask the operator for other cards",
}
"""Why a card is left as it is: `8 sold already`."""
WHY_NOT = {
    "damaged": "Ask the operator for another card.",
    "expired": "Ask the operator for another card.",
    "used": "A customer has used it, so it can't come back.",
    "in_call": "It is in a call just now.",
    "voucher_not_allowed": "It is a recharge voucher. Vouchers are put onto cards; nothing is put onto them.",
}
"""Why something can't be done with a card, where its state doesn't say it."""
_SENTENCES = {
    "account_exhausted": "Your credit is too low for this, and nothing was done. Pay the operator, or ask for a"
    " higher limit.",
    "bad_serial": "That is no serial. A serial has 11 digits; the card number is only for its customer.",
    "card_not_found": "No card of your stock has this serial.",
    "no_reseller_account": "You have no account in {currency} yet. Ask the operator to open one.",
    "batch_not_ready": "These cards are not ready yet. Ask the operator.",
    "mixed_currencies": "These cards are in different currencies. Take one currency at a time.",
    "not_activated": "This card is held back. Activate it first.",
    "voucher_not_allowed": WHY_NOT["voucher_not_allowed"],
    "key_reused": "This form was sent before with something else in it. Load the page again.",
}


def sentence(error: EngineError | Refusal | str) -> str:
    """One plain sentence for whoever stands at a till."""
    code = getattr(error, "code", None) or getattr(error, "reason", error)
    data = error.data if isinstance(error, EngineError) else {}
    if code == "cards_not_found":
        number = data.get("count", 0)
        return f"{count(number)} serial{' is' if number == 1 else 's are'} not in your stock."
    if code == "bad_serial" and "mistyped" in data:
        # What was typed is not said again: it may be a card number.
        return "The last digit of this serial does not fit the others; one of them may be mistyped."
    own = _SENTENCES.get(str(code))
    return messages.sentence(error) if own is None else own.format_map(data)


def grouped(serial: str) -> str:
    """A serial in groups that are easy to read aloud, as plain text."""
    return " ".join(serial[at : at + 4] for at in range(0, len(serial), 4))


def money(micros: int, currency: str) -> str:
    """An amount with its currency as plain text."""
    return f"{currency} {amount(micros)}"


def left(why: Mapping[str, int]) -> str:
    """`2 sold already, 1 locked`: how many cards are left as they are, and why."""
    return ", ".join(
        f"{count(cards)} {LEFT.get(word, word.replace('_', ' '))}" for word, cards in why.items()
    )


def done(act: str, answers: Sequence[Resold], serial: str | None = None) -> tuple[str, str]:
    """What an act did, as a sentence and its tone. `serial`: of one card."""
    steps = {one.kind: one.changed for one in answers}
    if len(set(steps.values())) == 1:
        steps = {act: answers[0].changed}
    did = [f"{serial or cards(number)} {ACTS[kind][1]}." for kind, number in steps.items() if number]
    text = " ".join(did) or "Nothing was changed."
    paid = sum(one.amount for one in answers)
    if paid:
        text += f" {money(abs(paid), answers[0].currency or '')} {'charged' if paid > 0 else 'given back'}."
    for one in answers:
        if one.left:
            begin = "Left as they were" if len(answers) == 1 else f"Not {ACTS[one.kind][1]}"
            text += f" {begin}: {left(one.why)}."
    if all(one.repeated for one in answers):
        text += " It was sent twice, and counted once."
    return text, "good" if did else "warn"


def undoes(answers: Sequence[Resold]) -> str | None:
    """The documents of one press that charged cards, as an address carries them; None where nothing was charged."""
    moves = [str(one.move) for one in answers if one.move is not None]
    return ",".join(moves) if any(one.amount > 0 for one in answers) else None


def at_once(moves: Sequence[MoveLine]) -> list[MoveLine]:
    """Documents, newest first, in which what was activated and sold with one press is one line of the kind `both`."""
    found: list[MoveLine] = []
    for move in moves:
        after = found[-1] if found else None
        if after and (move.kind, after.kind) == ("activate", "sell") and _same_press(move, after):
            found[-1] = replace(
                move, kind="both", amount=move.amount + after.amount, currency=move.currency or after.currency
            )
        else:
            found.append(move)
    return found


def _same_press(one: MoveLine, other: MoveLine) -> bool:
    parts = ("at", "first_serial", "last_serial", "cards", "actor")
    return all(getattr(one, part) == getattr(other, part) for part in parts)


def told(card: CardAtTill) -> list[str]:
    """What else is to be known of a card at the till: why something can't be done with it now."""
    reasons = (card.keeps_from[act] or "" for act in ("sell", "return", "recharge"))
    return list(dict.fromkeys(WHY_NOT[word] for word in reasons if word in WHY_NOT))
