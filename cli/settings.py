"""`cardtone settings`: the rules of the house that an operator may change while it runs."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import click

from cli.app import Context, with_context
from cli.people import acting, own_name
from engine import settings
from engine.errors import InvalidInput
from engine.people.policy import set_setting
from engine.settings import DEFAULTS, RANGES, Settings
from engine.settings_en import WORDS

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
        "unit": WORDS[key].unit,
        "meaning": WORDS[key].meaning,
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
