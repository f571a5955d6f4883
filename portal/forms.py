"""Forms that lead to commands: fields that read what people type, and the way an engine's refusal gets to its field.

A field keeps what was typed when it is wrong, and says in one sentence what it wants. Digits are ASCII digits. What a
field cannot know, the engine refuses; `attempt` puts its sentence where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar, TypeVar

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_wtf import FlaskForm
from werkzeug.datastructures import FileStorage
from wtforms import (
    BooleanField,
    Field,
    FileField,
    HiddenField,
    SelectField,
    SelectMultipleField,
    StringField,
    ValidationError,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import StopValidation
from wtforms.widgets import (
    CheckboxInput,
    ColorInput,
    DateInput,
    DateTimeLocalInput,
    ListWidget,
    TextInput,
)

from engine.errors import ConsentNeeded, EngineError, Forbidden, InvalidInput, NotFound
from engine.idempotency import new_key
from engine.money import AmountError, format_amount, parse_amount
from engine.people import consents
from engine.refusal import Refusal
from portal.installation import db, now, zone
from portal.sessions import actor
from portal.speech import sentence

T = TypeVar("T")
MISSING = lazy_gettext("Fill this in.")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_YEARS = range(2000, 2101)


def printable(text: str | None) -> str | None:
    """What was typed, without characters that have no shape: none of them belongs into one line of text."""
    return None if text is None else "".join(character for character in text if character.isprintable())


def new_form_key() -> str:
    """A key of one shown form: sent twice, it counts once."""
    return f"form-{new_key()}"


class CommandForm(FlaskForm):
    """A form of one command. `key` stays the same while the form is shown again, so that it counts once.

    `refusal` is the sentence about the whole of it; `consent_id` the number of the consent that was asked for.
    """

    key = HiddenField(default=new_form_key, filters=[printable])
    refusal: str | None = None
    consent_id: int | None = None
    first: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that are shown before the others."""

    @property
    def refused(self) -> bool:
        """Whether it must be shown again."""
        return bool(self.refusal or self.errors)

    @property
    def shown(self) -> list[Field]:
        """Its fields that people fill in, in their order."""
        fields = [field for field in self if not isinstance(field, HiddenField)]
        return sorted(fields, key=lambda field: field.short_name not in self.first)


class _Typed(Field):
    """A field of one line whose value is not text. `read` answers the value or raises `ValueError` with a sentence."""

    widget = TextInput()

    def __init__(
        self, label: str, *, required: bool = True, validators: Iterable[Any] = (), **more: Any
    ) -> None:
        super().__init__(label, validators, **more)
        self.required = required
        if required:
            self.flags.required = True

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else self.write(self.data)

    def process_formdata(self, valuelist: list[Any]) -> None:
        text = (printable(str(valuelist[0])) or "").strip() if valuelist else ""
        self.data = None
        if text:
            self.data = self.read(text)
        elif self.required:
            raise ValueError(str(MISSING))

    def pre_validate(self, form: Any) -> None:
        if self.data is None and (self.errors or not self.required):
            raise StopValidation()

    def read(self, text: str) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> str:
        return str(value)


class AmountField(_Typed):
    """An amount of money: `data` in micro-units. `negative`: may be under zero; `positive`: must be over it."""

    def __init__(self, label: str, *, negative: bool = False, positive: bool = False, **more: Any) -> None:
        super().__init__(
            label,
            render_kw={"inputmode": "decimal", "autocomplete": "off", **more.pop("render_kw", {})},
            **more,
        )
        self.negative, self.positive = negative, positive

    def read(self, text: str) -> int:
        try:
            micros = parse_amount(text, allow_negative=self.negative)
        except AmountError as error:
            raise ValueError(sentence(error)) from None
        if self.positive and micros <= 0:
            raise ValueError(_("It must be more than zero."))
        return micros

    def write(self, value: int) -> str:
        return format_amount(value, 2)


