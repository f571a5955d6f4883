"""The own stock: figures, batches, within one the ranges in the same state, and files of serials."""

from __future__ import annotations

from collections.abc import Iterator

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.errors import EngineError
from engine.money import format_amount
from engine.stock import deskstock
from engine.stock.custody import Range
from engine.stock.deskstock import SerialLine
from portal import arguments
from portal.installation import db, now
from portal.papers import csv, instant
from portal.reseller import words
from portal.reseller.door import desk, needs, shop
from portal.respond import respond

ONE = "/stock/<int(max=9223372036854775807):batch_id>"
HEADS = ("serial", "state", "currency", "face_value", "expires_at")


@desk.get("/stock")
@needs("desk.see")
def stock() -> ResponseReturnValue:
    """Figures, and the batches with cards of the own stock, newest first."""
    before, reseller_id = arguments.key("before"), shop().reseller_id
    page = deskstock.stock(db(), reseller_id, now(), before=before)
    return respond(
        "reseller/stock.html",
        figures=deskstock.figures(db(), reseller_id, now()),
        batches=page.batches,
        later=before is not None,
        older=url_for("reseller.stock", before=page.older) if page.older else None,
    )


@desk.get(ONE)
@needs("desk.see")
def stock_batch(batch_id: int) -> ResponseReturnValue:
    """The ranges of one batch, in the order of their serials."""
    state, after = arguments.choice("state", deskstock.STATES), arguments.key("after")
    reseller_id = shop().reseller_id
    batch = deskstock.batch_stock(db(), reseller_id, batch_id, now())
    page = deskstock.ranges(db(), reseller_id, batch_id, now(), state=state, after=after)
    return respond(
        "reseller/stock_batch.html",
        batch=batch,
        state=state,
        ranges=page.ranges,
        acts=deskstock.OFFERED,
        words=words,
        later=after is not None,
        older=url_for("reseller.stock_batch", batch_id=batch_id, state=state, after=page.after)
        if page.after
        else None,
    )


@desk.get(f"{ONE}/serials.csv")
@needs("desk.see")
def stock_serials(batch_id: int) -> ResponseReturnValue:
    """The serials of a batch, of one state, or of a range, as a file. No card number is in it."""
    state, cards = arguments.choice("state", deskstock.STATES), _range()
    reseller_id = shop().reseller_id
    deskstock.batch_stock(db(), reseller_id, batch_id, now())  # whose it is, before a file is begun
    lines = deskstock.serials(db(), reseller_id, batch_id, now(), state=state, cards=cards)
    return csv(f"serials-{batch_id}", HEADS, _rows(lines))


def _rows(lines: Iterator[SerialLine]) -> Iterator[tuple[str, ...]]:
    for line in lines:
        expires = "" if line.expires_at is None else instant(line.expires_at)
        yield line.serial, line.state, line.currency, format_amount(line.denomination, 2), expires


def _range() -> Range | None:
    """The range of serials in the address; None where there is none. 400 for what is no range."""
    first, last = arguments.words("first"), arguments.words("last")
    if first is None and last is None:
        return None
    try:
        return Range.of_serials(first or "", last)
    except EngineError:
        abort(400)
