"""The forms of people: log-ins, passwords, codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from zoneinfo import available_timezones

from wtforms import HiddenField, PasswordField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import StopValidation

from engine.refusal import Refusal
from portal.forms import MISSING, ChoiceField, CommandForm, ReasonField, TextField, printable

T = TypeVar("T")
WRONG_PASSWORD = "That is not your password."
WRONG_CODE = "That code is not right, or was used before. Wait for the next one."
_MOST = 1_000


class SecretField(PasswordField):
    """A password: taken as it was typed, and never shown again."""

    def __init__(self, label: str, *, autocomplete: str = "current-password", **more: object) -> None:
        super().__init__(label, render_kw={"autocomplete": autocomplete, "maxlength": _MOST}, **more)
        self.flags.required = True

    def pre_validate(self, form: object) -> None:
        if not self.data:
            raise StopValidation(MISSING)
        if len(self.data) > _MOST:
            raise StopValidation("That is too long.")


class CodeField(TextField):
    """A code of an authenticator app, or a recovery code."""

    def __init__(self, label: str = "Code", **more: object) -> None:
        kept = {"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"}
        super().__init__(label, most=64, render_kw=kept, **more)


class PersonForm(CommandForm):
    """What somebody is called, and what they may do."""

    name = TextField("Name", most=100)
    role = ChoiceField("Role")


class NewPersonForm(PersonForm):
    """Somebody new."""

    login = TextField(
        "Log-in name",
        most=63,
        description="Small letters and digits, such as a.rahman. It can't be changed later.",
        render_kw={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"},
    )
    first = ("login",)


class WhyForm(CommandForm):
    """A reason, for the audit trail."""

    reason = ReasonField(required=False)


class PasswordForm(CommandForm):
    """A new password for oneself, proven by the old one."""

    old = SecretField("Your password now")
    password = SecretField("New password", autocomplete="new-password", description="At least 12 characters.")
    again = SecretField("New password, once more", autocomplete="new-password")

    def validate_again(self, field: SecretField) -> None:
        if field.data != self.password.data:
            raise StopValidation("These two are not the same.")


class ProveForm(CommandForm):
    """One's password, once more."""

    password = SecretField("Your password")


class EnrolForm(CommandForm):
    """The first code of an authenticator app; `ticket` proves the password that was typed before."""

    ticket = HiddenField(filters=[printable])
    code = CodeField("The code that the app shows")


class CodesForm(CommandForm):
    """A code, for new recovery codes."""

    code = CodeField(description="Of your authenticator app, or one of the old recovery codes.")


class RemoveForm(CommandForm):
    """Password and code, to give one's second factor up."""

    password = SecretField("Your password")
    code = CodeField(description="Of your authenticator app, or a recovery code.")


class ZoneForm(CommandForm):
    """A time zone."""

    zone = ChoiceField("Time zone", description="Open the list and type the name of a city to find it.")


def zone_choices(operators: str) -> list[SelectChoice]:
    """All time zones by continent, the operator's own first."""
    cities = [SelectChoice("", f"As the operator: {operators}")]
    for zone in sorted(available_timezones()):
        area, slash, city = zone.partition("/")
        if slash and area not in ("Etc", "SystemV", "US", "posix", "right"):
            cities.append(SelectChoice(zone, city.replace("_", " "), optgroup=area))
    cities += [SelectChoice("UTC", "UTC", optgroup="Everywhere")]
    return cities


def proven(field: SecretField | CodeField, told: str, do: Callable[[], T | Refusal]) -> T | Refusal | None:
    """What `do` answers; a wrong password or code is told at its field, having to wait over the form."""
    answer = do()
    if isinstance(answer, Refusal) and answer.retry_after_s is None:
        field.errors = [told]
        return None
    return answer
