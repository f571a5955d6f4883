"""Who does work of which kind. Importing the modules that own the kinds fills `engine.work.HANDLERS`."""

from __future__ import annotations

from engine import work
from engine.bulk import handler as bulk
from engine.reports import auditexport, callexports, exports, moneyexports, replay
from engine.stock import generation, handover
from engine.stock.printing import making

HANDLERS = work.HANDLERS
"""Kind → handler: `generate` makes the cards of a batch, `bulk` works off a command over many cards, `replay` prices
calls once more, `report_export` writes a list to a file,
`print` makes the PDF of a print run."""

__all__ = [
    "HANDLERS",
    "auditexport",
    "bulk",
    "callexports",
    "exports",
    "generation",
    "handover",
    "making",
    "moneyexports",
    "replay",
]
