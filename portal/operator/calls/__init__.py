"""Calls: those that go on, those that ended, tries that were refused, what was flagged, and full exports.

asked.py     what the address of the list of ended calls asks for
form.py      its filter as a form
ended.py     the list, its sums, one call explained
live.py      live calls, and ending one
refused.py   refused tries
flagged.py   flagged calls, and resolving them
exports.py   full exports as background work
words.py     causes, flags and fields in words
"""

from __future__ import annotations

from portal.operator.calls import ended, exports, flagged, live, refused

__all__ = ["ended", "exports", "flagged", "live", "refused"]
