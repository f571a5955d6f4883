"""Sentences about acts: what somebody did or wants to do, to what, and the facts behind it. All of it is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from flask import Flask, url_for
from markupsafe import Markup, escape

from engine.people.audit import AuditView
from engine.people.consents import ConsentView
from engine.people.subjects import subject_names
from engine.permissions import PERMISSIONS, STAFF_ROLES
from engine.settings_en import WORDS as SETTINGS
from portal.formats import amount, count, money, serial, when
from portal.installation import db
from portal.operator.console import may
from portal.operator.people.actwords import (
    ACTS,
    LOOKS,
    NOUNS,
    ROLES,
    SECTIONS,
    SHOP_ROLES,
    asked_words,
    done_words,
)

_AMOUNTS = frozenset(
    (
        *("amount", "amount_due", "balance", "bonus", "charged", "credit_limit", "day_limit", "denomination"),
        *("due", "fee", "left_over", "month_limit", "per_call", "per_minute", "price", "threshold", "total"),
    )
)
"""Facts in micro-units."""
_LABELS = {
    "again": "Once more",
    "at": "When",
    "codes_left": "Recovery codes left",
    "day_limit": "At most a day",
    "discount_bp": "Discount",
    "last_serial": "Last serial",
    "line": "Line",
    "links": "Rows in the chain",
    "login": "Log-in name",
    "month_limit": "At most a month",
    "percent_bp": "Percent",
    "ref": "Log-in",
    "second": "Second step",
    "seq": "Link",
    "unchained": "Rows not in the chain yet",
}
_HIDDEN = frozenset({"digest", "fingerprint", "asked_digest"})
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)", re.ASCII)
_PAGES: Mapping[str, tuple[str, str]] = {
    "account": ("money.see", "/money/accounts/{}"),
    "auto_recharge": ("settings.see", "/settings/auto-recharge"),
    "batch": ("batches.see", "/batches/{}"),
    "bonus_rule": ("settings.see", "/settings/bonus"),
    "brand": ("brand.set", "/settings/brand"),
    "card": ("cards.see", "/cards/{}"),
    "deck": ("decks.see", "/rates/{}"),
    "destination_rules": ("settings.see", "/settings/destinations"),
    "export_template": ("batches.see", "/templates/{}"),
    "reseller": ("resellers.see", "/resellers/{}"),
    "reseller_person": ("resellers.see", "/resellers/people/{}"),
    "run": ("cards.see", "/bulk/{}"),
    "setting": ("settings.see", "/settings"),
    "staff": ("people.see", "/people/{}"),
    "switch": ("settings.see", "/settings/switches"),
}
"""Where a subject has its page, and what opens it."""


def init_app(app: Flask) -> None:
    """Make the words known to the templates."""
    app.jinja_env.filters.update(
        capitalized=capitalized, fact_rows=fact_rows, role_word=role_word, role_meaning=role_meaning
    )


def capitalized(sentence: Markup) -> Markup:
    """A sentence that begins with a capital, though markup follows."""
    return sentence[:1].upper() + sentence[1:]


def role_word(role: str) -> str:
    """A role by the word that people say."""
    return {**ROLES, **SHOP_ROLES}.get(role, (role.capitalize(), ""))[0]


def role_meaning(role: str) -> str:
    """What a role is for, in a sentence."""
    return {**ROLES, **SHOP_ROLES}.get(role, ("", ""))[1]


def role_table() -> list[tuple[str, list[tuple[str, list[bool]]]]]:
    """What each role of the staff may do, in sections: lines (words, one yes or no for each role)."""
    looks = [(f"See {words}", _granted(name)) for name, words in LOOKS.items()]
    tables = [("Look", [line for line in looks if any(line[1])])]
    for title, nouns in SECTIONS:
        names = [name for name in PERMISSIONS if name.split(".")[0] in nouns and name not in LOOKS]
        lines = [(asked_words(name).capitalize(), _granted(name)) for name in names]
        tables.append((title, [line for line in lines if any(line[1])]))
    return tables


def _granted(permission: str) -> list[bool]:
    return [role in PERMISSIONS[permission] for role in STAFF_ROLES]


def action_choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every act as a choice of the audit search, in the sections of the console: (title, [(name, words)])."""
    titled = dict.fromkeys((noun for _, nouns in SECTIONS for noun in nouns), "")
    titled.update({noun: title for title, nouns in SECTIONS for noun in nouns})
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title, _ in SECTIONS}
    for name in ACTS:
        words = done_words(name)
        if name.startswith("reseller_person.") and "{}" not in ACTS[name][1]:
            words = f"{words} at a reseller".replace("at a reseller at a reseller", "at a reseller")
        groups[titled[name.split(".")[0]]].append((name, words.capitalize()))
    return list(groups.items())


class Names:
    """The names of subjects of one page, read at once."""

    def __init__(self, subjects: Iterable[str]) -> None:
        self.known = subject_names(db(), subjects)

    def told(self, subject: str) -> Markup:
        """A subject in words, as a link where it has a page that the reader may open."""
        kind, _, number = subject.partition(":")
        words = _subject_words(kind, number, self.known.get(subject))
        where = address_of(subject)
        return Markup('<a href="{}">{}</a>').format(where, words) if where else words


