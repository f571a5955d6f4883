"""One's own page: password, second factor, and where one is logged in; for staff and for a reseller's people alike.

What takes protection away is proven anew, by password or code: an open page is not the person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.errors import Conflict, InvalidInput, Unauthorized
from engine.people import entrance, secondfactor, sessions
from engine.people.entrance import Realm
from engine.people.logins import LogIn, log_in_page
from engine.people.sessions import SessionView
from engine.vault import Secret
from portal.forms import CommandForm, place
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.people.forms import (
    WRONG_CODE,
    WRONG_PASSWORD,
    CodesForm,
    EnrolForm,
    PasswordForm,
    ProveForm,
    RemoveForm,
    proven,
)
from portal.operator.people.secrets import show_codes, show_enrolment
from portal.respond import go_to, respond
from portal.security import client_address
from portal.sessions import actor, log_out, own_token


@dataclass(frozen=True, slots=True)
class Own:
    """The own pages of one realm; their endpoints are called `me`, `me_password` and so on in each blueprint."""

    realm: Realm[Any]

    def page(self, intro: str, **more: Any) -> ResponseReturnValue:
        """What I am here, and how I prove it. `intro`: who changes the rest."""
        token = own_token()
        return respond(
            "operator/people/me.html",
            intro=intro,
            person=self.person(),
            sessions=self._sessions(),
            end_own=lambda one: url_for(".me_end_session", ref=one.ref),
            this=None if token is None else sessions.ref_of(token),
            **more,
        )

    def person(self) -> LogIn:
        """My log-in."""
        return log_in_page(db(), self.realm, self._id())

    def change_password(self) -> ResponseReturnValue:
        """Change one's own password; one has to log in again, everywhere."""
        form = PasswordForm()

        def change() -> object:
            old, new = Secret(form.old.data or ""), Secret(form.password.data or "")
            vault, address = installation().vault, client_address()
            return entrance.change_password(db(), vault, self.realm, self._id(), old, new, address, now())

        return act(
            form,
            lambda: proven(form.old, WRONG_PASSWORD, change),
            Ask(
                "Change your password",
                "Change it",
                url_for(".me"),
                intro="You are logged out everywhere, here as well, and log in with the new one.",
            ),
            done="",
            result=lambda _: _log_in_again("Your password is changed. Log in with the new one."),
        )

    def end_session(self, ref: str) -> ResponseReturnValue:
        """End one of one's own log-ins."""
        if ref not in {one.ref for one in self._sessions()}:
            abort(404)
        intro = "Whoever uses it has to log in again."
        return act(
            CommandForm(),
            lambda: sessions.close_own(db(), self.realm.name, self._id(), ref),
            Ask("End this log-in", "End it", url_for(".me"), intro=intro, tone="bad"),
            done="That log-in is over.",
        )

    def end_others(self) -> ResponseReturnValue:
        """End all of one's own log-ins but this one."""
        intro = "Everywhere but here you have to log in again."
        return act(
            CommandForm(),
            lambda: sessions.close_own(db(), self.realm.name, self._id(), None, kept=own_token()),
            Ask("End your other log-ins", "End them", url_for(".me"), intro=intro),
            done=lambda ended: f"Ended: {ended}. You are logged in only here.",
        )

    def begin_second(self) -> ResponseReturnValue:
        """Ask for the password, then show what the authenticator app must know."""
        form = ProveForm()
        vault, me = installation().vault, self._id()

        def prove() -> object:
            password = Secret(form.password.data or "")
            return entrance.enrolment_ticket(db(), vault, self.realm, me, password, client_address(), now())

        def show(ticket: Secret) -> ResponseReturnValue:
            begun = secondfactor.begin_proven(db(), vault, self.realm, ticket, now(), me)
            return _show_secret(EnrolForm(formdata=None, ticket=ticket.value), begun)

        intro = "You need an authenticator app on your phone. From then on a log-in takes your password and its code."
        ask = Ask("Set up a second factor", "Go on", url_for(".me"), intro=intro)
        return act(form, lambda: proven(form.password, WRONG_PASSWORD, prove), ask, done="", result=show)

    def confirm_second(self) -> ResponseReturnValue:
        """Take the first code of the app, and show the recovery codes."""
        form = EnrolForm()
        vault, me, ticket = installation().vault, self._id(), Secret(form.ticket.data or "")
        try:
            if form.validate():
                try:
                    codes = secondfactor.confirm_proven(
                        db(), vault, self.realm, ticket, form.code.data or "", now(), me
                    )
                    return show_codes(codes, url_for(".me"))
                except InvalidInput as error:
                    place(form, error)
            return _show_secret(form, secondfactor.begun(db(), vault, self.realm, ticket, now(), me))
        except (Unauthorized, Conflict):
            said("That took too long, or was done already. Nothing was changed just now.", kind="warn")
            return go_to(url_for(".me"))

    def new_codes(self) -> ResponseReturnValue:
        """Ten new recovery codes."""
        form = CodesForm()
        intro = "The ten you have now are worth nothing afterwards."
        return act(
            form,
            lambda: proven(
                form.code, WRONG_CODE, self._with_code(secondfactor.new_recovery_codes, form.code.data)
            ),
            Ask("New recovery codes", "Make new ones", url_for(".me"), intro=intro),
            done="",
            result=lambda codes: show_codes(codes, url_for(".me")),
        )

    def remove_second(self) -> ResponseReturnValue:
        """Give the second factor up; one has to log in again."""
        form = RemoveForm()
        password = Secret(form.password.data or "")
        return act(
            form,
            lambda: proven(
                form.code,
                "The password or the code is not right.",
                self._with_code(secondfactor.remove, password, form.code.data),
            ),
            Ask(
                "Remove your second factor",
                "Remove it",
                url_for(".me"),
                intro="Whoever knows your password can log in as you afterwards. You are logged out everywhere.",
                tone="bad",
            ),
            done="",
            result=lambda _: _log_in_again("Your second factor is removed. Log in by your password."),
        )

    def _with_code(self, do: Callable[..., Any], *proofs: object) -> Callable[[], Any]:
        """`do` about oneself, with what proves that one is oneself."""
        given = [proof or "" for proof in proofs]
        return lambda: do(db(), installation().vault, self.realm, self._id(), *given, client_address(), now())

    def _id(self) -> int:
        return actor().id or 0

    def _sessions(self) -> list[SessionView]:
        return sessions.list_sessions(db(), self.realm.name, self._id(), now())


def _log_in_again(text: str) -> ResponseReturnValue:
    """What ended one's own log-in as well leads to the log-in."""
    log_out()
    said(text)
    return go_to(url_for(".log_in", next=url_for(".me")))


def _show_secret(form: EnrolForm, begun: secondfactor.Enrolment) -> ResponseReturnValue:
    return show_enrolment(begun, form, url_for(".me_second_confirm"), url_for(".me"))
