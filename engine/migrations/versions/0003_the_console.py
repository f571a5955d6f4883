"""what the console keeps

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("master", sa.SmallInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    op.create_index(op.f("ix_upload_created_at"), "upload", ["created_at"], unique=False)
    op.create_table(
        "saved_view",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_saved_view_staff_id_staff")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_view")),
    )
    op.create_index(
        op.f("ix_saved_view_staff_id_page_name"), "saved_view", ["staff_id", "page", "name"], unique=True
    )
    op.create_table(
        "export_template",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_template")),
        sa.UniqueConstraint("name", name=op.f("uq_export_template_name")),
    )
    op.create_table(
        "call_review",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("cdr_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_call_review_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "cdr_id", name=op.f("pk_call_review")),
    )
    op.create_table(
        "replay_line",
        sa.Column("work_id", sa.BigInteger(), nullable=False),
        sa.Column("destination_name", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("billed_s", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("replayed_s", sa.BigInteger(), nullable=False),
        sa.Column("replayed", sa.BigInteger(), nullable=False),
        sa.Column("unrated", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["work_id"], ["work.id"], name=op.f("fk_replay_line_work_id_work"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("work_id", "destination_name", name=op.f("pk_replay_line")),
    )
    op.add_column("deck", sa.Column("buy_deck_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_deck_buy_deck_id_deck"), "deck", "deck", ["buy_deck_id"], ["id"])
    op.create_check_constraint(op.f("ck_deck_buy_deck"), "deck", "buy_deck_id <> id")
    op.add_column("staff", sa.Column("timezone", sa.Text(), nullable=True))
    op.create_index(
        "ix_audit_ranges",
        "audit",
        [
            sa.text(
                "int8range(CAST(substr(subject, 7, 10) AS bigint), CAST(substr(subject, 19, 10) AS bigint), '[]')"
            )
        ],
        unique=False,
        postgresql_using="gist",
        postgresql_where=sa.text("subject ~ '^cards:[0-9]{11}-[0-9]{11}$'"),
    )
    op.create_index(op.f("ix_cdr_ended_at_id"), "cdr", ["ended_at", "id"], unique=False)
    op.create_index(
        "ix_cdr_numbers",
        "cdr",
        ["caller", "destination", "destination_name"],
        unique=False,
        postgresql_using="brin",
        postgresql_ops=dict.fromkeys(("caller", "destination", "destination_name"), "text_bloom_ops"),
        postgresql_with={"pages_per_range": 8, "autosummarize": "on"},
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back from 0003: newer code relies on it")
