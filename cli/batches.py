"""`cardtone batches`: order cards, hand them out, tell what happened to them, and shred what none may read again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cli import batchtexts as texts
from cli.app import Context, confirmed, with_context
from cli.batchoptions import number_options, order_of, rule_options
from cli.people import acting, own_name
from cli.ranges import asked_range, range_options, result_data, result_text
from engine.actor import CONSOLE
from engine.calls.decksheet import DELIMITERS, MAX_BYTES
from engine.errors import InvalidInput
from engine.stock import batches, custody
from engine.stock.batches import find_batch, order_batch
from engine.stock.export import FORMATS, export_batch
from engine.stock.forms import as_settings
from engine.stock.imports import import_cards
from engine.stock.queries import BatchLine, batch_list, batch_page
from engine.stock.shredding import shred
from engine.stock.templates import template_named, templates
from jobs.worker import run_until_done

_SEPARATORS = {name.replace(" ", "-"): sign for sign, name in DELIMITERS.items()}
_MARKS = {
    "printed": custody.mark_printed,
    "shipped": custody.mark_shipped,
    "sold": custody.mark_sold,
    "activated": custody.activate,
    "held back": custody.hold_back,
}


@click.group("batches")
def command() -> None:
    """Order, export and move batches of cards."""


@command.command("create")
@rule_options
@number_options
@click.option("--no-wait", is_flag=True, help="Only order; a jobs process makes the cards.")
@with_context
def create(context: Context, no_wait: bool, **given: Any) -> None:
    """Order a batch and make its cards."""
    order = order_of(given)
    ordered = order_batch(context.db, context.vault, order, CONSOLE, context.clock())
    for line in texts.warning_lines(ordered.warnings):
        click.echo(line, err=True)
    if not no_wait:
        _make(context, ordered.work_id, order.count)
    context.answer(
        texts.ordered_data(order, ordered, ready=not no_wait),
        texts.ordered_text(order, ordered, ready=not no_wait),
    )


@command.command("resume")
@click.argument("name")
@with_context
def resume(context: Context, name: str) -> None:
    """Go on with a batch that failed or was stopped."""
    work_id = batches.resume(context.db, name, CONSOLE, context.clock())
    with context.db.begin() as session:
        count = find_batch(session, name).count
    _make(context, work_id, count)
    context.answer({"name": name, "state": "ready"}, f"{name}: {count:,} cards ready.")


def _make(context: Context, work_id: int, count: int) -> None:
    """Wait until the cards are made, and make them here where no jobs process does; with a bar on a terminal."""
    hidden = context.as_json or not sys.stderr.isatty()
    with click.progressbar(length=count, label="Making cards", file=sys.stderr, hidden=hidden) as bar:
        done = run_until_done(
            context.db,
            context.vault,
            work_id,
            context.clock,
            lambda progress, total: bar.update(progress - bar.pos),
        )
    if done.state == "failed":
        raise click.ClickException(done.failure or "The cards could not be made.")
    if done.state != "done":
        raise click.ClickException("Somebody stopped it; the batch can be resumed or discarded.")


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List the batches, newest first."""
    found: list[BatchLine] = []
    before: int | None = None
    while True:
        page = batch_list(context.db, context.clock(), before=before)
        found.extend(page.batches)
        before = page.older
        if before is None:
            break
    context.answer(
        {"batches": [texts.line_data(batch) for batch in found]},
        texts.list_text(found) if found else "There is no batch yet.",
    )


@command.command("show")
@click.argument("name")
@with_context
def show(context: Context, name: str) -> None:
    """Show all of a batch."""
    with context.db.begin() as session:
        batch_id = find_batch(session, name).id
    page = batch_page(context.db, batch_id, context.clock())
    assert page is not None  # noqa: S101 (batches are never deleted)
    context.answer(texts.page_data(page), texts.page_text(page))


@command.command("export")
@click.argument("name")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--again", is_flag=True, help="Issue the passwords once more.")
@click.option("--reason", help="Why they are issued once more.")
@click.option("--without-passwords", is_flag=True, help="A list that may be had at any time.")
@click.option("--template", help="An export template, in place of --format.")
@click.option("--recipient", metavar="age1…", help="Encrypt the file to this age recipient.")
@own_name
@with_context
def export(
    context: Context,
    name: str,
    format_: str,
    out: Path,
    again: bool,
    reason: str | None,
    without_passwords: bool,
    template: str | None,
    recipient: str | None,
    as_me: bool,
) -> None:
    """Write the cards to a file. With passwords it is issued once.

    csv: commas. txt: tabs. xlsx: text cells, the one to open in a spreadsheet, which would show the digits of a csv
    file as numbers. A template has columns, signs and an encoding of its own (`cardtone batches templates`).
    """
    kept = None if template is None else template_named(context.db, template)
    done = export_batch(
        context.db,
        context.vault,
        name,
        format_ if kept is None else kept.form,
        out,
        acting(context, as_me),
        context.clock(),
        again=again,
        reason=reason,
        with_passwords=not without_passwords,
        template=None if kept is None else kept.name,
        recipient=recipient,
    )
    secret = not without_passwords and (kept is None or kept.form.has_secrets)
    context.answer(texts.exported_data(done, secret), texts.exported_text(done, secret))


