"""`cardtone settings`: the rules of the house that an operator may change while it runs."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, NamedTuple

import click

from cli.app import Context, with_context
from cli.people import acting, own_name
from engine import settings
from engine.errors import InvalidInput
from engine.people.policy import set_setting
from engine.settings import DEFAULTS, RANGES, Settings


class Words(NamedTuple):
    """What a setting's number counts, and what it means."""

    unit: str
    meaning: str


WORDS = {
    "zone": Words("", "Your time zone: validity ends at the end of a day here, and days are reported in it."),
    "home_country": Words(
        "", "Country (two letters) for numbers that no access number places; empty for none."
    ),
    "call_cap_s": Words("seconds", "The longest a call may last."),
    "slice_s": Words("seconds", "How much a switch that asks again during a call is granted at a time."),
    "low_balance_s": Words("seconds", "The low-balance warning plays when this little is left."),
    "tolerance_ms": Words(
        "milliseconds", "How far past a whole second a call may last without paying for the next."
    ),
    "overrun_tolerance_s": Words(
        "seconds", "How far past its grant a call may be cut and still be charged as the grant."
    ),
    "clock_tolerance_s": Words(
        "seconds",
        "How much longer than the time since it began a call may be reported; more is not believed.",
    ),
    "sweep_slice_s": Words(
        "seconds", "A call whose end never comes is ended this long after its last slice ran out."
    ),
    "sweep_one_shot_s": Words(
        "seconds", "The same for a call that was granted in one piece, after its grant ran out."
    ),
    "late_end_s": Words("seconds", "An end that comes up to this late still corrects a call ended so."),
    "token_idle_s": Words("seconds", "How long a card stays recognised between two requests of a switch."),
    "free_failures": Words("wrong passwords", "This many for one card number cost nothing."),
    "first_delay_s": Words("seconds", "What the next one costs; the wait doubles with each."),
    "max_delay_s": Words("seconds", "The longest wait."),
    "lock_failures": Words("wrong passwords", "This many since the last right one lock the card."),
    "caller_failures": Words(
        "wrong passwords",
        "After this many in a while a caller has to wait, unless it was right on that card before.",
    ),
    "caller_window_s": Words("seconds", "How long that while is."),
    "address_failures": Words(
        "wrong passwords", "The same for an address from which cardholders log in with a browser."
    ),
    "address_window_s": Words("seconds", "How long that while is."),
    "guessing_per_minute": Words(
        "wrong passwords",
        "More a minute, over all cards, raise an alarm and halve what callers and addresses may.",
    ),
    "storm_locks": Words(
        "locks",
        "After this many by wrong passwords in a while no more cards are locked so, and an alarm is raised.",
    ),
    "storm_window_s": Words("seconds", "How long that while is."),
    "shred_days": Words(
        "days", "Sealed passwords of a batch are destroyed this long after it was made; 0 for by hand only."
    ),
    "attempts_days": Words("days", "How long failed tries are kept."),
    "work_days": Words("days", "How long background work that is over, and runs of jobs, are kept."),
    "breakage": Words("", "Write off what is left on a card when its grace has ended."),
    "consent_exports": Words(
        "", "Whether exports with passwords need a second person's consent (on or off)."
    ),
    "consent_recharge_over": Words(
        "units of currency", "Bringing in more than this at once needs a second person's consent; 0 for none."
    ),
    "consent_hours": Words("hours", "How long a consent that was asked for can be given and used."),
    "totp_required": Words("", "Whether people must have a second factor to log in (on or off)."),
}

_SWITCH = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False}


@click.group("settings")
def command() -> None:
    """Show and change the rules of the house."""


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List every setting, its value and what it means."""
    with context.db.begin() as session:
        rules = settings.load(session)
    context.answer(
        {"settings": [_data(rules, key) for key in WORDS]}, "\n".join(_shown(rules, key) for key in WORDS)
    )


@command.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key")
@click.argument("value")
@own_name
@with_context
def set_it(context: Context, key: str, value: str, as_me: bool) -> None:
    """Change one setting; it counts at once, everywhere."""
    wanted = _parsed(key, value)
    rules = set_setting(context.db, key, wanted, acting(context, as_me), context.clock())
    context.answer(_data(rules, key), _shown(rules, key))


@command.command("reset")
@click.argument("key")
@own_name
@with_context
def reset(context: Context, key: str, as_me: bool) -> None:
    """Put one setting back to its default."""
    rules = set_setting(context.db, key, None, acting(context, as_me), context.clock())
    context.answer(_data(rules, key), _shown(rules, key))


def _parsed(key: str, text: str) -> Any:
    """The text as the type of the setting; what is not a number stays text, and is refused by the engine."""
    if isinstance(getattr(DEFAULTS, key, ""), bool):
        return _SWITCH.get(text.lower(), text)
    if isinstance(getattr(DEFAULTS, key, ""), int) and re.fullmatch(r"-?[0-9]{1,100}", text):
        return int(text)
    if isinstance(getattr(DEFAULTS, key, ""), int):
        raise InvalidInput("bad_setting", field=key, value=text)
    return text


def _data(rules: Settings, key: str) -> dict[str, Any]:
    low, high = RANGES.get(key, (None, None))
    return {
        "key": key,
        "value": getattr(rules, key),
        "default": getattr(DEFAULTS, key),
        "low": low,
        "high": high,
        **WORDS[key]._asdict(),
    }


def _shown(rules: Settings, key: str) -> str:
    value, default = dataclasses.asdict(rules)[key], dataclasses.asdict(DEFAULTS)[key]
    said = f"{key} = {_said(value, WORDS[key].unit)}"
    if value != default:
        said += f" (default {_said(default, WORDS[key].unit)})"
    if key in RANGES:
        said += ", {} to {}".format(*RANGES[key])
    return f"{said}\n    {WORDS[key].meaning}"


def _said(value: Any, unit: str) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value} {unit}".rstrip() or "none"
