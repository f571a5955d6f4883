"""Browsers of cardholders, and cards for them."""

from __future__ import annotations

import re

from flask import Flask
from werkzeug.test import TestResponse

from tests.portal.conftest import Visitor
from tests.scenes import TestCard

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Holder(Visitor):
    """A browser that reads the cardholder's pages."""

    def token(self) -> str:
        """The token that the forms of its pages carry."""
        found = _TOKEN.search(self.get("/card/help").text)
        assert found is not None
        return found[1]

    def enter(self, card: TestCard, **more: str) -> TestResponse:
        """Log in with a card."""
        fields = {"number": card.number, "password": card.password, **more}
        return self.submit("/card/log-in", **fields)


def holder_of(app: Flask, card: TestCard | None = None) -> Holder:
    """A fresh browser, in which `card` is logged in."""
    client = Holder(app, app.response_class, use_cookies=True)
    if card is not None:
        answer = client.enter(card)
        assert answer.status_code == 303, answer.text[-2000:]
    return client


def form_key(page: str) -> str:
    """The key that a shown form counts once by."""
    found = re.search(r'name="key"[^>]*value="([^"]+)"', page)
    assert found is not None
    return found[1]
