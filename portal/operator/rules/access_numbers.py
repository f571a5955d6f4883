"""Access numbers: what cardholders dial to reach us, with a country, a language and surcharges."""

from __future__ import annotations

from flask import abort, url_for
from flask.typing import ResponseReturnValue
from phonenumbers import SUPPORTED_REGIONS

from engine.calls import access_numbers
from engine.calls.access_numbers import AccessNumberView
from portal.forms import AmountField, ChoiceField, CommandForm, TextField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond

LANGUAGES = (
    ("", "as the card says"),
    ("ar", "Arabic"),
    ("bn", "Bengali"),
    ("zh", "Chinese"),
    ("en", "English"),
    ("fr", "French"),
    ("pt", "Portuguese"),
    ("ru", "Russian"),
    ("es", "Spanish"),
)
_NUMBER = "/settings/access-numbers/<number>"


class _ChangeForm(CommandForm):
    name = TextField("Name", description="Where it is or what it is for, such as London, local rate.")
    country = ChoiceField(
        "Country",
        choices=[("", "none"), *((code, code) for code in sorted(SUPPORTED_REGIONS))],
        description="Numbers dialled through it are understood as dialled there.",
    )
    language = ChoiceField("Language", choices=LANGUAGES)
    per_minute = AmountField("Surcharge per minute", default=0, description="Added to the price of the call.")
    per_call = AmountField("Surcharge per call", default=0, description="Added once to each charged call.")


class _AddForm(_ChangeForm):
    number = TextField("Number", most=40, description="As the switch presents it, digits with or without +.")
    first = ("number",)


@console.get("/settings/access-numbers")
@needs("settings.see")
def access_number_list() -> ResponseReturnValue:
    """Every access number, disabled ones too."""
    return respond(
        "operator/rules/access_numbers.html",
        numbers=access_numbers.list_access_numbers(db()),
        languages=dict(LANGUAGES),
    )


@console.route("/settings/access-numbers/new", methods=["GET", "POST"])
@needs("access_number.add")
def access_number_add() -> ResponseReturnValue:
    """List an access number."""
    form = _AddForm()
    return act(
        form,
        lambda: access_numbers.add_access_number(
            db(), form.number.data, form.name.data, actor(), now(), **_facts(form)
        ),
        Ask("Add an access number", "Add it", url_for("operator.access_number_list")),
        done=lambda added: f"+{added.number} is listed. It counts from the next call on.",
    )


@console.route(_NUMBER + "/change", methods=["GET", "POST"])
@needs("access_number.change")
def access_number_change(number: str) -> ResponseReturnValue:
    """Change an access number."""
    found = _found(number)
    form = _ChangeForm(obj=found)
    return act(
        form,
        lambda: access_numbers.change_access_number(
            db(), found.number, actor(), now(), name=form.name.data, **_facts(form)
        ),
        Ask(f"Change +{found.number}", "Save", url_for("operator.access_number_list")),
        done=f"+{found.number} is changed. It counts from the next call on.",
    )


@console.route(_NUMBER + "/disable", methods=["GET", "POST"])
@needs("access_number.disable")
def access_number_disable(number: str) -> ResponseReturnValue:
    """Treat a number as not listed."""
    found = _found(number)
    return act(
        CommandForm(),
        lambda: access_numbers.disable_access_number(db(), found.number, actor(), now()),
        Ask(
            f"Disable +{found.number}",
            "Disable it",
            url_for("operator.access_number_list"),
            intro="Calls through it still work, in the home country and without surcharge.",
        ),
        done=f"+{found.number} is disabled.",
        undo=(url_for("operator.access_number_enable", number=found.number), "Enable it again"),
    )


@console.route(_NUMBER + "/enable", methods=["GET", "POST"])
@needs("access_number.enable")
def access_number_enable(number: str) -> ResponseReturnValue:
    """List a number again."""
    found = _found(number)
    return act(
        CommandForm(),
        lambda: access_numbers.enable_access_number(db(), found.number, actor(), now()),
        Ask(f"Enable +{found.number}", "Enable it", url_for("operator.access_number_list")),
        done=f"+{found.number} is listed again.",
    )


def _facts(form: _ChangeForm) -> dict[str, str | int]:
    return {
        "country": form.country.data or "",
        "language": form.language.data or "",
        "per_minute": form.per_minute.data,
        "per_call": form.per_call.data,
    }


def _found(number: str) -> AccessNumberView:
    for listed in access_numbers.list_access_numbers(db()):
        if listed.number == number:
            return listed
    abort(404)