class WholeField(_Typed):
    """A whole number, `least` … `most`."""

    def __init__(self, label: str, *, least: int = 0, most: int = 10**9, **more: Any) -> None:
        super().__init__(
            label,
            render_kw={"inputmode": "numeric", "autocomplete": "off", **more.pop("render_kw", {})},
            **more,
        )
        self.least, self.most = least, most

    def read(self, text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError(_("Type a whole number in plain digits, such as 90."))
        if not self.least <= int(text) <= self.most:
            least, most = f"{self.least:,}", f"{self.most:,}"
            raise ValueError(_("It must be between %(least)s and %(most)s.", least=least, most=most))
        return int(text)


class DayField(_Typed):
    """A day of the calendar."""

    widget = DateInput()

    def read(self, text: str) -> date:
        try:
            if not _DAY.fullmatch(text):
                raise ValueError
            day = date.fromisoformat(text)
        except ValueError:
            raise ValueError(
                _("There is no such day. Type it as year-month-day, such as 2026-05-31.")
            ) from None
        if day.year not in _YEARS:
            raise ValueError(
                _("Choose a day between %(first)s and %(last)s.", first=_YEARS[0], last=_YEARS[-1])
            )
        return day

    def write(self, value: date) -> str:
        return value.isoformat()


class InstantField(_Typed):
    """A day and a time of the reader's zone: `data` is an aware instant in UTC."""

    widget = DateTimeLocalInput()

    def read(self, text: str) -> datetime:
        try:
            local = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("Type a day and a time, such as 2026-05-31 14:30.") from None
        if local.tzinfo is not None or local.year not in _YEARS:
            raise ValueError(f"Choose a day between {_YEARS[0]} and {_YEARS[-1]}.")
        instant = local.replace(tzinfo=zone()).astimezone(UTC)
        if instant.astimezone(zone()).replace(tzinfo=None) != local:
            raise ValueError("The clocks go forward then: that time doesn't exist.")
        return instant

    def write(self, value: datetime) -> str:
        return f"{value.astimezone(zone()):%Y-%m-%dT%H:%M}"


class TextField(StringField):
    """A line of text, without what cannot be seen, and without spaces around it. Left empty it is None."""

    def __init__(self, label: str, *, required: bool = True, most: int = 200, **more: Any) -> None:
        super().__init__(label, **more)
        self.required, self.most = required, most
        if required:
            self.flags.required = True
        self.flags.maxlength = most

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = ((printable(valuelist[0]) or "").strip() if valuelist else "") or None

    def pre_validate(self, form: Any) -> None:
        if self.data is None:
            raise StopValidation(str(MISSING) if self.required else "")
        if len(self.data) > self.most:
            raise StopValidation(_("That is too long: at most %(most)s characters.", most=self.most))


class ColourField(TextField):
    """A colour, `#rrggbb`."""

    widget = ColorInput()


class ReasonField(TextField):
    """Why it is done: kept with it for good."""

    def __init__(self, label: str = "Reason", **more: Any) -> None:
        super().__init__(label, **more)


class _Listed:
    """Choices as pairs (value, label), which WTForms wants as objects."""

    def __init__(self, label: str, *, choices: Iterable[tuple[str, str]] = (), **more: Any) -> None:
        super().__init__(label, choices=_as_choices(choices), **more)  # type: ignore[call-arg]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _as_choices(value) if name == "choices" else value)


def _as_choices(pairs: Iterable[Any]) -> list[SelectChoice]:
    return [
        pair if isinstance(pair, SelectChoice) else SelectChoice(str(pair[0]), str(pair[1])) for pair in pairs
    ]


def _offered(choices: Iterable[Any]) -> list[SelectChoice]:
    """Choices from pairs (value, label); a `SelectChoice`, which may name a group, stays as it is."""
    return [
        one if isinstance(one, SelectChoice) else SelectChoice(str(one[0]), str(one[1])) for one in choices
    ]


def _value(text: Any) -> str | None:
    return str(text or "") or None


class ChoiceField(SelectField):
    """One of a list; `choices` are pairs (value, label). An empty value is None."""

    def __init__(self, label: str, *, choices: Iterable[Any] = (), **more: Any) -> None:
        super().__init__(label, coerce=_value, choices=_offered(choices), **more)

    @property
    def choices(self) -> Any:
        """What can be chosen; may be set where that is known only when the form is shown."""
        return super().choices

    @choices.setter
    def choices(self, choices: Iterable[Any]) -> None:
        SelectField.choices.fset(self, _offered(choices))

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = _value(valuelist[0]) if valuelist else None

    def pre_validate(self, form: Any) -> None:
        if not any(choice.selected for choice in self.iter_choices()):
            raise ValidationError(_("Choose one of the list."))


class ManyField(SelectMultipleField):
    """Any of a list, as checkboxes; `choices` are pairs (value, label)."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()

    def __init__(self, label: str, *, choices: Iterable[Any] = (), **more: Any) -> None:
        super().__init__(label, choices=_offered(choices), **more)

    @property
    def choices(self) -> Any:
        """What can be chosen; may be set where that is known only when the form is shown."""
        return super().choices

    @choices.setter
    def choices(self, choices: Iterable[Any]) -> None:
        SelectField.choices.fset(self, _offered(choices))

    def pre_validate(self, form: Any) -> None:
        if not set(self.data or ()) <= {choice.value for choice in self.iter_choices()}:
            raise ValidationError("Choose from the list.")


class SwitchField(BooleanField):
    """Yes or no, as a checkbox."""


class UploadField(FileField):
    """A file; `content` are its bytes, `filename` its name as it was sent."""

    content: bytes = b""
    filename: str = ""

    def __init__(self, label: str, *, required: bool = True, **more: Any) -> None:
        super().__init__(label, **more)
        self.required = required
        if required:
            self.flags.required = True

    def process_formdata(self, valuelist: list[Any]) -> None:
        files = [file for file in valuelist if isinstance(file, FileStorage) and file.filename]
        self.data = files[0] if files else None
        if files:
            self.content, self.filename = files[0].read(), printable(files[0].filename) or "file"

    def pre_validate(self, form: Any) -> None:
        if self.data is None and self.required:
            raise StopValidation("Choose a file.")
        if self.data is not None and not self.content:
            raise StopValidation("This file is empty.")


def attempt(form: CommandForm, act: Callable[[], T], fields: Mapping[str, str] | None = None) -> T | None:
    """Do what a valid form asks for; None where it is refused, with the sentence in the form.

    A bad value's sentence goes to the field that the error names (`fields` says which where the form calls it
    otherwise); any other refusal, a returned one too, becomes `form.refusal`. Where a second person has to agree first,
    they are asked. `NotFound` and `Forbidden` pass through: they are pages of their own.
    """
    try:
        answer = act()
    except (NotFound, Forbidden):
        raise
    except ConsentNeeded as error:
        _ask_consent(form, error)
        return None
    except EngineError as error:
        place(form, error, fields)
        return None
    if isinstance(answer, Refusal):
        form.refusal = sentence(answer)
        return None
    return answer


def place(form: CommandForm, error: EngineError, fields: Mapping[str, str] | None = None) -> None:
    """Put an error's sentence at the field to blame, else over the form."""
    named = error.data.get("field") if isinstance(error, InvalidInput) else None
    name = (fields or {}).get(named, named) if isinstance(named, str) else None
    if name in form._fields:
        field = form[name]
        field.errors = [*field.errors, sentence(error)]
    else:
        form.refusal = sentence(error)


def _ask_consent(form: CommandForm, needed: ConsentNeeded) -> None:
    if needed.code != "consent_needed":
        form.refusal = sentence(needed)
        return
    facts = needed.data
    reason = form["reason"].data if "reason" in form else None
    try:
        form.consent_id = consents.ask(
            db(),
            action=facts["action"],
            subject=facts["subject"],
            facts=facts["facts"],
            reason=reason or "Asked for from the page where it is done",
            actor=actor(),
            now=now(),
        )
    except Forbidden:
        form.refusal = (
            "A second person has to agree first, and your role can't ask for that. Ask somebody whose can."
        )
        return
    except InvalidInput as error:
        form.refusal = sentence(error)
        return
    form.refusal = (
        "A second person has to agree first. They have been asked; once they said yes, send this again."
    )
