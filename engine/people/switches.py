"""Switches and their bearer keys.

A key is shown once, when it is made; the database keeps its SHA-256 and a visible prefix that tells keys apart.
A switch may have two live keys, so that one can be changed without stopping calls: `rotate_key`, put the new key into
the switch, `finish_rotation`. A revoked key or switch is refused from the next request on.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database, Statement, reruns
from engine.errors import Conflict, InvalidInput, NotFound, Unauthorized
from engine.names import checked_name, sought
from engine.people import audit
from engine.permissions import command
from engine.schema import Switch, SwitchKey
from engine.vault import Secret, new_token, token_digest

KEY_PREFIX = "ctsw_"
VISIBLE = len(KEY_PREFIX) + 6
"""How much of a key is kept in the clear: 36 of its 256 bits."""
MAX_LIVE_KEYS = 2


@dataclass(frozen=True, slots=True)
class SwitchIdentity:
    """The switch behind a key. `trusted_callers`: its caller numbers may authenticate alone (PINless)."""

    id: int
    name: str
    trusted_callers: bool


@dataclass(frozen=True, slots=True)
class KeyView:
    """A live key as it may be shown."""

    prefix: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SwitchView:
    """A switch as a list shows it; `keys` are the live ones, oldest first."""

    id: int
    name: str
    trusted_callers: bool
    addresses: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None
    keys: tuple[KeyView, ...]


FIND = Statement(
    """
    SELECT s.id, s.name, s.trusted_callers, s.addresses FROM switch_key k JOIN switch s ON s.id = k.switch_id
    WHERE k.digest = %(digest)s AND k.revoked_at IS NULL AND s.revoked_at IS NULL
    """
)
"""The switch of a key's digest, if both are live."""


@reruns
def authenticate_key(db: Database, key: str, address: str | None) -> SwitchIdentity:
    """The switch whose live key this is, asking from `address` (the peer's, IPv4 or IPv6).

    One indexed query. Raises `Unauthorized("bad_key")`, the same whether the key is unknown or revoked or the address
    is not on the switch's list.
    """
    with db.connection() as conn:
        row = FIND.one(conn, {"digest": token_digest(key)})
    if row is None or not (row.addresses is None or _listed(tuple(row.addresses), address)):
        raise Unauthorized("bad_key")
    return SwitchIdentity(row.id, row.name, row.trusted_callers)


@command("switch.add")
def add_switch(
    db: Database,
    name: str,
    actor: Actor,
    now: datetime,
    *,
    trusted_callers: bool = True,
    addresses: Iterable[str] | None = None,
) -> tuple[SwitchIdentity, Secret]:
    """Add a switch and return it with its first key, which is never shown again.

    `addresses`: where it may ask from, single addresses or networks (`10.0.0.0/8`); None or empty: anywhere.
    Raises `InvalidInput` (bad_address, and those of `checked_name`), `Conflict` (switch_exists, switch_revoked): a name
    stays taken, because calls of the past point to it.
    """
    name = checked_name(name)
    networks = _checked_addresses(addresses)
    with db.begin() as session:
        switch_id = session.scalar(
            insert(Switch)
            .values(name=name, trusted_callers=trusted_callers, addresses=networks, created_at=now)
            .on_conflict_do_nothing()
            .returning(Switch.id)
        )
        if switch_id is None:
            taken = session.scalars(select(Switch).where(Switch.name == name)).one()
            raise Conflict("switch_exists" if taken.revoked_at is None else "switch_revoked", name=name)
        key = _new_key(session, switch_id, now)
        audit.record(
            session,
            actor,
            "switch.add",
            f"switch:{switch_id}",
            now,
            name=name,
            trusted_callers=trusted_callers,
            addresses=networks,
            key=_visible(key),
        )
    return SwitchIdentity(switch_id, name, trusted_callers), key


@command("switch.change")
def change_switch(
    db: Database,
    name: str,
    actor: Actor,
    now: datetime,
    *,
    trusted_callers: bool | None = None,
    addresses: Iterable[str] | None = None,
) -> None:
    """Change what a switch may do, from its next request on; None leaves a thing as it is, no address means anywhere.

    Raises `NotFound`, `Conflict("switch_revoked")`, `InvalidInput("bad_address")`.
    """
    networks = _checked_addresses(addresses)
    with db.begin() as session:
        switch = _live_switch(session, name)
        if trusted_callers is not None:
            switch.trusted_callers = trusted_callers
        if addresses is not None:
            switch.addresses = networks
        audit.record(
            session,
            actor,
            "switch.change",
            f"switch:{switch.id}",
            now,
            trusted_callers=switch.trusted_callers,
            addresses=switch.addresses,
        )


