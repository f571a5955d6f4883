"""One act on many cards: what exactly, a look at what it would do, why, then how far it is and what came of it.

words.py      verbs, runs and filters in words
targets.py    which cards: ticked ones, all that a search finds, a list, what an earlier run changed
forms.py      what is asked for each verb, and what is asked before it counts
ordering.py   from the form over the preview to the run
runs.py       runs: the list, one of them, its files, stopping and going on, taking it back
"""

from __future__ import annotations

from portal.operator.bulk import ordering, runs

__all__ = ["ordering", "runs"]
