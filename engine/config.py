"""Installation settings: what a machine must know before the database can be asked.

They come from the environment as `CARDTONE_…`; `SETTINGS` is the one table of them, and README.md repeats it. What a
business may change while it runs (limits, grace, zone) is rows instead: `engine.settings`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

KEY_BYTES = 32


class InstallationError(Exception):
    """Something about this machine or its settings keeps Cardtone from working.

    Unlike an `EngineError` it carries its sentence: it is met before there is a catalogue, and read by whoever runs
    the machine.
    """


class Setting(NamedTuple):
    """One line of the table: the variable, its default as text, and what it means."""

    name: str
    default: str
    meaning: str


SETTINGS = (
    Setting("CARDTONE_HOME", "./instance", "folder of the keys, the logs and the embedded database"),
    Setting(
        "CARDTONE_ENV", "development", "development or production; production makes nothing up by itself"
    ),
    Setting("CARDTONE_DATABASE_URL", "", "PostgreSQL 15 or newer; without it an embedded one is used"),
    Setting(
        "CARDTONE_TEST_DATABASE_URL", "", "server for the tests; its role must be allowed to create databases"
    ),
    Setting("CARDTONE_BIND", "127.0.0.1", "address the web server listens on"),
    Setting("CARDTONE_PORT", "8000", "port the web server listens on"),
    Setting("CARDTONE_WORKERS", "2", "web processes"),
    Setting("CARDTONE_THREADS", "8", "threads of each web process"),
    Setting("CARDTONE_TRUSTED_PROXIES", "", "addresses or networks whose X-Forwarded-For counts, by comma"),
    Setting("CARDTONE_LOG_LEVEL", "info", "debug, info, warning or error"),
    Setting(
        "CARDTONE_PUBLIC_URL", "", "address at which people reach the portal, such as https://cards.example"
    ),
    Setting(
        "CARDTONE_STRIPE_SECRET_KEY", "", "key of Stripe; with it and the next, cardholders can pay online"
    ),
    Setting("CARDTONE_STRIPE_SECRET_KEY_FILE", "", "file with that key"),
    Setting("CARDTONE_STRIPE_WEBHOOK_SECRET", "", "secret that signs Stripe's messages to /webhooks/stripe"),
    Setting("CARDTONE_STRIPE_WEBHOOK_SECRET_FILE", "", "file with that secret"),
    Setting("CARDTONE_STRIPE_API", "", "address of a stand-in for Stripe's own, to try it without money"),
    Setting(
        "CARDTONE_PEPPER", "", "key of the card passwords' digests; without it, keys/pepper-N in the home"
    ),
    Setting("CARDTONE_PEPPER_FILE", "", "file with that key"),
    Setting("CARDTONE_MASTER_KEY", "", "key that wraps the sealed copies' keys; without it, keys/master-N"),
    Setting("CARDTONE_MASTER_KEY_FILE", "", "file with that key"),
    Setting("CARDTONE_SECRET_KEY", "", "key that signs cookies and forms; without it, keys/secret-key"),
    Setting("CARDTONE_SECRET_KEY_FILE", "", "file with that key"),
)
"""Every installation setting. A key is 32 random bytes in base64url; `2:KEY` after a space or line end is version 2."""

_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}
_LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Keys:
    """The installation's keys, 32 bytes each; peppers and masters by version. Masked when printed."""

    peppers: dict[int, bytes] = field(repr=False)
    masters: dict[int, bytes] = field(repr=False)
    secret_key: bytes = field(repr=False)

    def __repr__(self) -> str:
        return f"Keys(peppers={sorted(self.peppers)}, masters={sorted(self.masters)})"


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one installation, checked. Made by `from_env`; what is secret is left out of its `repr`."""

    home: Path
    production: bool = False
    database_url: str = field(default="", repr=False)
    test_database_url: str = field(default="", repr=False)
    bind: str = "127.0.0.1"
    port: int = 8000
    workers: int = 2
    threads: int = 8
    trusted_proxies: tuple[str, ...] = ()
    log_level: str = "info"
    key_settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    public_url: str = ""
    stripe_secret_key: str = field(default="", repr=False)
    stripe_webhook_secret: str = field(default="", repr=False)
    stripe_api: str = ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read and check the settings. An empty variable counts as not set.

        Raises `InstallationError` with one sentence that names the variable.
        """
        given = os.environ if environ is None else environ
        values = {name: given.get(name, "").strip() or default for name, default in _DEFAULTS.items()}
        environment = _one_of(values, "CARDTONE_ENV", ("development", "production"))
        config = cls(
            home=Path(os.path.abspath(Path(values["CARDTONE_HOME"]).expanduser())),
            production=environment == "production",
            database_url=_postgres_url(values, "CARDTONE_DATABASE_URL"),
            test_database_url=_postgres_url(values, "CARDTONE_TEST_DATABASE_URL"),
            bind=values["CARDTONE_BIND"],
            port=_whole(values, "CARDTONE_PORT", 1, 65535),
            workers=_whole(values, "CARDTONE_WORKERS", 1, 256),
            threads=_whole(values, "CARDTONE_THREADS", 1, 256),
            trusted_proxies=_networks(values, "CARDTONE_TRUSTED_PROXIES"),
            log_level=_one_of(values, "CARDTONE_LOG_LEVEL", _LOG_LEVELS),
            public_url=_web_address(values, "CARDTONE_PUBLIC_URL"),
            stripe_secret_key=_secret(values, "CARDTONE_STRIPE_SECRET_KEY"),
            stripe_webhook_secret=_secret(values, "CARDTONE_STRIPE_WEBHOOK_SECRET"),
            stripe_api=_web_address(values, "CARDTONE_STRIPE_API"),
            key_settings={
                name: value for name, value in values.items() if value and name.startswith(_KEY_SETTINGS)
            },
        )
        if bool(config.stripe_secret_key) != bool(config.stripe_webhook_secret):
            raise InstallationError(
                "CARDTONE_STRIPE_SECRET_KEY and CARDTONE_STRIPE_WEBHOOK_SECRET are needed both, or none of them."
            )
        if config.production and not config.database_url:
            raise InstallationError(
                "CARDTONE_DATABASE_URL is not set; production needs a database of its own."
            )
        return config

    @property
    def keys_dir(self) -> Path:
        """Where key files live."""
        return self.home / "keys"

    @property
    def log_dir(self) -> Path:
        """Where logs are written."""
        return self.home / "log"

    def load_keys(self) -> Keys:
        """The installation's keys: from the variables, the files they name, or the home's `keys` folder.

        What is missing is made on the first call in development, as files of mode 0400, and refused in production
        (`InstallationError`).
        """
        return Keys(
            peppers=self._versions("CARDTONE_PEPPER", "pepper"),
            masters=self._versions("CARDTONE_MASTER_KEY", "master"),
            secret_key=self._secret_key(),
        )

    def _versions(self, name: str, stem: str) -> dict[int, bytes]:
        given = self._given(name)
        if given is not None:
            return _parse_versions(given, name)
        found = self._files(stem)
        if not found:
            self._may_make(name)
            found = {1: make_key_file(self.keys_dir / f"{stem}-1", new_key)}
        return {version: _decode(text, f"{stem}-{version}") for version, text in found.items()}

    def _secret_key(self) -> bytes:
        given = self._given("CARDTONE_SECRET_KEY")
        if given is not None:
            return _decode(given, "CARDTONE_SECRET_KEY")
        path = self.keys_dir / "secret-key"
        if not path.exists():
            self._may_make("CARDTONE_SECRET_KEY")
            make_key_file(path, new_key)
        return _decode(read_key_file(path), path.name)

    def _given(self, name: str) -> str | None:
        text = self.key_settings.get(name)
        if text is not None:
            return text
        path = self.key_settings.get(f"{name}_FILE")
        if path is None:
            return None
        try:
            return Path(path).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise InstallationError(f"{name}_FILE names {path}, which cannot be read.") from None

    def _files(self, stem: str) -> dict[int, str]:
        names = sorted(os.listdir(self.keys_dir)) if self.keys_dir.is_dir() else []
        matches = (re.fullmatch(rf"{stem}-([1-9]\d{{0,4}})", name) for name in names)
        return {int(match[1]): read_key_file(self.keys_dir / match[0]) for match in matches if match}

    def _may_make(self, name: str) -> None:
        if self.production:
            raise InstallationError(
                f"{name} is not set; production starts only with keys that you made and keep."
            )


