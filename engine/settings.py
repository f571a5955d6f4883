"""Business settings: rows where they differ from their defaults, read as one frozen `Settings`.

What belongs to an installation (addresses, keys) is not here but in `engine.config`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from phonenumbers import SUPPORTED_REGIONS
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.errors import InvalidInput, NotFound
from engine.names import sought
from engine.schema import Deck, Setting


@dataclass(frozen=True, slots=True)
class Settings:
    """The rules of the house that an operator may change. Field names are the keys of the rows."""

    zone: str = "UTC"
    """The operator's time zone: validity ends at the end of a day here, and days are reported in it."""
    home_country: str = ""
    """Country (ISO 3166, two letters) for callers and destinations that no access number places; empty: none."""
    prices_deck: str = ""
    """Name of the deck whose prices everybody may look up; empty: that of the newest batch of calling cards."""
    call_cap_s: int = 14_400
    """The longest a call may be granted."""
    slice_s: int = 600
    """The slice that a switch which asks again is granted at a time."""
    low_balance_s: int = 60
    """Play the low-balance warning when this little is left."""
    tolerance_ms: int = 200
    """How far past a whole second a duration may be without being billed for the next."""
    overrun_tolerance_s: int = 2
    """How far past its grant a call may be cut and still be billed as the grant."""
    clock_tolerance_s: int = 5
    """A reported duration may exceed the time since authorization by this much; more is capped and flagged."""
    sweep_slice_s: int = 60
    """A sliced call is swept this long after its last granted slice ran out."""
    sweep_one_shot_s: int = 180
    """A one-shot call is swept this long after authorization and grant."""
    late_end_s: int = 86_400
    """An end that arrives this late still corrects a swept call."""
    token_idle_s: int = 600
    """A card_token dies when it is idle this long."""
    free_failures: int = 3
    """Wrong passwords for one number before each further one brings a doubling delay."""
    first_delay_s: int = 2
    """The first delay; it doubles with every failure."""
    max_delay_s: int = 3_600
    """The longest delay."""
    lock_failures: int = 20
    """Wrong passwords since the last right one that lock the card."""
    caller_failures: int = 6
    """Wrong passwords from one caller within `caller_window_s` before it has to wait."""
    caller_window_s: int = 600
    """How long the wrong passwords of a caller count."""
    address_failures: int = 10
    """Wrong passwords from one address of browsers within `address_window_s` before it has to wait."""
    address_window_s: int = 60
    """How long the wrong passwords of an address count."""
    guessing_per_minute: int = 60
    """More wrong passwords a minute than this, over all cards, raise an alarm and halve what a source is allowed."""
    storm_locks: int = 50
    """After this many locks by wrong passwords within `storm_window_s` no further card is locked by them."""
    storm_window_s: int = 600
    """How long a lock by wrong passwords counts towards `storm_locks`."""
    shred_days: int = 0
    """Days after generation at which a batch's sealed passwords are shredded; 0: by hand only."""
    attempts_days: int = 90
    """Days for which failed tries are kept."""
    work_days: int = 30
    """Days for which background work that is over, and runs of jobs, are kept."""
    online_least: int = 5
    """The least whole units of currency that a cardholder can pay online at once."""
    online_most: int = 100
    """The most."""
    breakage: bool = False
    """What is left on a released card is written off when its grace has ended."""
    consent_exports: bool = False
    """Exports with passwords need a second person's consent."""
    consent_recharge_over: int = 0
    """Whoever brings in more than this many whole units of currency at once needs a second person's consent; 0: nobody.

    Asked about are recharges with their bonus, adjustments upwards, deposits, credit limits, rules of auto-recharge and
    commands over many cards. Each is looked at by itself: who splits an amount stays under it, which the audit trail
    shows afterwards.
    """
    consent_hours: int = 24
    """A consent that was asked for must be given and used within so many hours."""
    totp_required: bool = False
    """People without a second factor may do nothing but enrol one."""


_DAY_S = 86_400
RANGES = {
    "call_cap_s": (1, 7 * _DAY_S),
    "slice_s": (1, _DAY_S),
    "low_balance_s": (0, 3_600),
    "tolerance_ms": (0, 999),
    "overrun_tolerance_s": (0, 3_600),
    "clock_tolerance_s": (0, 3_600),
    "sweep_slice_s": (0, _DAY_S),
    "sweep_one_shot_s": (0, _DAY_S),
    "late_end_s": (0, 90 * _DAY_S),
    "token_idle_s": (1, _DAY_S),
    "free_failures": (0, 10_000),
    "first_delay_s": (1, _DAY_S),
    "max_delay_s": (1, _DAY_S),
    "lock_failures": (1, 10_000),
    "caller_failures": (1, 10_000),
    "caller_window_s": (1, _DAY_S),
    "address_failures": (1, 10_000),
    "address_window_s": (1, _DAY_S),
    "guessing_per_minute": (1, 1_000_000),
    "storm_locks": (1, 1_000_000),
    "storm_window_s": (1, _DAY_S),
    "shred_days": (0, 3_650),
    "attempts_days": (1, 3_650),
    "work_days": (1, 3_650),
    "online_least": (1, 1_000_000),
    "online_most": (1, 1_000_000),
    "consent_recharge_over": (0, 1_000_000_000),
    "consent_hours": (1, 720),
}
"""The lowest and the highest that each whole-number setting can be."""
_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
DEFAULTS = Settings()


def load(session: Session) -> Settings:
    """The settings in force."""
    rows = session.execute(select(Setting.key, Setting.value)).all()
    return _build({row.key: row.value for row in rows})


def put(session: Session, key: str, value: Any) -> None:
    """Set one setting; None goes back to its default.

    Raises `InvalidInput` as `check` does, and `NotFound` ("deck_not_found").
    """
    check(key, value)
    if key == "prices_deck" and value:
        value = sought(value)
        if session.scalar(select(Deck.id).where(Deck.name == value)) is None:
            raise NotFound("deck_not_found", deck=value[:100])
    if value is None:
        session.execute(delete(Setting).where(Setting.key == key))
    else:
        statement = insert(Setting).values(key=key, value=value)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[Setting.key], set_={"value": statement.excluded.value}
            )
        )


def check(key: str, value: Any) -> None:
    """Refuse a setting that the house could not live with.

    Raises `InvalidInput` (unknown_setting, bad_setting, setting_out_of_range, unknown_zone, bad_country).
    """
    field = _FIELDS.get(key)
    if field is None:
        raise InvalidInput("unknown_setting", field=key)
    if value is None:
        return
    wanted = type(getattr(DEFAULTS, key))
    if type(value) is not wanted:
        raise InvalidInput("bad_setting", field=key, value=value)
    if key in RANGES:
        low, high = RANGES[key]
        if not low <= value <= high:
            raise InvalidInput("setting_out_of_range", field=key, low=low, high=high)
    if key == "zone":
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise InvalidInput("unknown_zone", field=key, value=value) from None
    if key == "home_country" and value and value not in SUPPORTED_REGIONS:
        raise InvalidInput("bad_country", field=key, value=value)


def _build(rows: dict[str, Any]) -> Settings:
    return Settings(**{key: _in_range(key, value) for key, value in rows.items() if key in _FIELDS})


def _in_range(key: str, value: Any) -> Any:
    """A row of before there was a range counts as the nearest end of it."""
    low, high = RANGES.get(key, (value, value))
    return min(max(value, low), high)
