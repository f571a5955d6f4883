"""Export templates: forms of card files kept by name, with a preview of what they make."""

from __future__ import annotations

from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from engine.stock import templates as stock
from engine.stock.forms import ENCODINGS, WIDEST, WIDTHS, Form
from engine.stock.rows import COLUMNS
from engine.stock.templates import Template
from portal.forms import ChoiceField, CommandForm, SwitchField, WholeField, attempt
from portal.installation import db, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.batches.exports import previewed
from portal.operator.batches.orderform import NameField
from portal.operator.batches.words import COLUMNS as COLUMN_WORDS
from portal.operator.batches.words import FORMATS
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond, wants_part

TEMPLATE = "/templates/<int(max=9223372036854775807):template_id>"
PLACES = range(1, len(COLUMNS) + 1)
ENCODING_WORDS = {
    "utf-8": "UTF-8",
    "utf-8-bom": "UTF-8 with a mark (BOM), for Excel",
    "latin-1": "Latin-1 (ISO 8859-1)",
    "utf-16": "UTF-16",
}
_NONE = [("", "Nothing"), *COLUMN_WORDS.items()]


class TemplateForm(CommandForm):
    """A form of files: its columns are the places that hold one, in their order."""

    name = NameField("Name", most=100)
    format = ChoiceField(
        "Format", choices=[(name, FORMATS[name]) for name in ("csv", "tsv", "fixed", "xlsx")]
    )
    delimiter = ChoiceField(
        "Between the values of CSV",
        choices=[(",", "Comma"), (";", "Semicolon"), ("|", "Vertical bar")],
        default=",",
    )
    line_end = ChoiceField(
        "Lines end with", choices=[("crlf", "CR LF (Windows)"), ("lf", "LF")], default="crlf"
    )
    encoding = ChoiceField(
        "Encoding", choices=[(name, ENCODING_WORDS[name]) for name in ENCODINGS], default="utf-8"
    )
    grouping = ChoiceField(
        "Card numbers",
        choices=[
            ("0", "In one run"),
            ("3", "In groups of 3"),
            ("4", "In groups of 4"),
            ("5", "In groups of 5"),
        ],
        default="0",
    )
    header = SwitchField("Column names in the first line", default=True)

    def asked(self) -> Form:
        """The form of files that the fields describe."""
        pairs = [(self[f"column_{place}"].data, self[f"width_{place}"].data) for place in PLACES]
        held = [(column, width) for column, width in pairs if column]
        grouping = self.grouping.data or "0"
        fixed = self.format.data == "fixed"
        return Form(
            format=self.format.data or "csv",
            columns=tuple(column for column, _ in held),
            delimiter=self.delimiter.data or ",",
            line_end=self.line_end.data or "crlf",
            encoding=self.encoding.data or "utf-8",
            # What isn't offered is no number either; the engine says what is wrong with it.
            grouping=int(grouping) if grouping in {one.value for one in self.grouping.iter_choices()} else -1,
            header=bool(self.header.data),
            widths=tuple(width or WIDTHS.get(column, 1) for column, width in held) if fixed else (),
        )


for _place in PLACES:
    setattr(TemplateForm, f"column_{_place}", ChoiceField(f"Column {_place}", choices=_NONE))
    setattr(
        TemplateForm,
        f"width_{_place}",
        WholeField(f"Width of column {_place}", least=1, most=WIDEST, required=False),
    )


@console.get("/templates")
@needs("batches.see")
def export_templates() -> ResponseReturnValue:
    """All templates, by name."""
    return respond(
        "operator/batches/templates.html",
        templates=stock.templates(db()),
        formats=FORMATS,
        columns=COLUMN_WORDS,
        encodings=ENCODING_WORDS,
    )


@console.get("/templates/new")
@needs("export_template.add")
def new_template() -> ResponseReturnValue:
    """The form, with all columns."""
    return _page(TemplateForm(data=_values("", Form())), None)


@console.post("/templates/new")
@needs("export_template.add")
def new_template_post() -> ResponseReturnValue:
    """Keep it, or only show the preview again."""
    form = TemplateForm()
    if _only_preview() or not form.validate():
        return _page(form, None)
    made = attempt(
        form, lambda: stock.add(db(), form.name.data or "", form.asked(), actor(), now(), key=form.key.data)
    )
    return _page(form, None) if made is None else _kept("The template is kept.")


@console.get(TEMPLATE)
@needs("export_template.change")
def export_template(template_id: int) -> ResponseReturnValue:
    """A template, to be changed."""
    found = stock.template(db(), template_id)
    return _page(TemplateForm(data=_values(found.name, found.form)), found)


@console.post(TEMPLATE)
@needs("export_template.change")
def export_template_post(template_id: int) -> ResponseReturnValue:
    """Change it, or only show the preview again."""
    form, found = TemplateForm(), stock.template(db(), template_id)
    if _only_preview() or not form.validate():
        return _page(form, found)
    name = form.name.data or ""
    changed = attempt(
        form, lambda: stock.change(db(), template_id, actor(), now(), name=name, form=form.asked())
    )
    return _page(form, found) if changed is None else _kept("The template is changed.")


@console.route(f"{TEMPLATE}/remove", methods=["GET", "POST"])
@needs("export_template.remove")
def remove_template(template_id: int) -> ResponseReturnValue:
    """Forget a template."""
    found = stock.template(db(), template_id)
    return act(
        CommandForm(),
        lambda: stock.remove(db(), template_id, actor(), now()),
        Ask(
            title="Remove this template",
            intro=Markup("Files that were made with <bdi>{}</bdi> stay as they are.").format(found.name),
            submit="Remove",
            tone="bad",
            back=url_for("operator.export_templates"),
        ),
        done="The template is removed.",
    )


def _only_preview() -> bool:
    return request.form.get("step") == "preview" or wants_part()


def _kept(sentence: str) -> ResponseReturnValue:
    said(sentence)
    return go_to(url_for("operator.export_templates"))


def _values(name: str, form: Form) -> dict[str, Any]:
    """A form of files as the values of the page's fields."""
    columns = {f"column_{place}": column for place, column in enumerate(form.columns, 1)}
    widths = {f"width_{place}": width for place, width in enumerate(form.widths, 1)}
    same = ("format", "delimiter", "line_end", "encoding", "header")
    values = {field: getattr(form, field) for field in same}
    return {"name": name, "grouping": str(form.grouping), **values, **columns, **widths}


def _page(form: TemplateForm, found: Template | None) -> ResponseReturnValue:
    return respond(
        "operator/batches/template.html",
        block="preview",
        status=422 if form.refused else 200,
        form=form,
        places=PLACES,
        found=found,
        **previewed(form.asked, None),
    )
