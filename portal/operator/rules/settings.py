"""The rules of the house, each with its meaning beside it; and the currencies in use, which come with rate decks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from flask import abort, url_for
from flask.typing import ResponseReturnValue
from phonenumbers import SUPPORTED_REGIONS

from engine import settings
from engine.calls.decks import deck_list
from engine.people.policy import set_setting
from engine.reports.currencies import currencies
from engine.settings import DEFAULTS, RANGES
from engine.settings_en import GROUPS, WORDS
from portal.formats import count, duration
from portal.forms import ChoiceField, CommandForm, SwitchField, WholeField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond


@dataclass(frozen=True, slots=True)
class Rule:
    """A setting as the page shows it; `changed` where it is not as it was delivered."""

    key: str
    label: str
    meaning: str
    value: str
    default: str
    changed: bool


@console.get("/settings")
@needs("settings.see")
def rules() -> ResponseReturnValue:
    """Every setting, what it is now, and what it means."""
    with db().begin() as session:
        known = dataclasses.asdict(settings.load(session))
    groups = [(title, [_rule(key, known[key]) for key in keys]) for title, keys in GROUPS]
    return respond("operator/rules/settings.html", groups=groups, currencies=currencies(db()))


@console.route("/settings/change/<key>", methods=["GET", "POST"])
@needs("setting.set")
def change_setting(key: str) -> ResponseReturnValue:
    """Change one setting; it counts at once."""
    if key not in WORDS:
        abort(404)
    with db().begin() as session:
        known = dataclasses.asdict(settings.load(session))
    form = _form(key)(data={"value": known[key]})
    ask = Ask(WORDS[key].label, "Save", url_for("operator.rules"), intro=_intro(key))
    return act(
        form,
        lambda: set_setting(db(), key, _value(form, key), actor(), now()),
        ask,
        done=lambda after: f"{WORDS[key].label}: {_shown(key, dataclasses.asdict(after)[key])}.",
        fields={key: "value"},
    )


@console.route("/settings/reset/<key>", methods=["GET", "POST"])
@needs("setting.set")
def reset_setting(key: str) -> ResponseReturnValue:
    """Put one setting back to how it was delivered."""
    if key not in WORDS:
        abort(404)
    default = _shown(key, getattr(DEFAULTS, key))
    ask = Ask(f"{WORDS[key].label}: back to {default}", "Put it back", url_for("operator.rules"))
    form = CommandForm()
    return act(
        form,
        lambda: set_setting(db(), key, None, actor(), now()),
        ask,
        done=f"{WORDS[key].label} is back to {default}.",
    )


def _form(key: str) -> type[CommandForm]:
    """A form with one field, as the setting needs it."""
    words, wanted = WORDS[key], getattr(DEFAULTS, key)

    class SettingForm(CommandForm):
        if isinstance(wanted, bool):
            value = SwitchField(words.label)
        elif key == "zone":
            value = ChoiceField(words.label, choices=[(zone, zone) for zone in sorted(available_timezones())])
        elif key == "home_country":
            value = ChoiceField(
                words.label, choices=[("", "none"), *((code, code) for code in sorted(SUPPORTED_REGIONS))]
            )
        elif key == "prices_deck":
            names = [deck.name for deck in deck_list(db(), now())]
            value = ChoiceField(
                words.label, choices=[("", "that of the newest batch"), *((name, name) for name in names)]
            )
        else:
            low, high = RANGES[key]
            value = WholeField(
                words.unit.capitalize(), least=low, most=high, description=f"{low:,} to {high:,}."
            )

    return SettingForm


def _value(form: CommandForm, key: str) -> Any:
    data = form["value"].data
    return "" if data is None and isinstance(getattr(DEFAULTS, key), str) else data


def _intro(key: str) -> str:
    return f"{WORDS[key].meaning} As delivered: {_shown(key, getattr(DEFAULTS, key))}."


def _rule(key: str, value: Any) -> Rule:
    default = getattr(DEFAULTS, key)
    words = WORDS[key]
    return Rule(key, words.label, words.meaning, _shown(key, value), _shown(key, default), value != default)


def _shown(key: str, value: Any) -> str:
    """A setting as people say it."""
    unit = WORDS[key].unit
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value or "none"
    if unit == "seconds":
        return duration(value)
    return f"{count(value)} {unit.removesuffix('s') if value == 1 else unit}".strip()
