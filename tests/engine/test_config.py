"""Installation settings and keys: read, checked, made once, and demanded in production."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.config import SETTINGS, Config, InstallationError, make_key_file, new_key

ROOT = Path(__file__).parent.parent.parent
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
OTHER = base64.urlsafe_b64encode(bytes(range(1, 33))).decode()
PRODUCTION = {
    "CARDTONE_ENV": "production",
    "CARDTONE_DATABASE_URL": "postgresql://cardtone:hush@db/cardtone",
    "CARDTONE_PEPPER": KEY,
    "CARDTONE_MASTER_KEY": KEY,
    "CARDTONE_SECRET_KEY": OTHER,
}


def config(home: Path, **environ: str) -> Config:
    return Config.from_env({"CARDTONE_HOME": str(home), **environ})


def test_an_empty_environment_is_a_development_machine() -> None:
    made = Config.from_env({})
    assert made.home == Path.cwd() / "instance"
    assert (made.bind, made.port, made.workers, made.threads) == ("127.0.0.1", 8000, 2, 8)
    assert not made.production
    assert made.database_url == ""


def test_the_defaults_in_the_table_are_the_ones_that_count() -> None:
    spelled_out = {name: default for name, default, _ in SETTINGS if default}
    assert Config.from_env(spelled_out) == Config.from_env({})


def test_the_table_in_the_readme_is_the_table() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, default, meaning in SETTINGS:
        assert f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |" in readme
    assert readme.count("| `CARDTONE_") == len(SETTINGS)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_url_is_taken_in_each_usual_form(scheme: str) -> None:
    made = Config.from_env({"CARDTONE_DATABASE_URL": f"{scheme}://me:hush@db:5432/cards?sslmode=require"})
    assert made.database_url == "postgresql+psycopg://me:hush@db:5432/cards?sslmode=require"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CARDTONE_ENV", "staging"),
        ("CARDTONE_PORT", "0"),
        ("CARDTONE_PORT", "65536"),
        ("CARDTONE_PORT", "８０"),
        ("CARDTONE_PORT", "80a"),
        ("CARDTONE_WORKERS", "0"),
        ("CARDTONE_THREADS", "-1"),
        ("CARDTONE_LOG_LEVEL", "loud"),
        ("CARDTONE_TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
        ("CARDTONE_DATABASE_URL", "mysql://root:hush@db/cards"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(InstallationError, match=name) as raised:
        Config.from_env({name: value})
    assert "hush" not in str(raised.value)


def test_proxies_are_addresses_and_networks() -> None:
    made = Config.from_env({"CARDTONE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1 2001:db8::1"})
    assert made.trusted_proxies == ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128")


def test_the_first_call_makes_keys_and_later_ones_find_them(tmp_path: Path) -> None:
    made = config(tmp_path / "home").load_keys()
    assert made == config(tmp_path / "home").load_keys()
    assert made != config(tmp_path / "elsewhere").load_keys()
    assert len({made.peppers[1], made.masters[1], made.secret_key}) == 3
    for name in ("pepper-1", "master-1", "secret-key"):
        assert stat.S_IMODE((tmp_path / "home/keys" / name).stat().st_mode) == 0o400
    for folder in ("home", "home/keys"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_a_newer_pepper_joins_the_older_one(tmp_path: Path) -> None:
    first = config(tmp_path).load_keys()
    make_key_file(tmp_path / "keys" / "pepper-2", new_key)
    both = config(tmp_path).load_keys()
    assert sorted(both.peppers) == [1, 2]
    assert both.peppers[1] == first.peppers[1] != both.peppers[2]


def test_racing_first_runs_agree_on_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: config(tmp_path).load_keys(), range(16)))
    assert all(keys == made[0] for keys in made)
    # Nothing half-written stays behind.
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == [
        "master-1",
        "pepper-1",
        "secret-key",
    ]


def test_keys_come_from_variables_and_from_the_files_they_name(tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    file.write_text(f"1:{KEY}\n2:{OTHER}\n")
    made = config(
        tmp_path, CARDTONE_PEPPER_FILE=str(file), CARDTONE_MASTER_KEY=OTHER, CARDTONE_SECRET_KEY=KEY
    ).load_keys()
    assert made.peppers == {1: bytes(range(32)), 2: bytes(range(1, 33))}
    assert made.masters == {1: bytes(range(1, 33))}
    assert made.secret_key == bytes(range(32))
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    "text", ["short", KEY[:-2], f"{KEY}AAAA", f"0:{KEY}", f"1:{KEY} 1:{OTHER}", "ключ", "*" * 43]
)
def test_a_bad_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(InstallationError, match="CARDTONE_PEPPER") as raised:
        config(tmp_path, CARDTONE_PEPPER=text).load_keys()
    assert text not in str(raised.value)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    config(tmp_path).load_keys()
    (tmp_path / "keys/master-1").chmod(0o444)
    with pytest.raises(InstallationError, match="0400"):
        config(tmp_path).load_keys()


def test_a_key_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="CARDTONE_SECRET_KEY_FILE"):
        config(tmp_path, CARDTONE_SECRET_KEY_FILE=str(tmp_path / "nowhere")).load_keys()


def test_production_starts_with_its_secrets(tmp_path: Path) -> None:
    made = config(tmp_path, **PRODUCTION)
    assert made.production
    assert made.load_keys().peppers == {1: bytes(range(32))}


@pytest.mark.parametrize("name", sorted(PRODUCTION.keys() - {"CARDTONE_ENV"}))
def test_production_refuses_to_start_without(name: str, tmp_path: Path) -> None:
    environ = {key: value for key, value in PRODUCTION.items() if key != name}
    with pytest.raises(InstallationError, match=f"{name} is not set"):
        config(tmp_path / "home", **environ).load_keys()
    assert not (tmp_path / "home").exists()


def test_production_finds_the_keys_that_development_made(tmp_path: Path) -> None:
    made = config(tmp_path).load_keys()
    later = config(tmp_path, CARDTONE_ENV="production", CARDTONE_DATABASE_URL="postgresql://db/cards")
    assert later.load_keys() == made


def test_secrets_are_masked_when_printed(tmp_path: Path) -> None:
    made = config(tmp_path, **PRODUCTION)
    printed = f"{made!r} {made} {made.load_keys()!r} {made.load_keys()}"
    for secret in (KEY, OTHER, "hush", repr(bytes(range(32)))):
        assert secret not in printed
