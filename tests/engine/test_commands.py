"""What holds for every command, made from the list of commands, so that a new one can't be forgotten.

Whoever the table does not name is refused and nothing happens; each leaves one audit row; calling it twice counts once;
and a crash at any statement leaves nothing half done.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

import engine
from engine.actor import CONSOLE, SYSTEM, Actor
from engine.db import Database
from engine.errors import EngineError, Forbidden
from engine.permissions import CARDHOLDER, CLERK, COMMANDS, OWNER, PERMISSIONS, STAFF_ROLES, may
from engine.schema import Base
from engine.vault import Vault
from tests.engine.commandscenes import ANEW, SCENES, Act, World
from tests.proof import proving

for module in pkgutil.walk_packages(engine.__path__, "engine."):
    if ".migrations." not in module.name:
        importlib.import_module(module.name)

NAMES = sorted(COMMANDS)
LOOKING = {name for name in PERMISSIONS if name.endswith(".see")}
RESELLER = 1
AFTERWARDS = {"batch.shred": "the freed pages are cleaned once the key is gone for good"}
"""Commands that tidy up after their transaction, and what."""


def actor_of(role: str) -> Actor:
    """Somebody of a role."""
    if role in (OWNER, CLERK):
        return Actor("reseller", 7, "Somebody", role.removeprefix("reseller."), RESELLER)
    if role == CARDHOLDER:
        return Actor("cardholder", 7)
    return Actor("staff", 7, "Somebody", role)


def somebody(name: str, world: World) -> Actor:
    """Who may do this, and is known by a role; a cardholder is so for the first card of the world."""
    role = next(role for role in (*STAFF_ROLES, OWNER, CARDHOLDER) if role in PERMISSIONS[name])
    return Actor("cardholder", world.cards[0].id) if role == CARDHOLDER else actor_of(role)


STRANGERS = [
    *(actor_of(role) for role in (*STAFF_ROLES, OWNER, CLERK, CARDHOLDER)),
    Actor("staff", 8, "Nobody"),
    Actor("staff", 9, "Mallory", "ADMIN"),
    Actor("reseller", 9, "Mallory", "admin", RESELLER),
    Actor("switch", 1, "Asterisk"),
    Actor("", None),
]


@pytest.fixture
def world(db: Database, vault: Vault, tmp_path: Path) -> Iterator[World]:
    yield World(db, vault, tmp_path)
    if picture in db.cache:
        db.cache[picture].close()


def picture(db: Database) -> dict[str, str]:
    """Every table, as a digest of its rows."""
    parts = " UNION ALL ".join(
        f"SELECT '{table.name}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table.name} t"
        for table in Base.metadata.sorted_tables
    )
    # On a link of its own, which a crash leaves alone: it knows all these tables already, and has planned for them.
    link = db.cache.get(picture)
    if link is None:
        link = db.cache[picture] = psycopg.connect(db.url, autocommit=True, prepare_threshold=0)
    return {str(name): str(digest) for name, digest in link.execute(parts)}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The tables that differ."""
    return {name for name in before if before[name] != after[name]}


def audited(db: Database, name: str) -> int:
    """How many audit rows there are of an action."""
    with db.begin() as session:
        return session.scalar(text("SELECT count(*) FROM audit WHERE action = :name"), {"name": name}) or 0


def last_audited(db: Database, name: str) -> str:
    """Who did this last."""
    with db.begin() as session:
        newest = text("SELECT actor FROM audit WHERE action = :name ORDER BY id DESC LIMIT 1")
        return str(session.scalar(newest, {"name": name}))


class Crash(BaseException):
    """The process dies here."""


@contextmanager
def crash_after(statements: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process die once it has sent so many statements that write or lock."""
    sent = 0
    execute = psycopg.Cursor.execute

    def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal sent
        done = execute(self, query, *args, **kwargs)
        sent += 1
        if sent >= statements:
            raise Crash
        return done

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counted)
        yield


def test_every_command_has_a_scene() -> None:
    assert set(SCENES) == set(COMMANDS)


def test_every_permission_is_of_a_command_or_of_looking() -> None:
    assert set(PERMISSIONS) - LOOKING == set(COMMANDS)


@pytest.mark.parametrize("name", PERMISSIONS)
def test_the_system_and_the_command_line_may_do_everything(name: str) -> None:
    assert may(SYSTEM, name)
    assert may(CONSOLE, name)
    assert PERMISSIONS[name], "somebody must be able to do it on a page"


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_for_every_command(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    act, actor = SCENES[name](world), somebody(name, world)
    rows, before = audited(world.db, name), picture(world.db)
    refuses_strangers(world, name, act)
    crashes_without_a_trace(world, name, lambda: act(actor, "key-1"), monkeypatch)
    after = picture(world.db)
    assert changed(before, after), "it does something"
    assert audited(world.db, name) == rows + 1
    assert last_audited(world.db, name) == str(actor)
    repeated = refuses(lambda: act(actor, "key-1"))
    if name in ANEW and not repeated:
        assert audited(world.db, name) == rows + 2
    else:
        assert changed(after, picture(world.db)) == set(), "it counts once"


def refuses_strangers(world: World, name: str, act: Act) -> None:
    """Whoever the table does not name is refused, and nothing happens."""
    before = picture(world.db)
    refused = [actor for actor in STRANGERS if not may(actor, name)]
    assert refused
    for actor in refused:
        with pytest.raises(Forbidden, match="not_permitted"):
            act(actor, "key-1")
    assert changed(before, picture(world.db)) == set()


def crashes_without_a_trace(
    world: World, name: str, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Die after the first statement, then after the second, and so on until the command comes to its end."""
    before = picture(world.db)
    for statement in range(1, 200):
        try:
            with crash_after(statement, monkeypatch):
                act()
        except Crash:
            world.db.forget_lost_links()
            if name in AFTERWARDS and audited(world.db, name):
                return
            # What one crash leaves behind is still there at the next look.
            if proving() or statement % 4 == 1:
                assert changed(before, picture(world.db)) == set(), f"until statement {statement}"
            continue
        assert statement > 1
        return
    pytest.fail("it never came to its end")


def refuses(act: Callable[[], object]) -> bool:
    """Whether a rule of the engine refuses; that somebody may not do it is no such rule."""
    try:
        act()
    except Forbidden:
        raise
    except EngineError:
        return True
    return False
