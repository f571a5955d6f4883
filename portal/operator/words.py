"""The console's sentences about cards and batches: what a state means, why it is so, what may be done.

They are Jinja filters over the engine's frozen answers; every value in them is escaped.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path

from flask import Flask
from markupsafe import Markup, escape

from engine.calls.explain import explain
from engine.cards.queries import CardPage, EntryLine
from engine.stock.queries import BatchPage
from portal.formats import count, day, until, when

ENTRY_KINDS = {
    "opening": "Face value",
    "usage": "Call",
    "overrun": "Beyond the balance, borne by the operator",
    "correction": "Call, corrected by its late end",
    "recharge": "Recharge",
    "bonus": "Bonus",
    "voucher": "Voucher",
    "transfer": "Transfer",
    "adjustment": "Adjustment",
    "fee": "Fee",
    "breakage": "Written off after expiry",
    "refund": "Online payment given back",
}
CALL_FLAGS = {
    "duration_capped": (
        "Duration capped",
        "The switch reported more time than had passed; only what had passed counts.",
    ),
    "overrun": ("Overrun", "The call lasted longer than it was granted."),
    "overrun_loss": ("Loss", "The card could not pay all of it; the operator bore the rest."),
    "ended_by_operator": ("Ended by hand", "Somebody of the operator ended this call; its switch did not."),
    "swept": ("No end", "The switch never said that this call ended. It was closed by what was known of it."),
    "late_end": ("Late end", "The end arrived after the call had been closed, and corrected it."),
}
BATCH_WORDS = {
    "interrupted": "The process that made these cards stopped. Another one goes on where it was.",
    "failed": "The cards could not be finished. None of them can be used.",
    "stopped": "Somebody stopped this batch before it was finished. None of its cards can be used.",
    "discarded": "This batch was discarded before it was ready. None of its cards can be used.",
}
HELD_BACK = Markup(" It is held back: every door refuses it until it is activated.")
NOT_READY = Markup("Its batch is not ready, so nobody can use it yet.")


def init_app(app: Flask) -> None:
    """Make the sentences known to the templates."""
    app.jinja_env.filters.update(
        binding=binding,
        custody=custody,
        entry_kind=entry_kind,
        explain=explain,
        passwords=passwords,
        shell_word=shlex.quote,
        validity=validity,
        why=why,
    )
    app.jinja_env.globals.update(
        BATCH_WORDS=BATCH_WORDS, CALL_FLAGS=CALL_FLAGS, cardtone=cardtone, sample_deck=sample_deck
    )


def cardtone() -> str:
    """The command as it can be typed where the server was started."""
    beside = Path(sys.executable).with_name("cardtone")
    return "cardtone" if shutil.which("cardtone") or not beside.exists() else shlex.quote(_near(beside))


def sample_deck() -> str | None:
    """Where a rate deck to try things with lies, if it was brought along."""
    path = Path(__file__).parents[2] / "docs" / "sample-deck.csv"
    return shlex.quote(_near(path)) if path.exists() else None


def _near(path: Path) -> str:
    """A path as it is typed from the folder that the server runs in."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def why(card: CardPage) -> Markup:
    """Why a card has its status, and what that means for whoever holds it."""
    if not card.batch_ready:
        return NOT_READY
    if card.kind == "voucher" and card.status in ("unused", "active"):
        sentence = Markup(
            "A recharge voucher: it pays its value into another card, once, and takes no calls."
        )
    else:
        sentence = _STATUS_SENTENCES[card.status](card)
    return sentence if card.released_at is not None else sentence + HELD_BACK


def _damaged(card: CardPage) -> Markup:
    return Markup("Voided for good on {}{}{}. It works nowhere any more.").format(
        when(card.damaged_at), _by(card.damaged_by), _because(card.damage_reason)
    )


def _locked(card: CardPage) -> Markup:
    return Markup("Locked since {}{}{}. It takes no calls and no recharge until it is unlocked.").format(
        when(card.locked_at), _by(card.locked_by), _because(card.lock_reason)
    )


def _expired(card: CardPage) -> Markup:
    grace = Markup("")
    if card.grace_until and card.expires_at and card.grace_until > card.expires_at:
        grace = Markup(" Its balance can still be heard, and it may be revived, until {}.").format(
            until(card.grace_until)
        )
    return (
        Markup("Its validity lasted until {}, so it takes no calls.").format(until(card.expires_at)) + grace
    )


def _empty(card: CardPage) -> Markup:
    return Markup("Its balance is zero, so it takes no calls until it is recharged.")


def _active(card: CardPage) -> Markup:
    end = Markup("It does not expire.") if card.expires_at is None else _until(card.expires_at)
    return Markup("In use since {}. {}").format(when(card.first_used_at), end)


def _unused(card: CardPage) -> Markup:
    if card.expires_at is not None:
        return Markup("Never used. {}").format(_until(card.expires_at))
    if card.validity_days is None:
        return Markup("Never used. It does not expire.")
    return Markup("Never used. Its {} days begin with its first use.").format(count(card.validity_days))


_STATUS_SENTENCES = {
    "damaged": _damaged,
    "locked": _locked,
    "expired": _expired,
    "empty": _empty,
    "active": _active,
    "unused": _unused,
}


def _until(end: datetime) -> Markup:
    return Markup("It is valid until {}.").format(until(end))


def _by(actor: str | None) -> Markup:
    return Markup(" by {}").format(actor) if actor else Markup("")


def _because(reason: str | None) -> Markup:
    return Markup(": <bdi>{}</bdi>").format(reason) if reason else Markup("")


def custody(card: CardPage) -> Markup:
    """Where a card has been, in the order of a card's life."""
    steps = (
        ("printed", card.printed_at),
        ("shipped", card.shipped_at),
        ("sold", card.sold_at),
        ("activated", card.activated_at),
    )
    done = [Markup("{} {}").format(word, day(at)) for word, at in steps if at is not None]
    return Markup(", ").join(done) if done else escape("in stock")


def entry_kind(entry: EntryLine) -> str:
    """What a ledger entry is, in words."""
    return ENTRY_KINDS.get(entry.kind, entry.kind)


def validity(batch: BatchPage) -> str:
    """How long the cards of a batch are valid."""
    if batch.validity_days is None:
        return "without end"
    start = "generation" if batch.validity_from == "generation" else "first use"
    grace = f", then {count(batch.grace_days)} days of grace" if batch.grace_days else ""
    return f"{count(batch.validity_days)} days from {start}{grace}"


def binding(batch: BatchPage | CardPage) -> str:
    """Which callers may use a card."""
    return {
        "none": "any phone",
        "single": "one registered phone",
        "multi": f"up to {batch.max_bound} registered phones",
    }[batch.binding]


def passwords(batch: BatchPage) -> Markup:
    """Whether the passwords of a batch can still be printed."""
    if batch.shredded_at is not None:
        return Markup("shredded {}{}").format(when(batch.shredded_at), _by(batch.shredded_by))
    if not batch.printable:
        return escape("not kept for printing")
    if batch.shred_after is not None:
        return Markup("sealed for printing until {}").format(when(batch.shred_after))
    return escape("sealed for printing")
