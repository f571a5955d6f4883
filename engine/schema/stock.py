"""Tables of keys and hand-overs of stock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, LargeBinary, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Instant, Name


class BatchKey(Base):
    """A batch's data key, wrapped by the master key; a table of its own so that ordinary backups can leave it out.

    Shredding destroys `wrapped` for good and leaves who and when.
    """

    __tablename__ = "batch_key"
    batch_id: Mapped[BigId] = mapped_column(ForeignKey("batch.id"), primary_key=True)
    wrapped: Mapped[bytes | None] = mapped_column(LargeBinary)
    master: Mapped[int] = mapped_column(SmallInteger)
    shred_after: Mapped[Instant | None]
    shredded_at: Mapped[Instant | None]
    shredded_by: Mapped[Name | None]
    __table_args__ = (CheckConstraint("(wrapped IS NULL) = (shredded_at IS NOT NULL)", name="shredded"),)


class ExportRun(Base):
    """A file of cards that was handed out: who, when, which batch, with passwords or not, and its SHA-256."""

    __tablename__ = "export_run"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    batch_id: Mapped[BigId] = mapped_column(ForeignKey("batch.id"), index=True)
    format: Mapped[Name]
    with_passwords: Mapped[bool]
    cards: Mapped[int]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    actor: Mapped[Name]
    reason: Mapped[Name | None]
    issued_at: Mapped[Instant]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
