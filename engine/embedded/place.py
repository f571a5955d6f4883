"""Where the embedded server's data and socket live, and whose they are."""

from __future__ import annotations

import grp
import hashlib
import json
import logging
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine.config import InstallationError

SYSTEM_FOLDER = Path("/var/lib/cardtone")
SYSTEM_USER = "cardtone"
# sun_path of Linux is 108 bytes with its closing zero; PostgreSQL adds its own name for the socket.
_SOCKET_DIR_BYTES = 107 - len("/.s.PGSQL.5432")

log = logging.getLogger("cardtone.embedded")


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one home's embedded server and the user it runs as."""

    home: Path
    folder: Path
    socket_dir: Path
    uid: int
    gid: int
    scratch: bool = False

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder; it exists only once it is whole."""
        return self.folder / "data"

    @property
    def foreign(self) -> bool:
        """Whether the server runs as another user than we do (we are root)."""
        return self.uid != os.geteuid()

    def remember(self) -> None:
        """Note in the home that its database exists, and where, so that its loss is never taken for a first run."""
        note = _note(self.home)
        if not self.scratch and not note.exists():
            draft = note.with_suffix(".new")
            draft.write_text(json.dumps({"data": str(self.data)}) + "\n", "utf-8")
            draft.replace(note)

    def make_own_folder(self, path: Path) -> None:
        """Make a folder that only the server's user may enter (0700).

        Raises `InstallationError` where something else, or somebody else's, stands in its place.
        """
        try:
            path.mkdir(mode=0o700)
            if self.foreign:
                os.chown(path, self.uid, self.gid)
        except FileExistsError:
            pass
        except OSError as error:
            raise InstallationError(f"The folder {path} cannot be made: {error.strerror}.") from None
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid or found.st_mode & 0o077:
            raise InstallationError(f"{path} must be a folder that only the database's own user may enter.")

    def remove(self) -> None:
        """Delete the data and the note of them; the server must be down."""
        for path in (self.folder, self.socket_dir):
            if path.exists():
                shutil.rmtree(path)
        _note(self.home).unlink(missing_ok=True)


def find_place(home: Path, scratch: Path | None = None) -> Place:
    """Where the server of this home belongs; nothing is made yet.

    `scratch`: a folder whose contents may vanish (in memory), where the data go instead. Raises `InstallationError`.
    """
    digest = hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:16]
    inside = home / "postgres"
    if os.geteuid() != 0:
        uid, gid, folder = os.geteuid(), os.getegid(), inside
    elif scratch is None and (inside / "data").exists():
        # Made by an ordinary user: root goes on as that user.
        owner = (inside / "data").stat()
        uid, gid, folder = owner.st_uid, owner.st_gid, inside
    else:
        uid, gid = _system_user()
        folder = SYSTEM_FOLDER / digest
    if scratch is not None:
        folder = scratch / f"cardtone-{uid}-{digest}"
    socket_dir = folder / "run"
    if len(os.fsencode(socket_dir)) > _SOCKET_DIR_BYTES:
        # Not the TMPDIR of the moment: every process must find the same one.
        socket_dir = Path(f"/tmp/cardtone-{uid}-{digest}")  # noqa: S108
    return Place(home, folder, socket_dir, uid, gid, scratch is not None)


def settle_in(place: Place, *, had_passwords: bool) -> None:
    """Make the place's folders, and see that what they hold is what the home remembers.

    `had_passwords`: whether the home holds the server's passwords. Data that the home knows nothing of belong to an
    earlier home at the same path: they are set aside, never opened and never deleted. A home that has lost its data or
    its passwords raises `InstallationError`: an empty database in their stead would be worse.
    """
    if place.folder.parent == SYSTEM_FOLDER:
        _make_system_folder(place)
    note = _note(place.home)
    if place.data.exists() and not had_passwords:
        if note.exists():
            raise InstallationError(
                f"The database's passwords are gone from {place.home / 'keys'}; bring them back."
            )
        _set_aside(place)
    if not place.data.exists() and not place.scratch and note.exists():
        raise InstallationError(
            f"The database of this home is gone: it was in {_noted(place.home)} and belongs in {place.data}. "
            f"Bring it back, or remove {note} to begin with an empty one."
        )
    place.make_own_folder(place.folder)
    place.make_own_folder(place.socket_dir)


def _system_user() -> tuple[int, int]:
    """The user and group `cardtone`, made where missing; we are root."""
    for command in (None, _USERADD):
        if command is not None and shutil.which(command[0]):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        try:
            user = pwd.getpwnam(SYSTEM_USER)
            return user.pw_uid, grp.getgrgid(user.pw_gid).gr_gid
        except KeyError:
            continue
    raise InstallationError(
        "PostgreSQL does not run as root and the system user cardtone cannot be made; add it, run as an ordinary "
        "user, or set CARDTONE_DATABASE_URL."
    )


_USERADD = [
    "useradd",
    "--system",
    "--user-group",
    "--no-create-home",
    f"--home-dir={SYSTEM_FOLDER}",
    "--shell=/usr/sbin/nologin",
    SYSTEM_USER,
]


def _make_system_folder(place: Place) -> None:
    try:
        # Others may pass through to what is theirs, not look around.
        SYSTEM_FOLDER.mkdir(mode=0o711)
        SYSTEM_FOLDER.chmod(0o711)
    except FileExistsError:
        found = SYSTEM_FOLDER.stat()
        passable = found.st_mode & 0o001 or (found.st_mode & 0o100 and found.st_uid == place.uid)
        if not passable:
            raise InstallationError(f"The user cardtone may not enter {SYSTEM_FOLDER}.") from None
    except OSError as error:
        raise InstallationError(f"The folder {SYSTEM_FOLDER} cannot be made: {error.strerror}.") from None


def _set_aside(place: Place) -> None:
    number = 1
    while (aside := place.folder.with_name(f"{place.folder.name}.old-{number}")).exists():
        number += 1
    place.folder.rename(aside)
    log.warning("the database of an earlier home at this path was set aside", extra={"path": str(aside)})


def _note(home: Path) -> Path:
    return home / "postgres.json"


def _noted(home: Path) -> str:
    try:
        return str(json.loads(_note(home).read_text("utf-8"))["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown place"
