"""What each line of a card's timeline says. A test goes through the source: whoever adds a kind adds its sentence.

Lines come from the card's own events, and from the audit trail where an act wrote no event: what happened to a range of
serials on its way to a customer, and to the card's batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from engine.money import Money
from engine.telling import Fact, Phone, Run, Said, Serial, Span, Typed, Until, joined, said

Data = Mapping[str, Any]


def event_said(kind: str, data: Data) -> Said:
    """The sentence of an event of the card; a kind that isn't known is said in its own word."""
    tell = EVENTS.get(kind)
    told = said(f"{kind.replace('_', ' ').capitalize()}.") if tell is None else tell(data)
    run = data.get("run")
    return joined(told, None if run is None else said("By {run}.", run=Run(int(run))))


def audit_said(action: str, data: Data) -> Said | None:
    """The sentence of an audit row that no event stands for; None for actions that have no place here."""
    tell = AUDITED.get(action)
    if tell is None:
        return None
    changed, left = int(data.get("changed") or 0), int(data.get("left") or 0)
    if not action.startswith("cards.") or not left or not changed:
        return tell(data)
    return joined(
        tell(data),
        said(
            "So it is told of a range; {left} of its {cards} cards were left as they were.",
            left=left,
            cards=left + changed,
        ),
    )


def _plain(sentence: str) -> Callable[[Data], Said]:
    return lambda data: Said(sentence)


def _money(data: Data, name: str = "amount") -> Money:
    return Money(abs(int(data.get(name) or 0)), str(data.get("currency") or ""))


def _instant(value: Any) -> Until:
    return Until(datetime.fromisoformat(str(value)))


def _lock(data: Data) -> Said:
    if "failures" in data:
        return said("Locked after {failures} wrong passwords.", failures=int(data["failures"]))
    return said("Locked: no call, no balance, no recharge.")


def _unlock(data: Data) -> Said:
    if data.get("by"):
        return said("Unlocked: the right password came from where it had been right before.")
    was = data.get("lock_reason")
    return joined(
        said("Unlocked."), said("It had been locked for: {was}.", was=Typed(str(was))) if was else None
    )


def _extend(data: Data) -> Said:
    return said(
        "Extended by {days} days: valid until {until} instead of {before}.",
        days=int(data["days"]),
        until=_instant(data["expires_at"]),
        before=_instant(data["before"]),
    )


def _reactivate(data: Data) -> Said:
    return said("Alive again by a recharge: valid until {until}.", until=_instant(data["expires_at"]))


def _concurrency(data: Data) -> Said:
    return said(
        "May make {calls} calls at a time instead of {before}.",
        calls=int(data["calls"]),
        before=int(data["before"]),
    )


def _bind(data: Data) -> Said:
    how = ", which needs no password from now on" if data.get("pinless") else ""
    return said("Bound to {caller}" + how + ".", caller=Phone(str(data["caller"])))


def _unbind(data: Data) -> Said:
    return said("Not bound to {caller} any more.", caller=Phone(str(data["caller"])))


def _adjust(data: Data) -> Said:
    way = "up" if int(data["amount"]) > 0 else "down"
    return said(f"Balance corrected {way} by {{amount}}.", amount=_money(data))


_METHODS = {"auto": " by an auto-recharge rule", "reseller": " by its reseller", "online": " paid online"}


def _recharge(data: Data) -> Said:
    facts: dict[str, Fact] = {"amount": _money(data)}
    bonus = ""
    if data.get("bonus"):
        bonus, facts["bonus"] = " and a bonus of {bonus}", _money(data, "bonus")
    return Said("Recharged with {amount}" + bonus + _METHODS.get(data.get("method") or "", "") + ".", facts)


def _voucher(data: Data) -> Said:
    facts: dict[str, Fact] = {"amount": _money(data), "voucher": Serial(str(data["voucher"]))}
    bonus = ""
    if data.get("bonus"):
        bonus, facts["bonus"] = " and a bonus of {bonus}", _money(data, "bonus")
    return Said("Recharged with {amount}" + bonus + " by the voucher {voucher}.", facts)


def _moved(sentence: str, name: str) -> Callable[[Data], Said]:
    return lambda data: said(sentence, amount=_money(data), card=Serial(str(data[name])))


def _replacement(whole: str, later: str, name: str) -> Callable[[Data], Said]:
    """What a replacement moved at once, or (without a currency) what followed when its calls had ended."""

    def tell(data: Data) -> Said:
        card = Serial(str(data[name]))
        if "currency" not in data:
            return said(later, card=card)
        held = said("{held} stay until its live calls end.", held=_money(data, "held"))
        return joined(
            said(whole, card=card, amount=_money(data)), held if data.get("held") and name == "by" else None
        )

    return tell


def _end_call(data: Data) -> Said:
    return said(
        "Its call through {switch} was ended by hand after {talked} and charged {charged}.",
        switch=Typed(str(data["switch"])),
        talked=Span(int(data["seconds"])),
        charged=_money(data, "charged"),
    )


def _reseller(sentence: str, *, priced: str = "") -> Callable[[Data], Said]:
    """Stock of a reseller: `reseller_name` was put in by whoever read the line; `price` is what it was charged."""

    def tell(data: Data) -> Said:
        name = data.get("reseller_name") or (
            f"reseller {data['reseller']}" if data.get("reseller") else "nobody"
        )
        told = said(sentence, reseller=Typed(str(name)))
        price = data.get("price")
        if price is None or not priced:
            return told
        return joined(told, said(priced, price=Money(int(price), str(data.get("currency") or ""))))

    return tell


