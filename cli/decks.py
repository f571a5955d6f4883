"""`cardtone decks`: rate decks out of rate sheets, and what a number costs in one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import click

from cli import decktexts as texts
from cli.app import Context, with_context
from engine.actor import CONSOLE
from engine.calls import decks
from engine.calls.deckfile import MAX_BYTES
from engine.calls.decksheet import DELIMITERS
from engine.calls.rating import ROUNDINGS
from engine.errors import InvalidInput, Refused

_SEPARATORS = {name.replace(" ", "-"): sign for sign, name in DELIMITERS.items()}


@click.group("decks")
def command() -> None:
    """Import rate decks and look rates up."""


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="The deck; it is made where there is none of that name.")
@click.option("--currency", required=True, metavar="CCC", help="The currency of the prices, such as USD.")
@click.option("--dry-run", is_flag=True, help="Show what would be imported and change nothing.")
@click.option("--effective-from", metavar="DAY", help="2026-12-01 or 2026-12-01T08:00; without it: now.")
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Say which column holds a field, such as prefix=Code.",
)
@click.option(
    "--separator", type=click.Choice(sorted(_SEPARATORS)), help="What separates the values of a CSV file."
)
@click.option(
    "--precision", type=int, metavar="DECIMALS", help="Decimals of a charge, 0 to 6; 4 for a new deck."
)
@click.option(
    "--rounding", type=click.Choice(ROUNDINGS), help="How a charge is rounded; half_up for a new deck."
)
@click.option(
    "--zone", metavar="ZONE", help="The time zone of days and hours, such as Asia/Dubai; UTC for a new deck."
)
@with_context
def import_file(
    context: Context,
    file: Path,
    name: str,
    currency: str,
    dry_run: bool,
    effective_from: str | None,
    mapped: tuple[str, ...],
    separator: str | None,
    precision: int | None,
    rounding: str | None,
    zone: str | None,
) -> None:
    """Import a rate sheet (CSV or XLSX) as the next version of a deck, whole or not at all."""
    try:
        told = decks.import_deck(
            context.db,
            name=name,
            currency=currency,
            data=_read(file),
            filename=file.name,
            actor=CONSOLE,
            now=context.clock(),
            effective_from=_moment(effective_from, "--effective-from"),
            precision=precision,
            rounding=rounding,
            timezone=zone,
            mapping=_mapping(mapped),
            delimiter=_SEPARATORS[separator] if separator else None,
            dry_run=dry_run,
        )
    except InvalidInput as error:
        if error.code == "deck_file_refused":
            problems = error.data["problems"]
            context.answer(
                {"refused": True, "problems": texts.problems_data(problems)}, texts.refused_text(problems)
            )
        raise
    context.answer(texts.told_data(told, dry_run), texts.told_text(told, dry_run))
    if told.file.problems:
        raise InvalidInput("deck_file_refused", filename=file.name, count=len(told.file.problems))


@command.command("list")
@with_context
def list_decks(context: Context) -> None:
    """List the decks."""
    found = decks.deck_list(context.db, context.clock())
    context.answer(
        {"decks": [texts.deck_data(deck) for deck in found]},
        texts.decks_text(found) if found else "There is no deck yet; import one.",
    )


@command.command("show")
@click.argument("name")
@with_context
def show(context: Context, name: str) -> None:
    """Show a deck and its versions."""
    deck = decks.deck_view(context.db, name, context.clock())
    context.answer(texts.deck_data(deck), texts.deck_text(deck))


@command.command("rate")
@click.argument("name")
@click.argument("destination")
@click.option("--at", metavar="TIME", help="2026-12-01T08:00 in the deck's time zone; without it: now.")
@with_context
def rate(context: Context, name: str, destination: str, at: str | None) -> None:
    """Show the rate of a number in a deck, and why it is that one."""
    moment = _moment(at, "--at") or context.clock()
    found = decks.look_up(context.db, name=name, destination=destination, at=moment)
    context.answer(texts.rate_data(found), texts.rate_text(found))
    if found.found.rate is None:
        raise Refused("destination_unknown")


def _read(file: Path) -> bytes:
    """The file, or as much of it as shows that it is too large."""
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _mapping(mapped: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for one in mapped:
        field, sign, column = one.partition("=")
        if not sign or not field.strip() or not column.strip():
            raise click.BadParameter(f"“{one}” is not FIELD=COLUMN.", param_hint="--map")
        pairs[field.strip()] = column.strip()
    return pairs


def _moment(text: str | None, option: str) -> date | None:
    """A day, or a time of it."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
    except ValueError:
        wanted = "2026-12-01 or 2026-12-01T08:00"
        raise click.BadParameter(
            f"“{text}” is not a time; write it like {wanted}.", param_hint=option
        ) from None
