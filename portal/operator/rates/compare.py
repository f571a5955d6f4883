"""What differs between two versions of a deck."""

from __future__ import annotations

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.calls.deckdiff import KINDS, all_differences, difference_counts, differences
from engine.calls.deckpages import version_before, version_view
from engine.calls.decks import VersionView
from portal import arguments
from portal.installation import db, now
from portal.operator.console import console, needs
from portal.operator.rates.imports import CHANGE_HEADER, change_rows
from portal.operator.rates.parts import csv_file, linked, prefix_place, the_deck, version_choices
from portal.respond import respond


@console.get("/rates/<int:deck_id>/compare")
@needs("decks.see")
def compare_versions(deck_id: int) -> ResponseReturnValue:
    """The prefixes that differ between two versions, a page at a time."""
    page = the_deck(deck_id)
    before, after = _both(deck_id)
    kind, words = arguments.choice("kind", KINDS), arguments.words("q")
    place = prefix_place("from")
    kinds = None if kind is None else [kind]
    found = differences(db(), before.id, after.id, kinds=kinds, words=words or "", place=place)
    here = linked(url_for("operator.compare_versions", deck_id=deck_id), before=before.id, after=after.id)
    return respond(
        "operator/rates/compare.html",
        block="list",
        deck=page,
        before=before,
        after=after,
        choices=version_choices(deck_id),
        counts=difference_counts(db(), before.id, after.id),
        found=found,
        kind=kind,
        words=words,
        paged=place is not None,
        url=here,
        first_url=linked(here, kind=kind, q=words),
        next_url=linked(here, kind=kind, q=words, **{"from": found.changes[-1].prefix})
        if found.more
        else None,
    )


@console.get("/rates/<int:deck_id>/compare.csv")
@needs("decks.see")
def compare_file(deck_id: int) -> ResponseReturnValue:
    """All that differs, as a file."""
    page = the_deck(deck_id)
    before, after = _both(deck_id)
    rows = change_rows(all_differences(db(), before.id, after.id))
    return csv_file(f"{page.name} {before.id} to {after.id}", CHANGE_HEADER, rows)


def _both(deck_id: int) -> tuple[VersionView, VersionView]:
    """The two versions of the address; the second is by itself the newest, the first the one before it."""
    after, before = arguments.key("after"), arguments.key("before")
    if after is None:
        newest = version_choices(deck_id)
        after = int(newest[0][0]) if newest else abort(404)
    if before is None:
        before = version_before(db(), deck_id, after) or after
    return version_view(db(), deck_id, before, now()), version_view(db(), deck_id, after, now())
