"""Views of lists that people keep: each sees their own, and a few that teach what the list can do."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.exceptions import BadRequest

from engine.people import views
from engine.people.views import LONGEST_NAME, MOST_VIEWS, View
from portal.forms import CommandForm, SwitchField, TextField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import console, needs
from portal.operator.search.asked import PAGE, Asked, asked_by, asked_of
from portal.operator.search.form import chips
from portal.respond import respond

BOTH = ["GET", "POST"]
VIEW = "<int(max=9223372036854775807):view_id>"
BUILT_IN = (
    ("Expiring in 7 days", (("status", "active"), ("expires", "next-7-days"), ("sort", "expires"))),
    ("Locked", (("status", "locked"),)),
    (
        "Empty, first used lately",
        (("status", "empty"), ("first_used", "last-30-days"), ("sort", "-first_used")),
    ),
    ("Held back", (("released", "no"),)),
)


class Shown(NamedTuple):
    """A view as a link."""

    name: str
    query: str
    url: str
    id: int | None = None


class NameForm(CommandForm):
    """A name for a view."""

    name = TextField("Name", most=LONGEST_NAME)


class SaveForm(NameForm):
    """A name, and whether it may stand for something else from now on."""

    replace = SwitchField("Replace the view that has this name")


@console.get("/cards/views")
@needs("cards.see")
def card_views() -> ResponseReturnValue:
    """One's own views, to rename or delete them."""
    shown = [(view, [text for text, _ in chips(_asked(view.query))]) for view in own_views(PAGE)]
    return respond("operator/search/views.html", views=shown, most=MOST_VIEWS)


@console.route("/cards/views/new", methods=BOTH)
@needs("cards.see")
def save_card_view() -> ResponseReturnValue:
    """Keep the list that the rest of the address describes."""
    asked = asked_of(request.args)
    form = SaveForm(data={"name": request.args.get("name", "")[:LONGEST_NAME]})
    return act(
        form,
        lambda: views.save_view(
            db(), _me(), PAGE, form.name.data, asked.query(), now(), replace=form.replace.data
        ),
        Ask(
            "Keep this view", "Keep it", asked.url(), "Its filter, columns and order stand above the search."
        ),
        done=lambda _: f"The view {form.name.data} is kept.",
    )


@console.route(f"/cards/views/{VIEW}/rename", methods=BOTH)
@needs("cards.see")
def rename_card_view(view_id: int) -> ResponseReturnValue:
    """Give a view another name."""
    view = views.find_view(db(), _me(), view_id)
    form = NameForm(data={"name": view.name})
    return act(
        form,
        lambda: views.rename_view(db(), _me(), view_id, form.name.data),
        Ask("Rename view", "Rename", url_for("operator.card_views")),
        done=lambda _: f"The view is named {form.name.data} now.",
    )


@console.route(f"/cards/views/{VIEW}/delete", methods=BOTH)
@needs("cards.see")
def delete_card_view(view_id: int) -> ResponseReturnValue:
    """Forget a view."""
    view = views.find_view(db(), _me(), view_id)
    again = f"{url_for('operator.save_card_view')}?{_with_name(view)}"
    return act(
        CommandForm(),
        lambda: views.delete_view(db(), _me(), view_id),
        Ask(
            f"Delete the view {view.name}?",
            "Delete",
            url_for("operator.card_views"),
            "No card is touched.",
            "bad",
        ),
        done=f"The view {view.name} is deleted.",
        undo=(again, "Undo"),
    )


def own_views(page: str) -> list[Shown]:
    """The reader's views of a page."""
    kept = views.list_views(db(), _me(), page)
    return [Shown(view.name, view.query, _asked(view.query).url(), view.id) for view in kept]


def built_in() -> list[Shown]:
    """The views that everybody has."""
    made = [(name, asked_by(pairs)) for name, pairs in BUILT_IN]
    return [Shown(name, asked.query(), asked.url()) for name, asked in made]


def _asked(query: str) -> Asked:
    """What a kept query asks for. It was written by `Asked.query`, perhaps by an older one."""
    try:
        return asked_by(parse_qsl(query))
    except BadRequest:
        return Asked()


def _with_name(view: View) -> str:
    return "&".join(part for part in (view.query, urlencode({"name": view.name})) if part)


def _me() -> int:
    return int(current_user.id)
