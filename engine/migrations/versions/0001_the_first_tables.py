"""the first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "access_number",
        sa.Column("number", sa.String(length=15), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("per_minute", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("per_call", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("number ~ '^[0-9]{3,15}$'", name=op.f("ck_access_number_number")),
        sa.CheckConstraint("per_minute >= 0 AND per_call >= 0", name=op.f("ck_access_number_surcharges")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_access_number")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=True),
        sa.Column("caller", sa.Text(), nullable=True),
        sa.Column("destination", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "at", name=op.f("pk_attempt")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index(
        op.f("ix_attempt_card_id_at"),
        "attempt",
        ["card_id", "at"],
        unique=False,
        postgresql_where=sa.text("card_id IS NOT NULL"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_index(op.f("ix_audit_subject_id"), "audit", ["subject", "id"], unique=False)
    op.create_table(
        "cdr",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("switch_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("billed_s", sa.Integer(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.SmallInteger(), nullable=True),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("call_ref", sa.Text(), nullable=False),
        sa.Column("caller", sa.String(length=15), nullable=True),
        sa.Column("destination", sa.String(length=15), nullable=False),
        sa.Column("access_number", sa.String(length=15), nullable=True),
        sa.Column("one_shot", sa.Boolean(), nullable=False),
        sa.Column("authorized_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_granted_s", sa.Integer(), nullable=False),
        sa.Column("granted_s", sa.Integer(), nullable=False),
        sa.Column("affordable_s", sa.Integer(), nullable=False),
        sa.Column("balance_before", sa.BigInteger(), nullable=False),
        sa.Column("deck_version_id", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=False),
        sa.Column("prefix", sa.String(length=15), nullable=False),
        sa.Column("destination_name", sa.Text(), nullable=False),
        sa.Column("price_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("connect_fee", sa.BigInteger(), nullable=False),
        sa.Column("access_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("access_per_call", sa.BigInteger(), nullable=False),
        sa.Column("post_call_fee", sa.BigInteger(), nullable=False),
        sa.Column("first_increment", sa.Integer(), nullable=False),
        sa.Column("increment", sa.Integer(), nullable=False),
        sa.Column("grace", sa.Integer(), nullable=False),
        sa.Column("precision", sa.SmallInteger(), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.CheckConstraint("cost >= charged AND charged >= 0 AND billed_s >= 0", name=op.f("ck_cdr_charged")),
        sa.PrimaryKeyConstraint("card_id", "ended_at", "id", name=op.f("pk_cdr")),
        postgresql_partition_by="RANGE (ended_at)",
    )
    op.create_index(
        op.f("ix_cdr_ended_at"), "cdr", ["ended_at"], unique=False, postgresql_where=sa.text("flags <> '{}'")
    )
    op.create_index(op.f("ix_cdr_switch_id_call_ref"), "cdr", ["switch_id", "call_ref"], unique=False)
    op.create_table(
        "deck",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("precision", sa.SmallInteger(), server_default=sa.text("4"), nullable=False),
        sa.Column("rounding", sa.Text(), server_default=sa.text("'half_up'"), nullable=False),
        sa.Column("timezone", sa.Text(), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_deck_currency")),
        sa.CheckConstraint("rounding IN ('half_up', 'up', 'down')", name=op.f("ck_deck_rounding")),
        sa.CheckConstraint("precision BETWEEN 0 AND 6", name=op.f("ck_deck_precision")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deck")),
        sa.UniqueConstraint("name", name=op.f("uq_deck_name")),
    )
    op.create_table(
        "destination_group",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefixes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_destination_group")),
    )
    op.create_table(
        "destination_rules",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("barred", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("allowed", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_destination_rules")),
        sa.UniqueConstraint("name", name=op.f("uq_destination_rules_name")),
    )
    op.create_table(
        "failure_counter",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_failure_counter")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(op.f("ix_failure_counter_failed_at"), "failure_counter", ["failed_at"], unique=False)
    op.create_table(
        "idempotent_request",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotent_request")),
    )
    op.create_index(op.f("ix_idempotent_request_at"), "idempotent_request", ["at"], unique=False)
    op.create_table(
        "reseller",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reseller")),
        sa.UniqueConstraint("name", name=op.f("uq_reseller_name")),
    )
    op.create_table(
        "setting",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_setting")),
    )
    op.create_table(
        "settings_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_settings_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_head")),
    )
    op.create_table(
        "staff",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("login = lower(login) AND login <> ''", name=op.f("ck_staff_login")),
        sa.CheckConstraint(
            "role IN ('admin', 'operator', 'support', 'finance', 'auditor')", name=op.f("ck_staff_role")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("login", name=op.f("uq_staff_login")),
    )
    op.create_table(
        "switch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("trusted_callers", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("addresses", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_switch")),
        sa.UniqueConstraint("name", name=op.f("uq_switch_name")),
    )
    op.create_table(
        "web_session",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("realm IN ('staff', 'reseller', 'cardholder')", name=op.f("ck_web_session_realm")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_web_session")),
    )
    op.create_index(
        op.f("ix_web_session_realm_subject_id"), "web_session", ["realm", "subject_id"], unique=False
    )
    op.create_table(
        "work",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("progress", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_work_lease")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_work_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work")),
    )
    op.create_index(
        op.f("ix_work_id"),
        "work",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("generated", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("denomination", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("deck_id", sa.BigInteger(), nullable=True),
        sa.Column("number_prefix", sa.Text(), nullable=False),
        sa.Column("number_length", sa.SmallInteger(), nullable=False),
        sa.Column("range_first", sa.Text(), nullable=True),
        sa.Column("range_last", sa.Text(), nullable=True),
        sa.Column("luhn", sa.Boolean(), nullable=False),
        sa.Column("password_length", sa.SmallInteger(), nullable=False),
        sa.Column("validity_days", sa.Integer(), nullable=True),
        sa.Column("validity_from", sa.Text(), nullable=False),
        sa.Column("first_use", sa.Text(), nullable=False),
        sa.Column("grace_days", sa.Integer(), nullable=False),
        sa.Column("extension_days", sa.Integer(), nullable=True),
        sa.Column("binding", sa.Text(), nullable=False),
        sa.Column("max_bound", sa.SmallInteger(), nullable=False),
        sa.Column("auto_bind", sa.Boolean(), nullable=False),
        sa.Column("pinless", sa.Boolean(), nullable=False),
        sa.Column("concurrency", sa.SmallInteger(), nullable=False),
        sa.Column("destination_rules_id", sa.BigInteger(), nullable=False),
        sa.Column("post_call_fee", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("maintenance_fee", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("maintenance_days", sa.Integer(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=True),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("imported", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("discarded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("work_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("binding IN ('none', 'single', 'multi')", name=op.f("ck_batch_binding")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_batch_currency")),
        sa.CheckConstraint(
            "first_use IN ('authentication', 'answered_call')", name=op.f("ck_batch_first_use")
        ),
        sa.CheckConstraint("kind = 'voucher' OR deck_id IS NOT NULL", name=op.f("ck_batch_deck")),
        sa.CheckConstraint("kind IN ('calling', 'voucher')", name=op.f("ck_batch_kind")),
        sa.CheckConstraint("number_prefix ~ '^[0-9]*$'", name=op.f("ck_batch_number_prefix")),
        sa.CheckConstraint("release IN ('generation', 'activation')", name=op.f("ck_batch_release")),
        sa.CheckConstraint(
            "validity_from IN ('generation', 'first_use')", name=op.f("ck_batch_validity_from")
        ),
        sa.CheckConstraint("count > 0 AND last_id - first_id + 1 = count", name=op.f("ck_batch_count")),
        sa.CheckConstraint("denomination >= 0", name=op.f("ck_batch_denomination")),
        sa.CheckConstraint("generated BETWEEN 0 AND count", name=op.f("ck_batch_generated")),
        sa.CheckConstraint("max_bound >= 0 AND concurrency > 0", name=op.f("ck_batch_limits")),
        sa.CheckConstraint("post_call_fee >= 0 AND maintenance_fee >= 0", name=op.f("ck_batch_fees")),
        sa.CheckConstraint("ready_at IS NULL OR generated = count", name=op.f("ck_batch_ready")),
        sa.CheckConstraint(
            "validity_days > 0 AND grace_days >= 0 AND extension_days > 0", name=op.f("ck_batch_days")
        ),
        sa.ForeignKeyConstraint(["deck_id"], ["deck.id"], name=op.f("fk_batch_deck_id_deck")),
        sa.ForeignKeyConstraint(
            ["destination_rules_id"],
            ["destination_rules.id"],
            name=op.f("fk_batch_destination_rules_id_destination_rules"),
        ),
        sa.ForeignKeyConstraint(["reseller_id"], ["reseller.id"], name=op.f("fk_batch_reseller_id_reseller")),
        sa.ForeignKeyConstraint(["work_id"], ["work.id"], name=op.f("fk_batch_work_id_work")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("name", name=op.f("uq_batch_name")),
    )
    op.create_table(
        "deck_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("deck_id", sa.BigInteger(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("rates", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["deck_id"], ["deck.id"], name=op.f("fk_deck_version_deck_id_deck")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deck_version")),
    )
    op.create_index(
        op.f("ix_deck_version_deck_id_effective_from_id"),
        "deck_version",
        ["deck_id", "effective_from", "id"],
        unique=False,
    )
    op.create_table(
        "switch_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("switch_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["switch_id"], ["switch.id"], name=op.f("fk_switch_key_switch_id_switch")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_switch_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_switch_key_digest")),
    )
    op.create_index(op.f("ix_switch_key_switch_id"), "switch_key", ["switch_id"], unique=False)
    op.create_table(
        "batch_key",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("master", sa.SmallInteger(), nullable=False),
        sa.Column("shred_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("shredded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("shredded_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(wrapped IS NULL) = (shredded_at IS NOT NULL)", name=op.f("ck_batch_key_shredded")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_key_batch_id_batch")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batch_key")),
    )
    op.create_table(
        "card",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("pepper", sa.SmallInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("live_calls", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("concurrency", sa.SmallInteger(), nullable=False),
        sa.Column("deck_id", sa.BigInteger(), nullable=True),
        sa.Column("destination_rules_id", sa.BigInteger(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("locked_by", sa.Text(), nullable=True),
        sa.Column("lock_reason", sa.Text(), nullable=True),
        sa.Column("damaged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("damaged_by", sa.Text(), nullable=True),
        sa.Column("damage_reason", sa.Text(), nullable=True),
        sa.Column("printed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("shipped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sold_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("number ~ '^[0-9]+$'", name=op.f("ck_card_number")),
        sa.CheckConstraint("(damaged_at IS NULL) = (damaged_by IS NULL)", name=op.f("ck_card_damaged")),
        sa.CheckConstraint("(locked_at IS NULL) = (locked_by IS NULL)", name=op.f("ck_card_locked")),
        sa.CheckConstraint("balance >= held AND held >= 0", name=op.f("ck_card_balance")),
        sa.CheckConstraint("concurrency > 0", name=op.f("ck_card_concurrency")),
        sa.CheckConstraint("live_calls >= 0", name=op.f("ck_card_live_calls")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_card_digest")),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_card_batch_id_batch")),
        sa.ForeignKeyConstraint(["deck_id"], ["deck.id"], name=op.f("fk_card_deck_id_deck")),
        sa.ForeignKeyConstraint(
            ["destination_rules_id"],
            ["destination_rules.id"],
            name=op.f("fk_card_destination_rules_id_destination_rules"),
        ),
        sa.ForeignKeyConstraint(["reseller_id"], ["reseller.id"], name=op.f("fk_card_reseller_id_reseller")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card")),
        sa.UniqueConstraint("number", name=op.f("uq_card_number")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "deck_rate",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("prefix", sa.String(length=15), nullable=False),
        sa.Column("destination_name", sa.Text(), nullable=False),
        sa.Column("price_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("connect_fee", sa.BigInteger(), nullable=False),
        sa.Column("first_increment", sa.Integer(), nullable=False),
        sa.Column("increment", sa.Integer(), nullable=False),
        sa.Column("grace", sa.Integer(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("effective_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("days", postgresql.ARRAY(sa.SmallInteger()), nullable=True),
        sa.Column("from_time", sa.Time(), nullable=True),
        sa.Column("to_time", sa.Time(), nullable=True),
        sa.CheckConstraint("prefix ~ '^[0-9]{1,15}$'", name=op.f("ck_deck_rate_prefix")),
        sa.CheckConstraint("effective_until > effective_from", name=op.f("ck_deck_rate_effective")),
        sa.CheckConstraint(
            "first_increment > 0 AND increment > 0 AND grace >= 0", name=op.f("ck_deck_rate_increments")
        ),
        sa.CheckConstraint("price_per_minute >= 0 AND connect_fee >= 0", name=op.f("ck_deck_rate_price")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["deck_version.id"], name=op.f("fk_deck_rate_version_id_deck_version")
        ),
        sa.PrimaryKeyConstraint("version_id", "id", name=op.f("pk_deck_rate")),
    )
    op.create_index(
        op.f("ix_deck_rate_version_id_prefix"), "deck_rate", ["version_id", "prefix"], unique=False
    )
    op.create_table(
        "export_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("with_passwords", sa.Boolean(), nullable=False),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_export_run_batch_id_batch")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_run")),
    )
    op.create_index(op.f("ix_export_run_batch_id"), "export_run", ["batch_id"], unique=False)
    op.create_table(
        "binding",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("caller", sa.String(length=15), nullable=False),
        sa.Column("pinless", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("caller ~ '^[1-9][0-9]{6,14}$'", name=op.f("ck_binding_caller")),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_binding_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "caller", name=op.f("pk_binding")),
    )
    op.create_index(
        "uq_binding_pinless", "binding", ["caller"], unique=True, postgresql_where=sa.text("pinless")
    )
    op.create_table(
        "call",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("switch_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=True),
        sa.Column("hold", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_s", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sweep_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("call_ref", sa.Text(), nullable=False),
        sa.Column("caller", sa.String(length=15), nullable=True),
        sa.Column("destination", sa.String(length=15), nullable=False),
        sa.Column("access_number", sa.String(length=15), nullable=True),
        sa.Column("one_shot", sa.Boolean(), nullable=False),
        sa.Column("authorized_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_granted_s", sa.Integer(), nullable=False),
        sa.Column("granted_s", sa.Integer(), nullable=False),
        sa.Column("affordable_s", sa.Integer(), nullable=False),
        sa.Column("balance_before", sa.BigInteger(), nullable=False),
        sa.Column("deck_version_id", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=False),
        sa.Column("prefix", sa.String(length=15), nullable=False),
        sa.Column("destination_name", sa.Text(), nullable=False),
        sa.Column("price_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("connect_fee", sa.BigInteger(), nullable=False),
        sa.Column("access_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("access_per_call", sa.BigInteger(), nullable=False),
        sa.Column("post_call_fee", sa.BigInteger(), nullable=False),
        sa.Column("first_increment", sa.Integer(), nullable=False),
        sa.Column("increment", sa.Integer(), nullable=False),
        sa.Column("grace", sa.Integer(), nullable=False),
        sa.Column("precision", sa.SmallInteger(), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.CheckConstraint("hold >= 0 AND granted_s > 0 AND confirmed_s >= 0", name=op.f("ck_call_hold")),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_call_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "id", name=op.f("pk_call")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(op.f("ix_call_sweep_after"), "call", ["sweep_after"], unique=False)
    op.create_index("uq_call_switch_id_call_ref", "call", ["switch_id", "call_ref"], unique=True)
    op.create_table(
        "card_event",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column(
            "data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_card_event_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "id", name=op.f("pk_card_event")),
    )
    op.create_table(
        "card_token",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("switch_id", sa.BigInteger(), nullable=False),
        sa.Column("caller", sa.String(length=15), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_card_token_card_id_card")),
        sa.ForeignKeyConstraint(["switch_id"], ["switch.id"], name=op.f("fk_card_token_switch_id_switch")),
        sa.PrimaryKeyConstraint("card_id", "digest", name=op.f("pk_card_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_card_token_digest")),
    )
    op.create_index(op.f("ix_card_token_used_at"), "card_token", ["used_at"], unique=False)
    op.create_table(
        "cdr_correction",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("cdr_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("billed_s", sa.Integer(), nullable=False),
        sa.Column("cause", sa.SmallInteger(), nullable=True),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_cdr_correction_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "cdr_id", name=op.f("pk_cdr_correction")),
    )
    op.create_table(
        "known_source",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("first_right_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_known_source_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "source", name=op.f("pk_known_source")),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount <> 0 OR kind = 'opening'", name=op.f("ck_ledger_entry_amount")),
        sa.CheckConstraint(
            "kind IN ('opening', 'usage', 'overrun', 'correction', 'recharge', 'bonus', 'voucher', 'transfer', 'adjustment', 'fee', 'breakage')",
            name=op.f("ck_ledger_entry_kind"),
        ),
        sa.CheckConstraint("balance_after >= 0", name=op.f("ck_ledger_entry_balance_after")),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_ledger_entry_card_id_card")),
        sa.PrimaryKeyConstraint("card_id", "id", name=op.f("pk_ledger_entry")),
    )
    op.create_index(
        "uq_ledger_entry_idempotency",
        "ledger_entry",
        ["card_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("bonus", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("voucher_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(method = 'voucher') = (voucher_id IS NOT NULL)", name=op.f("ck_payment_voucher")
        ),
        sa.CheckConstraint("method IN ('operator', 'voucher')", name=op.f("ck_payment_method")),
        sa.CheckConstraint("amount > 0 AND bonus >= 0", name=op.f("ck_payment_amount")),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_payment_card_id_card")),
        sa.ForeignKeyConstraint(["voucher_id"], ["card.id"], name=op.f("fk_payment_voucher_id_card")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_payment_idempotency_key")),
        sa.UniqueConstraint("voucher_id", name=op.f("uq_payment_voucher_id")),
    )
    op.create_index(op.f("ix_payment_at"), "payment", ["at"], unique=False)
    op.create_index(op.f("ix_payment_card_id"), "payment", ["card_id"], unique=False)
    for table in ("cdr", "attempt"):
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    # Serials: 10 digits, so that no spreadsheet finds a leading zero to drop.
    op.execute("CREATE SEQUENCE card_serial START 1000000001 MINVALUE 1000000001 MAXVALUE 9999999999")
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in ("ledger_entry", "cdr", "cdr_correction", "payment", "audit", "deck_rate", "deck_version"):
        op.execute(
            f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    op.execute(
        """
        CREATE FUNCTION raise_settings_revision() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE settings_head SET revision = revision + 1;
            RETURN NULL;
        END $$
        """
    )
    for table in ("setting", "access_number", "destination_rules", "destination_group"):
        op.execute(
            f"CREATE TRIGGER {table}_changed AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION raise_settings_revision()"
        )
    op.execute("INSERT INTO settings_head (id, revision) VALUES (1, 1)")
    op.execute(
        "INSERT INTO destination_rules (name, barred, allowed) VALUES "
        "('Standard', '{premium,satellite}', NULL), ('No bars', '{}', NULL), "
        "('National only', '{premium,satellite}', '{national}')"
    )


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first tables")
