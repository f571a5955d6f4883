"""Every page of the console and of a reseller's desk in a real Chromium.

Nothing typed runs, axe finds nothing, a phone shows all of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from werkzeug.routing import Rule
from werkzeug.serving import make_server

from engine.config import Keys
from tests.browser.conftest import DESK, PHONE, violations, wide_boxes
from tests.conftest import Clones
from tests.portal import desks
from tests.portal.conftest import Visitor
from tests.portal.house import house, pages
from tests.portal.world import MARK

COOKIE = "cardtone-dev"
PHONE_RULES = (
    "aria-hidden-focus",
    "heading-order",
    "label",
    "link-name",
    "button-name",
    "region",
    "scrollable-region-focusable",
    "td-headers-attr",
    "target-size",
)
"""What a narrow screen may change; names and colours are the same on any."""


@dataclass
class Served:
    """A house, served to browsers."""

    visitor: Visitor
    url: str
    paths: list[tuple[Rule, str]]
    """The pages, each with its address: not files, nor what asks for more than its arguments."""


@pytest.fixture(scope="module")
def served(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The shared house on a port of this machine, and its administrator."""
    with house(clones, keys, tmp_path_factory.mktemp("home")) as made, serving(made.app) as url:
        visitor = made.visitor("admin")
        yield Served(visitor, url, _paths(visitor, [(rule, made.address(rule)) for rule in pages(made.app)]))


@pytest.fixture(scope="module")
def desk(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Served]]:
    """The desk of a reseller on a port of this machine: to its owner, and to staff who look at it."""
    home = tmp_path_factory.mktemp("desk")
    with (
        desks.template(clones, keys) as url,
        desks.opened(url, keys, home) as made,
        serving(made.app) as address,
    ):
        shown = _paths(made.looking(), desks.addresses(made))
        yield [
            Served(made.owner, address, _paths(made.owner, desks.addresses(made))),
            Served(made.looking(), address, [(rule, path) for rule, path in shown if path == "/desk/people"]),
        ]


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """An app on a port of this machine; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _paths(visitor: Visitor, addresses: list[tuple[Rule, str]]) -> list[tuple[Rule, str]]:
    visitor.strict = False  # they are parsed by a browser here
    found = []
    for rule, address in addresses:
        if "GET" in (rule.methods or ()):
            answer = visitor.get(address)
            if answer.status_code == 200 and answer.mimetype == "text/html":
                found.append((rule, address))
    return found


def walk(
    browser: Browser,
    served: Served,
    look: Callable[[Page], list[str]],
    which: Callable[[Rule], bool],
    **options: object,
) -> list[str]:
    """Open each page as its visitor and look at it; what Chromium complains of counts as well."""
    cookie = served.visitor.get_cookie(COOKIE)
    assert cookie is not None
    # Colours change at once, so that none is looked at on its way from the light to the dark.
    options = {"viewport": DESK, **options, "base_url": served.url, "reduced_motion": "reduce"}
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.add_cookies([{"name": COOKIE, "value": cookie.value, "url": served.url}])
    page = context.new_page()
    found: list[str] = []
    page.on(
        "console",
        lambda said: found.append(f"{page.url}: {said.text}") if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
    page.on("dialog", lambda box: (found.append(f"{page.url}: ran what was typed"), box.dismiss()))
    for rule, path in served.paths:
        if not which(rule):
            continue
        page.goto(path)
        found += [f"{rule.rule}: {text}" for text in look(page)]
    context.close()
    return found


def is_form(rule: Rule) -> bool:
    """An act's own page: all of them are one form."""
    return "POST" in (rule.methods or ())


def nothing_ran(page: Page) -> list[str]:
    """A marker that became an element; a title it could have changed."""
    made = page.locator("img[src=x]").count()
    return [f"{made} markers became elements"] if made else []


def all_of_it(page: Page) -> list[str]:
    """A page at a desk, in the dark, and on a phone: loaded once, as a device that changes would show it."""
    found = [*nothing_ran(page), *violations(page), *wide_boxes(page)]
    page.emulate_media(color_scheme="dark")
    found += [f"in the dark: {text}" for text in violations(page, "color-contrast")]
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    found += [f"on a phone: {text}" for text in (*violations(page, *PHONE_RULES), *wide_boxes(page))]
    page.set_viewport_size(DESK)
    return found


def all_of_a_form(page: Page) -> list[str]:
    """One macro writes them all, so that axe only looks at what differs: their fields, words and colours."""
    rules = ("color-contrast", "label", "select-name", "button-name", "link-name", "aria-valid-attr-value")
    return [*nothing_ran(page), *violations(page, *rules), *wide_boxes(page)]


@pytest.mark.parametrize("turn", range(2))
def test_pages_at_a_desk_in_the_dark_and_on_a_phone(browser: Browser, served: Served, turn: int) -> None:
    mine = {rule.rule for rule, _ in [one for one in served.paths if not is_form(one[0])][turn::2]}
    assert not walk(browser, served, all_of_it, lambda rule: rule.rule in mine)


def test_forms_on_a_phone_in_the_dark(browser: Browser, served: Served) -> None:
    found = walk(browser, served, all_of_a_form, is_form, viewport=PHONE, color_scheme="dark")
    assert not found


def test_the_marker_is_shown_as_it_was_typed(served: Served) -> None:
    visitor = served.visitor
    typed = MARK.replace("<", "&lt;").replace(">", "&gt;")
    assert sum(typed in visitor.get(path).text for _, path in served.paths) > 10


def test_the_desk_of_a_reseller_in_the_dark_and_on_a_phone(browser: Browser, desk: list[Served]) -> None:
    found = [one for to in desk for one in walk(browser, to, all_of_it, lambda rule: not is_form(rule))]
    found += walk(browser, desk[0], all_of_a_form, is_form, viewport=PHONE, color_scheme="dark")
    assert not found
    assert [len(to.paths) > 0 for to in desk] == [True, True]
