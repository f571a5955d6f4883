"""Switches and their keys. A key is shown once, when it is made."""

from __future__ import annotations

import re

from flask import abort, url_for
from flask.typing import ResponseReturnValue
from wtforms import TextAreaField

from engine.people import switches
from engine.people.switches import SwitchView
from engine.vault import Secret
from portal.forms import ChoiceField, CommandForm, SwitchField, TextField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond

_BELIEVED = "Its caller numbers can be believed"
_BELIEVED_HINT = "Only then may a registered phone call without a password (PINless)."
_SWITCH = "/settings/switches/<int(max=9223372036854775807):switch_id>"


class _ChangeForm(CommandForm):
    addresses = TextAreaField(
        "Asks from",
        description="One address or network a line, such as 10.0.0.7 or 10.0.0.0/8. Left empty: from anywhere.",
        render_kw={"rows": 3, "spellcheck": "false"},
    )
    trusted = SwitchField(_BELIEVED, default=True, description=_BELIEVED_HINT)


class _AddForm(_ChangeForm):
    name = TextField("Name", description="As your people call it, such as Asterisk Dhaka.")
    first = ("name",)


class _KeyForm(CommandForm):
    prefix = ChoiceField("Key")


@console.get("/settings/switches")
@needs("settings.see")
def switch_list() -> ResponseReturnValue:
    """Every switch with the beginnings of its keys."""
    return respond("operator/rules/switches.html", switches=switches.list_switches(db()))


@console.route("/settings/switches/new", methods=["GET", "POST"])
@needs("switch.add")
def switch_add() -> ResponseReturnValue:
    """Add a switch and show its key."""
    form = _AddForm()
    ask = Ask("Add a switch", "Add it", url_for("operator.switch_list"))
    return act(
        form,
        lambda: switches.add_switch(
            db(),
            form.name.data,
            actor(),
            now(),
            trusted_callers=form.trusted.data,
            addresses=_lines(form.addresses.data),
        ),
        ask,
        done="",
        result=lambda made: _show_key(made[0].name, made[1]),
    )


@console.route(_SWITCH + "/change", methods=["GET", "POST"])
@needs("switch.change")
def switch_change(switch_id: int) -> ResponseReturnValue:
    """Change where a switch asks from, and whether its callers are believed."""
    found = _found(switch_id)
    form = _ChangeForm(data={"addresses": "\n".join(found.addresses), "trusted": found.trusted_callers})
    return act(
        form,
        lambda: switches.change_switch(
            db(),
            found.name,
            actor(),
            now(),
            trusted_callers=form.trusted.data,
            addresses=_lines(form.addresses.data),
        ),
        Ask(f"Change {found.name}", "Save", url_for("operator.switch_list")),
        done=f"{found.name} is changed, from its next request on.",
    )


@console.route(_SWITCH + "/rotate", methods=["GET", "POST"])
@needs("switch.rotate")
def switch_rotate(switch_id: int) -> ResponseReturnValue:
    """Make a second key, so that the old one can be replaced without stopping calls."""
    found = _found(switch_id)
    ask = Ask(
        f"New key for {found.name}",
        "Make a new key",
        url_for("operator.switch_list"),
        intro="Both keys work until you come back and end the old one.",
    )
    return act(
        CommandForm(),
        lambda: switches.rotate_key(db(), found.name, actor(), now()),
        ask,
        done="",
        result=lambda key: _show_key(found.name, key),
    )


@console.route(_SWITCH + "/finish", methods=["GET", "POST"])
@needs("switch.finish_rotation")
def switch_finish(switch_id: int) -> ResponseReturnValue:
    """End every key but the newest."""
    found = _found(switch_id)
    ask = Ask(
        f"End the old key of {found.name}",
        "End the old key",
        url_for("operator.switch_list"),
        intro="Do it once the switch uses the new one: requests with the old key are refused at once.",
        tone="bad",
    )
    return act(
        CommandForm(),
        lambda: switches.finish_rotation(db(), found.name, actor(), now()),
        ask,
        done=f"Only the newest key of {found.name} works now.",
    )


@console.route(_SWITCH + "/revoke-key", methods=["GET", "POST"])
@needs("switch.revoke_key")
def switch_revoke_key(switch_id: int) -> ResponseReturnValue:
    """End one key, such as one that leaked."""
    found = _found(switch_id)
    form = _KeyForm()
    form.prefix.choices = [(key.prefix, f"{key.prefix}…") for key in found.keys]
    ask = Ask(
        f"End a key of {found.name}",
        "End this key",
        url_for("operator.switch_list"),
        intro="Requests with it are refused at once, for good.",
        tone="bad",
    )
    return act(
        form,
        lambda: switches.revoke_key(db(), found.name, form.prefix.data, actor(), now()),
        ask,
        done=f"That key of {found.name} works no more.",
    )


@console.route(_SWITCH + "/revoke", methods=["GET", "POST"])
@needs("switch.revoke")
def switch_revoke(switch_id: int) -> ResponseReturnValue:
    """Refuse a switch for good."""
    found = _found(switch_id)
    ask = Ask(
        f"Revoke {found.name}",
        "Revoke it for good",
        url_for("operator.switch_list"),
        intro="All its keys end at once and its name stays taken. Calls that are live end by themselves later.",
        tone="bad",
    )
    return act(
        CommandForm(),
        lambda: switches.revoke_switch(db(), found.name, actor(), now()),
        ask,
        done=f"{found.name} is revoked.",
    )


def _found(switch_id: int) -> SwitchView:
    for switch in switches.list_switches(db()):
        if switch.id == switch_id:
            return switch
    abort(404)


def _lines(text: str | None) -> list[str]:
    return [part for part in re.split(r"[\s,;]+", text or "") if part]


def _show_key(name: str, key: Secret) -> ResponseReturnValue:
    return respond(
        "operator/once.html",
        block="form",
        title=f"The key of {name}",
        intro="Put it into the switch: it sends “Authorization: Bearer” and this key with every request.",
        secrets=[("Key", key.value)],
        back=url_for("operator.switch_list"),
    )
