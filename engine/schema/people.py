"""Tables of the people and machines that act: staff, resellers, switches, web sessions, the audit trail."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Instant, Name


class Staff(Base):
    """Somebody who works for the operator. `password_hash` is Argon2id; `timezone`, where set, is theirs."""

    __tablename__ = "staff"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    login: Mapped[Name] = mapped_column(unique=True)
    name: Mapped[Name]
    role: Mapped[Name]
    password_hash: Mapped[Name]
    timezone: Mapped[Name | None]
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'operator', 'support', 'finance', 'auditor')", name="role"),
        CheckConstraint("login = lower(login) AND login <> ''", name="login"),
    )


class SavedView(Base):
    """A list as somebody set it up: its filter as the page's address carries it, and the columns they chose."""

    __tablename__ = "saved_view"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    staff_id: Mapped[BigId] = mapped_column(ForeignKey("staff.id"))
    page: Mapped[Name]
    name: Mapped[Name]
    query: Mapped[Name]
    created_at: Mapped[Instant]
    __table_args__ = (Index(None, "staff_id", "page", "name", unique=True),)


class Reseller(Base):
    """A party that sells cards for the operator; cards carry their reseller's key."""

    __tablename__ = "reseller"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    discount_bp: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    __table_args__ = (CheckConstraint("discount_bp BETWEEN 0 AND 10000", name="discount"),)


class Brand(Base):
    """How the cardholder's pages look and whom they name: the operator's (no reseller), or a reseller's own.

    `colour` is `#rrggbb`; the logo was read as a picture and written anew as PNG.
    """

    __tablename__ = "brand"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    reseller_id: Mapped[BigId | None] = mapped_column(ForeignKey("reseller.id"))
    name: Mapped[Name]
    colour: Mapped[Name]
    logo: Mapped[bytes | None] = mapped_column(LargeBinary)
    help_phone: Mapped[Name | None]
    help_email: Mapped[Name | None]
    help_hours: Mapped[Name | None]
    changed_at: Mapped[Instant]
    changed_by: Mapped[Name]
    __table_args__ = (
        CheckConstraint("colour ~ '^#[0-9a-f]{6}$'", name="colour"),
        Index("uq_brand_owner", text("coalesce(reseller_id, 0)"), unique=True),
    )


class ResellerPerson(Base):
    """Somebody who works for a reseller: its `owner`, who manages its people, or a `clerk` at the till."""

    __tablename__ = "reseller_person"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    reseller_id: Mapped[BigId] = mapped_column(ForeignKey("reseller.id"), index=True)
    login: Mapped[Name] = mapped_column(unique=True)
    name: Mapped[Name]
    role: Mapped[Name]
    password_hash: Mapped[Name]
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'clerk')", name="role"),
        CheckConstraint("login = lower(login) AND login <> ''", name="login"),
    )


class Totp(Base):
    """A second factor (RFC 6238): its secret, sealed by the master key, and the last time step that was used."""

    __tablename__ = "totp"
    realm: Mapped[Name] = mapped_column(primary_key=True)
    subject_id: Mapped[BigId] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    master: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[Instant]
    confirmed_at: Mapped[Instant | None]
    last_step: Mapped[BigId | None]


class RecoveryCode(Base):
    """A code that stands in for the second factor once; kept as its digest."""

    __tablename__ = "recovery_code"
    realm: Mapped[Name] = mapped_column(primary_key=True)
    subject_id: Mapped[BigId] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    used_at: Mapped[Instant | None]


class Consent(Base):
    """A second person's yes or no to one act: `fingerprint` is a digest of what exactly was asked. Used once."""

    __tablename__ = "consent"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    action: Mapped[Name]
    subject: Mapped[Name]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    asked_by: Mapped[Name]
    asked_name: Mapped[Name]
    reason: Mapped[Name | None]
    asked_at: Mapped[Instant]
    expires_at: Mapped[Instant]
    approved: Mapped[bool | None]
    decided_by: Mapped[Name | None]
    decided_name: Mapped[Name | None]
    decided_at: Mapped[Instant | None]
    used_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("(approved IS NULL) = (decided_at IS NULL)", name="decided"),
        CheckConstraint("decided_by <> asked_by", name="second_person"),
        CheckConstraint("used_at IS NULL OR approved", name="used"),
        Index("ix_consent_open", "id", postgresql_where=text("decided_at IS NULL")),
        Index(None, "fingerprint"),
    )


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
    __table_args__ = (
        Index(None, "subject", "id"),
        Index(None, "actor", "id"),
        Index(None, "action", "id"),
        Index(None, "at"),
        Index(
            "ix_audit_log_in",
            "subject",
            text("coalesce(data ->> 'line', data ->> 'address')"),
            postgresql_where=text("action IN ('staff.log_in', 'reseller_person.log_in')"),
        ),
        # The acts on ranges of serials by the cards that they were about.
        Index(
            "ix_audit_ranges",
            text(
                "int8range(CAST(substr(subject, 7, 10) AS bigint), CAST(substr(subject, 19, 10) AS bigint), '[]')"
            ),
            postgresql_using="gist",
            postgresql_where=text("subject ~ '^cards:[0-9]{11}-[0-9]{11}$'"),
        ),
    )


class AuditPending(Base):
    """An audit row that is not in the chain yet; put here by a trigger, taken away by the one who writes the chain."""

    __tablename__ = "audit_pending"
    audit_id: Mapped[BigId] = mapped_column(primary_key=True)


class AuditLink(Base):
    """The chain over the audit trail: `hash` is SHA-256 over the link before and the whole audit row."""

    __tablename__ = "audit_link"
    seq: Mapped[BigId] = mapped_column(primary_key=True, autoincrement=False)
    audit_id: Mapped[BigId] = mapped_column(ForeignKey("audit.id"), unique=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    chained_at: Mapped[Instant]
