"""`python -m bench [NAME …]`: run the benchmarks on a database of their own, durable as in production.

The server is the embedded one in `.bench-home`, or that of CARDTONE_TEST_DATABASE_URL.
"""

from __future__ import annotations

import importlib
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from bench.report import Report
from engine import embedded
from engine.config import Config
from engine.migrations import upgrade

ROOT = Path(__file__).parent.parent
NAMES = (
    "rating",
    "engine",
    "http",
    "generate",
    "export",
    "expiry",
    "bulk",
    "search",
    "pages",
    "holder",
    "printing",
)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of a migrated database that is dropped afterwards."""
    name = f"cardtone_bench_{secrets.token_hex(4)}"
    admin = psycopg.connect(server_url.replace("+psycopg", "", 1), autocommit=True)
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    try:
        upgrade(url, datetime.now(UTC))
        yield url
    finally:
        # Not by FORCE, which may not end an autovacuum worker; plain DROP sends it away, and we are the only others.
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        admin.close()


def main(names: list[str]) -> int:
    """Run the named benchmarks, all by default; the exit status is 1 where a goal was missed."""
    unknown = set(names) - set(NAMES)
    if unknown:
        print(
            f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}.",
            file=sys.stderr,
        )
        return 2
    report = Report()
    config = Config.from_env({**os.environ, "CARDTONE_HOME": str(ROOT / ".bench-home"), "CARDTONE_ENV": ""})
    with embedded.running(config) if not config.test_database_url else _given(config) as server:
        for name in names or NAMES:
            print(f"{name}", flush=True)
            with fresh_database(server) as url:
                importlib.import_module(f"bench.{name}").run(report, url)
    print("\n| benchmark | ratio | goal |\n|---|---|---|")
    for name, value, goal in report.ratios:
        print(f"| `{name}` | {value:.2f} | {goal:g} |")
    return int(any(value < goal for _, value, goal in report.ratios))


@contextmanager
def _given(config: Config) -> Iterator[str]:
    assert config.test_database_url
    yield config.test_database_url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
