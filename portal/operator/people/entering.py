"""The way in: password, then a code, or a second factor set up where the house wants one and somebody has none.

The same for the console and for the reseller's desk. Between the steps the cookie carries a ticket, which is no log-in
and opens nothing but the next step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from engine.errors import Conflict, InvalidInput, Unauthorized
from engine.messages import sentence
from engine.people import entrance, secondfactor
from engine.people.entrance import EnrolmentNeeded, Identity, Realm, SecondNeeded
from engine.refusal import Refusal
from engine.vault import Secret
from portal import sessions
from portal.formats import duration
from portal.forms import place
from portal.installation import db, installation, now
from portal.operator.forms import CodeForm, LogInForm
from portal.operator.people.forms import EnrolForm
from portal.operator.people.secrets import show_codes, show_enrolment
from portal.respond import go_to, inner_path, respond
from portal.security import client_address

NO = "That log-in name and password don't fit together."
NO_CODE = "That code is not right, or was used before. Wait for the next one."
WAIT = "Too many tries. Wait {} before the next one."
_TICKET, _ENROLMENT = "ticket", "enrolment"
"""Where the cookie keeps the first step's proof until the next is taken."""
_CODE_PAGE, _ENROL_PAGE = "operator/log_in_code.html", "operator/people/enrol_first.html"
_CODES_PAGE = "operator/people/codes_first.html"


@dataclass(frozen=True, slots=True)
class Entry:
    """The log-in of one realm; its endpoints are called `log_in`, `log_in_code` and so on in each blueprint.

    `home`: the address that it leads to; `page`: the template of its first step; `within`: where all that it opens
    begins.
    """

    realm: Realm[Any]
    home: str
    page: str
    within: str = "/"

    def ask(self) -> ResponseReturnValue:
        """The form; whoever is logged in already goes on."""
        wanted = self._wanted(request.args.get("next"))
        if current_user.is_authenticated and current_user.realm == self.realm.name:
            return go_to(wanted)
        return self._show(self.page, LogInForm(next=wanted))

    def try_password(self) -> ResponseReturnValue:
        """Try a log-in. Every failure says the same; only being too quick is told."""
        form = LogInForm()
        if not form.validate_on_submit():
            return self._show(self.page, form, status=422)
        wanted, vault = self._wanted(form.next.data), installation().vault
        login, password = form.login.data, Secret(form.password.data)
        try:
            outcome = entrance.log_in(db(), vault, self.realm, login, password, client_address(), now())
            if isinstance(outcome, SecondNeeded):
                session[_TICKET] = outcome.ticket.value
                return self._on_to("log_in_code", wanted)
            if isinstance(outcome, EnrolmentNeeded):
                session[_ENROLMENT] = outcome.ticket.value
                return self._on_to("log_in_enrol", wanted)
            if not isinstance(outcome, Refusal):
                return self._enter(outcome, wanted)
        except Unauthorized as error:
            return self._show(self.page, form, status=422, refusal=sentence(error))
        return self._refused(self.page, form, outcome, NO)

    def ask_code(self) -> ResponseReturnValue:
        """The form for the second step, for who took the first."""
        wanted = self._wanted(request.args.get("next"))
        if _TICKET not in session:
            return self._on_to("log_in", wanted)
        return self._show(_CODE_PAGE, CodeForm(next=wanted))

    def try_code(self) -> ResponseReturnValue:
        """Try a code. What took too long begins anew at the first step."""
        form = CodeForm()
        wanted = self._wanted(form.next.data)
        if not form.validate_on_submit():
            return self._show(_CODE_PAGE, form, status=422)
        ticket, vault = Secret(str(session.get(_TICKET, ""))), installation().vault
        try:
            outcome = entrance.prove_second(
                db(), vault, self.realm, ticket, form.code.data, client_address(), now()
            )
            if not isinstance(outcome, Refusal):
                return self._enter(outcome, wanted)
        except Unauthorized:
            session.pop(_TICKET, None)
            return self._on_to("log_in", wanted)
        return self._refused(_CODE_PAGE, form, outcome, NO_CODE)

    def ask_enrolment(self) -> ResponseReturnValue:
        """Say that a second factor is to be set up; nothing is drawn before somebody asks for it."""
        wanted = self._wanted(request.args.get("next"))
        if _ENROLMENT not in session:
            return self._on_to("log_in", wanted)
        return respond(_ENROL_PAGE, block="form", form=EnrolForm(), qr=None, next=wanted)

    def try_enrolment(self) -> ResponseReturnValue:
        """Show the secret, or take the first code of it and let somebody in."""
        wanted, vault = self._wanted(request.args.get("next")), installation().vault
        ticket, form = Secret(str(session.get(_ENROLMENT, ""))), EnrolForm()
        try:
            if request.form.get("step") != "confirm":
                begun = secondfactor.begin_proven(db(), vault, self.realm, ticket, now())
                return self._show_secret(form, begun, wanted)
            if form.validate():
                try:
                    return self._enrol(form, ticket, wanted)
                except InvalidInput as error:
                    place(form, error)
            return self._show_secret(form, secondfactor.begun(db(), vault, self.realm, ticket, now()), wanted)
        except (Unauthorized, Conflict):
            session.pop(_ENROLMENT, None)
            return self._on_to("log_in", wanted)

    def leave(self) -> ResponseReturnValue:
        """End this log-in."""
        sessions.log_out()
        return go_to(url_for(".log_in"))

    def _enrol(self, form: EnrolForm, ticket: Secret, wanted: str) -> ResponseReturnValue:
        identity, codes = secondfactor.enrol_and_enter(
            db(), installation().vault, self.realm, ticket, form.code.data or "", client_address(), now()
        )
        self._let_in(identity)
        return show_codes(codes, wanted, template=_CODES_PAGE)

    def _enter(self, identity: Identity, wanted: str) -> ResponseReturnValue:
        self._let_in(identity)
        return go_to(wanted)

    def _let_in(self, identity: Identity) -> None:
        token = entrance.open_session(db(), self.realm, identity, client_address(), now())
        sessions.log_in(self.realm.name, token)

    def _wanted(self, target: str | None) -> str:
        path = inner_path(target, self.home)
        return path if f"{path.partition('?')[0]}/".startswith(self.within) else self.home

    def _on_to(self, step: str, wanted: str) -> ResponseReturnValue:
        return go_to(url_for(f".{step}", next=wanted))

    def _show(
        self, template: str, form: LogInForm | CodeForm, *, status: int = 200, refusal: str | None = None
    ) -> Any:
        return respond(template, block="form", status=status, form=form, refusal=refusal)

    def _show_secret(
        self, form: EnrolForm, begun: secondfactor.Enrolment, wanted: str
    ) -> ResponseReturnValue:
        action = url_for(".log_in_enrol_post", next=wanted)
        back = url_for(".log_in")
        return show_enrolment(begun, form, action, back, template=_ENROL_PAGE)

    def _refused(
        self, template: str, form: LogInForm | CodeForm, refusal: Refusal, no: str
    ) -> ResponseReturnValue:
        seconds = refusal.retry_after_s
        text = no if seconds is None else WAIT.format(duration(seconds))
        response = self._show(template, form, status=422 if seconds is None else 429, refusal=text)
        if seconds is not None:
            response.headers["Retry-After"] = str(seconds)
        return response
