"""The refusal that is returned, not raised: it leaves a trace, so its transaction must stand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A door's answer no. `reason` is one of `engine.errors.REASONS`.

    `retry_after_s` goes with `throttled`. `serial` is known once the password was right, and only then.
    """

    reason: str
    retry_after_s: int | None = None
    serial: str | None = None
