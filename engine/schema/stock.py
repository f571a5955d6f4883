"""Tables of keys and hand-overs of stock, and of commands over many cards."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Currency, Instant, Micros, Name


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


class ExportTemplate(Base):
    """A named form of card files: columns, format and how they are written (`engine.stock.templates`)."""

    __tablename__ = "export_template"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_by: Mapped[Name]
    created_at: Mapped[Instant]


class BulkRun(Base):
    """One command over many cards, whose targets were frozen when it was confirmed (`bulk_chunk`).

    `amount` is what it has moved on cards so far: the document behind the ledger entries `run:9`. `result` is what it
    made besides, such as the file of an export.
    """

    __tablename__ = "bulk_run"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    command: Mapped[Name]
    params: Mapped[dict[str, Any]] = mapped_column(JSONB)
    filter: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    cards: Mapped[int]
    changed: Mapped[int] = mapped_column(server_default=text("0"))
    unchanged: Mapped[int] = mapped_column(server_default=text("0"))
    refused: Mapped[int] = mapped_column(server_default=text("0"))
    currency: Mapped[Currency | None]
    amount: Mapped[Micros] = mapped_column(server_default=text("0"))
    actor: Mapped[Name]
    actor_name: Mapped[Name]
    reason: Mapped[Name | None]
    idempotency_key: Mapped[Name | None] = mapped_column(unique=True)
    created_at: Mapped[Instant]
    finished_at: Mapped[Instant | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    work_id: Mapped[BigId | None] = mapped_column(ForeignKey("work.id"))
    __table_args__ = (CheckConstraint("cards >= 0 AND changed + unchanged + refused <= cards", name="cards"),)


class BulkChunk(Base):
    """Some targets of a run, in ascending order; `done_at` is set in the transaction that changed them.

    `callers` are those of the cards, one each, where the command is about callers.
    """

    __tablename__ = "bulk_chunk"
    run_id: Mapped[BigId] = mapped_column(ForeignKey("bulk_run.id"), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    card_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    callers: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    done_at: Mapped[Instant | None]


class BulkRefusal(Base):
    """A target that could not be changed, and why (a code of the message catalogue)."""

    __tablename__ = "bulk_refusal"
    run_id: Mapped[BigId] = mapped_column(ForeignKey("bulk_run.id"), primary_key=True)
    card_id: Mapped[BigId] = mapped_column(primary_key=True)
    reason: Mapped[Name]
