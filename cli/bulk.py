"""`cardtone bulk`: one command for many cards, looked at first, then done as background work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cli.app import Context, with_context
from cli.bulkoptions import card_options, filter_words, order_of, verb_options
from cli.people import acting, own_name
from cli.tables import table
from engine.actor import CONSOLE
from engine.bulk import runs, views
from engine.bulk.export import ExportFile, exported
from engine.bulk.orders import FINAL, MONEY
from engine.bulk.preview import Preview, preview
from engine.bulk.runs import Expected
from engine.errors import EngineError
from engine.messages import sentence
from engine.money import format_amount, format_money
from jobs.worker import run_until_done


@click.group("bulk")
def command() -> None:
    """Change many cards at once."""


@command.command("preview")
@verb_options
@card_options
@with_context
def preview_it(context: Context, verb: str, **given: Any) -> None:
    """Show what a command would do, and change nothing."""
    seen = preview(context.db, order_of(context, verb, given), context.clock())
    context.answer(_preview_data(seen), _preview_text(verb, seen))


@command.command("run")
@verb_options
@card_options
@click.option("--count", type=int, metavar="N", help="How many cards it must be; asked for where it matters.")
@click.option("--yes", is_flag=True, help="Go on without asking; with money or for good also give --count.")
@click.option("--key", help="Count once, however often this key is sent.")
@click.option("--no-wait", is_flag=True, help="Only confirm; a jobs process does the work.")
@own_name
@with_context
def run(
    context: Context,
    verb: str,
    count: int | None,
    yes: bool,
    key: str | None,
    no_wait: bool,
    as_me: bool,
    **given: Any,
) -> None:
    """Do something to many cards.

    The cards are those that fit now; what comes to fit later is not touched.
    """
    order = order_of(context, verb, given)
    expected = None
    if (
        key is None or runs.confirmed(context.db, key) is None
    ):  # sent again, there is nothing to look at or to ask
        seen = preview(context.db, order, context.clock())
        if count is None:
            click.echo(_preview_text(verb, seen), err=True)
            count = _asked(verb, seen, yes)
        # With a count that somebody typed the money and the cards must be what the preview showed, too.
        expected = Expected(count, seen.amount, seen.digest)
    actor = acting(context, as_me)
    run_id = runs.confirm(context.db, order, actor, context.clock(), key, expected=expected)
    view = views.show(context.db, run_id)
    if not no_wait:
        _work(context, run_id, view.cards)
        view = views.show(context.db, run_id)
    context.answer(_run_data(context, view), _run_text(context, view))


def _asked(verb: str, seen: Preview, yes: bool) -> int:
    """How many cards somebody said yes to: typed where money moves or nothing can undo it."""
    if verb not in MONEY and verb not in FINAL:
        if not yes:
            click.confirm(f"Go on with {_cards(seen.cards)}?", abort=True, err=True)
        return seen.cards
    if yes:
        raise click.UsageError("Give the number of cards with --count.")
    typed: int = click.prompt("Type the number of cards to go on", type=int, err=True)
    return typed


def _work(context: Context, run_id: int, cards: int) -> None:
    """Wait until the run is over, and do it here where no jobs process does; with a bar on a terminal."""
    view = views.show(context.db, run_id)
    if view.work_id is None or view.state == "done":
        return
    hidden = context.as_json or not sys.stderr.isatty()
    with click.progressbar(length=cards, label="Working", file=sys.stderr, hidden=hidden) as bar:
        done = run_until_done(
            context.db,
            context.vault,
            view.work_id,
            context.clock,
            lambda progress, total: bar.update(progress - bar.pos),
        )
    if done.state == "failed":
        raise click.ClickException(done.failure or f"The run {run_id} failed; it can be resumed.")
    if done.state != "done":
        raise click.ClickException(f"Somebody stopped the run {run_id}; it can be resumed.")


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@with_context
def list_them(context: Context, limit: int) -> None:
    """List the runs, newest first."""
    found = views.list_runs(context.db, limit=limit)
    rows = [
        (
            run.id,
            run.verb,
            run.state,
            f"{run.cards:,}",
            f"{run.changed:,}",
            f"{run.refused:,}",
            _money(run),
            run.created_at.strftime("%Y-%m-%d %H:%M"),
        )
        for run in found
    ]
    headers = ("Run", "Command", "State", "Cards", "Changed", "Refused", "Moved", "At (UTC)")
    text = table(headers, rows, right=("Run", "Cards", "Changed", "Refused", "Moved"))
    context.answer(
        {"runs": [_run_data(context, run) for run in found]}, text if found else "There is no run yet."
    )


@command.command("show")
@click.argument("run_id", type=int)
@with_context
def show(context: Context, run_id: int) -> None:
    """Show a run: how far it is and what came of it."""
    view = views.show(context.db, run_id)
    context.answer(_run_data(context, view), _run_text(context, view))


@command.command("refused")
@click.argument("run_id", type=int)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="A CSV file; else it is printed."
)
@with_context
def refused(context: Context, run_id: int, out: Path | None) -> None:
    """List the cards that a run left out, and why."""
    view = views.show(context.db, run_id)
    if out is None:
        lines = [
            {"serial": line.serial, "reason": line.reason, "sentence": line.sentence}
            for line in views.refused(context.db, run_id, limit=max(1, view.refused))
        ]
        text = "\n".join(f"{line['serial']}  {line['sentence']}" for line in lines)
        context.answer({"id": run_id, "refused": lines}, text or "No card was left out.")
        return
    with out.open("w", encoding="utf-8", newline="") as file:
        file.writelines(views.refused_csv(context.db, run_id))
    context.answer(
        {"id": run_id, "cards": view.refused, "file": str(out)},
        f"{_cards(view.refused)} {'is' if view.refused == 1 else 'are'} in {out}.",
    )


@command.command("cancel")
@click.argument("run_id", type=int)
@click.option("--reason", help="Kept in the audit trail.")
@with_context
def cancel(context: Context, run_id: int, reason: str | None) -> None:
    """Stop a run; what is done stays done."""
    stopped = runs.cancel(context.db, run_id, CONSOLE, context.clock(), reason=reason)
    context.answer(
        {"id": run_id, "cancelled": stopped},
        f"The run {run_id} stops." if stopped else f"The run {run_id} was over already.",
    )


@command.command("resume")
@click.argument("run_id", type=int)
@click.option("--reason", help="Kept in the audit trail.")
@click.option("--no-wait", is_flag=True, help="A jobs process does the work.")
@with_context
def resume(context: Context, run_id: int, reason: str | None, no_wait: bool) -> None:
    """Go on with a run that was stopped or failed."""
    runs.resume(context.db, run_id, CONSOLE, context.clock(), reason=reason)
    if not no_wait:
        _work(context, run_id, views.show(context.db, run_id).cards)
    view = views.show(context.db, run_id)
    context.answer(_run_data(context, view), _run_text(context, view))


# --- texts ---


def _preview_data(seen: Preview) -> dict[str, Any]:
    return {
        "cards": seen.cards,
        "statuses": dict(seen.statuses),
        "changing": seen.changing,
        "unchanged": seen.unchanged,
        "refused": dict(seen.refused),
        "moves": {currency: format_amount(amount, 2) for currency, amount in seen.moves.items()},
        "sample": [
            {
                "serial": line.serial,
                "status": line.status,
                "balance": format_amount(line.balance, 2),
                "currency": line.currency,
            }
            for line in seen.sample
        ],
    }


def _preview_text(verb: str, seen: Preview) -> str:
    lines = [f"{verb}: {_cards(seen.cards)}, {seen.changing:,} would change."]
    if seen.statuses:
        lines.append(
            "By status: " + ", ".join(f"{n:,} {status}" for status, n in seen.statuses.items()) + "."
        )
    if seen.unchanged:
        lines.append(f"{seen.unchanged:,} are so already.")
    lines += [f"{n:,} would be refused: {_why(code)}" for code, n in seen.refused.items()]
    lines += [f"Moved: {format_money(amount, currency)}." for currency, amount in seen.moves.items()]
    return "\n".join(lines)


def _why(code: str) -> str:
    return sentence(code, name="of the card", high=1, field="amount")


def _file(context: Context, run: views.RunView) -> ExportFile | None:
    """The file that a run made, where it is still there."""
    try:
        return exported(context.db, run.id) if run.verb == "export" else None
    except EngineError:
        return None


def _cards(number: int) -> str:
    return f"{number:,} card{'' if number == 1 else 's'}"


def _money(run: views.RunView) -> str:
    return format_money(run.amount, run.currency) if run.currency else ""


def _run_data(context: Context, run: views.RunView) -> dict[str, Any]:
    data = {
        "id": run.id,
        "command": run.verb,
        "state": run.state,
        "cards": run.cards,
        "changed": run.changed,
        "unchanged": run.unchanged,
        "refused": run.refused,
        "reasons": dict(run.reasons),
        "amount": format_amount(run.amount, 2),
        "currency": run.currency,
        "filter": run.filter,
        "actor": run.actor_name,
        "reason": run.reason,
        "created_at": run.created_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }
    if run.failure:
        data["failure"] = run.failure
    if (made := _file(context, run)) is not None:
        data["export"] = {"file": str(made.path), "rows": made.rows, "sha256": made.sha256}
    return data


def _run_text(context: Context, run: views.RunView) -> str:
    lines = [
        f"Run {run.id}: {run.verb}, {run.state}; {_cards(run.cards)} ({filter_words(context, run.filter)}).",
        f"{run.changed:,} changed, {run.unchanged:,} were so already, {run.refused:,} refused.",
    ]
    lines += [f"  {n:,}: {_why(code)}" for code, n in run.reasons.items()]
    if run.currency:
        lines.append(f"Moved: {_money(run)}.")
    if run.failure:
        lines.append(run.failure)
    if (made := _file(context, run)) is not None:
        lines.append(
            f"{_cards(made.rows)} in {made.path}, SHA-256 {made.sha256}; the file is kept for a day."
        )
    return "\n".join(lines)
