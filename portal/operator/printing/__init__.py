"""Printing: designs of cards, printers and their offsets, and print runs, for the console and the reseller's desk.

The pages of a shop are these, too: what asks for its reader is handed who acts, and templates name addresses of the
blueprint that shows them (`url_for(".print_run")`).

designform.py  a design as a form; fields.py: lengths and longer texts
designs.py     the list of designs, their forms, a preview of what is typed
drawing.py     pictures of designs, one at a time
printers.py    printers, and the page to measure them by
ordering.py    what is printed, how, from which place of the sheet
runs.py        how far a run is, its file, whether it printed well
words.py       the section's sentences
"""

from __future__ import annotations

from portal.operator.printing import designs, ordering, printers, runs

__all__ = ["designs", "ordering", "printers", "runs"]
