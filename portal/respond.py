"""The only reader of `HX-…` headers: answers with a page or with one of its blocks, and sends people elsewhere.

A fragment is a named block of its page. htmx says `HX-Request-Type: partial` where it will put the answer into a part
of the page; it says `full` for everything else, a step back in the history included. Whatever is cached on the way
must know both, hence `Vary`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, make_response, redirect, render_template, request
from jinja2 import nodes
from jinja2_fragments import BlockNotFoundError
from jinja2_fragments.flask import render_block
from werkzeug.http import dump_options_header


def wants_part() -> bool:
    """Whether the answer goes into a part of the page that is open."""
    return request.headers.get("HX-Request-Type") == "partial"


def respond(template: str, *, block: str | None = None, status: int = 200, **context: Any) -> Response:
    """The page, or only its `block` where htmx asked for a part of it."""
    if block is not None and wants_part():
        html = _rendered(template, block, context)
    else:
        html = render_template(template, **context)
    response = make_response(html, status)
    response.vary.add("HX-Request-Type")
    return response


def _rendered(name: str, block: str, context: dict[str, Any]) -> str:
    """One block of a page as the page would show it: its own, or one of a template that it extends."""
    try:
        return render_block(name, block, **context)
    except BlockNotFoundError:
        return _inherited(name, block, context)


def _inherited(name: str, block: str, context: dict[str, Any]) -> str:
    env = current_app.jinja_env
    current_app.update_template_context(context)
    page = env.get_template(name).new_context(context)
    while (parent := _parent(name)) is not None:
        name = parent
        for known, render in env.get_template(name).blocks.items():
            page.blocks.setdefault(known, []).append(render)
    return env.concat(page.blocks[block][0](page))  # type: ignore[no-any-return,attr-defined]


@lru_cache(maxsize=512)
def _parent(name: str) -> str | None:
    """The template that one extends by name."""
    env = current_app.jinja_env
    source, _, _ = env.loader.get_source(env, name)  # type: ignore[union-attr]
    found = env.parse(source).find(nodes.Extends)
    return found.template.value if found is not None and isinstance(found.template, nodes.Const) else None


def attached(response: Response, name: str) -> Response:
    """Have browsers keep it as a file called so. Headers are ASCII: other letters of the name are told apart."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    header = dump_options_header("attachment", {"filename": plain})
    more = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    response.headers["Content-Disposition"] = header + more
    return response


def go_to(url: str) -> Response:
    """Send the browser to another page: 303, or `HX-Redirect` where htmx would swap that page into a part of this."""
    if "HX-Request" in request.headers:
        response = make_response("", 200)
        response.headers["HX-Redirect"] = url
    else:
        response = make_response(redirect(url, 303))
    response.vary.add("HX-Request")
    return response


def pushed(response: Response, url: str | None) -> Response:
    """Have htmx put `url` into the address bar when it swaps this answer in; None: leave it as it is."""
    response.headers["HX-Push-Url"] = url or "false"
    return response


def this_address() -> str | None:
    """The address of this page, to come back to; None where it cannot be asked for again as a page."""
    if request.method != "GET" or "HX-Request" in request.headers:
        return None
    # Quoted anew: what the path holds was decoded, and may hold what an address may not.
    query = quote(request.query_string, safe="=&%+:,;/?@!$'()*-._~")
    return quote(request.path) + (f"?{query}" if query else "")


def into_notices(response: Response) -> Response:
    """Have htmx put a fragment into the page's notices, wherever the request wanted it."""
    response.headers["HX-Retarget"] = "#notices"
    response.headers["HX-Reswap"] = "innerHTML"
    return response


def inner_path(target: str | None, default: str) -> str:
    """`target` where it is a path of this site, else `default`: nobody is sent elsewhere by a link they followed."""
    if not target or not target.startswith("/") or len(target) > 500:
        return default
    # Browsers read "//" and "/\" as another host, and drop tabs and line ends before they look.
    if target.startswith(("//", "/\\")) or any(ord(c) < 33 or ord(c) == 127 for c in target):
        return default
    return target
