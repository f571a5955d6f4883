"""Acts on a whole batch: its generation stopped, resumed or given up, its passwords shredded."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from wtforms import ValidationError

from engine.stock import batches as stock
from engine.stock.queries import BatchPage
from engine.stock.shredding import shred
from portal.formats import cards, count, when
from portal.forms import CommandForm, ReasonField, TextField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.batches.lists import ID, batch_or_404
from portal.operator.console import actor, console, needs


class WhyForm(CommandForm):
    """Why, where somebody wants to say it."""

    reason = ReasonField(required=False)


class FinalForm(CommandForm):
    """An act that nobody can undo: the name of what it is done to, typed."""

    typed = TextField("The name of the batch", most=100, description="Type it, so that it is no slip.")
    reason = ReasonField(required=False)
    wanted = ""

    def validate_typed(self, field: TextField) -> None:
        if field.data != self.wanted:
            raise ValidationError("That is not the name of this batch.")


def _final(batch: BatchPage) -> FinalForm:
    form = FinalForm()
    form.wanted = " ".join(batch.name.split())
    return form


def _back(batch: BatchPage) -> str:
    return url_for("operator.batch", batch_id=batch.id)


@console.route(f"/batches/{ID}/stop", methods=["GET", "POST"])
@needs("batch.stop")
def stop_batch(batch_id: int) -> ResponseReturnValue:
    """Let the generation end where it is."""
    batch, form = batch_or_404(batch_id), WhyForm()
    return act(
        form,
        lambda: stock.stop(db(), batch.name, actor(), now(), form.reason.data),
        Ask(
            title="Stop making these cards",
            intro="It can go on later from where it is, or be given up.",
            submit="Stop",
            back=_back(batch),
        ),
        done=lambda stopped: "It stops with the cards it is at." if stopped else "It was over already.",
    )


@console.route(f"/batches/{ID}/resume", methods=["GET", "POST"])
@needs("batch.resume")
def resume_batch(batch_id: int) -> ResponseReturnValue:
    """Let a generation that stopped go on."""
    batch = batch_or_404(batch_id)
    return act(
        CommandForm(),
        lambda: stock.resume(db(), batch.name, actor(), now()),
        Ask(
            title="Go on with this batch",
            intro=f"{count(batch.generated)} of {count(batch.count)} cards stand.",
            submit="Go on",
            back=_back(batch),
        ),
        done="It goes on.",
    )


@console.route(f"/batches/{ID}/discard", methods=["GET", "POST"])
@needs("batch.discard")
def discard_batch(batch_id: int) -> ResponseReturnValue:
    """Give up a batch that never got ready."""
    batch = batch_or_404(batch_id)
    form = _final(batch)
    return act(
        form,
        lambda: stock.discard(db(), batch.name, actor(), now(), form.reason.data, key=form.key.data),
        Ask(
            title="Discard this batch",
            intro=Markup(
                "None of the cards of <bdi>{}</bdi> will ever work, and its numbers are not used again."
            ).format(batch.name),
            submit="Discard for good",
            tone="bad",
            back=_back(batch),
        ),
        done="The batch is discarded.",
    )


@console.route(f"/batches/{ID}/shred", methods=["GET", "POST"])
@needs("batch.shred")
def shred_batch(batch_id: int) -> ResponseReturnValue:
    """Destroy the key of the passwords."""
    batch = batch_or_404(batch_id)
    form = _final(batch)
    return act(
        form,
        lambda: shred(db(), batch.name, actor(), now(), form.reason.data, key=form.key.data),
        Ask(
            title="Shred the passwords",
            intro=_shredding(batch),
            submit="Shred for good",
            tone="bad",
            back=_back(batch),
        ),
        done="The passwords are shredded: nobody can read them any more.",
    )


def _shredding(batch: BatchPage) -> Markup:
    if batch.handed_out is not None:
        told = Markup("They were handed out last on {}. ").format(when(batch.handed_out))
    elif batch.printed >= batch.count:
        told = Markup("All of them are on print runs, the last one of {}. ").format(when(batch.printed_at))
    elif batch.printed:
        told = Markup(
            "<strong>Only {} of its {} are on print runs: nobody can know the passwords of the others.</strong> "
        ).format(count(batch.printed), cards(batch.count))
    else:
        told = Markup("<strong>They were never handed out, so nobody can know them.</strong> ")
    return told + Markup(
        "Nobody will be able to read the passwords of <bdi>{}</bdi> again; a lost one can only be reset. The cards go"
        " on working. Older backups may still hold the key, wrapped by the master key."
    ).format(batch.name)
