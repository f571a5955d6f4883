"""Names of what the audit trail and consents are about: `reseller:4` is somebody that people know by a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from engine.db import Database
from engine.schema import (
    Account,
    AutoRechargeRule,
    Batch,
    BonusRule,
    Deck,
    DestinationRules,
    ExportTemplate,
    Reseller,
    ResellerPerson,
    Staff,
    Switch,
)

_TABLES: dict[str, Any] = {
    "account": Account,
    "auto_recharge": AutoRechargeRule,
    "batch": Batch,
    "bonus_rule": BonusRule,
    "deck": Deck,
    "destination_rules": DestinationRules,
    "export_template": ExportTemplate,
    "reseller": Reseller,
    "reseller_person": ResellerPerson,
    "staff": Staff,
    "switch": Switch,
}


def subject_names(db: Database, subjects: Iterable[str]) -> dict[str, str]:
    """The names of those subjects (`batch:7`) that have one; what is gone, or has none, is not in it."""
    wanted: dict[str, set[int]] = {}
    for subject in subjects:
        kind, _, number = subject.partition(":")
        if kind in _TABLES and number.isascii() and number.isdecimal() and len(number) < 19:
            wanted.setdefault(kind, set()).add(int(number))
    names: dict[str, str] = {}
    with db.begin() as session:
        for kind, ids in wanted.items():
            table = _TABLES[kind]
            rows = session.execute(select(table.id, table.name).where(table.id.in_(ids)))
            names |= {f"{kind}:{row.id}": row.name for row in rows}
    return names