@command("switch.rotate")
def rotate_key(db: Database, name: str, actor: Actor, now: datetime) -> Secret:
    """Give a switch a second key; the first works until `finish_rotation`.

    Raises `NotFound`, `Conflict` (switch_revoked; two_keys_live where a rotation is open already).
    """
    with db.begin() as session:
        switch = _live_switch(session, name)
        if len(_live_keys(session, switch.id)) >= MAX_LIVE_KEYS:
            raise Conflict("two_keys_live", name=name)
        key = _new_key(session, switch.id, now)
        audit.record(session, actor, "switch.rotate", f"switch:{switch.id}", now, key=_visible(key))
    return key


@command("switch.finish_rotation")
def finish_rotation(db: Database, name: str, actor: Actor, now: datetime) -> int:
    """Revoke every key of a switch but its newest; returns how many.

    Raises `NotFound`, `Conflict("switch_revoked")`.
    """
    with db.begin() as session:
        switch = _live_switch(session, name)
        older = _live_keys(session, switch.id)[:-1]
        for key in older:
            _revoke(session, switch, key, actor, now)
        if older:
            audit.record(
                session, actor, "switch.finish_rotation", f"switch:{switch.id}", now, keys=len(older)
            )
    return len(older)


@command("switch.revoke_key")
def revoke_key(db: Database, name: str, prefix: str, actor: Actor, now: datetime) -> None:
    """Revoke the live keys of a switch that begin with `prefix`, as the list shows it.

    Raises `NotFound` (switch, or key), `Conflict("switch_revoked")`.
    """
    with db.begin() as session:
        switch = _live_switch(session, name)
        keys = [key for key in _live_keys(session, switch.id) if key.prefix == prefix]
        if not keys:
            raise NotFound("key_not_found", name=name, prefix=prefix)
        for key in keys:
            _revoke(session, switch, key, actor, now)


@command("switch.revoke")
def revoke_switch(db: Database, name: str, actor: Actor, now: datetime) -> None:
    """Revoke a switch with all its keys, for good: its next request is refused. Calls that are live are swept.

    Raises `NotFound`, `Conflict("switch_revoked")`.
    """
    with db.begin() as session:
        switch = _live_switch(session, name)
        switch.revoked_at = now
        for key in _live_keys(session, switch.id):
            key.revoked_at = now
        audit.record(session, actor, "switch.revoke", f"switch:{switch.id}", now)


def list_switches(db: Database) -> list[SwitchView]:
    """Every switch, revoked ones too, by name, with its live keys."""
    with db.begin() as session:
        keys: dict[int, list[KeyView]] = {}
        for key in session.scalars(
            select(SwitchKey).where(SwitchKey.revoked_at.is_(None)).order_by(SwitchKey.id)
        ):
            keys.setdefault(key.switch_id, []).append(KeyView(key.prefix, key.created_at))
        return [
            SwitchView(
                switch.id,
                switch.name,
                switch.trusted_callers,
                tuple(switch.addresses or ()),
                switch.created_at,
                switch.revoked_at,
                tuple(keys.get(switch.id, ())),
            )
            for switch in session.scalars(select(Switch).order_by(func.lower(Switch.name), Switch.id))
        ]


def _live_switch(session: Session, name: str) -> Switch:
    """The switch, locked, so that two who change its keys at once take turns."""
    switch = session.scalar(select(Switch).where(Switch.name == sought(name)).with_for_update())
    if switch is None:
        raise NotFound("switch_not_found", name=name)
    if switch.revoked_at is not None:
        raise Conflict("switch_revoked", name=name)
    return switch


def _live_keys(session: Session, switch_id: int) -> list[SwitchKey]:
    return list(
        session.scalars(
            select(SwitchKey)
            .where(SwitchKey.switch_id == switch_id, SwitchKey.revoked_at.is_(None))
            .order_by(SwitchKey.id)
        )
    )


def _new_key(session: Session, switch_id: int, now: datetime) -> Secret:
    key = Secret(new_token(KEY_PREFIX))
    session.add(
        SwitchKey(switch_id=switch_id, digest=token_digest(key.value), prefix=_visible(key), created_at=now)
    )
    return key


def _revoke(session: Session, switch: Switch, key: SwitchKey, actor: Actor, now: datetime) -> None:
    key.revoked_at = now
    audit.record(session, actor, "switch.revoke_key", f"switch:{switch.id}", now, key=key.prefix)


def _visible(key: Secret) -> str:
    return key.value[:VISIBLE]


def _checked_addresses(addresses: Iterable[str] | None) -> list[str] | None:
    networks = []
    for address in addresses or ():
        try:
            networks.append(str(ipaddress.ip_network(address.strip())))
        except ValueError:
            raise InvalidInput("bad_address", field="addresses", value=address) from None
    return networks or None


@functools.lru_cache(maxsize=256)
def _networks(
    addresses: tuple[str, ...],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(address) for address in addresses)


def _listed(addresses: tuple[str, ...], address: str | None) -> bool:
    try:
        peer = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in network for network in _networks(addresses))
