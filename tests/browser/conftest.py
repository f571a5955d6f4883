"""A real Chromium on the real portal, served on a port of this machine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from werkzeug.serving import make_server

from engine.actor import CONSOLE
from engine.config import Keys
from engine.db import Database
from engine.people import staff
from engine.vault import Secret
from portal import installation
from tests import scenes
from tests.portal.apps import app_of
from tests.portal.conftest import LOGIN, PASSWORD, Clock, config_for

ARGUMENTS = [
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",  # Chromium's sandbox refuses to run as root, and all it opens here is our own
]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}


@dataclass
class Site:
    """The portal as it is served to a browser."""

    url: str
    clock: Clock


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the whole run."""
    expect.set_options(timeout=15_000)  # a page that draws may share its two cores with three other tests
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    assert path, "no Chromium is installed: sh tools/setup.sh browser"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def site(db: Database, keys: Keys, tmp_path: Path) -> Iterator[Site]:
    """The portal over the test's database, with somebody who may log in."""
    staff.add_staff(db, LOGIN, "Front desk", "operator", Secret(PASSWORD), CONSOLE, scenes.NOW)
    app = app_of(config_for(db.url, keys, tmp_path))
    with app.app_context():
        here = installation.installation()
    here.clock = clock = Clock()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Site(f"http://127.0.0.1:{server.server_port}", clock)
    server.shutdown()
    thread.join()
    server.server_close()
    here.db.close()


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens pages in contexts of their own. Whatever Chromium complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_(**options: Any) -> Page:
        context = browser.new_context(base_url=site.url, **{"viewport": DESK, **options})
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "response", lambda answer: complaints.append(answer.url) if _elsewhere(answer.url, site) else None
        )
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not [text for text in complaints if not _expected(text)]


def _elsewhere(url: str, site: Site) -> bool:
    return not url.startswith((site.url, "data:"))


def _expected(text: str) -> bool:
    """Chromium reports each page that answers 4xx, also where the test asks for one."""
    return text.startswith("Failed to load resource: the server responded with a status of 4")


def log_in(page: Page) -> None:
    """Log in as a person would."""
    page.goto("/log-in")
    page.get_by_label("Log-in name").fill(LOGIN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.locator("form[action='/log-out']").wait_for(state="attached")


def violations(page: Page, *only: str) -> list[str]:
    """Whatever axe finds, serious or not; by these rules alone where they are named."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"resultTypes": ["violations"], **({"runOnly": list(only)} if only else {})}
    found: list[str] = page.evaluate(
        """async (options) => (await axe.run(document, options)).violations.map(({ id, nodes }) =>
            `${id}: ${nodes.slice(0, 5).map((node) => `${node.target}`).join(", ")}`)""",
        options,
    )
    return found


def wide_boxes(page: Page) -> list[str]:
    """What reaches out of the screen sideways, or out of a box that would cut it off."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".flush:not(.scroll), .sheet:not(.scroll), main, html")]
            .filter((box) => box.scrollWidth > box.clientWidth + 1)
            .map((box) => `${box.tagName}.${box.className}: ${box.scrollWidth} > ${box.clientWidth}`)"""
    )
    return found


def assert_accessible(page: Page) -> None:
    """No violation of axe's rules, serious or not."""
    assert not violations(page), page.url


def assert_fits(page: Page) -> None:
    """Nothing reaches out of the screen sideways, nor out of a box that would cut it off."""
    assert not wide_boxes(page), page.url
