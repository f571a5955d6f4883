"""what the cardholder's pages keep

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

CHANGED = (
    ("payment", "method", "method IN ('operator', 'voucher', 'auto', 'reseller', 'online')"),
    (
        "ledger_entry",
        "kind",
        "kind IN ('opening', 'usage', 'overrun', 'correction', 'recharge', 'bonus', 'voucher', 'transfer', "
        "'adjustment', 'fee', 'breakage', 'discard', 'refund')",
    ),
)
"""Rules that allow more than before."""


def upgrade() -> None:
    op.create_table(
        "pending_binding",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("caller", sa.String(15), nullable=False),
        sa.Column("pinless", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("caller ~ '^[1-9][0-9]{6,14}$'", name=op.f("ck_pending_binding_caller")),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_pending_binding_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "caller", name=op.f("pk_pending_binding")),
    )
    op.create_index(op.f("ix_pending_binding_expires_at"), "pending_binding", ["expires_at"], unique=False)
    op.create_table(
        "speed_dial",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("destination", sa.String(15), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("slot BETWEEN 1 AND 99", name=op.f("ck_speed_dial_slot")),
        sa.CheckConstraint("destination ~ '^[1-9][0-9]{6,14}$'", name=op.f("ck_speed_dial_destination")),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_speed_dial_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "slot", name=op.f("pk_speed_dial")),
    )
    op.create_table(
        "checkout",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("amount > 0 AND refunded BETWEEN 0 AND amount", name=op.f("ck_checkout_amount")),
        sa.CheckConstraint("payment_id IS NULL OR paid_at IS NOT NULL", name=op.f("ck_checkout_paid")),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_checkout_card_id_card")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_checkout_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkout")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_checkout_payment_id")),
        sa.UniqueConstraint("provider_ref", name=op.f("uq_checkout_provider_ref")),
        sa.UniqueConstraint("ref", name=op.f("uq_checkout_ref")),
    )
    op.create_index(op.f("ix_checkout_card_id"), "checkout", ["card_id"], unique=False)
    op.create_index(op.f("ix_checkout_created_at"), "checkout", ["created_at"], unique=False)
    op.create_index(
        op.f("ix_checkout_card_id_idempotency_key"), "checkout", ["card_id", "idempotency_key"], unique=True
    )
    op.create_index(
        "ix_checkout_owed",
        "checkout",
        ["id"],
        unique=False,
        postgresql_where=sa.text("paid_at IS NOT NULL AND payment_id IS NULL"),
    )
    op.create_table(
        "refund",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.Column("bonus_taken", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "amount > 0 AND taken BETWEEN 0 AND amount AND bonus_taken >= 0", name=op.f("ck_refund_amount")
        ),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_refund_card_id_card")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_refund_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
    )
    op.create_index(op.f("ix_refund_card_id"), "refund", ["card_id"], unique=False)
    op.create_index(op.f("ix_refund_payment_id"), "refund", ["payment_id"], unique=False)
    op.execute(
        "CREATE TRIGGER refund_immutable BEFORE UPDATE OR DELETE ON refund "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.create_table(
        "brand",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("colour", sa.Text(), nullable=False),
        sa.Column("logo", sa.LargeBinary(), nullable=True),
        sa.Column("help_phone", sa.Text(), nullable=True),
        sa.Column("help_email", sa.Text(), nullable=True),
        sa.Column("help_hours", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.CheckConstraint("colour ~ '^#[0-9a-f]{6}$'", name=op.f("ck_brand_colour")),
        sa.ForeignKeyConstraint(["reseller_id"], ["reseller.id"], name=op.f("fk_brand_reseller_id_reseller")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brand")),
    )
    op.create_index("uq_brand_owner", "brand", [sa.text("coalesce(reseller_id, 0)")], unique=True)
    for table, name, rule in CHANGED:
        constraint = op.f(f"ck_{table}_{name}")
        op.drop_constraint(constraint, table, type_="check")
        # Old rows obey the old rule, which was narrower; they are looked at once, while writers wait.
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({rule}) NOT VALID")
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    raise RuntimeError("there is no way back from 0004: newer code relies on it")
