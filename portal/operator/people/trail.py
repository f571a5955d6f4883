"""The audit trail: found by who, what, on what, why and when; exported; verified on a button."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue

from engine.cards.serials import card_id_of
from engine.errors import EngineError, InvalidInput
from engine.people import audit, auditchain, staff
from engine.people.auditchain import ChainProblem, Head, Report
from engine.people.logins import list_log_ins
from engine.reports.auditexport import AUDIT
from portal import arguments
from portal.formats import count
from portal.forms import CommandForm, UploadField, attempt
from portal.installation import db, installation, now, zone
from portal.notices import said
from portal.operator.calls.exports import order_export
from portal.operator.console import actor, console, needs
from portal.operator.people.actwords import ACTS
from portal.operator.people.words import Names, act_said, action_choices
from portal.respond import go_to, respond
from portal.security import takes_files

FIELDS = ("person", "action", "subject", "reason", "since", "until")
OTHERS = (("console", "The command line"), ("system", "Cardtone itself"))
PROBLEMS = {
    "altered": "Row {audit_id} of the trail (link {seq}) was altered.",
    "out_of_order": "Row {audit_id} belongs at link {seq}: rows were put in another order.",
    "added": "Row {audit_id} went around the chain: it was added, or its link was taken away.",
    "head_forged": "The head was not exported by this installation, or was changed.",
    "truncated": "The chain ends before the head that was exported: from link {seq} on it is gone.",
    "head_differs": "Link {seq} is another one than when the head was exported: the chain was written anew.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for: as the address says it, and as the engine takes it."""

    shown: dict[str, str]
    given: dict[str, object]

    @property
    def plain(self) -> dict[str, str]:
        """What is looked for as JSON can hold it."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in self.given.items()
        }


class VerifyForm(CommandForm):
    """What the chain is compared with, if anything."""

    head = UploadField(
        "Head from before",
        required=False,
        description="A file that was exported here earlier and kept elsewhere. It shows whether the end was cut off.",
    )


@console.get("/audit")
@needs("audit.see")
def audit_trail() -> ResponseReturnValue:
    """Rows that fit, newest first."""
    asked = _asked()
    page = audit.search(db(), before=arguments.key("before"), **asked.given)  # type: ignore[arg-type]
    names = Names(row.subject for row in page.rows)
    older = None if page.next is None else url_for("operator.audit_trail", **asked.shown, before=page.next)
    return respond(
        "operator/people/audit.html",
        block="list",
        rows=[(row, act_said(row, names)) for row in page.rows],
        asked=dict.fromkeys(FIELDS, "") | asked.shown,
        older=older,
        first=url_for("operator.audit_trail", **asked.shown),
        later="before" in request.args,
        people=[(f"staff:{one.id}", one.name) for one in list_log_ins(db(), staff.REALM)] + list(OTHERS),
        actions=action_choices(),
        export=url_for("operator.audit_export", **asked.shown),
    )


@console.route("/audit/export", methods=["GET", "POST"])
@needs("audit.see")
def audit_export() -> ResponseReturnValue:
    """Leave work that writes all rows that fit to a file."""
    asked = _asked()
    about = "what your search finds" if asked.given else "the whole trail"
    return order_export(AUDIT.name, asked.plain, about, url_for("operator.audit_trail", **asked.shown))


@console.route("/audit/verify", methods=["GET", "POST"])
@needs("audit.verify")
@takes_files
def audit_verify() -> ResponseReturnValue:
    """Recompute the chain and say what was found."""
    form = VerifyForm()
    report = None
    if request.method == "POST" and form.validate():
        report = attempt(form, lambda: _verified(form))
    status = 422 if form.refused else 200
    problems = [_problem(problem) for problem in report.problems] if report else []
    return respond(
        "operator/people/verify.html",
        block="form",
        status=status,
        form=form,
        report=report,
        problems=problems,
    )


@console.post("/audit/head")
@needs("audit.export_head")
def audit_head() -> ResponseReturnValue:
    """The head of the chain, signed, as a small file to be kept on another machine."""
    try:
        auditchain.extend(db(), now())
        head = auditchain.export_head(db(), installation().vault, actor(), now())
    except EngineError:
        said("The chain is empty yet: it grows within seconds. Try again.", kind="warn")
        return go_to(url_for("operator.audit_verify"))
    answer = Response(json.dumps(dataclasses.asdict(head)) + "\n", mimetype="application/json")
    answer.headers["Content-Disposition"] = f'attachment; filename="audit-head-{head.seq}.json"'
    return answer


def _verified(form: VerifyForm) -> Report:
    head = _head(form.head.content) if form.head.content else None
    auditchain.extend(db(), now())
    return auditchain.verify(db(), installation().vault, actor(), now(), head=head)


def _head(content: bytes) -> Head:
    try:
        facts = json.loads(content.decode())
        head = Head(*(facts[name] for name in ("seq", "hash", "at", "signature")))
        texts = (head.hash, head.at, head.signature)
        if type(head.seq) is not int or not all(isinstance(part, str) for part in texts):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidInput("bad_head", field="head") from None
    return head


def _problem(problem: ChainProblem) -> str:
    if problem.kind == "missing":
        row = "" if problem.audit_id is None else f" (row {count(problem.audit_id)} of the trail)"
        return (
            f"Link {problem.seq}{row} is missing." if problem.seq else f"Row {problem.audit_id} is missing."
        )
    return PROBLEMS[problem.kind].format(audit_id=problem.audit_id, seq=problem.seq)


def _asked() -> Asked:
    shown: dict[str, str] = {}
    given: dict[str, object] = {}
    for name in ("person", "subject", "reason"):
        text = arguments.words(name)
        if text is not None:
            shown[name] = text
            given[{"person": "actor"}.get(name, name)] = _subject(text) if name == "subject" else text
    action = arguments.choice("action", ACTS.keys() | {f"{name.split('.')[0]}." for name in ACTS})
    if action is not None:
        shown["action"] = given["action"] = action
    since, until = arguments.day("since"), arguments.day("until")
    if since is not None:
        shown["since"], given["since"] = since.isoformat(), _begin(since)
    if until is not None:
        shown["until"], given["until"] = until.isoformat(), _begin(until + timedelta(days=1))
    return Asked(shown, given)


def _subject(text: str) -> str:
    """A serial stands for its card; the rest is as the trail writes it."""
    if ":" in text:
        return text
    try:
        card_id_of(text)
    except InvalidInput:
        return text
    return f"card:{text}"


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), zone()).astimezone(UTC)
