"""Every door into the engine for people is a command that the permission table knows; read from the source.

What each command does for whom is in test_commands.py; here it is held that none was built beside the table.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.actor import Actor
from engine.cards import lifecycle, phones, speeddials
from engine.db import Database
from engine.errors import Forbidden, NotFound
from engine.funds import transfers
from engine.permissions import CARDHOLDER, CLERK, OWNER, PERMISSIONS, STAFF_ROLES, may, require, role_of
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW

ENGINE = Path(__file__).parents[2] / "engine"

SHOP = ("stock.", "print_run.", "printer.", "shipment.receive")
"""What a till does, by the beginning of its name."""
ARGUED = {
    "uploads.keep": "what its sender has not confirmed yet, for nobody else and for a day",
    "bulk.runs.confirm": "calls the command of its verb, bulk.lock and the like",
    "calls.settlement.settle": "a step of the switch's end of a call and of the command call.end",
    "stock.shredding.shred_due": "the timetable's, by the rule of the house",
    "funds.vouchers.redeem_own": "counts what was guessed, then the command card.redeem",
    "funds.transfers.transfer_into_own": "counts what was guessed, then the command card.transfer",
    "people.staff.ensure_first": "the supervisor's, on a machine where there is nobody yet to ask",
    "people.upkeep.reset_password": "a step of staff.reset_password and of reseller_person.reset_password",
    "calls.decks.import_sample": "calls the command deck.import",
    "calls.trial.start": "asks for trial.call first; its call is the command's and the switch's own",
    "calls.trial.hang_up": "asks for trial.call first; ends a call as its switch would",
    "stock.export.issue": "a step of batch.export and of the work that batch.hand_over leaves",
    "stock.export.opened": "a step of batch.export and of the work that batch.hand_over leaves",
    "stock.outlook.look": "looks, and asks for batch.create first",
    "stock.printing.runs.outlook": "looks, a reseller's people at their own stock only",
    "stock.printing.runviews.run": "looks, each kind where the actor may",
    "stock.printing.runviews.runs": "looks, each kind where the actor may",
    "stock.resale.activate_and_sell": "calls the commands stock.activate and stock.sell, each once for its key",
    "stock.handover.find": "looks at the actor's own",
    "stock.handover.orders": "looks",
    "reports.exports.file_of": "looks at the actor's own",
    "reports.exports.find": "looks at the actor's own",
    "reports.exports.listed": "looks at the actor's own",
    "reports.finding.find": "looks, each kind where the actor may",
    "people.resellers.look": "looks, and asks for resellers.see first; that somebody looked is kept",
    "reports.home.waiting": "looks, each kind where the actor may",
}
"""Functions that take a database, an actor and a time and yet are no commands, and why."""


def _public() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(ENGINE.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        module = ".".join(path.relative_to(ENGINE).with_suffix("").parts)
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}", node


def _parameters(function: ast.FunctionDef) -> list[str]:
    given = function.args
    return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def _command_name(function: ast.FunctionDef) -> str | None:
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "command":
            (name,) = mark.args
            return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ""
    return None


def test_whatever_takes_a_database_an_actor_and_a_time_is_a_command() -> None:
    doors = {
        name: _command_name(function)
        for name, function in _public()
        if _parameters(function)[:1] == ["db"] and {"actor", "now"} <= set(_parameters(function))
    }
    assert len(doors) > 60
    assert {name for name, command in doors.items() if command is None} == set(ARGUED)


def test_the_mark_of_a_command_stands_above_all_others_and_names_it_plainly() -> None:
    marked = {name: function for name, function in _public() if _command_name(function) is not None}
    assert {
        name
        for name, function in marked.items()
        if not ast.unparse(function.decorator_list[0]).startswith("command(") or not _command_name(function)
    } == set()


def test_commands_do_not_call_commands() -> None:
    commands = {
        name.rsplit(".", 2)[-2] + "." + name.rsplit(".", 1)[-1]
        for name, function in _public()
        if _command_name(function) is not None
    }
    calls = {
        (name, ast.unparse(node.func))
        for name, function in _public()
        if _command_name(function) is not None
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in commands
    }
    assert calls == set()


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_reseller_may_do_what_is_theirs_and_nothing_else(permission: str) -> None:
    owner, clerk = (Actor("reseller", 1, "Somebody", role, 1) for role in ("owner", "clerk"))
    both = {"me.see", "desk.see"}
    theirs = (
        both
        | {"consent.ask", "desk.owner.see"}
        | {name for name in PERMISSIONS if name.startswith((*SHOP, "reseller_person.", "brand."))}
        - {"stock.assign", "stock.unassign"}
    )
    till = both | {name for name in theirs if name.startswith(SHOP)}
    assert may(owner, permission) is (permission in theirs)
    assert may(clerk, permission) is (permission in till)


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_an_auditor_looks_and_changes_nothing(permission: str) -> None:
    auditor = Actor("staff", 1, "Somebody", "auditor")
    looks = permission.endswith(".see") and not permission.startswith(
        "desk."
    )  # staff look there by resellers.see
    harmless = looks or permission in (
        "audit.export_head",
        "audit.verify",
        "consent.ask",
        "report.cancel",
        "report.export",
    )
    assert may(auditor, permission) is harmless


def test_every_role_of_the_table_is_one_that_somebody_can_have() -> None:
    known = {*STAFF_ROLES, OWNER, CLERK, CARDHOLDER}
    assert {role for roles in PERMISSIONS.values() for role in roles} <= known
    assert role_of(Actor("reseller", 1, "", "owner", 1)) == OWNER
    assert role_of(Actor("cardholder", 1)) == CARDHOLDER


@pytest.mark.parametrize("kind", ["staff", "reseller", "switch", "cardholder", "admin", ""])
@pytest.mark.parametrize("role", ["", "system", "console", "reseller.owner", "Admin", "cardholder"])
def test_no_made_up_role_opens_a_door(kind: str, role: str) -> None:
    actor = Actor(kind, 1, "Mallory", role)
    for permission, granted in PERMISSIONS.items():
        if kind == "cardholder" and CARDHOLDER in granted:
            continue
        with pytest.raises(Forbidden):
            require(actor, permission)


def test_a_holder_reaches_their_own_card_and_no_other(db: Database, vault: Vault) -> None:
    mine, other = scenes.batch(db, vault, 2, binding="multi", max_bound=2)
    holder = Actor("cardholder", mine.id)
    by: dict[str, Any] = {"actor": holder, "now": NOW}
    acts: list[Callable[[], object]] = [
        lambda: lifecycle.lock(db, card_id=other.id, reason="x", **by),
        lambda: phones.add_phone(db, card_id=other.id, caller="491711234567", **by),
        lambda: phones.remove_phone(db, card_id=other.id, caller="491711234567", **by),
        lambda: speeddials.remove_speed_dial(db, card_id=other.id, slot=1, **by),
        lambda: transfers.transfer(db, from_id=other.id, to_id=mine.id, **by),
        lambda: lifecycle.lock(db, card_id=other.id, reason="x", actor=Actor("cardholder"), now=NOW),
    ]
    for act in acts:
        with pytest.raises(NotFound, match="card_not_found"):
            act()
    assert lifecycle.lock(db, card_id=mine.id, reason="lost", **by).changed
