"""Batches: ordering them, what became of them, files of their cards, and cards of an older system.

lists.py      the list, the page of one
orderform.py  every rule of a batch as fields; ordering.py: the form, its live outlook, a last look, the order
acts.py       stop, go on, discard, shred; ranges.py: custody and release by serials
exports.py    files that are handed out; templates.py: the forms of files that are kept by name
importing.py  cards of an older system
words.py      the section's sentences
"""

from __future__ import annotations

from portal.operator.batches import acts, exports, importing, lists, ordering, ranges, templates, words

__all__ = ["acts", "exports", "importing", "lists", "ordering", "ranges", "templates", "words"]
