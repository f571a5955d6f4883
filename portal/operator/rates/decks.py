"""Decks, their versions, and the rates of a version."""

from __future__ import annotations

from typing import Any

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.calls.deckcosts import Costs, costs_of, under_cost
from engine.calls.deckpages import DeckPage, deck_lines, rates_of, version_before, version_view, versions_of
from engine.calls.decks import VersionView, import_sample
from engine.reports.replays import replays_of
from portal import arguments
from portal.forms import CommandForm, attempt
from portal.installation import db, now
from portal.notices import said
from portal.operator.console import actor, console, may, needs
from portal.operator.rates.parts import linked, rate_place, the_deck, version_choices
from portal.respond import go_to, respond

LATEST = 5


@console.get("/rates")
@needs("decks.see")
def decks() -> ResponseReturnValue:
    """Every deck; where there is none, how to begin."""
    return respond(
        "operator/rates/decks.html", decks=deck_lines(db(), now()), form=CommandForm(formdata=None)
    )


@console.post("/rates/sample")
@needs("deck.import")
def sample_deck() -> ResponseReturnValue:
    """Import the deck to try things with that comes along."""
    form = CommandForm()
    made = form.validate() and attempt(
        form, lambda: import_sample(db(), key=form.key.data, actor=actor(), now=now())
    )
    if made:
        said(f"The deck {made.deck} has {made.total:,} rates, in force from now on.")
        return go_to(url_for("operator.deck", deck_id=made.deck_id))
    said(form.refusal or "The sample deck could not be imported.", kind="bad")
    return go_to(url_for("operator.decks"))


@console.get("/rates/<int:deck_id>")
@needs("decks.see")
def deck(deck_id: int) -> ResponseReturnValue:
    """A deck with its latest versions and the rates in force."""
    page = the_deck(deck_id)
    version = page.in_force or page.coming
    return respond(
        "operator/rates/deck.html",
        block="list",
        deck=page,
        version=version,
        versions=versions_of(db(), deck_id, now(), limit=LATEST),
        replays=replays_of(db(), deck_id, now(), limit=LATEST) if may("money.see") else [],
        **_rates(page, version, url_for("operator.deck", deck_id=deck_id)),
    )


@console.get("/rates/<int:deck_id>/versions")
@needs("decks.see")
def deck_versions(deck_id: int) -> ResponseReturnValue:
    """All versions of a deck, a page at a time."""
    found = versions_of(db(), deck_id, now(), place=arguments.place("older"))
    return respond(
        "operator/rates/versions.html",
        deck=the_deck(deck_id),
        versions=found,
        choices=version_choices(deck_id),
        later_page=arguments.place("older") is not None,
        older=arguments.written_place(found.place),
    )


@console.get("/rates/<int:deck_id>/versions/<int:version_id>")
@needs("decks.see")
def deck_version(deck_id: int, version_id: int) -> ResponseReturnValue:
    """One version of a deck and its rates."""
    page = the_deck(deck_id)
    version = version_view(db(), deck_id, version_id, now())
    return respond(
        "operator/rates/version.html",
        block="list",
        deck=page,
        version=version,
        before=version_before(db(), deck_id, version_id),
        **_rates(page, version, url_for("operator.deck_version", deck_id=deck_id, version_id=version_id)),
    )


def _rates(page: DeckPage, version: VersionView | None, url: str) -> dict[str, Any]:
    """What the list of rates needs: the rates that fit, what they cost us, how to go on."""
    words, under, place = arguments.words("q"), arguments.flag("under"), rate_place("from")
    if version is None:
        return {"rates": None, "costs": None, "lossy": 0, "url": url}
    costs: Costs | None = costs_of(db(), version.id, now())
    lossy = under_cost(db(), version.id, costs) if costs is not None else []
    only = lossy if under else None
    found = rates_of(db(), version.id, words=words or "", only=only, place=place)
    kept = {"q": words, "under": 1 if under else None}
    return {
        "rates": found,
        "costs": costs,
        "lossy": len(lossy),
        "url": url,
        "words": words,
        "under": under,
        "paged": place is not None,
        "first_url": linked(url, **kept),
        "next_url": linked(url, **kept, **{"from": "{}-{}".format(*found.place)}) if found.place else None,
    }
