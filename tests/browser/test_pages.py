"""Every page of the console in a real Chromium: nothing typed runs, axe finds nothing, a phone shows all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page
from werkzeug.routing import Rule
from werkzeug.serving import make_server

from engine.config import Keys
from tests.browser.conftest import DESK, PHONE, violations, wide_boxes
from tests.conftest import Clones
from tests.portal.house import House, house, pages
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
    """The shared house, served to browsers."""

    house: House
    url: str
    paths: list[tuple[Rule, str]]
    """The pages, each with its address: not files, nor what asks for more than its arguments."""


@pytest.fixture(scope="module")
def served(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The house on a port of this machine."""
    with house(clones, keys, tmp_path_factory.mktemp("home")) as made:
        server = make_server("127.0.0.1", 0, made.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Served(made, f"http://127.0.0.1:{server.server_port}", _paths(made))
        server.shutdown()
        thread.join()
        server.server_close()


def _paths(made: House) -> list[tuple[Rule, str]]:
    visitor = made.visitor("admin")
    visitor.strict = False  # they are parsed by a browser here
    found = []
    for rule in pages(made.app):
        if "GET" in (rule.methods or ()):
            answer = visitor.get(made.address(rule))
            if answer.status_code == 200 and answer.mimetype == "text/html":
                found.append((rule, made.address(rule)))
    return found


def walk(
    browser: Browser,
    served: Served,
    look: Callable[[Page], list[str]],
    which: Callable[[Rule], bool],
    **options: object,
) -> list[str]:
    """Open each page as the administrator and look at it; what Chromium complains of counts as well."""
    visitor = served.house.visitor("admin")
    cookie = visitor.get_cookie(COOKIE)
    assert cookie is not None
    # Colours change at once, so that none is looked at on its way from the light to the dark.
    options |= {"base_url": served.url, "reduced_motion": "reduce"}
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
    assert not walk(browser, served, all_of_it, lambda rule: rule.rule in mine, viewport=DESK)


def test_forms_on_a_phone_in_the_dark(browser: Browser, served: Served) -> None:
    found = walk(browser, served, all_of_a_form, is_form, viewport=PHONE, color_scheme="dark")
    assert not found


def test_the_marker_is_shown_as_it_was_typed(served: Served) -> None:
    visitor = served.house.visitor("admin")
    typed = MARK.replace("<", "&lt;").replace(">", "&gt;")
    assert sum(typed in visitor.get(path).text for _, path in served.paths) > 10
