"""money, bulk work, people, jobs

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

CUSTODY = (
    "(CASE WHEN activated_at IS NOT NULL THEN 'activated'::text WHEN sold_at IS NOT NULL THEN 'sold'::text"
    " WHEN shipped_at IS NOT NULL THEN 'shipped'::text WHEN printed_at IS NOT NULL THEN 'printed'::text"
    " ELSE 'made'::text END)"
)
CHANGED = (
    ("payment", "method", "method IN ('operator', 'voucher', 'auto', 'reseller')"),
    (
        "ledger_entry",
        "kind",
        "kind IN ('opening', 'usage', 'overrun', 'correction', 'recharge', 'bonus', 'voucher', 'transfer', "
        "'adjustment', 'fee', 'breakage', 'discard')",
    ),
)
"""Rules that allow more than before."""


def upgrade() -> None:
    op.create_table(
        "alarm",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("times", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.CheckConstraint("severity IN ('notice', 'warning', 'critical')", name=op.f("ck_alarm_severity")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm")),
    )
    op.create_index(op.f("ix_alarm_opened_at"), "alarm", ["opened_at"], unique=False)
    op.create_index(
        "uq_alarm_open",
        "alarm",
        ["kind", "subject"],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_index(op.f("ix_audit_action_id"), "audit", ["action", "id"], unique=False)
    op.create_index(op.f("ix_audit_actor_id"), "audit", ["actor", "id"], unique=False)
    op.create_index(
        "ix_audit_log_in",
        "audit",
        ["subject", sa.text("coalesce(data ->> 'line', data ->> 'address')")],
        unique=False,
        postgresql_where=sa.text("action IN ('staff.log_in', 'reseller_person.log_in')"),
    )
    op.create_table(
        "audit_pending",
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit_pending")),
    )
    op.create_table(
        "auto_recharge_crossing",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("rule_id", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("card_id", "rule_id", "entry_id", name=op.f("pk_auto_recharge_crossing")),
    )
    op.create_index(
        "ix_auto_recharge_crossing_due",
        "auto_recharge_crossing",
        ["at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "bonus_rule",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("methods", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("percent_bp", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fixed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("least", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("first_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("least >= 0 AND ends_at > starts_at", name=op.f("ck_bonus_rule_range")),
        sa.CheckConstraint(
            "percent_bp >= 0 AND fixed >= 0 AND percent_bp + fixed > 0", name=op.f("ck_bonus_rule_bonus")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bonus_rule")),
        sa.UniqueConstraint("name", name=op.f("uq_bonus_rule_name")),
    )
    op.create_table(
        "card_search",
        sa.Column("card_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("card_id", name=op.f("pk_card_search")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        op.f("ix_card_search_balance_card_id"), "card_search", ["balance", "card_id"], unique=False
    )
    op.create_index(op.f("ix_card_search_status_card_id"), "card_search", ["status", "card_id"], unique=False)
    op.create_table(
        "charge_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('maintenance', 'breakage')", name=op.f("ck_charge_run_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_run")),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_name", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(approved IS NULL) = (decided_at IS NULL)", name=op.f("ck_consent_decided")),
        sa.CheckConstraint("decided_by <> asked_by", name=op.f("ck_consent_second_person")),
        sa.CheckConstraint("used_at IS NULL OR approved", name=op.f("ck_consent_used")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index(op.f("ix_consent_fingerprint"), "consent", ["fingerprint"], unique=False)
    op.create_index(
        "ix_consent_open", "consent", ["id"], unique=False, postgresql_where=sa.text("decided_at IS NULL")
    )
    op.create_table(
        "job_run",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('asked', 'running', 'done', 'failed', 'lost')", name=op.f("ck_job_run_state")
        ),
        sa.PrimaryKeyConstraint("job", "due_at", name=op.f("pk_job_run")),
    )
    op.create_index(op.f("ix_job_run_started_at"), "job_run", ["started_at"], unique=False)
    op.create_index(
        "ix_job_run_open",
        "job_run",
        ["job", "due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('asked', 'running')"),
    )
    op.create_table(
        "traffic_bucket",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=False),
        sa.Column("switch_id", sa.BigInteger(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("destination_name", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("billed_seconds", sa.BigInteger(), nullable=False),
        sa.Column("revenue", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.BigInteger(), nullable=False),
        sa.Column("swept", sa.BigInteger(), nullable=False),
        sa.Column("flagged", sa.BigInteger(), nullable=False),
        sa.Column("corrected", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "at",
            "currency",
            "batch_id",
            "reseller_id",
            "switch_id",
            "prefix",
            "destination_name",
            name=op.f("pk_traffic_bucket"),
        ),
    )
    op.create_table(
        "funds_bucket",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "at",
            "currency",
            "batch_id",
            "reseller_id",
            "kind",
            "account",
            name=op.f("pk_funds_bucket"),
        ),
    )
    op.create_table(
        "payment_bucket",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("payments", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("bonus", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "at",
            "currency",
            "batch_id",
            "reseller_id",
            "method",
            name=op.f("pk_payment_bucket"),
        ),
    )
    op.create_table(
        "attempt_bucket",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source_kind", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "at",
            "door",
            "reason",
            "source_kind",
            name=op.f("pk_attempt_bucket"),
        ),
    )
    op.create_table(
        "stock_bucket",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=False),
        sa.Column("sold", sa.BigInteger(), nullable=False),
        sa.Column("activated", sa.BigInteger(), nullable=False),
        sa.Column("first_used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "at",
            "batch_id",
            "reseller_id",
            name=op.f("pk_stock_bucket"),
        ),
    )
    op.create_table(
        "job_state",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("mark", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_job_state")),
    )
    op.create_table(
        "recovery_code",
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("realm", "subject_id", "digest", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "totp",
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("master", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("realm", "subject_id", name=op.f("pk_totp")),
    )
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("credit_limit", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'reseller') = (reseller_id IS NOT NULL)", name=op.f("ck_account_reseller")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_account_currency")),
        sa.CheckConstraint("kind IN ('reseller', 'funding')", name=op.f("ck_account_kind")),
        sa.CheckConstraint("credit_limit >= 0 AND balance >= -credit_limit", name=op.f("ck_account_balance")),
        sa.ForeignKeyConstraint(
            ["reseller_id"], ["reseller.id"], name=op.f("fk_account_reseller_id_reseller")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )
    op.create_index("uq_account_reseller_id_currency", "account", ["reseller_id", "currency"], unique=True)
    op.create_table(
        "audit_link",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("chained_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["audit_id"], ["audit.id"], name=op.f("fk_audit_link_audit_id_audit")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_link")),
        sa.UniqueConstraint("audit_id", name=op.f("uq_audit_link_audit_id")),
    )
    op.create_table(
        "bulk_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("filter", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("work_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "cards >= 0 AND changed + unchanged + refused <= cards", name=op.f("ck_bulk_run_cards")
        ),
        sa.ForeignKeyConstraint(["work_id"], ["work.id"], name=op.f("fk_bulk_run_work_id_work")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_run")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_bulk_run_idempotency_key")),
    )
    op.create_table(
        "reseller_person",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("login = lower(login) AND login <> ''", name=op.f("ck_reseller_person_login")),
        sa.CheckConstraint("role IN ('owner', 'clerk')", name=op.f("ck_reseller_person_role")),
        sa.ForeignKeyConstraint(
            ["reseller_id"], ["reseller.id"], name=op.f("fk_reseller_person_reseller_id_reseller")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reseller_person")),
        sa.UniqueConstraint("login", name=op.f("uq_reseller_person_login")),
    )
    op.create_index(op.f("ix_reseller_person_reseller_id"), "reseller_person", ["reseller_id"], unique=False)
    op.create_table(
        "account_entry",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('deposit', 'adjustment', 'recharge', 'stock', 'return')",
            name=op.f("ck_account_entry_kind"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_account_entry_amount")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_account_entry_account_id_account")
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_account_entry")),
    )
    op.create_index(
        "uq_account_entry_idempotency",
        "account_entry",
        ["account_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "auto_recharge_rule",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("day_limit", sa.BigInteger(), nullable=True),
        sa.Column("month_limit", sa.BigInteger(), nullable=True),
        sa.Column("filter", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("armed_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "day_limit >= amount AND month_limit >= amount", name=op.f("ck_auto_recharge_rule_limits")
        ),
        sa.CheckConstraint("threshold > 0 AND amount > 0", name=op.f("ck_auto_recharge_rule_amounts")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_auto_recharge_rule_account_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auto_recharge_rule")),
        sa.UniqueConstraint("name", name=op.f("uq_auto_recharge_rule_name")),
    )
    op.create_table(
        "bulk_chunk",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("card_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("callers", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["bulk_run.id"], name=op.f("fk_bulk_chunk_run_id_bulk_run")),
        sa.PrimaryKeyConstraint("run_id", "n", name=op.f("pk_bulk_chunk")),
    )
    op.create_table(
        "bulk_refusal",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["bulk_run.id"], name=op.f("fk_bulk_refusal_run_id_bulk_run")),
        sa.PrimaryKeyConstraint("run_id", "card_id", name=op.f("pk_bulk_refusal")),
    )
    op.create_table(
        "stock_move",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reseller_id", sa.BigInteger(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('assign', 'unassign', 'activate', 'sell', 'return')", name=op.f("ck_stock_move_kind")
        ),
        sa.CheckConstraint("cards > 0 AND last_id >= first_id", name=op.f("ck_stock_move_cards")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_stock_move_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["reseller_id"], ["reseller.id"], name=op.f("fk_stock_move_reseller_id_reseller")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_move")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_stock_move_idempotency_key")),
    )
    op.create_index(op.f("ix_stock_move_reseller_id"), "stock_move", ["reseller_id"], unique=False)
    op.create_table(
        "auto_recharge_member",
        sa.Column("card_id", sa.BigInteger(), nullable=False),
        sa.Column("rule_id", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["rule_id"],
            ["auto_recharge_rule.id"],
            name=op.f("fk_auto_recharge_member_rule_id_auto_recharge_rule"),
        ),
        sa.PrimaryKeyConstraint("card_id", "rule_id", name=op.f("pk_auto_recharge_member")),
    )
    op.create_table(
        "card_transfer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("from_id", sa.BigInteger(), nullable=False),
        sa.Column("to_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('transfer', 'replace')", name=op.f("ck_card_transfer_kind")),
        sa.CheckConstraint("amount > 0 AND from_id <> to_id", name=op.f("ck_card_transfer_amount")),
        sa.ForeignKeyConstraint(["from_id"], ["card.id"], name=op.f("fk_card_transfer_from_id_card")),
        sa.ForeignKeyConstraint(["to_id"], ["card.id"], name=op.f("fk_card_transfer_to_id_card")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_transfer")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_card_transfer_idempotency_key")),
    )
    op.create_index(op.f("ix_card_transfer_from_id"), "card_transfer", ["from_id"], unique=False)
    op.create_index(op.f("ix_card_transfer_to_id"), "card_transfer", ["to_id"], unique=False)
    op.create_table(
        "replacement",
        sa.Column("old_id", sa.BigInteger(), nullable=False),
        sa.Column("new_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("old_id <> new_id", name=op.f("ck_replacement_cards")),
        sa.ForeignKeyConstraint(["new_id"], ["card.id"], name=op.f("fk_replacement_new_id_card")),
        sa.ForeignKeyConstraint(["old_id"], ["card.id"], name=op.f("fk_replacement_old_id_card")),
        sa.PrimaryKeyConstraint("old_id", name=op.f("pk_replacement")),
    )
    op.create_index(op.f("ix_replacement_new_id"), "replacement", ["new_id"], unique=False)
    op.create_index(
        "ix_replacement_open",
        "replacement",
        ["old_id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index(op.f("ix_attempt_at"), "attempt", ["at"], unique=False)
    op.add_column("attempt", sa.Column("times", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_index(
        "ix_card_event_lockout",
        "card_event",
        ["at"],
        unique=False,
        postgresql_where=sa.text("kind = 'lock' AND actor = 'failures'"),
    )
    op.add_column("failure_counter", sa.Column("window_ends_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        op.f("ix_failure_counter_window_ends_at"),
        "failure_counter",
        ["window_ends_at"],
        unique=False,
        postgresql_where=sa.text("window_ends_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_binding_caller_card_id"), "binding", ["caller", "card_id"], unique=False)
    op.add_column("card", sa.Column("next_fee_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("card", sa.Column("reseller_price", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_card_created_at_id"), "card", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_card_currency_id"), "card", ["currency", "id"], unique=False)
    op.create_index(
        "ix_card_custody",
        "card",
        [
            sa.literal_column(CUSTODY),
            "id",
        ],
        unique=False,
    )
    op.create_index(
        op.f("ix_card_expires_at_id"),
        "card",
        ["expires_at", "id"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_card_first_used_at_id"),
        "card",
        ["first_used_at", "id"],
        unique=False,
        postgresql_where=sa.text("first_used_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_card_next_fee_at_id"),
        "card",
        ["next_fee_at", "id"],
        unique=False,
        postgresql_where=sa.text("next_fee_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_card_activated_at"),
        "card",
        ["activated_at"],
        unique=False,
        postgresql_where=sa.text("activated_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_card_sold_at"),
        "card",
        ["sold_at"],
        unique=False,
        postgresql_where=sa.text("sold_at IS NOT NULL"),
    )
    op.create_index(
        "ix_card_released", "card", ["id"], unique=False, postgresql_where=sa.text("released_at IS NOT NULL")
    )
    op.create_index(
        "ix_card_held_back", "card", ["id"], unique=False, postgresql_where=sa.text("released_at IS NULL")
    )
    op.create_index(
        op.f("ix_card_reseller_id_id"),
        "card",
        ["reseller_id", "id"],
        unique=False,
        postgresql_where=sa.text("reseller_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_card_event_at"),
        "card_event",
        ["at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    op.drop_constraint(op.f("fk_card_event_card_id_card"), "card_event", type_="foreignkey")
    op.create_index(
        op.f("ix_ledger_entry_at"),
        "ledger_entry",
        ["at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    op.add_column("payment", sa.Column("account_id", sa.BigInteger(), nullable=True))
    op.add_column("payment", sa.Column("bonus_rule_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_payment_account_id_account"), "payment", "account", ["account_id"], ["id"])
    op.create_foreign_key(
        op.f("fk_payment_bonus_rule_id_bonus_rule"), "payment", "bonus_rule", ["bonus_rule_id"], ["id"]
    )
    op.add_column(
        "reseller", sa.Column("discount_bp", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_check_constraint(op.f("ck_reseller_discount"), "reseller", "discount_bp BETWEEN 0 AND 10000")
    for table, name, rule in CHANGED:
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    # A key begins with whose it is now, so that none made up at the counter is another document's.
    op.execute("ALTER TABLE payment DISABLE TRIGGER payment_immutable")
    op.execute(
        "UPDATE payment SET idempotency_key = 'recharge:' || idempotency_key"
        " WHERE method = 'operator' AND idempotency_key IS NOT NULL"
    )
    op.execute("ALTER TABLE payment ENABLE TRIGGER payment_immutable")
    op.create_check_constraint(
        op.f("ck_payment_account"), "payment", "(method IN ('auto', 'reseller')) = (account_id IS NOT NULL)"
    )
    for table in ("account_entry", "card_transfer", "stock_move", "charge_run", "audit_link"):
        op.execute(
            f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
    # Whoever writes an audit row, it waits for its place in the chain.
    op.execute(
        """
        CREATE FUNCTION await_audit_link() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO audit_pending (audit_id) VALUES (NEW.id);
            RETURN NULL;
        END $$
        """
    )
    op.execute("INSERT INTO audit_pending (audit_id) SELECT id FROM audit")
    op.execute(
        "CREATE TRIGGER audit_awaits_link AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION await_audit_link()"
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back from 0002: its tables hold money")
