"""Batches: ordering them, what became of them, files of their cards, and cards of an older system."""

from __future__ import annotations

from portal.operator.batches import lists, ordering, words

__all__ = ["lists", "ordering", "words"]
