"""Export templates: forms of card files that are kept by name, and what a form makes of a batch's first cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.cards.names import actor_names
from engine.db import Database, reruns
from engine.errors import InvalidInput, NotFound
from engine.names import checked_name, sought
from engine.people import audit
from engine.permissions import command
from engine.schema import Batch, ExportTemplate
from engine.stock import forms, writing
from engine.stock.forms import Form
from engine.stock.rows import Block, Rows

MOST = 200
"""Templates of an installation."""
FIRST_LINES = 5
_MASK = "•"
_KEPT_DIGITS = 4
_EXACT = 15
"""Digits that a spreadsheet keeps of a number; from the twelfth on it shows them with an exponent."""
_SHOWN_WHOLE = 11


@dataclass(frozen=True, slots=True)
class Template:
    """A form that is kept by name."""

    id: int
    name: str
    form: Form
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """A file's first lines: serials as they are, numbers but for their end and passwords masked.

    `lines` for a text format, `cells` for a sheet. `warnings`: what a spreadsheet would make of it
    (`leading_zeros`, `long_digits`, `exponent`, `not_ascii`), and what the file lacks (`no_password`, `no_number`).
    """

    heading: tuple[str, ...] | None
    lines: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]


@command("export_template.add")
@reruns
def add(
    db: Database, name: str, form: Form, actor: Actor, now: datetime, *, key: str | None = None
) -> Template:
    """Keep a form by a name. The same `key` counts once. Raises `InvalidInput` (name_taken, too_many_templates, as
    `checked_name` and `forms.checked`)."""
    name, form = checked_name(name), forms.checked(form)
    asked = idempotency.fingerprint(name, forms.as_settings(form))
    scope, key = f"export_template.add:{actor}", key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, asked, now)
        if first is not None:
            return _template(session, _row(session, first["id"]))
        if _id_of(session, name) is not None:
            raise InvalidInput("name_taken", field="name")
        if len(session.scalars(select(ExportTemplate.id).limit(MOST)).all()) >= MOST:
            raise InvalidInput("too_many_templates", field="name", high=MOST)
        row = ExportTemplate(
            name=name, settings=forms.as_settings(form), created_by=str(actor), created_at=now
        )
        session.add(row)
        _flushed(session)
        audit.record(
            session, actor, "export_template.add", f"export_template:{row.id}", now, name=name, **_told(form)
        )
        idempotency.keep(session, scope, key, {"id": row.id})
        return _template(session, row)


@command("export_template.change")
@reruns
def change(db: Database, template_id: int, actor: Actor, now: datetime, *, name: str, form: Form) -> Template:
    """Give a template another name or form. What was handed out by it stays as it was. Raises `NotFound`
    ("template_not_found") and as `add`."""
    name, form = checked_name(name), forms.checked(form)
    with db.begin() as session:
        row = _row(session, template_id, lock=True)
        if _id_of(session, name) not in (None, row.id):
            raise InvalidInput("name_taken", field="name")
        before = {"name": row.name, **row.settings}
        row.name, row.settings = name, forms.as_settings(form)
        _flushed(session)
        after = {"name": name, **row.settings}
        if after != before:
            changed = {field for field in after if after[field] != before.get(field)}
            audit.record(
                session,
                actor,
                "export_template.change",
                f"export_template:{row.id}",
                now,
                name=name,
                before={field: before.get(field) for field in sorted(changed)},
                after={field: after[field] for field in sorted(changed)},
            )
        return _template(session, row)


@command("export_template.remove")
@reruns
def remove(db: Database, template_id: int, actor: Actor, now: datetime) -> str:
    """Forget a template; returns its name. Raises `NotFound` ("template_not_found")."""
    with db.begin() as session:
        row = _row(session, template_id, lock=True)
        audit.record(
            session, actor, "export_template.remove", f"export_template:{row.id}", now, name=row.name
        )
        session.delete(row)
        return row.name


def templates(db: Database) -> tuple[Template, ...]:
    """All of them, by name."""
    with db.begin() as session:
        rows = session.scalars(select(ExportTemplate).order_by(ExportTemplate.name)).all()
        names = actor_names(session, (row.created_by for row in rows))
    return tuple(_shown(row, names) for row in rows)


def template(db: Database, template_id: int) -> Template:
    """One of them. Raises `NotFound` ("template_not_found")."""
    with db.begin() as session:
        return _template(session, _row(session, template_id))


def template_named(db: Database, name: str) -> Template:
    """The one of that name. Raises `NotFound` ("template_not_found")."""
    with db.begin() as session:
        found = _id_of(session, sought(name))
        if found is None:
            raise NotFound("template_not_found", name=name[:100])
        return _template(session, _row(session, found))


def preview(db: Database, batch_id: int | None, form: Form) -> Preview:
    """What a form makes of the first cards of a ready batch (the newest where none is named), secrets masked.

    Without such a batch it is made of nothing but the warnings that hold for any. Raises `InvalidInput`
    (column_too_narrow, encoding_unfit, and as `forms.checked`).
    """
    form = forms.checked(form)
    with db.begin() as session:
        query = select(Batch).where(Batch.ready_at.is_not(None)).order_by(Batch.id.desc()).limit(1)
        batch = session.scalars(
            query if batch_id is None else query.where(Batch.id == batch_id)
        ).one_or_none()
    if batch is None:
        return Preview(form.columns if form.header else None, (), (), _warnings(form, None))
    writing.check_encoding(form, batch.name)
    rows = Rows(db, batch, None, most=FIRST_LINES)
    blocks = [_masked(block, batch.password_length) for block in rows.blocks(guard=form.format != "xlsx")]
    told = _warnings(form, batch)
    if form.format == "xlsx":
        cells = tuple(row for block in blocks for row in writing.cells(form, block))
        return Preview(form.columns if form.header else None, (), cells, told)
    lines = [line.rstrip("\r\n") for block in blocks for line in writing.lines(form, block)]
    head = [writing.heading_line(form).rstrip("\r\n")] if form.header else []
    return Preview(None, (*head, *lines), (), told)


def _masked(block: Block, password_length: int) -> Block:
    """The same cards as anybody may see them; what is masked is as long as it was."""
    numbers = [_MASK * (len(number) - _KEPT_DIGITS) + number[-_KEPT_DIGITS:] for number in block.numbers]
    passwords = [_MASK * password_length] * len(block.passwords)
    return Block(block.serials, numbers, passwords, block.kinds, block.rest)


def _warnings(form: Form, batch: Batch | None) -> tuple[str, ...]:
    told = [f"no_{column}" for column in ("number", "password") if column not in form.columns]
    if form.format == "xlsx":
        return tuple(told)
    if batch is not None and form.format in ("csv", "tsv"):
        number = "number" in form.columns and not form.grouping
        if form.has_secrets or (number and batch.number_prefix[:1] in ("", "0")):
            told.append("leading_zeros")
        if number and batch.number_length > _EXACT:
            told.append("long_digits")
        elif number and batch.number_length > _SHOWN_WHOLE:
            told.append("exponent")
    named = batch is not None and "batch" in form.columns
    if batch is not None and named and form.encoding == "utf-8" and not batch.name.isascii():
        told.append("not_ascii")
    return tuple(told)


def _told(form: Form) -> dict[str, Any]:
    return {"format": form.format, "columns": list(form.columns)}


def _flushed(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "uq_export_template_name" in str(error.orig):
            raise InvalidInput("name_taken", field="name") from None
        raise


def _id_of(session: Session, name: str) -> int | None:
    return session.scalar(select(ExportTemplate.id).where(ExportTemplate.name == name))


def _row(session: Session, template_id: int, *, lock: bool = False) -> ExportTemplate:
    row = session.get(ExportTemplate, template_id, with_for_update=lock or None)
    if row is None:
        raise NotFound("template_not_found", name=str(template_id))
    return row


def _template(session: Session, row: ExportTemplate) -> Template:
    return _shown(row, actor_names(session, (row.created_by,)))


def _shown(row: ExportTemplate, names: dict[str, str]) -> Template:
    return Template(
        row.id, row.name, forms.from_settings(row.settings), names[row.created_by], row.created_at
    )
