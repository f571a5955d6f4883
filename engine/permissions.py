"""Who may do what: one table for commands, pages and doors, and the mark that makes a function a command.

A command is a privileged act of a person. `@command("card.lock")` gives it its name, which is also the action of its
audit row and the permission that the table below grants; whoever is not in the table is refused before anything is
read, and a cardholder (whose actor's id is their card's) reaches no other card. The system and the machine's own
command line may do everything.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from engine.actor import Actor
from engine.errors import Forbidden, NotFound

P = ParamSpec("P")
T = TypeVar("T")

ADMIN, OPERATOR, SUPPORT, FINANCE, AUDITOR = "admin", "operator", "support", "finance", "auditor"
STAFF_ROLES = (ADMIN, OPERATOR, SUPPORT, FINANCE, AUDITOR)
OWNER, CLERK = "reseller.owner", "reseller.clerk"
CARDHOLDER = "cardholder"
_OWN_CARD = ("card_id", "from_id")
"""By these names a command takes the card it is done to, or takes from."""

_ALL = STAFF_ROLES
_DESK = (ADMIN, OPERATOR, SUPPORT)
_RUN = (ADMIN, OPERATOR)
_MONEY = (ADMIN, FINANCE)
_TILL = (ADMIN, OPERATOR, OWNER, CLERK)

PERMISSIONS: dict[str, frozenset[str]] = {
    name: frozenset(roles)
    for name, roles in {
        # one's own log-in
        "me.see": (*_ALL, OWNER, CLERK),
        # looking
        "cards.see": _ALL,
        "calls.see": _ALL,
        "batches.see": _ALL,
        "decks.see": _ALL,
        "money.see": (ADMIN, OPERATOR, FINANCE, AUDITOR),
        "resellers.see": (ADMIN, OPERATOR, FINANCE, AUDITOR),
        "settings.see": (ADMIN, OPERATOR, AUDITOR),
        "jobs.see": (ADMIN, OPERATOR, AUDITOR),
        "people.see": (ADMIN, AUDITOR),
        "audit.see": (ADMIN, AUDITOR),
        "desk.see": (OWNER, CLERK),
        "desk.owner.see": (OWNER,),
        # one card
        "card.lock": (*_DESK, CARDHOLDER),
        "card.unlock": _DESK,
        "card.damage": _RUN,
        "card.extend": _DESK,
        "card.set_concurrency": _RUN,
        "card.reset_password": _DESK,
        "card.bind": _DESK,
        "card.unbind": _DESK,
        "card.add_phone": (CARDHOLDER,),
        "card.remove_phone": (CARDHOLDER,),
        "card.set_pinless": (CARDHOLDER,),
        "card.set_speed_dial": (CARDHOLDER,),
        "card.remove_speed_dial": (CARDHOLDER,),
        "card.change_password": (CARDHOLDER,),
        "card.recharge": (ADMIN, OPERATOR, FINANCE),
        "card.adjust": _MONEY,
        "card.transfer": (ADMIN, OPERATOR, FINANCE, CARDHOLDER),
        "card.replace": _DESK,
        # paid online
        "checkout.begin": (CARDHOLDER,),
        "checkout.credit": _MONEY,
        # many cards
        "bulk.lock": _RUN,
        "bulk.unlock": _RUN,
        "bulk.damage": _RUN,
        "bulk.activate": _RUN,
        "bulk.hold_back": _RUN,
        "bulk.extend": _RUN,
        "bulk.recharge": (ADMIN, OPERATOR, FINANCE),
        "bulk.bind": _RUN,
        "bulk.unbind": _RUN,
        "bulk.change_deck": _RUN,
        "bulk.set_concurrency": _RUN,
        "bulk.change_rules": _RUN,
        "bulk.assign": _RUN,
        "bulk.discard": (ADMIN,),
        "bulk.export": _RUN,
        "bulk.cancel": (ADMIN, OPERATOR, FINANCE),
        "bulk.resume": (ADMIN, OPERATOR, FINANCE),
        # money
        "account.open": _MONEY,
        "account.change": _MONEY,
        "account.deposit": _MONEY,
        "account.adjust": _MONEY,
        "bonus_rule.add": _MONEY,
        "bonus_rule.disable": _MONEY,
        "auto_recharge.add": _MONEY,
        "auto_recharge.change": _MONEY,
        "auto_recharge.enrol": _MONEY,
        "auto_recharge.withdraw": _MONEY,
        # stock
        "batch.create": _RUN,
        "batch.discard": _RUN,
        "batch.resume": _RUN,
        "batch.stop": _RUN,
        "batch.import": _RUN,
        "batch.export": _RUN,
        "batch.hand_over": _RUN,
        "export_template.add": _RUN,
        "export_template.change": _RUN,
        "export_template.remove": _RUN,
        "batch.shred": _RUN,
        "shipment.send": _RUN,
        "shipment.change": _RUN,
        "shipment.receive": _TILL,
        "shipment.take_back": _RUN,
        "print_design.add": _RUN,
        "print_design.change": _RUN,
        "print_design.remove": _RUN,
        "print_run.order": _TILL,
        "print_run.confirm": _TILL,
        "print_run.cancel": _TILL,
        "printer.add": _TILL,
        "printer.change": _TILL,
        "printer.remove": _TILL,
        "cards.printed": _RUN,
        "cards.shipped": _RUN,
        "cards.sold": _RUN,
        "cards.activate": _RUN,
        "cards.hold_back": _RUN,
        "stock.assign": _RUN,
        "stock.unassign": _RUN,
        "stock.activate": _TILL,
        "stock.sell": _TILL,
        "stock.return": _TILL,
        "stock.recharge": (OWNER, CLERK),
        # rates and calls
        "deck.import": _RUN,
        "deck.change": _RUN,
        "deck.set_buy_deck": _RUN,
        "deck.replay": (ADMIN, OPERATOR, FINANCE),
        "deck.cancel_replay": (ADMIN, OPERATOR, FINANCE),
        "destination_group.set": _RUN,
        "destination_group.remove": _RUN,
        "destination_rules.add": _RUN,
        "destination_rules.change": _RUN,
        "access_number.add": _RUN,
        "access_number.change": _RUN,
        "access_number.disable": _RUN,
        "access_number.enable": _RUN,
        "call.end": _DESK,
        "call.resolve": (*_DESK, FINANCE),
        "report.export": _ALL,
        "report.cancel": _ALL,
        "trial.call": _RUN,
        # people and machines
        "staff.add": (ADMIN,),
        "staff.change": (ADMIN,),
        "staff.disable": (ADMIN,),
        "staff.enable": (ADMIN,),
        "staff.reset_password": (ADMIN,),
        "staff.reset_totp": (ADMIN,),
        "staff.end_sessions": (ADMIN,),
        "reseller.add": _RUN,
        "reseller.change": _RUN,
        "reseller.disable": _RUN,
        "reseller.enable": _RUN,
        "reseller_person.add": (*_RUN, OWNER),
        "reseller_person.change": (*_RUN, OWNER),
        "reseller_person.disable": (*_RUN, OWNER),
        "reseller_person.enable": (*_RUN, OWNER),
        "reseller_person.reset_password": (*_RUN, OWNER),
        "reseller_person.reset_totp": (*_RUN, OWNER),
        "reseller_person.end_sessions": (*_RUN, OWNER),
        "brand.set": (*_RUN, OWNER),
        "brand.remove_logo": (*_RUN, OWNER),
        "brand.remove": (*_RUN, OWNER),
        "switch.add": (ADMIN,),
        "switch.change": (ADMIN,),
        "switch.rotate": (ADMIN,),
        "switch.finish_rotation": (ADMIN,),
        "switch.revoke_key": (ADMIN,),
        "switch.revoke": (ADMIN,),
        "setting.set": (ADMIN,),
        "consent.ask": (*_ALL, OWNER),
        "consent.decide": (ADMIN, FINANCE),
        "audit.export_head": (ADMIN, AUDITOR),
        "audit.verify": (ADMIN, AUDITOR),
        "alarm.clear": _RUN,
        "job.run": _RUN,
        "job.pause": (ADMIN,),
        "job.continue": (ADMIN,),
    }.items()
}


@dataclass(frozen=True, slots=True)
class Command:
    """A privileged act: its name, and the function that does it."""

    name: str
    function: Callable[..., Any]


COMMANDS: dict[str, Command] = {}
"""Every command by its name; filled when the modules that own them are imported."""


def role_of(actor: Actor) -> str:
    """What an actor is in the table: a staff role, `reseller.ROLE`, `cardholder`; else what it never holds."""
    if actor.kind == "staff" and actor.role in STAFF_ROLES:
        return actor.role
    return CARDHOLDER if actor.kind == CARDHOLDER else f"{actor.kind}.{actor.role}"


def may(actor: Actor, permission: str) -> bool:
    """Whether the table lets `actor` do this. Raises `KeyError` for what it does not know."""
    granted = PERMISSIONS[permission]
    return actor.kind in ("system", "console") or role_of(actor) in granted


def require(actor: Actor, permission: str) -> None:
    """Raise `Forbidden` ("not_permitted") unless `actor` may."""
    if not may(actor, permission):
        raise Forbidden("not_permitted", permission=permission, role=role_of(actor))


def command(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function with an `actor` the command `name`: only whom the table names may call it."""
    if name not in PERMISSIONS:
        raise LookupError(f"nobody may {name}: it is missing in PERMISSIONS")

    def mark(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        place = list(signature.parameters).index("actor")
        own = next((given for given in _OWN_CARD if given in signature.parameters), None)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            actor: Any = kwargs["actor"] if "actor" in kwargs else args[place]
            require(actor, name)
            if actor.kind == CARDHOLDER:
                # A holder acts on the card they proved, and on no other; which others there are is not told.
                given = None if own is None else signature.bind(*args, **kwargs).arguments.get(own)
                if actor.id is None or given != actor.id:
                    raise NotFound("card_not_found")
            return function(*args, **kwargs)

        if name in COMMANDS:
            raise LookupError(f"there are two commands {name}")
        COMMANDS[name] = Command(name, run)
        return run

    return mark
