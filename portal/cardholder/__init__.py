"""The cardholder's pages, under `/card`: one column, plain words, eight languages, usable without JavaScript.

door.py        who is let in, and whose card it is
languages.py   the language of a request, its catalogue
formats.py     money, times and numbers as that language writes them
words.py       every refusal in plain words
forms.py       numbers as people type them
entry.py       log in, log out, help
home.py        what is on the card
prices.py      what calls cost
lists.py       calls, recharges and fees, and their files
callwords.py   each charge and movement in sentences
papers.py      those on paper
recharge.py    by voucher and from another card, with receipts
online.py      by Stripe Checkout
phones.py      phones that are registered, and short numbers
install.py     the installed copy: manifest, icons, worker, the page without a connection
security.py    password, a lost card, log-ins
standing.py    how a card stands, in sentences
"""

from __future__ import annotations

from flask import Flask

from portal import speech
from portal.cardholder import (
    callwords,
    entry,
    formats,
    home,
    install,
    languages,
    lists,
    online,
    phones,
    prices,
    recharge,
    security,
    standing,
    words,
)
from portal.cardholder.door import holder, logged_in, own_card

__all__ = [
    "entry",
    "home",
    "init_app",
    "install",
    "lists",
    "online",
    "phones",
    "prices",
    "recharge",
    "security",
]


def init_app(app: Flask) -> None:
    """Add the cardholder's pages to an app. Before templates are read: they are translated."""
    languages.init_app(app)
    formats.init_app(app)
    standing.init_app(app)
    speech.speaks(holder.name, words.sentence)
    app.jinja_env.globals.update(card_logged_in=logged_in, own_card=own_card, icon_url=install.icon_url)
    app.jinja_env.globals.update(
        explained=callwords.explained,
        movement=callwords.movement,
        country_name=prices.country,
        price_headline=prices.headline,
        price_per_minute=prices.per_minute,
        price_notes=prices.price_notes,
        price_bought=prices.bought,
    )
    app.register_blueprint(holder)
