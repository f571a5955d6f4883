"""The fields and forms that every cardholder meets: numbers as people type and paste them."""

from __future__ import annotations

import unicodedata
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_wtf import FlaskForm
from wtforms import HiddenField
from wtforms.validators import StopValidation
from wtforms.widgets import PasswordInput, TextInput

from portal.forms import MISSING, TextField, printable

_BETWEEN = str.maketrans("", "", " \u00a0\u202f\u2009-.()/_")
MOST_DIGITS = 32


def keyed(text: str) -> str:
    """What somebody typed as the keypad would have it: digits of any script as ASCII, without what stands between."""
    digits = (
        str(unicodedata.digit(one)) if unicodedata.category(one) == "Nd" else one for one in text.strip()
    )
    return "".join(digits).translate(_BETWEEN)


class KeypadField(TextField):
    """Digits as on a keypad: `data` are ASCII digits alone, however they were typed, grouped or pasted."""

    widget = TextInput()

    def __init__(self, label: Any, **more: Any) -> None:
        keypad = {
            "inputmode": "numeric",
            "autocomplete": "off",
            "autocapitalize": "none",
            "spellcheck": "false",
        }
        super().__init__(label, render_kw={**keypad, "dir": "ltr", **more.pop("render_kw", {})}, **more)
        self.flags.maxlength = 64

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = keyed(printable(valuelist[0]) or "") if valuelist else ""
        self.data = self.data or None

    def pre_validate(self, form: Any) -> None:
        if self.data is None:
            raise StopValidation(str(MISSING) if self.required else "")
        if not (self.data.isascii() and self.data.isdecimal()):
            raise StopValidation(_("Type digits only."))
        if len(self.data) > MOST_DIGITS:
            raise StopValidation(_("That is too long."))


class NumberField(KeypadField):
    """A card's or voucher's number. Shown again in groups of four."""

    def __init__(self, label: Any, **more: Any) -> None:
        super().__init__(label, render_kw={"data-digits": "", **more.pop("render_kw", {})}, **more)


class KeypadPasswordField(KeypadField):
    """A card's or voucher's password: never shown again."""

    widget = PasswordInput()


class LogInForm(FlaskForm):
    """A card's number and password."""

    number = NumberField(
        lazy_gettext("Card number"), render_kw={"autocomplete": "username", "data-from-link": ""}
    )
    password = KeypadPasswordField(lazy_gettext("Password"), render_kw={"autocomplete": "current-password"})
    next = HiddenField(filters=[printable])
