"""The English catalogue: every code in the source has a sentence, and sentences are put together well."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.errors import REASONS, InvalidInput, NotFound
from engine.messages import MESSAGES, sentence
from engine.money import AmountError, parse_amount
from engine.refusal import Refusal

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for part in ("engine", "portal", "jobs", "cli", "demo") for path in (ROOT / part).rglob("*.py")
)
TREES = {path: ast.parse(path.read_text(), str(path)) for path in SOURCES}
CONSTANTS = {
    node.target.id if isinstance(node, ast.AnnAssign) else node.targets[0].id: [node.value]
    for tree in TREES.values()
    for node in tree.body
    if (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    or (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name))
    if isinstance(node.value, ast.Dict)
}
"""The tables of all modules, for who imports them."""
SPECS = {"", "label", "amount", "wait"}


def carriers() -> set[str]:
    """The classes whose first argument is a code: `Refusal`, `Problem`s, and all that descend from `EngineError`."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"EngineError", "Refusal"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def codes(carried: set[str]) -> Iterator[tuple[str, str]]:
    """Where, and the code, for every error that is made; "" where the search cannot tell the code."""
    for path, tree in TREES.items():
        named = {**CONSTANTS, **_named(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in carried:
                given = [*node.args[:1], *(k.value for k in node.keywords if k.arg in ("code", "reason"))]
                seen = [text for value in given for text in _texts(value, named)]
                # What a refusal is handed from elsewhere is one of REASONS, which are looked at by themselves.
                for code in seen or ([] if _name(node.func) in ("Refusal", "Refused") else [""]):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", code


def _named(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What the functions of a module return and what its names are set to."""
    named: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            returned = [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None]
            named.setdefault(node.name, []).extend(returned)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                named.setdefault(_name(target), []).append(node.value)
    return named


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _texts(node: ast.expr, named: dict[str, list[ast.expr]]) -> Iterator[str]:
    """The texts that an expression may be: as it stands, by a condition, by a name, as a function returns it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, named)
        yield from _texts(node.orelse, named)
    elif isinstance(node, ast.Attribute) and node.attr == "code":
        # Another error's, said once more at another field: it is looked at where it is made.
        yield "unknown_setting"
    elif isinstance(node, ast.Subscript):
        yield from _texts(node.value, named)
    elif isinstance(node, ast.ListComp):
        yield from _texts(node.elt, named)
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _texts(value, named)
    elif isinstance(node, ast.Name | ast.Call):
        name = _name(node.func if isinstance(node, ast.Call) else node)
        for value in named.get(name, []):
            yield from _texts(value, {key: found for key, found in named.items() if key != name})


def test_every_code_has_a_sentence() -> None:
    found = list(codes(carriers()))
    assert len(found) > 100, "the search has lost sight of the source"
    missing = [
        f"{where} {code or '(the search cannot tell)'}" for where, code in found if code not in MESSAGES
    ]
    assert missing == [], "give these a sentence in engine/messages_en.py"


def test_every_reason_of_a_refusal_has_a_sentence() -> None:
    assert [reason for reason in REASONS if reason not in MESSAGES] == []


def test_the_search_sees_codes_however_they_are_given() -> None:
    found = {code for _, code in codes(carriers())}
    # As a word, as one of two, by a name, as what a function returns, of a class that descends from another one.
    assert {"call_not_found", "switch_exists", "switch_revoked", "comma", "too_fine", "unavailable"} <= found


@pytest.mark.parametrize("code", sorted(MESSAGES))
def test_a_sentence_is_one_and_can_be_said(code: str) -> None:
    templates = MESSAGES[code]
    for template in [templates] if isinstance(templates, str) else templates:
        fields = [(name, spec) for _, name, spec, _ in string.Formatter().parse(template) if name is not None]
        assert all(name.isidentifier() and spec in SPECS for name, spec in fields), template
        assert template[0].isupper() or template.startswith("{"), template
        assert template.endswith("."), template
        said = sentence(code, **{name: "value" for name, _ in fields})
        assert "{" not in said
        assert "?" not in said
    assert sentence(code)


def test_the_most_particular_sentence_is_said_for_which_the_data_is_there() -> None:
    assert sentence("throttled") == "There were too many tries; wait a little and try again."
    assert (
        sentence(Refusal("throttled", retry_after_s=8))
        == "There were too many tries; try again in 8 seconds."
    )
    assert sentence(NotFound("deck_not_found", deck="Retail")) == "There is no deck named Retail."
    assert sentence(NotFound("deck_not_found")) == "There is no such deck."
    assert sentence("deck_not_found", deck="Retail") == "There is no deck named Retail."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "1 second"), (89, "89 seconds"), (90, "2 minutes"), (3600, "60 minutes"), (7201, "3 hours")],
)
def test_a_wait_is_said_as_people_say_it(seconds: int, said: str) -> None:
    assert sentence(Refusal("throttled", retry_after_s=seconds)).endswith(f"try again in {said}.")


def test_empty_means_a_field_an_amount_or_a_card() -> None:
    assert sentence(InvalidInput("empty", field="number_length")) == "Fill in the number length."
    with pytest.raises(AmountError) as caught:
        parse_amount("")
    assert sentence(caught.value) == "Give an amount, such as 5.00."
    assert sentence(Refusal("empty", serial="10000000017")) == "There is nothing left on the card."


def test_values_cannot_spoil_a_sentence() -> None:
    said = sentence(NotFound("deck_not_found", deck="\x1b[2J{deck}\u202e" + "x" * 200))
    assert said.startswith(
        "There is no deck named \N{REPLACEMENT CHARACTER}[2J{deck}\N{REPLACEMENT CHARACTER}x"
    )
    assert said.endswith("x….")
    assert len(said) < 120


def test_values_are_said_in_their_own_way() -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    assert "from 2026-12-01 00:00 UTC" in sentence("effective_from_past", value=at)
    many = sentence("group_in_use", name="A", rules=[f"R{n}" for n in range(20)])
    assert "R0, R1" in many
    assert "R11, and 8 more;" in many
    assert (
        sentence("space_full", free=1234, wanted=50000)
        == "There are only 1,234 free numbers; 50,000 are wanted."
    )


def test_a_code_without_a_sentence_is_said_in_its_own_words() -> None:
    assert sentence("some_new_code", field="x") == "Some new code."
