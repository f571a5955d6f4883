"""Calls in words: causes of their end, what can be looked for, what a list can show."""

from __future__ import annotations

from engine.calls.callfilter import ANY_FLAG, FLAGS
from portal.operator.words import CALL_FLAGS

CAUSES = {
    1: "Number not assigned",
    3: "No route",
    16: "Normal end",
    17: "Busy",
    18: "No user responding",
    19: "No answer",
    20: "Subscriber absent",
    21: "Rejected",
    22: "Number changed",
    27: "Out of order",
    28: "Number not complete",
    31: "Normal, unspecified",
    34: "No circuit free",
    38: "Network out of order",
    41: "Temporary failure",
    42: "Congestion",
    44: "Channel not available",
    50: "Not subscribed",
    55: "Calls barred",
    57: "Not authorized",
    58: "Not available now",
    63: "Service not available",
    65: "Not implemented",
    79: "Service not implemented",
    88: "Incompatible destination",
    102: "Timer ran out",
    127: "Interworking",
}
"""Causes of Q.850 that switches send, in words."""
PERIOD_WORDS = {
    "last-hour": "In the last hour",
    "last-24-hours": "In the last 24 hours",
    "last-7-days": "In the last 7 days",
    "last-30-days": "In the last 30 days",
}
FLAG_WORDS = {ANY_FLAG: "Anything unusual", **{flag: CALL_FLAGS[flag][0] for flag in FLAGS}}
LABELS = {
    "serial": "Card",
    "ended": "Ended",
    "destination": "Destination",
    "prefix": "Destination begins with",
    "name": "Destination name",
    "caller": "Caller",
    "duration": "Talked",
    "billed": "Billed",
    "charged": "Charged",
    "balance": "Balance after",
    "currency": "Currency",
    "cause": "Cause",
    "flag": "Flag",
    "flags": "Flags",
    "batch": "Batch",
    "reseller": "Reseller",
    "switch": "Switch",
    "call_ref": "Reference",
    "deck": "Deck",
}
"""Columns and filters in words."""


def cause_words(cause: int | None) -> str:
    """Why a call ended: `16, normal end`; a dash where its switch didn't say."""
    if cause is None:
        return "not told"
    known = CAUSES.get(cause)
    return f"{cause}, {known[0].lower()}{known[1:]}" if known else str(cause)
