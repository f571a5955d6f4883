"""Addresses that other pages lead to already: whoever adds the page takes its line away here."""

from __future__ import annotations

from flask import abort
from flask.typing import ResponseReturnValue

from portal.cardholder.door import holder, open_to_all

PAGES = {
    "manifest": "/manifest.webmanifest",
}


@open_to_all
def _nothing_yet() -> ResponseReturnValue:
    abort(404)


for name, path in PAGES.items():
    holder.add_url_rule(path, name, _nothing_yet)
