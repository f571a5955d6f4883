"""The bodies of requests: their fields, and the ways to prove a card, of which one is taken.

Each body is documented as one schema for each way, so that what the document allows is what is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.cards.access import Credentials
from portal.switch_api.fields import Field, Flag, Hidden, Seconds, Shaped, Text, Time, Whole, WrongError
from portal.switch_api.problems import Problem, wrong_fields

CALL_REF_PATTERN = r"(?!\.{1,2}$)[ -.0-~]{1,128}"
"""Printable ASCII without a slash, and nothing that a path treats as a step up: it stands in the address, too."""

CALL_REF = Shaped(
    name="call_ref",
    description="Your own name for the call, unique on your switch: 1 to 128 printable ASCII characters, no slash.",
    example="a3f1-1700000000.42",
    required=True,
    pattern=CALL_REF_PATTERN,
    otherwise="bad_call_ref",
)
NUMBER = Text(
    name="card_number",
    description="The card's number as it was keyed in.",
    example="881234567890",
    longest=64,
)
PASSWORD = Hidden(
    name="password", description="The card's password as it was keyed in.", example="48151623", longest=64
)
TOKEN = Hidden(
    name="card_token",
    description="The token that authenticate answered; it opens the card while it is used or its call lasts.",
    example="ctt_5mUu2Zt0b1JgDqk0v8cJ8m7o4i7Gf3eH2pXw1rSyTzA",
    longest=128,
)
CALLER = Text(
    name="caller",
    description="The number that calls in. Leave it out, or send null or nothing in it, where it is withheld.",
    example="+14155550123",
    nullable=True,
    shortest=0,
    longest=255,
)
CALLER_ALONE = Text(
    name="caller",
    description="The number that calls in, alone: it opens the card that it is bound to without a password (PINless).",
    example="+14155550123",
    required=True,
    longest=255,
)
ACCESS_NUMBER = Shaped(
    name="access_number",
    description="The number that was called to reach us; it says how numbers are dialled and what that costs.",
    example="+442079460000",
    nullable=True,
    pattern=r"(\+?[0-9]{3,15})?",
    otherwise="bad_access_number",
)
DESTINATION = Text(
    name="destination",
    description="The number that is wanted, with country code, or as dialled in the access number's country.",
    example="8801712345678",
    required=True,
    longest=128,
)
ONE_SHOT = Flag(
    name="one_shot",
    description="true: you will not ask again, so all that is affordable is granted at once; false: a slice is "
    "granted, and progress extends it.",
    example=False,
    nullable=True,
    default=True,
)
ANSWERED_AT = Time(
    name="answered_at",
    description="When the other side picked up; left out, now.",
    example="2026-11-20T12:00:07Z",
    nullable=True,
)
ELAPSED = Seconds(
    name="elapsed_seconds",
    key="elapsed_ms",
    description="How long the call has lasted since its answer.",
    example=540,
    required=True,
)
DURATION = Seconds(
    name="duration_seconds",
    key="duration_ms",
    description="How long the call lasted since its answer; 0 where it was not answered.",
    example=60.5,
    required=True,
)
CAUSE = Whole(
    name="cause",
    description="Why it ended, by Q.850 (16: normal clearing).",
    example=16,
    nullable=True,
    low=0,
    high=999,
)
VOUCHER_NUMBER = Text(
    name="voucher_number",
    description="The voucher's number.",
    example="991234567890",
    longest=64,
    required=True,
)
VOUCHER_PASSWORD = Hidden(
    name="voucher_password",
    description="The voucher's password.",
    example="31415926",
    longest=64,
    required=True,
)
DECK = Text(name="deck", description="The name of a rate deck.", example="Standard", longest=100)

_PROOFS = (NUMBER, PASSWORD, TOKEN)
_WAYS = {"Number": (NUMBER, PASSWORD), "Token": (TOKEN,), "Caller": (CALLER_ALONE,)}


@dataclass(frozen=True)
class Body:
    """What a request may hold. `ways`: those in which it may prove a card, none where it names a call instead."""

    name: str
    fields: tuple[Field, ...]
    ways: tuple[str, ...] = ()
    may_be_empty: bool = False
    _known: dict[str, Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        proofs = _PROOFS if self.ways else ()
        object.__setattr__(self, "_known", {one.name: one for one in (*proofs, *self.fields)})

    def read(self, given: Any) -> dict[str, Any]:
        """The fields' values by their keys, with `credentials` where a card is to be proven. Raises `Problem`."""
        if type(given) is not dict:
            raise Problem(422, "not_an_object")
        values: dict[str, Any] = {}
        errors: list[tuple[str | None, str]] = []
        left = len(given)
        for name, known in self._known.items():
            if name in given:
                left -= 1
                try:
                    values[known.key or name] = known.read(given[name])
                except WrongError as wrong:
                    errors.append((name, wrong.code))
            elif known.required:
                errors.append((name, "missing_field"))
            else:
                values[known.key or name] = known.default
        if left:
            errors += [(_tellable(name), "unknown_field") for name in given if name not in self._known]
        if not errors and self.ways:
            errors += self._credentials(values)
        if errors:
            raise wrong_fields(errors)
        return values

    def _credentials(self, values: dict[str, Any]) -> list[tuple[str | None, str]]:
        """Take the one way that was chosen; returns what is wrong with the choice."""
        number, password, token = (values.pop(proof.name) for proof in _PROOFS)
        if token is not None:
            if number is not None or password is not None:
                return [(TOKEN.name, "credentials_mixed")]
            values["credentials"] = Credentials(token=token)
        elif number is not None or password is not None:
            if number is None or password is None:
                return [(NUMBER.name if number is None else PASSWORD.name, "missing_field")]
            values["credentials"] = Credentials(number, password)
        elif "Caller" not in self.ways or not values.get("caller"):
            return [(None, "credentials_missing")]
        else:
            values["credentials"] = Credentials()
        return []

    def schemas(self) -> dict[str, dict[str, Any]]:
        """Its JSON Schemas by name: one, or one for each way to prove a card."""
        if not self.ways:
            return {self.name: _object(self.fields)}
        made = {}
        for way in self.ways:
            proofs = _WAYS[way]
            taken = {one.name for one in proofs}
            rest = [one for one in self.fields if one.name not in taken]
            made[f"{self.name}By{way}"] = _object((*proofs, *rest), required=taken)
        return made


def _object(fields: Iterable[Field], required: set[str] | None = None) -> dict[str, Any]:
    fields = list(fields)
    must = [one.name for one in fields if one.required or one.name in (required or ())]
    made: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: one.schema() for one in fields},
        "additionalProperties": False,
    }
    return {**made, "required": must} if must else made


def _tellable(name: str) -> str | None:
    """A name that may be repeated: a misspelt field, and not something that stands where none belongs."""
    plain = name.isascii() and name.replace("_", "").isalpha() and len(name) <= 40
    return name if plain else None


AUTHENTICATE = Body("Authenticate", (CALLER, ACCESS_NUMBER), ways=("Number", "Token", "Caller"))
AUTHORIZE = Body(
    "Authorize",
    (CALL_REF, DESTINATION, CALLER, ACCESS_NUMBER, ONE_SHOT),
    ways=("Number", "Token", "Caller"),
)
ANSWER = Body("Answer", (ANSWERED_AT,), may_be_empty=True)
PROGRESS = Body("Progress", (ELAPSED,))
END = Body("End", (DURATION, CAUSE))
RECHARGE = Body("Recharge", (VOUCHER_NUMBER, VOUCHER_PASSWORD, CALLER), ways=("Number", "Token"))
