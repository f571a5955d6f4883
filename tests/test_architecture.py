"""The import rules of the house: who may know whom. Read from the source, so that lazy imports count too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Inside the engine, from the top down; what is not named here is the foundation. Nobody imports upwards.
FLOORS = ["reports", "bulk", "stock", "calls", "funds", "cards", "people", "foundation"]

# What each part of the house must not import.
FORBIDDEN = {
    "engine": {
        "portal",
        "jobs",
        "cli",
        "demo",
        "bench",
        "tests",
        "flask",
        "werkzeug",
        "wtforms",
        "gunicorn",
        "apscheduler",
    },
    "portal": {"jobs", "cli", "demo", "bench", "tests"},
    "jobs": {"portal", "cli", "demo", "bench", "tests", "flask"},
    "cli": {"bench", "tests"},
    "demo": {
        "portal",
        "jobs",
        "cli",
        "bench",
        "tests",
        "flask",
        "werkzeug",
        "wtforms",
        "gunicorn",
        "apscheduler",
    },
}


def _sources(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(source: str, module: str, is_package: bool) -> set[str]:
    """Every module that a source imports, by full name, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[
                    : None if is_package and node.level == 1 else -node.level + is_package
                ]
                base = ".".join([*parents, *([base] if base else [])])
            found.add(base)
            # `from engine import settings` names a module, too.
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {
                arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            }
    return found


def _imported_by(path: Path) -> set[str]:
    return _imports(path.read_text("utf-8"), _module(path), path.name == "__init__.py")


def _floor(module: str) -> int:
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 and parts[1] in FLOORS else "foundation"
    return FLOORS.index(room)


@pytest.mark.parametrize("part", FORBIDDEN)
def test_parts_of_the_house_keep_to_themselves(part: str) -> None:
    sources = _sources(part)
    assert sources
    broken = {
        (_module(path), name)
        for path in sources
        for name in _imported_by(path)
        if name.split(".")[0] in FORBIDDEN[part]
    }
    assert not broken


def test_inside_the_engine_nobody_imports_upwards() -> None:
    # The map of the schema for migrations is read by nobody; `engine` itself, the bare package, is no room.
    broken = {
        (_module(path), name)
        for path in _sources("engine")
        for name in _imported_by(path)
        if name.startswith("engine.") and _floor(name) < _floor(_module(path))
    }
    assert not broken


def test_only_its_own_command_knows_the_demo_world() -> None:
    # `serve`, `up` and every other command import nothing of it, so that it never gets into an operator's books.
    knowing = {
        path.name for path in _sources("cli") if any(n.split(".")[0] == "demo" for n in _imported_by(path))
    }
    assert knowing == {"demo.py"}


def test_the_engine_never_reads_a_clock() -> None:
    clocks = {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "time.time",
        "time.localtime",
    }
    broken = {
        (_module(path), ast.unparse(node.func))
        for path in _sources("engine")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("datetime.") in clocks | {"now"}
    }
    assert not broken


@pytest.mark.parametrize(
    ("source", "module", "expected"),
    [
        ("import flask", "engine.x", "flask"),
        ("def f():\n    from portal import respond", "engine.x", "portal.respond"),
        ("from ..calls import rating", "engine.funds.ledger", "engine.calls.rating"),
        ("from . import ledger", "engine.funds.recharges", "engine.funds.ledger"),
        ("from .ledger import post", "engine.funds", "engine.funds.ledger"),
        ("importlib.import_module('portal.x')", "engine.x", "portal.x"),
    ],
)
def test_the_rules_see_every_way_to_import(source: str, module: str, expected: str) -> None:
    assert expected in _imports(source, module, is_package=module == "engine.funds")
