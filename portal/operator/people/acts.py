"""What is done about somebody's log-in, the same for staff and for a reseller's people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import abort
from flask.typing import ResponseReturnValue

from engine.people import sessions
from engine.people.entrance import Commands, Realm
from engine.people.logins import LogIn
from portal.forms import CommandForm
from portal.installation import db, installation, now
from portal.operator.act import Ask, act
from portal.operator.console import actor
from portal.operator.people.forms import PersonForm, WhyForm
from portal.operator.people.secrets import show_password
from portal.operator.people.words import role_word


@dataclass(frozen=True, slots=True)
class Desk:
    """The log-ins of one realm: `choices` of roles, `page` and `enable` are addresses of somebody's pages."""

    realm: Realm[Any]
    commands: Commands[Any]
    choices: list[tuple[str, str]]
    page: Callable[[LogIn], str]
    enable: Callable[[LogIn], str]

    def change_person(self, person: LogIn) -> ResponseReturnValue:
        """Give somebody another name or role."""
        form = PersonForm(data={"name": person.name, "role": person.role})
        form.role.choices = self.choices
        return act(
            form,
            lambda: self.commands.change(
                db(), person.login, actor(), now(), name=form.name.data, role=form.role.data
            ),
            self._ask(person, f"Change {person.name}", "Save", "They have to log in again."),
            done=lambda after: f"{after.name} is {role_word(after.role).lower()} now.",
        )

    def disable_person(self, person: LogIn) -> ResponseReturnValue:
        """Keep somebody out."""
        form = WhyForm()
        return act(
            form,
            lambda: self.commands.disable(db(), person.login, actor(), now(), form.reason.data),
            self._ask(
                person,
                f"Disable {person.name}",
                "Disable the log-in",
                "They are logged out at once and can't log in again. What they did keeps their name.",
                "bad",
            ),
            done=f"{person.name} can't log in any more.",
            undo=(self.enable(person), "Enable again"),
        )

    def enable_person(self, person: LogIn) -> ResponseReturnValue:
        """Let somebody back in."""
        ask = self._ask(
            person, f"Enable {person.name}", "Enable the log-in", "They log in with the password they had."
        )
        return act(
            CommandForm(),
            lambda: self.commands.enable(db(), person.login, actor(), now()),
            ask,
            done=f"{person.name} can log in again.",
        )

    def reset_password(self, person: LogIn) -> ResponseReturnValue:
        """Give somebody a new password, shown this once."""
        return act(
            CommandForm(),
            lambda: self.commands.reset_password(db(), installation().vault, person.login, actor(), now()),
            self._ask(
                person,
                f"New password for {person.name}",
                "Make a new password",
                "The one they have ends at once, and they are logged out everywhere. You see the new one once.",
            ),
            done="",
            result=lambda made: show_password(person.name, person.login, made, self.page(person)),
        )

    def reset_second(self, person: LogIn) -> ResponseReturnValue:
        """Take the second factor of somebody away who lost it."""
        form, vault = WhyForm(), installation().vault
        return act(
            form,
            lambda: self.commands.reset_totp(db(), vault, person.login, actor(), now(), form.reason.data),
            self._ask(
                person,
                f"Take the second factor of {person.name} away",
                "Take it away",
                "For who lost phone and recovery codes. They are logged out, and log in by password alone.",
                "bad",
            ),
            done=lambda had: f"{person.name} has no second factor any more." if had else "They had none.",
        )

    def end_sessions(self, person: LogIn, ref: str | None = None) -> ResponseReturnValue:
        """End all log-ins of somebody, or the one that lists name `ref`."""
        if ref is not None and ref not in {one.ref for one in self.sessions(person)}:
            abort(404)
        form = WhyForm()
        title = f"End all log-ins of {person.name}" if ref is None else f"End a log-in of {person.name}"
        return act(
            form,
            lambda: self.commands.end_sessions(
                db(), person.login, actor(), now(), ref=ref, reason=form.reason.data
            ),
            self._ask(person, title, "End them" if ref is None else "End it", "They have to log in again."),
            done=lambda ended: f"Ended: {ended}.",
        )

    def sessions(self, person: LogIn) -> list[sessions.SessionView]:
        """Where somebody is logged in."""
        return sessions.list_sessions(db(), self.realm.name, person.id, now())

    def _ask(self, person: LogIn, title: str, submit: str, intro: str, tone: str = "") -> Ask:
        return Ask(title, submit, self.page(person), intro=intro, tone=tone)
