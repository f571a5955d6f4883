"""The section Rates: decks and their versions, imports, changes, look-up, destination groups, replays."""

from __future__ import annotations

from portal.operator.rates import (
    buying,
    change,
    compare,
    decks,
    groups,
    imports,
    look_up,
    replays,
    uploading,
    words,
)

__all__ = [
    "buying",
    "change",
    "compare",
    "decks",
    "groups",
    "imports",
    "look_up",
    "replays",
    "uploading",
    "words",
]
