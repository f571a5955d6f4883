"""The list of cards: every filter in its address, columns and order as the reader chose them, views kept by name.

asked.py   what an address asks for, and addresses that ask for it
form.py    the filter as a form
page.py    the list
kept.py    views: kept, renamed, deleted
"""

from __future__ import annotations

from portal.operator.search import kept, page

__all__ = ["kept", "page"]