@command.command("templates")
@with_context
def list_templates(context: Context) -> None:
    """List the export templates, by name."""
    kept = templates(context.db)
    context.answer(
        {"templates": [{"name": one.name, **as_settings(one.form)} for one in kept]},
        texts.templates_text(kept) if kept else "There is no export template; the console makes them.",
    )


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@rule_options
@click.option("--dry-run", is_flag=True, help="Show what would be imported and change nothing.")
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Say which column holds a field, such as number=Card.",
)
@click.option(
    "--separator", type=click.Choice(sorted(_SEPARATORS)), help="What separates the values of a CSV file."
)
@with_context
def import_file(
    context: Context,
    file: Path,
    dry_run: bool,
    mapped: tuple[str, ...],
    separator: str | None,
    **given: Any,
) -> None:
    """Import the cards of an older system (CSV or XLSX) as a batch, whole or not at all.

    Columns: number, password, balance, and optionally expiry, state and first used.
    """
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    try:
        told = import_cards(
            context.db,
            context.vault,
            order_of(given),
            data,
            file.name,
            CONSOLE,
            context.clock(),
            mapping=_mapping(mapped),
            delimiter=_SEPARATORS[separator] if separator else None,
            dry_run=dry_run,
        )
    except InvalidInput as error:
        if error.code == "card_file_refused":
            wrong = error.data["problems"]
            context.answer(
                {"refused": True, "problems": texts.problems_data(wrong)}, texts.problems_text(wrong)
            )
        raise
    for line in texts.warning_lines(told.warnings):
        click.echo(line, err=True)
    context.answer(texts.import_data(told, given["name"]), texts.import_text(told, given["name"]))
    if told.problems:
        raise InvalidInput("card_file_refused", filename=file.name, count=len(told.problems))


def _mapping(mapped: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for one in mapped:
        field, sign, column = one.partition("=")
        if not sign or not field.strip() or not column.strip():
            raise click.BadParameter(f"“{one}” is not FIELD=COLUMN.", param_hint="--map")
        pairs[field.strip()] = column.strip()
    return pairs


def _range_command(verb: str, fact: str, told: str) -> None:
    """A command that tells something of a range of serials."""

    @command.command(verb, help=told)
    @range_options
    @with_context
    def run(context: Context, first: str, last: str | None, yes: bool, reason: str | None) -> None:
        cards = asked_range(context, first, last, yes)
        moved = _MARKS[fact](context.db, cards, CONSOLE, context.clock(), reason)
        context.answer(
            result_data(cards, moved.changed, moved.why, moved.batches),
            result_text(moved.changed, fact, moved.why, moved.batches),
        )


_range_command("activate", "activated", "Release cards that are held back, so that they can be used.")
_range_command("hold-back", "held back", "Take back the release of cards that nobody has used yet.")
_range_command("printed", "printed", "Note that cards were printed.")
_range_command("shipped", "shipped", "Note that cards were shipped.")
_range_command("sold", "sold", "Note that cards were sold.")


@command.command("shred")
@click.argument("name")
@click.option("--reason", help="Kept in the audit trail.")
@confirmed("Nobody will be able to read these passwords again. Go on?")
@with_context
def shred_keys(context: Context, name: str, reason: str | None) -> None:
    """Destroy the key of a batch's passwords, for good. The cards go on working."""
    shred(context.db, name, CONSOLE, context.clock(), reason)
    context.answer(
        {"name": name, "shredded": True},
        f"The passwords of {name} can't be read any more. Older backups may still hold the key, wrapped by the"
        " master key.",
    )


@command.command("stop")
@click.argument("name")
@click.option("--reason", help="Kept in the audit trail.")
@with_context
def stop(context: Context, name: str, reason: str | None) -> None:
    """Let a batch that is being made end where it is; it can be resumed or discarded."""
    stopped = batches.stop(context.db, name, CONSOLE, context.clock(), reason)
    told = f"{name} stops with the cards it is at." if stopped else f"{name} was stopped already."
    context.answer({"name": name, "stopped": stopped}, told)


@command.command("discard")
@click.argument("name")
@click.option("--reason", help="Kept in the audit trail.")
@confirmed("None of these cards will ever work. Go on?")
@with_context
def discard(context: Context, name: str, reason: str | None) -> None:
    """Give up a batch that never got ready, for good."""
    made = batches.discard(context.db, name, CONSOLE, context.clock(), reason)
    context.answer({"name": name, "discarded": True, "generated": made}, f"{name} is discarded.")
