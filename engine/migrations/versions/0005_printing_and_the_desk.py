"""what printing, shipments and the reseller's desk keep

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "print_design",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", JSONB(), nullable=False),
        sa.Column("logo", sa.LargeBinary(), nullable=True),
        sa.Column("for_resellers", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_print_design")),
        sa.UniqueConstraint("name", name=op.f("uq_print_design_name")),
    )
    op.create_table(
        "printer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("offset_x_um", sa.Integer(), nullable=False),
        sa.Column("offset_y_um", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "offset_x_um BETWEEN -20000 AND 20000 AND offset_y_um BETWEEN -20000 AND 20000",
            name=op.f("ck_printer_offset"),
        ),
        sa.ForeignKeyConstraint(
            ["reseller_id"], ["reseller.id"], name=op.f("fk_printer_reseller_id_reseller")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_printer")),
    )
    op.create_index("uq_printer_owner", "printer", [sa.text("coalesce(reseller_id, 0)"), "name"], unique=True)
    op.create_table(
        "print_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("work_id", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=True),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("design", sa.Text(), nullable=False),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cards", sa.Integer(), nullable=True),
        sa.Column("left_out", JSONB(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("downloads", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        sa.CheckConstraint("last_id >= first_id", name=op.f("ck_print_run_cards")),
        sa.CheckConstraint("(sha256 IS NULL) = (made_at IS NULL)", name=op.f("ck_print_run_made")),
        sa.CheckConstraint(
            "confirmed_at IS NULL OR made_at IS NOT NULL", name=op.f("ck_print_run_confirmed")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_print_run_batch_id_batch")),
        sa.ForeignKeyConstraint(
            ["reseller_id"], ["reseller.id"], name=op.f("fk_print_run_reseller_id_reseller")
        ),
        sa.ForeignKeyConstraint(["work_id"], ["work.id"], name=op.f("fk_print_run_work_id_work")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_print_run")),
        sa.UniqueConstraint("work_id", name=op.f("uq_print_run_work_id")),
    )
    op.create_index(op.f("ix_print_run_batch_id"), "print_run", ["batch_id"], unique=False)
    op.create_index(op.f("ix_print_run_reseller_id_id"), "print_run", ["reseller_id", "id"], unique=False)
    op.create_table(
        "print_run_part",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("last_id >= first_id", name=op.f("ck_print_run_part_cards")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["print_run.id"], name=op.f("fk_print_run_part_run_id_print_run")
        ),
        sa.PrimaryKeyConstraint("run_id", "first_id", name=op.f("pk_print_run_part")),
    )
    op.create_table(
        "shipment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("tracking", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_by", sa.Text(), nullable=True),
        sa.Column("taken_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("taken_back_by", sa.Text(), nullable=True),
        sa.Column("taken_back_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("cards > 0", name=op.f("ck_shipment_cards")),
        sa.CheckConstraint(
            "(taken_back_at IS NULL) = (taken_back_by IS NULL)", name=op.f("ck_shipment_taken_back")
        ),
        sa.CheckConstraint(
            "(received_at IS NULL) = (received_by IS NULL)", name=op.f("ck_shipment_received")
        ),
        sa.ForeignKeyConstraint(
            ["reseller_id"], ["reseller.id"], name=op.f("fk_shipment_reseller_id_reseller")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipment")),
    )
    op.create_index(op.f("ix_shipment_reseller_id_id"), "shipment", ["reseller_id", "id"], unique=False)
    op.create_table(
        "shipment_range",
        sa.Column("shipment_id", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("last_id >= first_id", name=op.f("ck_shipment_range_cards")),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipment.id"], name=op.f("fk_shipment_range_shipment_id_shipment")
        ),
        sa.PrimaryKeyConstraint("shipment_id", "n", name=op.f("pk_shipment_range")),
    )
    op.add_column("stock_move", sa.Column("charged", sa.Integer(), nullable=True))
    op.add_column("stock_move", sa.Column("face", sa.BigInteger(), nullable=True))
    # What older documents were about: their cards say it on their timelines.
    op.execute("ALTER TABLE stock_move DISABLE TRIGGER stock_move_immutable")
    op.execute(
        """
        UPDATE stock_move SET face = told.face, charged = told.cards FROM (
            SELECT CAST(event.data ->> 'move' AS bigint) AS move, count(*) AS cards, sum(
                CASE WHEN batch.imported THEN (SELECT entry.amount FROM ledger_entry entry
                    WHERE entry.card_id = card.id AND entry.kind = 'opening') ELSE batch.denomination END
                * CASE event.kind WHEN 'return' THEN -1 ELSE 1 END) AS face
            FROM card_event event JOIN card ON card.id = event.card_id JOIN batch ON batch.id = card.batch_id
            WHERE event.kind IN ('activate', 'sell', 'return') AND event.data ? 'move' AND event.data ? 'price'
            GROUP BY 1) told
        WHERE told.move = stock_move.id
        """
    )
    op.execute("ALTER TABLE stock_move ENABLE TRIGGER stock_move_immutable")


def downgrade() -> None:
    raise RuntimeError("there is no way back from 0005: newer code relies on it")
