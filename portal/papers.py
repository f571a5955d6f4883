"""Lists as files to keep: CSV for programs, PDF for paper. No card number and no password is in them."""

from __future__ import annotations

import csv as csv_format
import io
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from threading import BoundedSemaphore
from typing import Any

import structlog
from flask import Response, abort, current_app, render_template, stream_with_context

from engine.people import brands
from engine.stock.export import guarded
from portal.errors import Busy
from portal.installation import db, now, zone
from portal.respond import attached

MOST_LINES = 500
"""Lines of a PDF. Setting a thousand of them takes seconds."""
_SETTING = BoundedSemaphore(1)
"""A process sets one PDF at a time, so that calls keep their share of the machine."""


def instant(moment: datetime) -> str:
    """A time in the reader's zone as programs read it, to the second."""
    return moment.astimezone(zone()).isoformat(sep=" ", timespec="seconds")


def csv(name: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Response:
    """A CSV file as spreadsheets take it (UTF-8 with its mark), sent while it is read; texts can't act as formulas."""

    def lines() -> Iterator[str]:
        made = io.StringIO()
        table = csv_format.writer(made)
        yield "\ufeff"
        table.writerow(heads)
        for row in rows:
            table.writerow([cell if _is_number(cell) else guarded(cell) for cell in row])
            if made.tell() > 32_768:
                yield made.getvalue()
                made.seek(0)
                made.truncate()
        yield made.getvalue()

    response = Response(stream_with_context(lines()), mimetype="text/csv")
    return _named(response, name, "csv")


def letterhead() -> dict[str, str | None]:
    """Whose paper it is: the operator's name and, as an address of its own, the logo."""
    operator = brands.brand_of(db(), None)
    logo = None if operator is None else brands.logo_of(db(), operator.id)
    return {
        "operator": "Cardtone" if operator is None else operator.name,
        "logo": None if logo is None else f"data:image/png;base64,{b64encode(logo).decode()}",
    }


def pdf(name: str, template: str, **context: Any) -> Response:
    """A page of ours as a PDF; pictures stand in it as `data:`, and nothing is fetched from anywhere.

    503 where the libraries are missing or another PDF is being set: nobody waits here, since calls are authorized by
    the same threads.
    """
    try:
        from weasyprint import CSS, HTML  # loads the text libraries, which only these files need
        from weasyprint.urls import URLFetcher
    except OSError:
        structlog.get_logger("portal").error("pdf_libraries_missing")
        abort(503)
    html = render_template(template, made_at=now(), zone=zone().key, **context)
    with current_app.open_resource("static/paper.css") as file:
        style = file.read().decode()
    if not _SETTING.acquire(blocking=False):
        raise Busy
    try:
        nowhere = URLFetcher(allowed_protocols=["data"])
        made = HTML(string=html, url_fetcher=nowhere).write_pdf(
            stylesheets=[CSS(string=style, url_fetcher=nowhere)]
        )
    finally:
        _SETTING.release()
    return _named(Response(made, mimetype="application/pdf"), name, "pdf")


def _named(response: Response, name: str, kind: str) -> Response:
    day = now().astimezone(zone()).strftime("%Y-%m-%d")
    return attached(response, f"{name}-{day}.{kind}")


def _is_number(cell: str) -> bool:
    return cell.lstrip("-").replace(".", "", 1).isdecimal()
