"""The door for softswitches: the switch API over HTTP, its OpenAPI document, and the health of this process.

It is an application of its own inside the portal's process, so that nothing that pages need (sessions, cookies, tokens
of forms, a person's name) ever touches a call: whoever asks proves it with a key. Only the page that people read about
it, `/api/docs`, is one of the portal's pages.

operation.py  one operation: key, body, answer, document      problems.py  what is wrong, as problem+json
body.py       strict JSON                                     fields.py    what a field may hold, as check and schema
bodies.py     the bodies of requests                          answers.py   what is told, as object and schema
calls.py      authorize, answer, progress, end, look          cards.py     authenticate, recharge
rates.py      what a call would cost                          health.py    /healthz and /readyz
openapi.py    the document                                    page.py      the document as a page
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response

from portal.security import is_api
from portal.switch_api import calls, cards, health, page, problems, rates
from portal.switch_api.body import MAX_BYTES
from portal.switch_api.openapi import document

EXTENSION = "cardtone_switch_api"


def init_app(app: Flask) -> None:
    """Give an app the switch API; needs its installation (`app.extensions["cardtone"]`)."""
    api = Flask(__name__, static_folder=None, template_folder=None)
    api.extensions["cardtone"] = app.extensions["cardtone"]
    api.extensions[health.EXTENSION] = health.Writable()
    api.config.update(MAX_CONTENT_LENGTH=MAX_BYTES, PROVIDE_AUTOMATIC_OPTIONS=False)
    api.url_map.merge_slashes = False
    api.register_error_handler(Exception, problems.answer)
    spec = document(api, (cards.blueprint, calls.blueprint, rates.blueprint, health.blueprint))
    text = json.dumps(spec, ensure_ascii=False, indent=2)

    @api.get(page.DOCUMENT)
    def openapi() -> Response:
        return Response(text, content_type="application/json", headers=problems.HEADERS)

    app.extensions[EXTENSION] = api
    page.init_app(app, spec)
    pages = app.wsgi_app

    def by_door(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        door = api.wsgi_app if is_api(path) and path != page.ADDRESS else pages
        return door(environ, start_response)

    app.wsgi_app = by_door  # type: ignore[method-assign]
