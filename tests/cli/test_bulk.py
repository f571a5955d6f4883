"""`cardtone bulk` as somebody at the machine types it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.config import Config
from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.scenes import USD, TestCard, facts

from .conftest import Cardtone


@pytest.fixture
def cards(cardtone: Cardtone, db: Database) -> list[TestCard]:
    """Five unused cards of the batch May."""
    vault = Vault(Config.from_env().load_keys())
    return scenes.batch(db, vault, 5, name="May", now=datetime.now(UTC) - timedelta(hours=2))


def test_a_run_is_looked_at_done_and_shown(cardtone: Cardtone, db: Database, cards: list[TestCard]) -> None:
    seen = cardtone("bulk", "preview", "recharge", "--batch", "May", "--amount", "2.00", "--json").json
    assert (seen["cards"], seen["changing"], seen["moves"]) == (5, 5, {"USD": "10.00"})
    done = cardtone(
        "bulk",
        "run",
        "recharge",
        "--batch",
        "May",
        "--amount",
        "2.00",
        "--count",
        "5",
        "--reason",
        "gift",
        "--json",
    )
    assert done.status == 0, done.err
    assert (done.json["state"], done.json["changed"], done.json["amount"]) == ("done", 5, "10.00")
    assert facts(db, cards[0]).balance == USD("7")
    shown = cardtone("bulk", "show", "1")
    assert "5 changed, 0 were so already, 0 refused." in shown.out
    assert "recharge" in cardtone("bulk", "list").out


def test_what_moves_money_wants_the_count(cardtone: Cardtone, db: Database, cards: list[TestCard]) -> None:
    asked = ("bulk", "run", "discard", "--status", "unused", "--reason", "water")
    refused = cardtone(*asked, "--yes")
    assert refused.status == 1
    assert "--count" in refused.err
    wrong = cardtone(*asked, "--count", "4", "--json")
    assert wrong.status == 1
    assert '"targets_changed"' in wrong.err
    assert facts(db, cards[0]).balance == USD("5")


def test_a_list_of_serials_and_its_refused(
    cardtone: Cardtone, db: Database, cards: list[TestCard], tmp_path: Path
) -> None:
    file = tmp_path / "cards.txt"
    file.write_text("\n".join(card.serial for card in cards[:3]))
    done = cardtone("bulk", "run", "extend", "--file", str(file), "--days", "5", "--yes", "--json")
    assert (done.json["cards"], done.json["reasons"]) == (3, {"nothing_to_extend": 3})
    out = tmp_path / "refused.csv"
    assert cardtone("bulk", "refused", "1", "--out", str(out)).status == 0
    assert out.read_text().splitlines()[1].startswith(f"{cards[0].serial},nothing_to_extend,")
    unclear = cardtone("bulk", "preview", "unlock")
    assert "Say which cards" in unclear.err
    ranged = f"{cards[0].serial}-{cards[1].serial}"
    assert cardtone("bulk", "preview", "unlock", "--serials", ranged, "--json").json["cards"] == 2


def test_an_export_stands_in_the_home(cardtone: Cardtone, cards: list[TestCard], tmp_path: Path) -> None:
    done = cardtone("bulk", "run", "export", "--all", "--yes", "--json").json
    file = Path(done["export"]["file"])
    assert file.parent == tmp_path / "home" / "exports"
    assert (done["export"]["rows"], len(file.read_text().splitlines())) == (5, 6)


def test_a_run_waits_for_the_jobs_can_be_stopped_and_resumed(
    cardtone: Cardtone, db: Database, cards: list[TestCard]
) -> None:
    asked = ("bulk", "run", "lock", "--batch", "May", "--expires-to", "2020-01-01", "--reason", "x", "--yes")
    assert "No card" in cardtone(*asked).err
    queued = cardtone(
        "bulk", "run", "lock", "--batch", "May", "--reason", "lost", "--yes", "--no-wait", "--json"
    )
    assert queued.json["state"] == "queued"
    run = str(queued.json["id"])
    assert cardtone("bulk", "cancel", run, "--json").json["cancelled"] is True
    assert cardtone("bulk", "show", run, "--json").json["state"] == "cancelled"
    assert cardtone("bulk", "resume", run, "--json").json["changed"] == 5
    assert facts(db, cards[4]).lock_reason == "lost"


def test_a_key_sent_again_asks_for_nothing_and_gets_the_first_run(
    cardtone: Cardtone, db: Database, cards: list[TestCard]
) -> None:
    serial = cards[0].serial
    asked = ("bulk", "run", "recharge", "--serials", serial, "--amount", "1", "--key", "K")
    first = cardtone(*asked, "--count", "1")
    assert "1 card (a list)" in first.out
    again = cardtone(*asked)
    assert (again.status, again.out) == (0, first.out)
    assert facts(db, cards[0]).balance == USD("6")
    other = cardtone(*asked[:-2], "--key", "K", "--reason", "another")
    assert "key_reused" in other.err or "used before" in other.err
