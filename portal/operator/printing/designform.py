"""A design as a form: every choice of `engine.stock.printing.design.Design` as a field, and the way back."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from wtforms import ValidationError
from wtforms.fields.choices import SelectChoice

from engine.calls.access_numbers import list_access_numbers
from engine.errors import InvalidInput
from engine.people.logos import read_logo
from engine.stock.printing.design import FIELDS, MOST_ACCESS_NUMBERS, ON_LABELS, Design
from engine.stock.printing.designs import LOGO_BOX, MOST_LOGO, DesignView
from engine.stock.printing.layouts import LABELS, LAYOUTS, MOST_PAPER, Measures
from engine.stock.printing.words import LANGUAGES
from portal.brand import PLAIN_COLOUR
from portal.forms import ChoiceField, ColourField, CommandForm, ManyField, SwitchField, TextField, UploadField
from portal.installation import db
from portal.operator.printing.fields import LengthField, LinesField
from portal.operator.printing.words import FIELD_WORDS, papers

_LANGUAGES = [(code, words.name) for code, words in LANGUAGES.items()]
_MOST_MM = int(MOST_PAPER)
MEASURES = ("left", "top", "width", "height", "gap_x", "gap_y")
AT = {"languages": "language", "measures": "left", "logo": "logo_file"}
"""Fields of the form that the engine calls otherwise."""


class DesignForm(CommandForm):
    """All that can be chosen of a design."""

    name = TextField("Name of the design", most=100)
    layout = ChoiceField(
        "Paper",
        choices=[
            SelectChoice(one.code, one.name, optgroup=group) for group, layouts in papers() for one in layouts
        ],
        default="a4-10",
    )
    sides = ChoiceField(
        "Sides",
        choices=[("1", "One side"), ("2", "Front and back")],
        default="1",
        description="With a back, the number and the password stand there.",
    )
    language = ChoiceField("Language", choices=_LANGUAGES, default="en")
    second = ChoiceField("Second language", choices=[("", "None"), *_LANGUAGES])
    own_colour = SwitchField(
        "A colour of its own", description="Otherwise cards wear the colour of their brand."
    )
    colour = ColourField("Colour", required=False, most=7, default=PLAIN_COLOUR)
    logo = SwitchField("Print a logo", default=True)
    logo_file = UploadField(
        "Logo of this design",
        required=False,
        description="Otherwise the brand's. PNG, JPEG or WebP, up to 2 MB; large ones print sharper.",
        render_kw={"accept": "image/png,image/jpeg,image/webp"},
    )
    remove_logo = SwitchField("Remove the logo that this design has")
    title = TextField("Title", required=False, most=60, description="Empty: the name of the brand.")
    tagline = TextField("Line below the title", required=False, most=60)
    fields = ManyField(
        "What is printed",
        choices=[(name, FIELD_WORDS[name]) for name in FIELDS],
        description="The card number and the password always are.",
    )
    instructions = LinesField(
        "Steps in the first language", description="A line each. Empty: the usual steps."
    )
    instructions_second = LinesField("Steps in the second language")
    terms = LinesField("Terms in the first language", description="Printed small. Empty: none.")
    terms_second = LinesField("Terms in the second language")
    access_numbers = ManyField(
        "Access numbers",
        choices=[],
        description=f"None ticked: the first {MOST_ACCESS_NUMBERS} that are in use.",
    )
    left = LengthField("From the left edge to the first card", most=_MOST_MM, required=False)
    top = LengthField("From the top edge to the first card", most=_MOST_MM, required=False)
    width = LengthField("Width of a card", most=_MOST_MM, required=False)
    height = LengthField("Height of a card", most=_MOST_MM, required=False)
    gap_x = LengthField("Between two cards, across", most=_MOST_MM, required=False)
    gap_y = LengthField("Between two cards, down", most=_MOST_MM, required=False)
    for_resellers = SwitchField(
        "Resellers may print with it",
        default=True,
        description="It then wears their own name, colour and logo, wherever it leaves them open.",
    )

    def validate_second(self, field: ChoiceField) -> None:
        """A second language is another one."""
        if field.data and field.data == self.language.data:
            raise ValidationError("Choose another second language, or none.")

    def design(self) -> Design:
        """The design that it describes. Raises `InvalidInput` (empty) where some measures are given and others not."""
        languages = tuple(code for code in (self.language.data, self.second.data) if code)
        return Design(
            layout=self.layout.data or "",
            sides=2 if self.sides.data == "2" else 1,
            languages=languages,
            colour=self.colour.data if self.own_colour.data else None,
            logo=bool(self.logo.data),
            title=self.title.data,
            tagline=self.tagline.data,
            instructions=_by_language(languages, self.instructions.data, self.instructions_second.data),
            terms=_by_language(languages, self.terms.data, self.terms_second.data),
            fields=tuple(name for name in FIELDS if name in (self.fields.data or ())),
            access_numbers=tuple(self.access_numbers.data or ()),
            measures=self._measures(),
        )

    def _measures(self) -> Measures | None:
        given = [self[name].data for name in MEASURES]
        if all(length is None for length in given):
            return None
        for name, length in zip(MEASURES, given, strict=True):
            if length is None:
                raise InvalidInput("empty", field=name)
        return Measures(*(length / 1000 for length in given))

    @property
    def picture(self) -> bytes | None:
        """The logo that was sent, as it would be kept. Raises `InvalidInput` where it is none."""
        return (
            read_logo(self.logo_file.content, box=LOGO_BOX, most=MOST_LOGO) if self.logo_file.data else None
        )

    @property
    def measures_given(self) -> bool:
        """Whether the sheet is cut otherwise than its paper."""
        return any(self[name].data is not None or self[name].errors for name in MEASURES)

    @property
    def texts_given(self) -> bool:
        """Whether it has steps or terms of its own."""
        texts = (self.instructions, self.instructions_second, self.terms, self.terms_second)
        return any(field.data for field in texts)

    @property
    def usual(self) -> dict[str, str]:
        """The measures that the chosen paper has by itself, by field; none where it can't be cut otherwise."""
        layout = LAYOUTS.get(self.layout.data or "")
        lengths = astuple(layout.measures) if layout and layout.up > 1 else ()
        return {name: f"{length:g}" for name, length in zip(MEASURES, lengths, strict=False)}

    @property
    def left_off(self) -> bool:
        """Whether something is chosen that has no room on a label; never where the paper is none."""
        layout = LAYOUTS.get(self.layout.data or "")
        looks = (self.title.data, self.tagline.data, self.own_colour.data, self.logo.data)
        chosen = set(self.fields.data or ()) - set(ON_LABELS)
        return layout is not None and layout.kind == LABELS and (any(looks) or bool(chosen))

    def usual_steps(self, language: str | None) -> str:
        """The steps that are printed where nothing else is typed."""
        return "\n".join(LANGUAGES[language].steps) if language in LANGUAGES else ""


