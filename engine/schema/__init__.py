"""Every table: the data dictionary.

Money columns are BIGINT whole micro-units, times are timestamptz in UTC, durations are whole seconds (`_s`) or
milliseconds (`_ms`). A status is never a column: it follows from facts (`engine.cards.status`). Ledger entries, CDRs
and audit rows are only ever added.
"""

from engine.schema.base import Base
from engine.schema.calls import (
    AccessNumber,
    Call,
    Cdr,
    CdrCorrection,
    Deck,
    DeckRateRow,
    DeckVersion,
    DestinationGroup,
    DestinationRules,
)
from engine.schema.cards import (
    Attempt,
    Batch,
    Binding,
    Card,
    CardEvent,
    CardToken,
    FailureCounter,
    KnownSource,
)
from engine.schema.funds import IdempotentRequest, LedgerEntry, Payment
from engine.schema.people import AuditRow, Reseller, Staff, Switch, SwitchKey, WebSession
from engine.schema.stock import BatchKey, ExportRun
from engine.schema.system import Setting, SettingsHead, Work

__all__ = [
    "AccessNumber",
    "Attempt",
    "AuditRow",
    "Base",
    "Batch",
    "BatchKey",
    "Binding",
    "Call",
    "Card",
    "CardEvent",
    "CardToken",
    "Cdr",
    "CdrCorrection",
    "Deck",
    "DeckRateRow",
    "DeckVersion",
    "DestinationGroup",
    "DestinationRules",
    "ExportRun",
    "FailureCounter",
    "IdempotentRequest",
    "KnownSource",
    "LedgerEntry",
    "Payment",
    "Reseller",
    "Setting",
    "SettingsHead",
    "Staff",
    "Switch",
    "SwitchKey",
    "WebSession",
    "Work",
]
