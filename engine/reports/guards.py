"""Checks of what the database itself guards: rows that never change, constraints, unique indexes."""

from __future__ import annotations

from engine.reports.check import Check

IMMUTABLE = (
    "ledger_entry",
    "cdr",
    "cdr_correction",
    "payment",
    "audit",
    "audit_link",
    "deck_rate",
    "deck_version",
    "account_entry",
    "card_transfer",
    "stock_move",
    "charge_run",
    "refund",
)
"""Tables whose rows the database itself must refuse to change."""

GUARDS = (
    "ck_card_balance",
    "ck_card_live_calls",
    "ck_ledger_entry_balance_after",
    "ck_cdr_charged",
    "uq_card_number",
    "uq_ledger_entry_idempotency",
    "uq_payment_idempotency_key",
    "uq_payment_voucher_id",
    "uq_call_switch_id_call_ref",
    "uq_account_entry_idempotency",
    "uq_card_transfer_idempotency_key",
    "ck_account_balance",
    "ck_payment_account",
    "pk_card",
    "pk_idempotent_request",
    "pk_replacement",
    "pk_auto_recharge_crossing",
)
"""Constraints and unique indexes that the books stand on."""

_GUARDS = """
    SELECT name AS guard FROM unnest(%(guards)s::text[]) AS name
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_index i WHERE i.indexrelid = to_regclass(name) AND i.indisunique AND i.indisvalid
    ) AND NOT EXISTS (
        SELECT 1 FROM pg_constraint k WHERE k.conname = name AND k.contype = 'c' AND k.convalidated
            AND k.connamespace = current_schema()::regnamespace
    )
    UNION ALL
    SELECT name || '_immutable' FROM unnest(%(tables)s::text[]) AS name
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_trigger t WHERE t.tgrelid = to_regclass(name) AND t.tgname = name || '_immutable'
            AND t.tgenabled IN ('O', 'A')
    )
"""

GUARD_CHECKS = (Check("guard", "guard", _GUARDS, lambda row: "The database does not guard this any more."),)
