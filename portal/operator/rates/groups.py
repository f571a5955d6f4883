"""Destination groups of the operator's own, which rules bar or allow."""

from __future__ import annotations

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue

from engine.calls.destinations import GroupView, list_groups, remove_group, set_group
from engine.errors import Conflict, NotFound
from engine.phone import GROUPS
from portal import arguments
from portal.forms import CommandForm
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.rates.forms import GroupForm
from portal.respond import respond


@console.get("/rates/groups")
@needs("decks.see")
def groups() -> ResponseReturnValue:
    """The groups by name, and those that every number falls into by itself."""
    return respond("operator/rates/groups.html", groups=list_groups(db()), built_in=GROUPS)


@console.route("/rates/groups/new", methods=["GET", "POST"])
@needs("destination_group.set")
def add_group() -> ResponseReturnValue:
    """Add a group."""
    form = GroupForm()

    def do() -> GroupView:
        if any(group.name == form.name.data for group in list_groups(db())):
            raise Conflict("name_taken", name=form.name.data)
        return set_group(db(), form.name.data or "", form.digits, actor(), now())

    ask = Ask(title="New destination group", submit="Add", back=url_for("operator.groups"))
    return act(form, do, ask, done="The group can be used in destination rules now.")


@console.route("/rates/groups/change", methods=["GET", "POST"])
@needs("destination_group.set")
def change_group() -> ResponseReturnValue:
    """Give a group other prefixes."""
    group = _the_group()
    form = GroupForm(data={"prefixes": ", ".join(group.prefixes)} if request.method == "GET" else None)
    del form.name
    return act(
        form,
        lambda: set_group(db(), group.name, form.digits, actor(), now()),
        Ask(
            title=f"Change {group.name}",
            intro="Rules that name this group follow it from the next call on.",
            submit="Save",
            back=url_for("operator.groups"),
        ),
        done=f"{group.name} has other prefixes now.",
    )


@console.route("/rates/groups/remove", methods=["GET", "POST"])
@needs("destination_group.remove")
def drop_group() -> ResponseReturnValue:
    """Remove a group that no rules name."""
    group = _the_group()
    return act(
        CommandForm(),
        lambda: remove_group(db(), group.name, actor(), now()),
        Ask(
            title=f"Remove {group.name}",
            intro=f"It holds {len(group.prefixes):,} prefixes. Groups that rules name can't be removed.",
            submit="Remove",
            tone="bad",
            back=url_for("operator.groups"),
        ),
        done=f"The group {group.name} is removed.",
    )


def _the_group() -> GroupView:
    name = arguments.words("name") or abort(404)
    found = next((group for group in list_groups(db()) if group.name == name), None)
    if found is None:
        raise NotFound("group_not_found", name=name)
    return found
