"""A card's page: what it is and why, what happened to it, what it answers, and what may be done with it.

page.py      the page, and each of its parts by itself
asked.py     its answers: why refused, where the money went, what a call would cost
shared.py    the card that an address names, and what all acts have in common
life.py      lock, unlock, void, replace, extend
holder.py    password, phones, calls at a time
money.py     recharge, correct, move to another card
stock.py     activate, hold back, sell, give to a reseller
words.py     the words of all that
"""

from __future__ import annotations

from portal.operator.card import holder, life, money, page, stock
from portal.operator.card.words import init_app

__all__ = ["holder", "init_app", "life", "money", "page", "stock"]
