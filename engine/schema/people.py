"""Tables of the people and machines that act: staff, resellers, switches, web sessions, the audit trail."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Instant, Name


class Staff(Base):
    """Somebody who works for the operator. `password_hash` is Argon2id."""

    __tablename__ = "staff"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    login: Mapped[Name] = mapped_column(unique=True)
    name: Mapped[Name]
    role: Mapped[Name]
    password_hash: Mapped[Name]
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'operator', 'support', 'finance', 'auditor')", name="role"),
        CheckConstraint("login = lower(login) AND login <> ''", name="login"),
    )


class Reseller(Base):
    """A party that sells cards for the operator; cards carry their reseller's key."""

    __tablename__ = "reseller"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]


class Switch(Base):
    """A softswitch that asks us about calls. `trusted_callers`: its caller numbers may authenticate alone."""

    __tablename__ = "switch"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    trusted_callers: Mapped[bool] = mapped_column(server_default=text("true"))
    addresses: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created_at: Mapped[Instant]
    revoked_at: Mapped[Instant | None]


class SwitchKey(Base):
    """A bearer key of a switch: its SHA-256 and a visible prefix. Two may live at once, for rotation."""

    __tablename__ = "switch_key"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    switch_id: Mapped[BigId] = mapped_column(ForeignKey("switch.id"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    prefix: Mapped[Name]
    created_at: Mapped[Instant]
    revoked_at: Mapped[Instant | None]


class WebSession(Base):
    """A web log-in of one of the three realms; the cookie holds the random id, the row its SHA-256."""

    __tablename__ = "web_session"
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    realm: Mapped[Name]
    subject_id: Mapped[BigId] = mapped_column(BigInteger)
    address: Mapped[Name | None]
    created_at: Mapped[Instant]
    last_seen_at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("realm IN ('staff', 'reseller', 'cardholder')", name="realm"),
        Index(None, "realm", "subject_id"),
    )


class AuditRow(Base):
    """One privileged act, written in the transaction it tells of. Never a secret, never a card number."""

    __tablename__ = "audit"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    at: Mapped[Instant]
    actor: Mapped[Name]
    actor_name: Mapped[Name]
    action: Mapped[Name]
    subject: Mapped[Name]
    reason: Mapped[Name | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    __table_args__ = (Index(None, "subject", "id"), Index(None, "at"))
