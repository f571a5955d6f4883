"""Pictures of designs as they print. Drawing one keeps a core busy for the better part of a second: one at a time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from threading import BoundedSemaphore, Lock
from urllib.parse import urlsplit

from flask import Response, request, url_for

from engine.stock.printing import faces, looks, preview
from engine.stock.printing.design import Design, Look, PrintCard, as_settings, shown_fields
from engine.stock.printing.designs import DesignView
from portal import arguments
from portal.checkout import public_address
from portal.errors import Busy
from portal.installation import db

SHEET_PX, CARD_PX = 760, 420
_KEEP = "private, max-age=31536000, immutable"
_MOST_KEPT = 300
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_WAITING, _PATIENCE_S = 6, 8
"""So many may wait for their turn in one process, each so long; whoever comes then keeps the picture they have."""

_turn = Lock()
_queue = BoundedSemaphore(_WAITING)
_kept: OrderedDict[str, bytes] = OrderedDict()


@contextmanager
def turn() -> Iterator[None]:
    """Have this process draw for nobody else meanwhile. Raises `Busy` where too many wait."""
    if not _queue.acquire(blocking=False):
        raise Busy
    try:
        if not _turn.acquire(timeout=_PATIENCE_S):
            raise Busy
        try:
            yield
        finally:
            _turn.release()
    finally:
        _queue.release()


def log_in_url() -> str:
    """Where the QR codes of cards lead; what names the card stands behind it."""
    return public_address(url_for("cardholder.log_in"))


def dead_codes(design: Design) -> str | None:
    """The address that the QR codes of a design would lead to, where only this machine or its network reaches it."""
    url = log_in_url()
    return url if "qr" in shown_fields(design) and is_local(url) else None


def is_local(url: str) -> bool:
    """Whether customers can't open an address: its host is this machine, or one of a private network."""
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan"))


def look_of(view: DesignView, reseller_id: int | None) -> Look:
    """What a kept design wears on the cards of a reseller (None: the operator's own)."""
    return looks.look(db(), view.design, reseller_id=reseller_id, log_in_url=log_in_url(), design_id=view.id)


def check(design: Design, look: Look) -> None:
    """Raises `InvalidInput` ("design_too_full") where the texts don't fit on the card."""
    with turn():
        faces.lay_out(design, look, preview.SAMPLE)


def sides(design: Design, look: Look) -> list[str]:
    """One sheet, front and back, as `data:` addresses of pictures. Raises as `check`."""
    with turn():
        return [_as_data(one) for one in preview.pictures(design, look, width_px=SHEET_PX)]


def sample(design: Design, look: Look) -> bytes:
    """One sheet as PDF, of cards that can't be. Raises as `check`."""
    with turn():
        return preview.sheet(design, look)


def version(design: Design, look: Look, shown: PrintCard) -> str:
    """What stands for all that a picture shows: another one where anything of it changed."""
    plain = [
        shown.amount,
        shown.currency,
        as_settings(design),
        look.name,
        look.colour,
        look.help_phone,
        look.access_numbers,
        look.log_in_url,
    ]
    logo = b"" if look.logo is None else hashlib.sha256(look.logo).digest()
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode() + logo).hexdigest()[:16]


def card(view: DesignView, reseller_id: int | None) -> Response:
    """A picture of the front of one card; browsers keep it under the address that `pictured` says.

    Its face value is `amount` (micro-units) of `currency` in the address, where they stand there.
    """
    look, shown = look_of(view, reseller_id), preview.SAMPLE
    amount, currency = arguments.key("amount"), arguments.words("currency")
    if amount and currency and _CURRENCY.fullmatch(currency):
        shown = replace(shown, amount=amount, currency=currency)
    name = version(view.design, look, shown)
    png = _kept.get(name) or _drawn(name, view.design, look, shown)
    response = Response(png, content_type="image/png")
    response.set_etag(name)
    response.headers["Cache-Control"] = _KEEP if request.args.get("v") == name else "private, no-cache"
    return response.make_conditional(request)


def pictured(view: DesignView, reseller_id: int | None, value: tuple[int, str] | None = None) -> str:
    """The address of that picture, which changes with what it shows. `value`: another face value, and its currency."""
    shown, more = preview.SAMPLE, {}
    if value is not None and value[0]:
        more = {"amount": value[0], "currency": value[1]}
        shown = replace(shown, amount=value[0], currency=value[1])
    v = version(view.design, look_of(view, reseller_id), shown)
    return url_for(".design_picture", design_id=view.id, v=v, **more)


def _drawn(name: str, design: Design, look: Look, shown: PrintCard) -> bytes:
    with turn():
        if name not in _kept:
            _kept[name] = preview.pictures(design, look, width_px=CARD_PX, one=True, sample=shown)[0]
            if len(_kept) > _MOST_KEPT:
                _kept.popitem(last=False)
        return _kept[name]


def _as_data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
