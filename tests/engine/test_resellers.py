"""Resellers as parties: added, changed, disabled, and what that does to their people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, Forbidden, InvalidInput, NotFound
from engine.people import resellers, sessions
from engine.people.resellers import add_reseller
from engine.schema import ResellerPerson
from tests.scenes import NOW, OPERATOR

LATER = NOW + timedelta(hours=1)
OWNER = Actor("reseller", 1, "Owner", "owner", 1)


def audited(db: Database) -> list[Any]:
    with db.begin() as session:
        query = "SELECT action, subject, reason, data FROM audit WHERE action LIKE 'reseller.%' ORDER BY id"
        return list(session.execute(text(query)))


def test_a_reseller_is_added_and_told_of(db: Database) -> None:
    one = add_reseller(db, " Corner  Shop ", OPERATOR, NOW, discount_bp=1250, reason="Contract 7")
    assert (one.name, one.discount_bp, one.people, one.disabled_at) == ("Corner Shop", 1250, 0, None)
    assert resellers.find_reseller(db, "Corner Shop") == one
    assert resellers.reseller_page(db, one.id) == one
    assert resellers.reseller_page(db, one.id + 1) is None
    add_reseller(db, "Bazaar", OPERATOR, NOW)
    assert [view.name for view in resellers.list_resellers(db)] == ["Bazaar", "Corner Shop"]
    told = audited(db)[0]
    assert (told.action, told.subject, told.reason) == ("reseller.add", f"reseller:{one.id}", "Contract 7")
    assert told.data == {"name": "Corner Shop", "discount_bp": 1250}


def test_the_same_key_adds_one(db: Database) -> None:
    first = add_reseller(db, "Bazaar", OPERATOR, NOW, key="a")
    assert add_reseller(db, "Bazaar", OPERATOR, LATER, key="a") == first
    with pytest.raises(Conflict, match="key_reused"):
        add_reseller(db, "Bazaar", OPERATOR, LATER, key="a", discount_bp=5)
    assert len(audited(db)) == 1


@pytest.mark.parametrize("discount", [-1, 10_001, 2.5, True, "5"])
def test_a_discount_is_part_of_the_price(db: Database, discount: Any) -> None:
    with pytest.raises(InvalidInput, match="discount_out_of_range"):
        add_reseller(db, "Bazaar", OPERATOR, NOW, discount_bp=discount)


def test_a_name_is_taken_once(db: Database) -> None:
    one, _ = add_reseller(db, "Bazaar", OPERATOR, NOW), add_reseller(db, "Corner Shop", OPERATOR, NOW)
    with pytest.raises(Conflict, match="name_taken"):
        add_reseller(db, "Bazaar", OPERATOR, NOW)
    with pytest.raises(Conflict, match="name_taken"):
        resellers.change_reseller(db, one.id, OPERATOR, NOW, name="Corner Shop")
    with pytest.raises(NotFound, match="reseller_not_found"):
        resellers.find_reseller(db, "Nobody")


def test_a_change_tells_what_it_was(db: Database) -> None:
    one = add_reseller(db, "Bazaar", OPERATOR, NOW, discount_bp=500)
    changed = resellers.change_reseller(db, one.id, OPERATOR, LATER, name="Grand Bazaar", discount_bp=750)
    assert (changed.name, changed.discount_bp) == ("Grand Bazaar", 750)
    assert resellers.change_reseller(db, one.id, OPERATOR, LATER, discount_bp=750) == changed
    told = audited(db)[1:]
    assert [row.data for row in told] == [
        {
            "before": {"name": "Bazaar", "discount_bp": 500},
            "after": {"name": "Grand Bazaar", "discount_bp": 750},
        }
    ]
    with pytest.raises(NotFound, match="reseller_not_found"):
        resellers.change_reseller(db, one.id + 1, OPERATOR, LATER, name="Nobody")


def person(db: Database, reseller_id: int, login: str) -> int:
    with db.begin() as session:
        row = ResellerPerson(
            reseller_id=reseller_id, login=login, name=login, role="clerk", password_hash="-", created_at=NOW
        )
        session.add(row)
        session.flush()
        return row.id


def test_disabling_logs_its_people_out_and_nobody_elses(db: Database) -> None:
    one, other = add_reseller(db, "Bazaar", OPERATOR, NOW), add_reseller(db, "Corner Shop", OPERATOR, NOW)
    ours, theirs = person(db, one.id, "ours"), person(db, other.id, "theirs")
    token, kept, staff = (
        sessions.open_session(db, realm, subject, None, NOW)
        for realm, subject in (("reseller", ours), ("reseller", theirs), ("staff", ours))
    )
    disabled = resellers.disable_reseller(db, one.id, OPERATOR, NOW, reason="Owes")
    assert (disabled.disabled_at, disabled.people) == (NOW, 1)
    assert sessions.find_session(db, "reseller", token, NOW) is None
    assert sessions.find_session(db, "reseller", kept, NOW) is not None
    assert sessions.find_session(db, "staff", staff, NOW) is not None
    assert resellers.disable_reseller(db, one.id, OPERATOR, LATER) == disabled
    assert resellers.enable_reseller(db, one.id, OPERATOR, LATER).disabled_at is None
    assert resellers.enable_reseller(db, one.id, OPERATOR, LATER).disabled_at is None
    assert [row.action for row in audited(db)[2:]] == ["reseller.disable", "reseller.enable"]
    assert audited(db)[2].data == {"sessions_ended": 1}


@pytest.mark.parametrize(
    "actor", [OWNER, Actor("staff", 2, "Support", "support"), Actor("staff", 3, "", "finance")]
)
def test_only_who_runs_the_house_changes_resellers(db: Database, actor: Actor) -> None:
    one = add_reseller(db, "Bazaar", OPERATOR, NOW)
    with pytest.raises(Forbidden, match="not_permitted"):
        add_reseller(db, "Mine", actor, NOW)
    with pytest.raises(Forbidden, match="not_permitted"):
        resellers.change_reseller(db, one.id, actor, NOW, discount_bp=9_999)
    for act in (resellers.disable_reseller, resellers.enable_reseller):
        with pytest.raises(Forbidden, match="not_permitted"):
            act(db, one.id, actor, NOW)


def test_who_looked_at_a_desk_is_kept(db: Database) -> None:
    one = add_reseller(db, "Corner Shop", OPERATOR, NOW)
    assert resellers.look(db, one.id, Actor("staff", 2, "Auditor", "auditor"), LATER) == one
    assert [(row.action, row.subject) for row in audited(db)][1:] == [("reseller.look", f"reseller:{one.id}")]
    with pytest.raises(NotFound):
        resellers.look(db, one.id + 1, OPERATOR, LATER)
    for actor in (Actor("staff", 3, "Support", "support"), OWNER, Actor("cardholder", 1)):
        with pytest.raises(Forbidden):
            resellers.look(db, one.id, actor, LATER)
    assert len(audited(db)) == 2
