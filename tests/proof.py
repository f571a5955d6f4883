"""How much a heavy test does: counts that fit a coffee break, or with CARDTONE_PROVE=1 the ones that prove it."""

from __future__ import annotations

import os


def proving() -> bool:
    """Whether the full counts were asked for."""
    return os.environ.get("CARDTONE_PROVE", "") not in ("", "0")


def scaled(full: int, reduced: int) -> int:
    """The full count where it was asked for, else the reduced one."""
    return full if proving() else reduced