_KEY_SETTINGS = ("CARDTONE_PEPPER", "CARDTONE_MASTER_KEY", "CARDTONE_SECRET_KEY")


def new_key() -> str:
    """A fresh key as text: 32 bytes of the operating system's randomness in base64url."""
    return secrets.token_urlsafe(KEY_BYTES)


def make_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter (0700); one that exists keeps its mode.

    Raises `InstallationError` where it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InstallationError(f"The folder {path} cannot be made: {error.strerror}.") from None
    return path


def make_key_file(path: Path, make: Callable[[], str]) -> str:
    """Write a new secret into `path` (mode 0400) and return it; where two race, the first one's secret wins both."""
    make_folder(path.parent.parent)
    make_folder(path.parent)
    text = make()
    # Written whole under another name first: a kill in between must not leave half a key.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        return read_key_file(path)
    except OSError as error:
        raise InstallationError(f"The key file {path} cannot be written: {error.strerror}.") from None
    return text


def read_key_file(path: Path) -> str:
    """The text of a key file. Raises `InstallationError` where others may read it or nobody can."""
    try:
        if path.stat().st_mode & 0o077:
            raise InstallationError(f"Others may read the key file {path}; give it mode 0400.")
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InstallationError(f"The key file {path} cannot be read.") from None


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _parse_versions(text: str, name: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for word in text.split():
        version, colon, key = word.rpartition(":")
        if colon and not re.fullmatch(r"[1-9]\d{0,4}", version):
            raise InstallationError(f"{name} has a version that is not a number from 1 on.")
        number = int(version) if colon else 1
        if number in keys:
            raise InstallationError(f"{name} has version {number} twice.")
        keys[number] = _decode(key, name)
    if not keys:
        raise InstallationError(f"{name} holds no key.")
    return keys


def _decode(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InstallationError(f"{name} must be {KEY_BYTES} random bytes in base64url.")
    return key


def _one_of(values: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = values[name].lower()
    if value not in allowed:
        raise InstallationError(f"{name} must be {' or '.join(allowed)}, not {values[name]}.")
    return value


def _whole(values: Mapping[str, str], name: str, low: int, high: int) -> int:
    value = values[name]
    # isdecimal would let digits of other scripts through.
    if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise InstallationError(f"{name} must be a number from {low} to {high}, not {value}.")
    return int(value)


def _secret(values: Mapping[str, str], name: str) -> str:
    """A secret as it is given, or as the file holds it that `NAME_FILE` names."""
    path = values[f"{name}_FILE"]
    if values[name] or not path:
        return values[name]
    try:
        return Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InstallationError(f"{name}_FILE names {path}, which cannot be read.") from None


def _web_address(values: Mapping[str, str], name: str) -> str:
    value = values[name].rstrip("/")
    if value and not re.fullmatch(r"https?://[^\s/?#@]+", value):
        raise InstallationError(f"{name} must be an address such as https://cards.example, not {value}.")
    return value


def _networks(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    networks = []
    for word in re.split(r"[,\s]+", values[name]):
        try:
            if word:
                networks.append(str(ipaddress.ip_network(word)))
        except ValueError:
            raise InstallationError(f"{name} must list addresses or networks, not {word}.") from None
    return tuple(networks)


def _postgres_url(values: Mapping[str, str], name: str) -> str:
    """The URL in the one form that SQLAlchemy and our `Database` take: with the driver named."""
    value = values[name]
    if not value:
        return ""
    match = re.match(r"(postgres|postgresql|postgresql\+psycopg)://", value)
    if match is None:
        # The value may hold a password: it is not repeated.
        raise InstallationError(f"{name} must begin with postgresql://.")
    return "postgresql+psycopg://" + value[match.end() :]
