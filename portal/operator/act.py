"""One way to act on one thing: a form that asks, a command that does it, a sentence that says what was done.

A GET shows the form: in a dialog over the page it was opened from, or alone where there is no JavaScript. A POST does
it and goes back; what is wrong is told in the same form, with what was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from portal.forms import CommandForm, attempt
from portal.notices import said
from portal.respond import go_to, respond


@dataclass(frozen=True, slots=True)
class Ask:
    """What stands around the form: heading, what it will do, the word on its button, where it leads back to."""

    title: str
    submit: str
    back: str
    intro: str | Markup = ""
    tone: str = ""
    hush: str = ""
    """What the way back leads to, for who arrives without a page behind the dialog."""


def act(
    form: CommandForm,
    do: Callable[[], Any],
    ask: Ask,
    *,
    done: str | Callable[[Any], str],
    undo: tuple[str, str] | None = None,
    result: Callable[[Any], ResponseReturnValue] | None = None,
    fields: Mapping[str, str] | None = None,
    template: str = "operator/act.html",
    **context: Any,
) -> ResponseReturnValue:
    """Show the form, or do what it asks for: say `done` and go back, offering `undo` (address, word).

    `result` answers instead where something must be shown once, such as a new password: nothing of it is kept.
    `done` may be made from what the command answered.
    """
    if request.method == "POST" and form.validate():
        answer = attempt(form, do, fields)
        if not form.refused:
            if result is not None:
                return result(answer)
            link, word = undo or (None, None)
            said(done if isinstance(done, str) else done(answer), link=link, link_text=word)
            return go_to(ask.back)
    status = 422 if request.method == "POST" else 200
    return respond(template, block="form", status=status, form=form, ask=ask, **context)
