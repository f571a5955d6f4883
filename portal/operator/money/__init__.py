"""Money: payments, the ledger, accounts, reports, the check of the books; the rules of auto-recharge and of bonuses.

asked.py         what the address of a list asks for
forms.py         the filters of the lists as forms
payments.py      payments over all cards, and one of them
ledger.py        ledger entries over all cards
accounts.py      funding and resellers' accounts, and the acts on them
figures.py       the reports: what each shows, and by what
periods.py       the days that a report is over
reports.py       the pages of the reports and their files
books.py         the self-check of the books
autorecharge.py  rules of auto-recharge, and the cards enrolled in them
bonus.py         bonus rules
online.py        what cardholders paid online
words.py         kinds and ways in words
"""

from __future__ import annotations

from portal.operator.money import (
    accounts,
    autorecharge,
    bonus,
    books,
    ledger,
    online,
    payments,
    reports,
    words,
)
from portal.operator.money.words import init_app

__all__ = [
    "accounts",
    "autorecharge",
    "bonus",
    "books",
    "init_app",
    "ledger",
    "online",
    "payments",
    "reports",
    "words",
]
