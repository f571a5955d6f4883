"""Verbs for many cards, their runs and their filters in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from engine.bulk.views import RunView
from engine.cards.serials import serial_of
from portal.formats import amount, count, day, money, serial, when
from portal.installation import zone

VERB_WORDS = {
    "lock": "Lock",
    "unlock": "Unlock",
    "damage": "Void for good",
    "activate": "Activate",
    "hold_back": "Hold back",
    "extend": "Extend",
    "recharge": "Recharge",
    "bind": "Bind phones",
    "unbind": "Take phones off",
    "change_deck": "Change rate deck",
    "set_concurrency": "Set calls at a time",
    "change_rules": "Change destination rules",
    "assign": "Give to a reseller",
    "discard": "Write off unused stock",
    "export": "Export to a file",
}
COMMON = ("lock", "unlock", "extend", "recharge")
"""Verbs that stand as buttons under a list."""

INTROS = {
    "lock": "They take no calls and no recharge until they are unlocked. Calls in progress go on to their end.",
    "unlock": "Whoever locked them; wrong passwords that were tried on them are forgotten.",
    "damage": "They work nowhere from then on, for good. Their balance stays on them.",
    "activate": "Cards that are held back can be used from then on.",
    "hold_back": "Cards that nobody has used are refused everywhere until they are activated.",
    "extend": "Whole days are added to each card's validity; an expired card gets them from today on.",
    "recharge": "Each card gets exactly this. No bonus is added, and nobody's account pays for it.",
    "bind": "Each card gets its phone, from a list.",
    "unbind": "One phone is taken off all the cards, or each card loses its own, from a list.",
    "change_deck": "Their calls are charged by another deck from then on.",
    "set_concurrency": "So many calls may use one card at the same time.",
    "change_rules": "What they may call changes from then on.",
    "assign": "They move into a reseller's stock, or back to you.",
    "discard": "Unused stock is voided for good, and its value taken out of the books.",
    "export": "A file with serial, number, status, balance and dates of each card. It holds no passwords.",
}
DONE = {
    "lock": ("was locked", "were locked"),
    "unlock": ("was unlocked", "were unlocked"),
    "damage": ("is void", "are void"),
    "activate": ("was activated", "were activated"),
    "hold_back": ("is held back", "are held back"),
    "extend": ("was extended", "were extended"),
    "recharge": ("was recharged", "were recharged"),
    "bind": ("got its phone", "got their phones"),
    "unbind": ("lost its phone", "lost their phones"),
    "change_deck": ("has another deck", "have another deck"),
    "set_concurrency": ("was changed", "were changed"),
    "change_rules": ("has other rules", "have other rules"),
    "assign": ("was moved", "were moved"),
    "discard": ("was written off", "were written off"),
    "export": ("is in the file", "are in the file"),
}
NO_WAY_BACK = {
    "damage": "A void card stays void.",
    "extend": "Nothing takes given validity back.",
    "recharge": "Money that was given stays on the cards. A single card is corrected on its page.",
    "discard": "Stock that was written off stays so.",
}
STATES = {
    "queued": ("calm", "Waiting"),
    "running": ("calm", "Running"),
    "done": ("good", "Done"),
    "failed": ("bad", "Failed"),
    "cancelled": ("warn", "Stopped"),
}


def cards_of(number: int) -> str:
    """`1 card`, `1,234 cards`."""
    return f"{count(number)} card{'' if number == 1 else 's'}"


def title_of(run: RunView) -> Markup:
    """What a run does, with its parameters: `Recharge: USD 5.00 each`."""
    word, detail = VERB_WORDS[run.verb], _detail(run.verb, run.params, run.currency or "")
    return Markup("{}: {}").format(word, detail) if detail else Markup("{}").format(word)


def _detail(verb: str, params: Mapping[str, Any], currency: str) -> Markup | str:
    if verb == "recharge":
        gift = f", and {amount(params['bonus'])} as a gift" if params.get("bonus") else ""
        return Markup("{} each{}").format(money(params["amount"], currency), gift)
    name = params.get("deck") or params.get("rules")
    if name:
        return Markup("<bdi>{}</bdi>").format(name)
    if verb == "assign" and params.get("reseller_id") is None:
        return "back to the operator"
    phone = Markup('<bdi class="digits">+{}</bdi>').format(params["caller"]) if params.get("caller") else ""
    plain = {
        "extend": lambda: f"{count(params['days'])} day{'' if params['days'] == 1 else 's'} more",
        "set_concurrency": lambda: count(params["calls"]),
        "bind": lambda: "without number and password" if params.get("pinless") else "",
        "unbind": lambda: phone,
        "export": lambda: params["format"].upper(),
    }
    return plain[verb]() if verb in plain else ""


def came_of(run: RunView) -> str:
    """What came of a run so far, in one sentence or two."""
    one, many = DONE[run.verb]
    told = [f"{cards_of(run.changed)} {one if run.changed == 1 else many}."]
    if run.unchanged:
        told.append(f"{count(run.unchanged)} {'was' if run.unchanged == 1 else 'were'} so already.")
    if run.refused:
        told.append(f"{count(run.refused)} {'was' if run.refused == 1 else 'were'} refused.")
    left = run.cards - run.changed - run.unchanged - run.refused
    if left and run.state in ("cancelled", "failed"):
        told.append(f"{cards_of(left)} {'was' if left == 1 else 'were'} not reached.")
    return " ".join(told)


def which(plain: Mapping[str, Any] | None, names: Mapping[str, str]) -> list[Markup]:
    """A frozen filter in words; empty where it was every card or a list. `names`: of its batch and reseller."""
    return [_WORDS[part](value, names) for part, value in (plain or {}).items()]


def _between(label: str, show: Any) -> Any:
    def told(ends: Any, _: Mapping[str, str]) -> Markup:
        first, end = ends
        parts = [
            Markup("{} {}").format(word, show(at, word))
            for word, at in (("from", first), ("to", end))
            if at is not None
        ]
        return Markup("{} {}").format(label, Markup(" ").join(parts) or "at any time")

    return told


def _moment(text: str, word: str) -> Markup:
    at = datetime.fromisoformat(text)
    if word == "to":
        at -= timedelta(microseconds=1)
    local = at.astimezone(zone())
    whole = (local.hour, local.minute) == ((0, 0) if word == "from" else (23, 59))
    return day(at) if whole else when(at)


def _list(words: Any, _: Mapping[str, str]) -> Markup:
    return Markup("{}").format(" or ".join(words))


_WORDS: dict[str, Any] = {
    "card_id": lambda value, _: Markup("the card {}").format(serial(serial_of(value))),
    "serials": _between(
        "serials", lambda card, word: serial(serial_of(card if word == "from" else card - 1))
    ),
    "created": _between("made", _moment),
    "first_used": _between("first used", _moment),
    "expires": _between("valid until", _moment),
    "balance": _between("balance", lambda micros, word: amount(micros if word == "from" else micros - 1)),
    "statuses": _list,
    "phone": lambda value, _: Markup('bound to <bdi class="digits">+{}</bdi>').format(value),
    "batch_id": lambda _, names: Markup("batch <bdi>{}</bdi>").format(names.get("batch", "?")),
    "reseller_id": lambda _, names: Markup("reseller <bdi>{}</bdi>").format(names.get("reseller", "?")),
    "custody": _list,
    "released": lambda value, _: Markup("{}").format("can be used" if value else "held back"),
    "currency": lambda value, _: Markup("currency {}").format(value),
}
