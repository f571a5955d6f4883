"""`cardtone decks`: rate decks out of rate sheets, and what a number costs in one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import click

from cli import deckreports as reports
from cli import decktexts as texts
from cli.app import Context, with_context
from engine.actor import CONSOLE
from engine.calls import decks
from engine.calls.deckchange import PriceChange, change_deck, preview_change
from engine.calls.deckcosts import set_buy_deck
from engine.calls.deckdiff import all_differences, difference_counts
from engine.calls.deckfile import MAX_BYTES
from engine.calls.decksheet import DELIMITERS
from engine.calls.rating import ROUNDINGS
from engine.errors import InvalidInput, NotFound, Refused
from engine.house import current
from engine.money import parse_amount
from engine.reports.replays import all_lines, find_replay, last_month, period, start_replay
from jobs.worker import run_until_done

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
@click.option("--merge", is_flag=True, help="The file holds only what changes; all other rates stay.")
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
    merge: bool,
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
            merge=merge,
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


@command.command("change")
@click.argument("name")
@click.option("--percent", metavar="PERCENT", help="10 makes prices dearer by a tenth, -5 cheaper.")
@click.option(
    "--amount", metavar="AMOUNT", help="Added to the price a minute after the percentage, such as -0.001."
)
@click.option("--decimals", type=click.IntRange(0, 6), default=4, show_default=True, help="Round prices so.")
@click.option("--fees", is_flag=True, help="Connect fees change by the percentage, too.")
@click.option("--prefix", "prefixes", multiple=True, help="Only this prefix and the longer ones under it.")
@click.option("--group", help="Only the prefixes of this destination group.")
@click.option("--destination", metavar="WORDS", help="Only names with these words.")
@click.option("--effective-from", metavar="DAY", help="2026-12-01 or 2026-12-01T08:00; without it: now.")
@click.option("--dry-run", is_flag=True, help="Show what would change and change nothing.")
@with_context
def change(
    context: Context,
    name: str,
    percent: str | None,
    amount: str | None,
    decimals: int,
    fees: bool,
    prefixes: tuple[str, ...],
    group: str | None,
    destination: str | None,
    effective_from: str | None,
    dry_run: bool,
) -> None:
    """Raise or lower the prices of a deck in a new version."""
    wanted = PriceChange(
        percent=_percent(percent),
        amount=0 if amount is None else parse_amount(amount, field="amount", allow_negative=True),
        decimals=decimals,
        fees=fees,
        prefixes=prefixes,
        group=group,
        name=destination,
    )
    deck_id, begins = _deck_id(context, name), _moment(effective_from, "--effective-from")
    now = context.clock()
    seen = preview_change(context.db, deck_id=deck_id, change=wanted, now=now, effective_from=begins)
    if not dry_run:
        change_deck(
            context.db,
            deck_id=deck_id,
            base_version=seen.version_id,
            change=wanted,
            actor=CONSOLE,
            now=now,
            effective_from=begins,
            seen=seen.digest,
        )
    context.answer(reports.change_data(seen, dry_run), reports.change_text(seen, dry_run))


@command.command("compare")
@click.argument("name")
@click.option("--before", type=int, metavar="VERSION", help="Without it: the one before the other.")
@click.option("--after", type=int, metavar="VERSION", help="Without it: the newest.")
@with_context
def compare(context: Context, name: str, before: int | None, after: int | None) -> None:
    """Show what differs between two versions of a deck; `show` tells their numbers."""
    deck = decks.deck_view(context.db, name, context.clock())
    known = [version.id for version in deck.versions]  # the newest first
    after = after if after is not None else next(iter(known), None)
    if after not in known or (before is not None and before not in known):
        raise NotFound("deck_version_not_found")
    older = known[known.index(after) + 1 :]
    first = before if before is not None else older[0] if older else after
    counts = difference_counts(context.db, first, after)
    changes = list(all_differences(context.db, first, after))
    context.answer(
        reports.differences_data(first, after, counts, changes), reports.differences_text(counts, changes)
    )


@command.command("buy-deck")
@click.argument("name")
@click.argument("buy_deck", required=False)
@click.option("--none", "none", is_flag=True, help="The deck names no buy deck any more.")
@with_context
def buy_deck(context: Context, name: str, buy_deck: str | None, none: bool) -> None:
    """Say which deck holds what the destinations of another cost you."""
    if (buy_deck is None) != none:
        raise click.UsageError("Name the buy deck, or give --none.")
    bought = None if buy_deck is None else _deck_id(context, buy_deck)
    set_buy_deck(
        context.db, deck_id=_deck_id(context, name), buy_deck_id=bought, actor=CONSOLE, now=context.clock()
    )
    said = f"Margins of {name} are told against {buy_deck}." if buy_deck else f"{name} names no buy deck."
    context.answer({"deck": name, "buy_deck": buy_deck}, said)


@command.command("replay")
@click.argument("name")
@click.option(
    "--version", type=int, metavar="VERSION", help="At this version's rates; without it: the one in force."
)
@click.option(
    "--cost", is_flag=True, help="At the rates of the buy deck: what the calls cost, and so earned."
)
@click.option("--from", "first", metavar="DAY", help="Calls from this day on; without it: last month.")
@click.option("--to", "last", metavar="DAY", help="The last day; without it: last month's.")
@with_context
def replay(
    context: Context, name: str, version: int | None, cost: bool, first: str | None, last: str | None
) -> None:
    """Price the calls of a period once more, and charge nothing."""
    deck = decks.deck_view(context.db, name, context.clock())
    if version is None and not cost:
        if deck.in_force is None:
            raise NotFound("deck_not_in_force", deck=deck.name, at=context.clock())
        version = deck.in_force.id
    zone = current(context.db).zone
    proposed = last_month(context.clock(), zone)
    begins, ends = period(_day(first, "--from") or proposed[0], _day(last, "--to") or proposed[1], zone)
    work_id = start_replay(
        context.db,
        deck_id=deck.id,
        version_id=None if cost else version,
        begins=begins,
        ends=ends,
        actor=CONSOLE,
        now=context.clock(),
    )
    hidden = context.as_json or not sys.stderr.isatty()
    with click.progressbar(length=100, label="Replaying", file=sys.stderr, hidden=hidden) as bar:
        done = run_until_done(
            context.db,
            context.vault,
            work_id,
            context.clock,
            lambda progress, total: bar.update(progress * 100 // (total or 1) - bar.pos),
        )
    if done.state != "done":
        raise click.ClickException(done.failure or "Somebody stopped the replay.")
    found, lines = find_replay(context.db, work_id, context.clock()), list(all_lines(context.db, work_id))
    context.answer(reports.replay_data(found, lines), reports.replay_text(found, lines))


def _deck_id(context: Context, name: str) -> int:
    return decks.deck_view(context.db, name, context.clock()).id


def _percent(text: str | None) -> int:
    """Ten-thousandths of a percent."""
    micros = 0 if text is None else parse_amount(text.removesuffix("%"), field="percent", allow_negative=True)
    if micros % 100:
        raise click.BadParameter("A percentage has four decimals at most.", param_hint="--percent")
    return micros // 100


def _day(text: str | None, option: str) -> date | None:
    found = _moment(text, option)
    return found.date() if isinstance(found, datetime) else found


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