def _activate(data: Data) -> Said:
    if data.get("reseller"):
        return _reseller(
            "Activated by {reseller}: it may be used.", priced="Its account was charged {price}."
        )(data)
    return said("Activated: it may be used.")


def _changed(sentence: str, name: str) -> Callable[[Data], Said]:
    return lambda data: said(
        sentence, now=Typed(str(data[name])), before=Typed(str(data.get("before") or "none"))
    )


def _rule(sentence: str) -> Callable[[Data], Said]:
    return lambda data: said(sentence, rule=Typed(str(data["rule"])))


def _expire(data: Data) -> Said:
    return said("Expired: its validity lasted until {until}.", until=_instant(data["expires_at"]))


def _phone(sentence: str) -> Callable[[Data], Said]:
    return lambda data: said(sentence, caller=Phone(str(data["caller"])))


EVENTS: dict[str, Callable[[Data], Said]] = {
    "first_use": _plain("Used for the first time."),
    "lock": _lock,
    "unlock": _unlock,
    "damage": _plain("Voided for good."),
    "extend": _extend,
    "expire": _expire,
    "reactivate": _reactivate,
    "set_concurrency": _concurrency,
    "reset_password": _plain("Given a new password; the old one works nowhere any more."),
    "bind": _bind,
    "unbind": _unbind,
    "add_phone": _phone("Its holder registered the phone {caller}; it is bound by its first call."),
    "remove_phone": _phone("Its holder took the phone {caller} off."),
    "set_pinless": lambda data: said(
        "Its holder wants the phone {caller} to be enough without number and password."
        if data.get("pinless")
        else "Its holder wants number and password to be asked on the phone {caller}.",
        caller=Phone(str(data["caller"])),
    ),
    "set_speed_dial": lambda data: said(
        "Its holder dials {slot} for {to}.", slot=Typed(str(data["slot"])), to=Phone(str(data["to"]))
    ),
    "remove_speed_dial": lambda data: said(
        "Its holder cleared the short number {slot}.", slot=Typed(str(data["slot"]))
    ),
    "change_password": _plain("Its holder chose a new password; the old one works nowhere any more."),
    "adjust": _adjust,
    "recharge": _recharge,
    "voucher": _voucher,
    "redeem": _moved("Redeemed: {amount} went to the card {card}.", "into"),
    "refund": lambda data: said(
        "{amount} of an online payment went back to who paid it; the card gave back {taken}.",
        amount=_money(data),
        taken=_money(data, "taken"),
    ),
    "transfer_in": _moved("{amount} came from the card {card}.", "card"),
    "transfer_out": _moved("{amount} went to the card {card}.", "into"),
    "replaced": _replacement(
        "Replaced by the card {card}; {amount} went over.",
        "What its calls left went to the card {card}, which replaces it.",
        "by",
    ),
    "replaces": _replacement(
        "It replaces the card {card}; {amount} came over.",
        "What the calls of the card {card} left came over.",
        "card",
    ),
    "breakage": lambda data: said("{amount} were written off: its grace had ended.", amount=_money(data)),
    "discard": lambda data: said("Unused stock written off with {amount}.", amount=_money(data)),
    "end_call": _end_call,
    "activate": _activate,
    "hold_back": _plain("Held back: every door refuses it until it is activated."),
    "sell": _reseller("Sold by {reseller}.", priced="Its account was charged {price}."),
    "return": _reseller("Returned by {reseller}.", priced="Its account got {price} back."),
    "assign": _reseller("Given to the reseller {reseller}."),
    "unassign": _reseller("Taken back from the reseller {reseller}."),
    "change_deck": _changed("Charged by the deck {now} from now on, instead of {before}.", "deck"),
    "change_rules": _changed("Destination rules {now} from now on, instead of {before}.", "rules"),
    "auto_enrol": _rule("Enrolled in the auto-recharge rule {rule}."),
    "auto_withdraw": _rule("Taken off the auto-recharge rule {rule}."),
}
"""Sentences of `card_event` by kind."""


def _export(data: Data) -> Said:
    secret = "with passwords" if data.get("with_passwords") else "without passwords"
    return said(
        f"Its batch was handed out {secret}: {{cards}} cards as {{format}}.",
        cards=int(data.get("cards") or 0),
        format=str(data.get("format") or "a file"),
    )


AUDITED: dict[str, Callable[[Data], Said]] = {
    "cards.printed": _plain("Marked as printed."),
    "cards.shipped": _plain("Marked as shipped."),
    "cards.sold": _plain("Marked as sold."),
    "cards.activate": _plain("Activated: it may be used."),
    "cards.hold_back": _plain("Held back: every door refuses it until it is activated."),
    "batch.create": _plain("Ordered with its batch."),
    "batch.import": _plain("Brought over from another system with its batch."),
    "batch.resume": _plain("The generation of its batch was taken up again."),
    "batch.discard": _plain("Its batch was given up before it was ready."),
    "batch.export": _export,
    "batch.shred": _plain("The passwords of its batch were shredded; nobody can print them any more."),
}
"""Sentences of audit rows about the card, its range of serials or its batch, by action."""
