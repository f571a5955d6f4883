"""Tables of keys and hand-overs of stock, and of commands over many cards."""

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


class PrintDesign(Base):
    """How cards are printed (`engine.stock.printing.designs`), with a logo of its own (PNG) or the brand's.

    `for_resellers`: they may print their own stock with it.
    """

    __tablename__ = "print_design"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    logo: Mapped[bytes | None] = mapped_column(LargeBinary)
    for_resellers: Mapped[bool]
    created_by: Mapped[Name]
    created_at: Mapped[Instant]
    changed_at: Mapped[Instant]


class Printer(Base):
    """How far a printer prints beside where it should, in micrometres to the right and down; a reseller's or ours."""

    __tablename__ = "printer"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    reseller_id: Mapped[BigId | None] = mapped_column(ForeignKey("reseller.id"))
    name: Mapped[Name]
    offset_x_um: Mapped[int]
    offset_y_um: Mapped[int]
    created_at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint(
            "offset_x_um BETWEEN -20000 AND 20000 AND offset_y_um BETWEEN -20000 AND 20000", name="offset"
        ),
        Index("uq_printer_owner", text("coalesce(reseller_id, 0)"), "name", unique=True),
    )


class PrintRun(Base):
    """A range of cards printed into one PDF: who, which, how, and the SHA-256 of the file once it was made.

    `left_out` counts cards of the range that are not in it, by reason. The file itself is sealed in a folder and goes
    when the run is confirmed, or a day after it was made.
    """

    __tablename__ = "print_run"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    work_id: Mapped[BigId] = mapped_column(ForeignKey("work.id"), unique=True)
    batch_id: Mapped[BigId] = mapped_column(ForeignKey("batch.id"), index=True)
    reseller_id: Mapped[BigId | None] = mapped_column(ForeignKey("reseller.id"))
    first_id: Mapped[BigId]
    last_id: Mapped[BigId]
    design: Mapped[Name]
    again: Mapped[bool]
    reason: Mapped[Name | None]
    actor: Mapped[Name]
    actor_name: Mapped[Name]
    created_at: Mapped[Instant]
    cards: Mapped[int | None]
    left_out: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    pages: Mapped[int | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    made_at: Mapped[Instant | None]
    downloads: Mapped[int] = mapped_column(server_default=text("0"))
    confirmed_at: Mapped[Instant | None]
    confirmed_by: Mapped[Name | None]
    __table_args__ = (
        CheckConstraint("last_id >= first_id", name="cards"),
        CheckConstraint("(sha256 IS NULL) = (made_at IS NULL)", name="made"),
        CheckConstraint("confirmed_at IS NULL OR made_at IS NOT NULL", name="confirmed"),
        Index(None, "reseller_id", "id"),
    )


class PrintRunPart(Base):
    """Serials that stand on a print run, both ends included: its range without what was left out."""

    __tablename__ = "print_run_part"
    run_id: Mapped[BigId] = mapped_column(ForeignKey("print_run.id"), primary_key=True)
    first_id: Mapped[BigId] = mapped_column(primary_key=True, autoincrement=False)
    last_id: Mapped[BigId]
    __table_args__ = (CheckConstraint("last_id >= first_id", name="cards"),)


class Shipment(Base):
    """Cards that left the warehouse together, to a reseller or somebody else, and whether they arrived or came back."""

    __tablename__ = "shipment"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    reseller_id: Mapped[BigId | None] = mapped_column(ForeignKey("reseller.id"))
    recipient: Mapped[Name]
    address: Mapped[Name | None]
    carrier: Mapped[Name | None]
    tracking: Mapped[Name | None]
    note: Mapped[Name | None]
    cards: Mapped[int]
    actor: Mapped[Name]
    at: Mapped[Instant]
    received_at: Mapped[Instant | None]
    received_by: Mapped[Name | None]
    taken_back_at: Mapped[Instant | None]
    taken_back_by: Mapped[Name | None]
    taken_back_reason: Mapped[Name | None]
    __table_args__ = (
        CheckConstraint("cards > 0", name="cards"),
        CheckConstraint("(received_at IS NULL) = (received_by IS NULL)", name="received"),
        CheckConstraint("(taken_back_at IS NULL) = (taken_back_by IS NULL)", name="taken_back"),
        Index(None, "reseller_id", "id"),
    )


class ShipmentRange(Base):
    """Serials of a shipment, both ends included, in the order they are packed."""

    __tablename__ = "shipment_range"
    shipment_id: Mapped[BigId] = mapped_column(ForeignKey("shipment.id"), primary_key=True)
    n: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    first_id: Mapped[BigId]
    last_id: Mapped[BigId]
    __table_args__ = (CheckConstraint("last_id >= first_id", name="cards"),)


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
