"""The console's forms."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length


def printable(text: str | None) -> str | None:
    """What was typed, without characters that have no shape: none of them belongs into one line of text."""
    return None if text is None else "".join(character for character in text if character.isprintable())


class LogInForm(FlaskForm):
    """A log-in and its password; `next` is the page that was wanted."""

    login = StringField(
        "Log-in name", [InputRequired("Fill in your log-in name."), Length(max=200)], [printable]
    )
    password = PasswordField("Password", [InputRequired("Fill in your password."), Length(max=1000)])
    next = HiddenField(filters=[printable])


class CodeForm(FlaskForm):
    """A one-time code or a recovery code; `next` is the page that was wanted."""

    code = StringField(
        "Code",
        [
            InputRequired("Type the code that the app shows."),
            Length(max=64, message="That is too long for a code."),
        ],
        [printable],
    )
    next = HiddenField(filters=[printable])