def address_of(subject: str) -> str | None:
    """The page of a subject, where it has one that the reader may open."""
    kind, _, number = subject.partition(":")
    permission, path = _PAGES.get(kind, ("", ""))
    if not path or not may(permission) or ("{}" in path and not (number.isascii() and number.isdecimal())):
        return None
    return path.format(number)


def _subject_words(kind: str, number: str, name: str | None) -> Markup:
    if kind == "card":
        return Markup("the card {}").format(serial(number))
    if kind == "cards":
        first, dash, last = number.partition("-")
        if not dash:
            return Markup("many cards")
        return Markup("the cards {} to {}").format(serial(first), serial(last))
    if kind == "setting":
        known = SETTINGS.get(number)
        return Markup("the setting “{}”").format(known.label if known else number)
    if kind == "access_number":
        return Markup('the access number <bdi class="digits">+{}</bdi>').format(number)
    if kind == "destination_group":
        return Markup("the destination group <bdi>{}</bdi>").format(number)
    if kind == "brand":
        return Markup("the operator")
    if kind == "audit":
        return Markup("the audit trail")
    noun = NOUNS.get(kind, kind.replace("_", " ")).removeprefix("a ").removeprefix("an ")
    if name is not None:
        if kind in ("staff", "reseller_person", "reseller"):
            return Markup("<bdi>{}</bdi>").format(name)
        return Markup("the {} <bdi>{}</bdi>").format(noun, name)
    if number and not number.isdecimal():
        return Markup("the {} <bdi>{}</bdi>").format(noun, number)
    return Markup("{} {}").format(noun, number)


def act_said(row: AuditView, names: Names) -> Markup:
    """An audit row as a sentence, without who did it: `locked the card 1000 …`."""
    both = ACTS.get(row.action)
    phrase = "did “" + row.action.replace("_", " ") + "” to {}" if both is None else both[1]
    sentence = escape(phrase).format(names.told(row.subject))
    if row.action == "consent.decide":
        sentence = escape("approved {}" if row.data.get("approved") else "refused {}").format(
            names.told(row.subject)
        )
    return sentence


def consent_said(one: ConsentView, names: Names) -> Markup:
    """What a consent is about: `recharge the card 1000 …: USD 500.00`."""
    both = ACTS.get(one.action)
    phrase = escape(both[0] if both else one.action.replace("_", " ") + " {}")
    sentence = phrase.format(names.told(one.subject))
    currency = str(one.facts.get("currency") or "")
    total = one.facts.get("total", one.facts.get("amount", one.facts.get("credit_limit")))
    if type(total) is int:
        sentence += Markup(": {}").format(money(total, currency) if currency else amount(total))
    if one.action == "bulk.recharge":
        sentence += Markup(" in all, {} cards").format(count(int(one.facts.get("cards") or 0)))
    if one.action == "setting.set":
        sentence += Markup(" from {} to {}").format(
            _value("", one.facts.get("before"), ""), _value("", one.facts.get("after"), "")
        )
    return sentence


def fact_rows(facts: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Facts of an act as pairs (label, value): amounts as money, times in the reader's zone, the rest as it is."""
    currency = str(facts.get("currency") or "")
    return [
        (_label(name), _value(name, value, currency))
        for name, value in facts.items()
        if name not in _HIDDEN
        and value not in (None, {}, [])
        and not (name == "currency" and _has_amount(facts))
    ]


def _has_amount(facts: Mapping[str, Any]) -> bool:
    return any(name in _AMOUNTS for name in facts)


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _value(name: str, value: Any, currency: str) -> Markup:
    if isinstance(value, Mapping):
        inner = str(value.get("currency") or currency)
        parts = [
            Markup("{}: {}").format(_label(key), _value(key, part, inner)) for key, part in value.items()
        ]
        return Markup(", ").join(parts)
    if isinstance(value, list):
        shown = [_value(name, part, currency) for part in value[:20]]
        more = [Markup("and {} more").format(count(len(value) - 20))] if len(value) > 20 else []
        return Markup(", ").join([*shown, *more])
    tell = _TELLERS.get(type(value))
    return Markup("<bdi>{}</bdi>").format(value) if tell is None else tell(name, value, currency)


def _number(name: str, value: int, currency: str) -> Markup:
    if name in _AMOUNTS:
        return money(value, currency) if currency else escape(amount(value))
    if name.endswith("_bp"):
        return escape(f"{value // 100}.{value % 100:02d} %")
    return escape(value if name.endswith("id") or name in ("work", "run", "seq", "export") else count(value))


def _text(name: str, value: str, currency: str) -> Markup:
    if _INSTANT.fullmatch(value):
        return when(datetime.fromisoformat(value))
    if name in ("serial", "first", "last", "from", "to") and re.fullmatch(r"[0-9]{11}", value, re.ASCII):
        return Markup('<a href="{}">{}</a>').format(url_for("operator.card", serial=value), serial(value))
    return Markup("<bdi>{}</bdi>").format(value)


_TELLERS: dict[type, Callable[[str, Any, str], Markup]] = {
    bool: lambda name, value, currency: escape("yes" if value else "no"),
    int: _number,
    str: _text,
    type(None): lambda name, value, currency: escape("none"),
}
