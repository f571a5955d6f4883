"""Who is in the demo world: staff of every role, resellers with their people and accounts, switches, access numbers.

They are named by what they do: nobody real is meant.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from demo.world import Login, World, usd
from engine.actor import CONSOLE, Actor
from engine.calls import access_numbers, destinations
from engine.funds import accounts
from engine.people import policy, resellerpeople, resellers, secondfactor, staff, switches, totp
from engine.vault import Secret

STAFF = (
    ("admin", "Head office", "admin"),
    ("operations", "Operations desk", "operator"),
    ("night", "Night shift", "operator"),
    ("support", "Support desk", "support"),
    ("finance", "Accounts office", "finance"),
    ("auditor", "Auditor", "auditor"),
)
SECOND_FACTOR = "finance"
"""Who of them is asked for a code of an app, too."""

CORNER = "Corner Phone Shop"
RESELLERS = {
    CORNER: (1_200, "1500.00", "250.00", "corner"),
    "Airport Kiosks": (900, "3200.00", "0.00", "airport"),
    "Harbour Grocers": (1_500, "900.00", "400.00", "harbour"),
}
"""Name: discount in hundredths of a percent, first deposit, credit limit, and how its people log in."""

TOLL_FREE, LOCAL, PAYPHONE = "18005550100", "12125550199", "18005550177"
FUNDING = "Auto-recharge funding"
RAISED = "Destinations of raised risk"

_SWITCHES = (
    ("Softswitch East", True, ["10.20.0.0/16"]),
    ("Softswitch West", True, ["10.30.0.0/16"]),
    ("Calling shop gateway", False, None),
)


def settle_in(world: World) -> None:
    """The first morning: rules of the house, staff, switches, access numbers, resellers with their accounts."""
    first = world.at(0, 8.0)
    for key, value in (("zone", "America/New_York"), ("home_country", "US"), ("breakage", True)):
        policy.set_setting(world.db, key, value, CONSOLE, first)
    _staff(world)
    _machines(world)
    _destination_rules(world)
    _resellers(world)


def _staff(world: World) -> None:
    known = {one.login for one in staff.list_staff(world.db)}
    at = world.at(0, 8.1)
    for login, name, role in STAFF:
        if login in known:
            # The first person of an installation that nobody has worked with yet.
            password = staff.reset_password(world.db, world.vault, login, CONSOLE, at, world.password)
            person = next(one for one in staff.list_staff(world.db) if one.login == login)
            actor = Actor("staff", person.id, person.name, person.role)
        else:
            identity, password = staff.add_staff(world.db, login, name, role, world.password, CONSOLE, at)
            actor = identity.actor
        world.people[login] = actor
        code_secret = _second_factor(world, actor, at) if login == SECOND_FACTOR else None
        world.logins.append(Login("staff", login, name, role, password, code_secret))
        at += timedelta(minutes=2)


def _second_factor(world: World, actor: Actor, at: datetime) -> Secret:
    """Enrol somebody's authenticator app, as they would on their first day; gives what the app was told."""
    enrolled = secondfactor.begin_enrolment(world.db, world.vault, staff.REALM, actor.id or 0, at)
    secret = base64.b32decode(enrolled.secret.value)
    code = totp.hotp(secret, totp.step_at(at))
    secondfactor.confirm_enrolment(world.db, world.vault, staff.REALM, actor.id or 0, code, at)
    return enrolled.secret


def _machines(world: World) -> None:
    admin, at = world.who("admin"), world.at(0, 8.5)
    for name, trusted, addresses in _SWITCHES:
        switch, key = switches.add_switch(
            world.db, name, admin, at, trusted_callers=trusted, addresses=addresses
        )
        world.switches.append(switch)
        world.switch_keys[name] = key
    for number, name, per_minute, per_call in (
        (TOLL_FREE, "Toll-free", "0.02", "0.00"),
        (LOCAL, "New York local", "0.00", "0.00"),
        (PAYPHONE, "Toll-free from payphones", "0.02", "0.65"),
    ):
        access_numbers.add_access_number(
            world.db,
            number,
            name=name,
            country="US",
            language="en",
            per_minute=usd(per_minute),
            per_call=usd(per_call),
            actor=world.who("operations"),
            now=at,
        )


def _destination_rules(world: World) -> None:
    actor, at = world.who("operations"), world.at(0, 8.7)
    destinations.set_group(world.db, RAISED, ["53", "216", "252", "960", "881", "882"], actor, at)
    destinations.add_rules(
        world.db, "Careful", actor, at, barred=["premium", "satellite", RAISED], allowed=None
    )
    destinations.add_rules(world.db, "Domestic only", actor, at, allowed=["national"])


def _resellers(world: World) -> None:
    finance, operations = world.who("finance"), world.who("operations")
    at = world.at(0, 10.0)
    for name, (discount, deposit, limit, login) in RESELLERS.items():
        made = resellers.add_reseller(world.db, name, operations, at, discount_bp=discount)
        world.resellers[name] = made.id
        opened = accounts.open_account(
            world.db,
            name=f"{name} credit",
            kind="reseller",
            currency="USD",
            reseller_id=made.id,
            credit_limit=usd(limit),
            actor=finance,
            now=at,
        )
        world.accounts[name] = opened.id
        accounts.deposit(
            world.db,
            account_id=opened.id,
            amount=usd(deposit),
            reason="First deposit by bank transfer",
            actor=finance,
            now=at + timedelta(minutes=5),
        )
        _reseller_people(world, name, login)
        at += timedelta(minutes=20)
    funding = accounts.open_account(
        world.db, name=FUNDING, kind="funding", currency="USD", actor=finance, now=at
    )
    world.accounts[FUNDING] = funding.id
    accounts.deposit(
        world.db,
        account_id=funding.id,
        amount=usd("4000.00"),
        reason="Budget of the quarter",
        actor=finance,
        now=at,
    )


def _reseller_people(world: World, reseller: str, login: str) -> None:
    at = world.at(0, 15.0)
    for name, what, role in (
        (login, f"{login.capitalize()} owner", "owner"),
        (f"{login}-till", f"{login.capitalize()} till", "clerk"),
    ):
        person, password = resellerpeople.add_person(
            world.db,
            world.resellers[reseller],
            name,
            what,
            role,
            world.password,
            world.who("operations"),
            at,
        )
        world.people[name] = person.actor
        world.logins.append(Login("reseller", name, what, role, password))
