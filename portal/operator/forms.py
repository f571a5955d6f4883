"""The console's forms."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length


class LogInForm(FlaskForm):
    """A log-in and its password; `next` is the page that was wanted."""

    login = StringField("Log-in name", [InputRequired("Fill in your log-in name."), Length(max=200)])
    password = PasswordField("Password", [InputRequired("Fill in your password."), Length(max=1000)])
    next = HiddenField()


class FindForm(FlaskForm):
    """Digits that lead to a card."""

    wanted = StringField(
        "Serial or card number",
        [
            InputRequired("Type the serial or the number of a card."),
            Length(max=64, message="That is too long for a serial or a number."),
        ],
    )
