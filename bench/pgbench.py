"""The limit: pgbench runs `limit_call.sql`, the least that PostgreSQL must do for a call, on tables of its own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from sqlalchemy import make_url

from engine.embedded import binary

HERE = Path(__file__).parent
CLIENTS = 8


def prepare(url: str, cards: int) -> None:
    """Make and fill the tables of the limit in the database of `url`."""
    _run(
        url,
        "psql",
        "-q",
        "-v",
        f"ncards={cards}",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        str(HERE / "limit_schema.sql"),
    )
    _run(url, "psql", "-q", "-c", "VACUUM ANALYZE limit_card")


def calls_per_second(url: str, *, hot: bool = False, seconds: int = 5, cards: int = 100_000) -> float:
    """Calls a second by 8 clients: spread over `cards` cards, or all on one."""
    spread = 1 if hot else cards
    options = ["-n", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "-D", f"ncards={spread}"]
    told = _run(url, "pgbench", *options, "-f", str(HERE / "limit_call.sql"))
    found = re.search(r"tps = ([0-9.]+)", told)
    if found is None:
        raise RuntimeError(f"pgbench said nothing of its speed: {told}")
    return float(found[1])


def _run(url: str, program: str, *options: str) -> str:
    parts = make_url(url)
    environment = {
        **os.environ,
        "PGHOST": str(parts.query.get("host", parts.host or "")),
        "PGPORT": str(parts.port or 5432),
        "PGUSER": parts.username or "",
        "PGPASSWORD": str(parts.password or ""),
        "PGDATABASE": parts.database or "",
        "PGOPTIONS": "-c client_min_messages=warning",
    }
    done = subprocess.run(
        [str(binary(program)), *options], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr}")
    return done.stdout
