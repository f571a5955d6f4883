"""What cards may call: named sets of rules over groups of destinations, given to batches and cards."""

from __future__ import annotations

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.calls import destinations
from engine.calls.destinations import BUILT_IN, RulesView
from engine.phone import GROUPS
from portal.forms import ChoiceField, CommandForm, ManyField, TextField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond

_RULES = "/settings/destinations/<int(max=9223372036854775807):rules_id>"


class _RulesForm(CommandForm):
    barred = ManyField("Never allowed")
    only = ChoiceField(
        "Everything else",
        choices=[("", "is allowed"), ("1", "is barred, but for these:")],
    )
    allowed = ManyField("Allowed where everything else is barred")


class _AddForm(_RulesForm):
    name = TextField("Name", description="As it is chosen for a batch, such as Europe only.")
    first = ("name",)


@console.get("/settings/destinations")
@needs("settings.see")
def destination_rules() -> ResponseReturnValue:
    """Every set of rules, and what the groups in them hold."""
    return respond(
        "operator/rules/destinations.html",
        rules=destinations.list_rules(db()),
        groups=destinations.list_groups(db()),
        group_word=group_word,
    )


@console.route("/settings/destinations/new", methods=["GET", "POST"])
@needs("destination_rules.add")
def destination_rules_add() -> ResponseReturnValue:
    """Add a set of rules."""
    form = _AddForm(data={"barred": ["premium", "satellite"]})
    _offer(form)
    return act(
        form,
        lambda: destinations.add_rules(db(), form.name.data, actor(), now(), **_lists(form)),
        Ask("Add destination rules", "Add them", url_for("operator.destination_rules")),
        done=lambda added: f"{added.name} can be chosen for batches and cards now.",
    )


@console.route(_RULES + "/change", methods=["GET", "POST"])
@needs("destination_rules.change")
def destination_rules_change(rules_id: int) -> ResponseReturnValue:
    """Give a set of rules other groups."""
    found = _found(rules_id)
    form = _RulesForm(
        data={
            "barred": found.barred,
            "only": "1" if found.allowed is not None else "",
            "allowed": found.allowed or (),
        }
    )
    _offer(form)
    ask = Ask(
        f"Change {found.name}",
        "Save",
        url_for("operator.destination_rules"),
        intro="It counts for every card that has these rules, from the next call on.",
    )
    return act(
        form,
        lambda: destinations.change_rules(db(), found.name, actor(), now(), **_lists(form)),
        ask,
        done=f"{found.name} is changed, from the next call on.",
    )


def group_word(name: str) -> str:
    """A group as people say it."""
    return name.replace("_", " ") if name in BUILT_IN else name


def _offer(form: _RulesForm) -> None:
    own = [group.name for group in destinations.list_groups(db())]
    choices = [
        (name, group_word(name).capitalize() if name in BUILT_IN else name) for name in (*GROUPS, *own)
    ]
    form.barred.choices = choices
    form.allowed.choices = choices


def _lists(form: _RulesForm) -> dict[str, list[str] | None]:
    return {
        "barred": form.barred.data or [],
        "allowed": (form.allowed.data or []) if form.only.data else None,
    }


def _found(rules_id: int) -> RulesView:
    for rules in destinations.list_rules(db()):
        if rules.id == rules_id:
            return rules
    abort(404)
