"""What each setting is called and means, in English; the console and the command line share it."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """A setting's name, what its number counts, and what it means."""

    label: str
    unit: str
    meaning: str


GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("General", ("zone", "home_country", "prices_deck")),
    (
        "Calls",
        (
            "call_cap_s",
            "slice_s",
            "low_balance_s",
            "tolerance_ms",
            "overrun_tolerance_s",
            "clock_tolerance_s",
            "token_idle_s",
        ),
    ),
    ("Calls whose end never comes", ("sweep_slice_s", "sweep_one_shot_s", "late_end_s")),
    (
        "Wrong passwords",
        (
            "free_failures",
            "first_delay_s",
            "max_delay_s",
            "lock_failures",
            "caller_failures",
            "caller_window_s",
            "address_failures",
            "address_window_s",
            "guessing_per_minute",
            "storm_locks",
            "storm_window_s",
        ),
    ),
    (
        "Secrets and second persons",
        ("shred_days", "consent_exports", "consent_recharge_over", "consent_hours", "totp_required"),
    ),
    ("What cardholders pay online", ("online_least", "online_most")),
    ("After expiry, and what is kept", ("breakage", "attempts_days", "work_days")),
)
"""The settings in the order they are shown, a heading over those that belong together."""

WORDS: dict[str, Words] = {
    "zone": Words(
        "Time zone",
        "",
        "Your time zone: validity ends at the end of a day here, and days are reported in it.",
    ),
    "home_country": Words(
        "Home country", "", "Country (two letters) for numbers that no access number places; empty for none."
    ),
    "prices_deck": Words(
        "Prices for everybody",
        "",
        "The rate deck whose prices anybody may look up; empty for that of the newest batch of calling cards.",
    ),
    "call_cap_s": Words("Longest call", "seconds", "The longest a call may last."),
    "slice_s": Words(
        "Slice of a call", "seconds", "How much a switch that asks again during a call is granted at a time."
    ),
    "low_balance_s": Words(
        "Low-balance warning", "seconds", "The low-balance warning plays when this little is left."
    ),
    "tolerance_ms": Words(
        "Free fraction of a second",
        "milliseconds",
        "How far past a whole second a call may last without paying for the next.",
    ),
    "overrun_tolerance_s": Words(
        "Free overrun",
        "seconds",
        "How far past its grant a call may be cut and still be charged as the grant.",
    ),
    "clock_tolerance_s": Words(
        "Trust in reported durations",
        "seconds",
        "How much longer than the time since it began a call may be reported; more is not believed.",
    ),
    "sweep_slice_s": Words(
        "Lost calls, granted in slices",
        "seconds",
        "A call whose end never comes is ended this long after its last slice ran out.",
    ),
    "sweep_one_shot_s": Words(
        "Lost calls, granted in one piece",
        "seconds",
        "The same for a call that was granted in one piece, after its grant ran out.",
    ),
    "late_end_s": Words(
        "Late ends", "seconds", "An end that comes up to this late still corrects a call ended so."
    ),
    "token_idle_s": Words(
        "Card stays recognised",
        "seconds",
        "How long a card stays recognised between two requests of a switch.",
    ),
    "free_failures": Words(
        "Free wrong passwords", "wrong passwords", "This many for one card number cost nothing."
    ),
    "first_delay_s": Words("First wait", "seconds", "What the next one costs; the wait doubles with each."),
    "max_delay_s": Words("Longest wait", "seconds", "The longest wait."),
    "lock_failures": Words(
        "Lock after", "wrong passwords", "This many since the last right one lock the card."
    ),
    "caller_failures": Words(
        "Limit for a caller",
        "wrong passwords",
        "After this many in a while a caller has to wait, unless it was right on that card before.",
    ),
    "caller_window_s": Words("Limit for a caller, within", "seconds", "How long that while is."),
    "address_failures": Words(
        "Limit for a web address",
        "wrong passwords",
        "The same for an address from which cardholders log in with a browser.",
    ),
    "address_window_s": Words("Limit for a web address, within", "seconds", "How long that while is."),
    "guessing_per_minute": Words(
        "Guessing alarm",
        "wrong passwords",
        "More a minute, over all cards, raise an alarm and halve what callers and addresses may.",
    ),
    "storm_locks": Words(
        "Stop of locking",
        "locks",
        "After this many by wrong passwords in a while no more cards are locked so, and an alarm is raised.",
    ),
    "storm_window_s": Words("Stop of locking, within", "seconds", "How long that while is."),
    "shred_days": Words(
        "Shred passwords after",
        "days",
        "Sealed passwords of a batch are destroyed this long after it was made; 0 for by hand only.",
    ),
    "attempts_days": Words("Keep failed tries", "days", "How long failed tries are kept."),
    "work_days": Words(
        "Keep finished work", "days", "How long background work that is over, and runs of jobs, are kept."
    ),
    "online_least": Words(
        "Least online payment",
        "whole units of currency",
        "The least that a cardholder can pay online at once, in the currency of the card.",
    ),
    "online_most": Words(
        "Largest online payment",
        "whole units of currency",
        "The most that a cardholder can pay online at once, in the currency of the card.",
    ),
    "breakage": Words(
        "Write off after grace", "", "Write off what is left on a card when its grace has ended."
    ),
    "consent_exports": Words(
        "Second person for passwords",
        "",
        "Whether exports and prints with passwords need a second person's consent (on or off).",
    ),
    "consent_recharge_over": Words(
        "Second person for amounts over",
        "units of currency",
        "Bringing in more than this at once needs a second person's consent; 0 for none.",
    ),
    "consent_hours": Words(
        "A consent lasts", "hours", "How long a consent that was asked for can be given and used."
    ),
    "totp_required": Words(
        "Second factor required", "", "Whether people must have a second factor to log in (on or off)."
    ),
}
