"""The portal over a database of the test's own: an app, its clock, and a browser without a screen.

Every page that any test receives is parsed by the letter of the HTML standard.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import html5lib
import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from engine.actor import CONSOLE
from engine.config import Config, Keys
from engine.db import Database
from engine.people import staff
from engine.vault import Secret
from portal import create_app, installation
from tests import scenes
from tests.conftest import Clones
from tests.portal.apps import app_of

if TYPE_CHECKING:
    from tests.portal.desks import Desks

LOGIN, PASSWORD = "desk", "seven quiet harbours"
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: datetime = scenes.NOW

    def __call__(self) -> datetime:
        return self.now

    def later(self, **spans: float) -> None:
        self.now += timedelta(**spans)


class Visitor(FlaskClient):
    """A client that reads each page strictly (unless told otherwise) and fills in forms as a browser would."""

    strict = True

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **{"buffered": True, **kwargs})
        if self.strict and response.mimetype == "text/html":
            parse(response)
        return response

    def submit(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> TestResponse:
        """Post a form with the token that this visitor's pages carry."""
        return self.post(path, data={"csrf_token": self.token(), **fields}, headers=headers)

    def token(self) -> str:
        """The token that this visitor's pages carry: read off a page, once for each session that begins."""
        seed = self._seed()
        if seed is None or seed not in self._tokens:
            found = _TOKEN.search(self.get("/find", follow_redirects=True).text)
            assert found is not None
            seed = self._seed()
            self._tokens[seed] = found[1]
        return self._tokens[seed]

    @cached_property
    def _tokens(self) -> dict[str | None, str]:
        return {}

    def _seed(self) -> str | None:
        """What the tokens of the session in the cookie are made of."""
        cookie = self.get_cookie(self.application.config["SESSION_COOKIE_NAME"])
        signer = SecureCookieSessionInterface().get_signing_serializer(self.application)
        assert signer is not None
        return None if cookie is None else signer.loads(cookie.decoded_value).get("csrf_token")

    def part(self, path: str) -> TestResponse:
        """Ask for a part of a page, as htmx does."""
        return self.get(path, headers={"HX-Request": "true", "HX-Request-Type": "partial"})

    def log_in(self, login: str = LOGIN, password: str = PASSWORD, **more: str) -> TestResponse:
        return self.submit("/log-in", login=login, password=password, **more)


def parse(response: TestResponse) -> Any:
    """The tree of a page or fragment; a mistake in it fails the test."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    if response.text.lstrip().startswith("<!doctype"):
        return parser.parse(response.text)
    return parser.parseFragment(response.text)


def text_of(page: str) -> str:
    """What a reader of a page sees, with single spaces."""
    body = html5lib.parse(page, namespaceHTMLElements=False).find("body")
    return " ".join("".join(body.itertext()).split())


def config_for(url: str, keys: Keys, home: Path, **more: Any) -> Config:
    """Settings of an installation that uses these keys."""
    secrets = {"CARDTONE_PEPPER": keys.peppers[1], "CARDTONE_MASTER_KEY": keys.masters[1]}
    secrets["CARDTONE_SECRET_KEY"] = keys.secret_key
    written = {name: base64.urlsafe_b64encode(key).decode() for name, key in secrets.items()}
    return Config(home=home, database_url=url, key_settings=written, log_level="info", **more)


@pytest.fixture
def clock() -> Clock:
    """The clock of the app."""
    return Clock()


@pytest.fixture
def make_app(db: Database, keys: Keys, tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Flask]]:
    """Makes apps over the test's database; settings may be given. `anew`: for a test that changes the app itself."""
    made: list[Flask] = []

    def make(url: str = db.url, *, anew: bool = False, **more: Any) -> Flask:
        config = config_for(url, keys, tmp_path, **more)
        app = create_app(config) if anew or more or made else app_of(config)
        app.test_client_class = Visitor
        _of(app).clock = clock
        made.append(app)
        return app

    yield make
    for app in made:
        _of(app).db.close()


def _of(app: Flask) -> installation.Installation:
    with app.app_context():
        return installation.installation()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """The app as development runs it."""
    return make_app()


@pytest.fixture
def person(db: Database) -> staff.StaffIdentity:
    """Somebody who works here."""
    return staff.add_staff(db, LOGIN, "Front desk", "operator", Secret(PASSWORD), CONSOLE, scenes.NOW)[0]


@pytest.fixture
def stranger(app: Flask) -> Visitor:
    """A browser that nobody has logged in from."""
    client = app.test_client()
    assert isinstance(client, Visitor)
    return client


@pytest.fixture
def visitor(app: Flask, person: staff.StaffIdentity) -> Visitor:
    """A browser in which that person is logged in."""
    client = app.test_client()
    assert isinstance(client, Visitor)
    assert client.log_in().status_code == 303
    return client


@pytest.fixture(scope="session")
def desks_url(clones: Clones, keys: Keys) -> Iterator[str]:
    """The database of two resellers that `desks` is copied from."""
    from tests.portal import desks

    with desks.template(clones, keys) as url:
        yield url


@pytest.fixture(scope="module")
def desks(
    clones: Clones, keys: Keys, desks_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desks]:
    """Two resellers and browsers at their desks (`tests.portal.desks`), for a module."""
    from tests.portal import desks

    url = clones.make(like=desks_url)
    with desks.opened(url, keys, tmp_path_factory.mktemp("desks")) as made:
        yield made
    clones.drop(url)
