"""The reseller's desk: a till, stock, printing, sales and credit, for the people of one reseller each.

door.py     whose desk it is, who may open what, the bar of sections
entry.py    log in and log out
till.py     the first page: one card by its serial
ranges.py   many cards at once
printing.py printing own stock
recharge.py money onto a card from the own credit
money.py    credit, sales, statements
shipments.py what is on the way here
stock.py    what is in hand, by batch, state and range
words.py    states, reasons and refusals as a shopkeeper reads them
people.py   who works here, for the owner
brand.py    how the pages of its cards look, for the owner
me.py       one's own log-in
looking.py  the way out for staff who look at a desk
"""

from __future__ import annotations

from flask import Flask

from portal import speech
from portal.reseller import (
    brand,
    entry,
    looking,
    me,
    money,
    people,
    printing,
    ranges,
    recharge,
    shipments,
    stock,
    till,
    words,
)
from portal.reseller.door import desk, sections, shop

__all__ = [
    "brand",
    "entry",
    "init_app",
    "looking",
    "me",
    "money",
    "people",
    "printing",
    "ranges",
    "recharge",
    "shipments",
    "stock",
    "till",
]


def init_app(app: Flask) -> None:
    """Add the desk to an app."""
    app.jinja_env.globals.update(desk_sections=sections, desk_shop=shop)
    app.register_blueprint(desk)
    speech.speaks(desk.name, words.sentence)