def design_form(view: DesignView | None = None, design: Design | None = None) -> DesignForm:
    """The form of a kept design, or of a new one that begins as `design`; what was sent stands above both."""
    begun = view.design if view is not None else design or Design()
    form = DesignForm(data=_values(begun))
    if not form.is_submitted() and view is not None:
        form.name.data, form.for_resellers.data = view.name, view.for_resellers
    numbers = [one for one in list_access_numbers(db()) if one.disabled_at is None]
    known = [(one.number, f"{one.name}: {one.number}") for one in numbers]
    # One that was disabled since stays ticked until somebody unticks it.
    gone = [number for number in begun.access_numbers if number not in dict(known)]
    form.access_numbers.choices = [*known, *((number, f"{number} (disabled)") for number in gone)]
    if view is None or not view.has_logo:
        del form.remove_logo
    return form


def _by_language(languages: tuple[str, ...], *texts: str | None) -> dict[str, str]:
    return {language: text for language, text in zip(languages, texts, strict=False) if text and text.strip()}


def _values(design: Design) -> dict[str, Any]:
    first, second = (*design.languages, "", "")[:2]
    measures = () if design.measures is None else astuple(design.measures)
    return {
        "layout": design.layout,
        "sides": str(design.sides),
        "language": first,
        "second": second,
        "own_colour": design.colour is not None,
        "colour": design.colour or PLAIN_COLOUR,
        "logo": design.logo,
        "title": design.title,
        "tagline": design.tagline,
        "fields": list(design.fields),
        "instructions": design.instructions.get(first, ""),
        "instructions_second": design.instructions.get(second, ""),
        "terms": design.terms.get(first, ""),
        "terms_second": design.terms.get(second, ""),
        "access_numbers": list(design.access_numbers),
        **{name: round(length * 1000) for name, length in zip(MEASURES, measures, strict=False)},
    }
