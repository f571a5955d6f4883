"""The refusals and failures the engine can raise, each with a code and data, never a sentence.

The sentence belongs to whoever speaks (console, command line, switch API, a caller's language), so that one rule
can be said in many voices. `MESSAGES` in `engine.messages` is the English catalogue that the console and the
command line share.
"""

from __future__ import annotations

from typing import Any


class EngineError(Exception):
    """A broken rule: the command that raised it has undone everything it did.

    `code` is a stable word for programs; `data` holds what a sentence about it needs (never a secret, never a
    card number).
    """

    def __init__(self, code: str, **data: Any) -> None:
        super().__init__(code)
        self.code = code
        self.data = data

    def __str__(self) -> str:
        return f"{self.code} {self.data}" if self.data else self.code


class InvalidInput(EngineError):
    """A value that cannot be accepted; `data["field"]` names it where one field is to blame."""


class NotFound(EngineError):
    """What was named does not exist, or not for this actor."""


class Conflict(EngineError):
    """The same key or reference was used before with other facts, or the state moved on."""


class Refused(EngineError):
    """A business rule says no; `code` is one of `REASONS`."""


class Unauthorized(EngineError):
    """A key, session or token is unknown, revoked or over."""


class Forbidden(EngineError):
    """Whoever asks may not do this (`engine.permissions`)."""


class ConsentNeeded(EngineError):
    """A second person has to agree first; `data` holds the action, subject and facts to ask for
    (`engine.people.consents`)."""


class EngineUnavailable(EngineError):
    """The database cannot be reached or cannot write now; nothing was acknowledged. Ask again later."""


REASONS = (
    "bad_credentials",
    "throttled",
    "locked",
    "expired",
    "damaged",
    "empty",
    "not_activated",
    "caller_not_bound",
    "caller_required",
    "too_many_calls",
    "destination_invalid",
    "destination_unknown",
    "destination_barred",
    "insufficient_balance",
    "voucher_used",
    "voucher_not_allowed",
    "currency_mismatch",
)
"""Every reason for which a door (HTTP, AGI, RADIUS, web) may refuse; one list for all of them."""
