"""Reading what a switch sends: one JSON object, strictly, and its fields as the engine's types.

Refused before any field is looked at: another content type (415), more than 64 KiB (413), and (400) bytes that are not
UTF-8, syntax that is not JSON (RFC 8259, without NaN and Infinity), a key that comes twice, nesting without end.
Numbers with a fraction become `Decimal`, never a float.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, NoReturn

from flask import Request, request
from marshmallow import Schema, ValidationError, fields, validates_schema
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy

from portal.switch_api.problems import Problem

MAX_BODY_BYTES = 64 * 1024
MAX_SECONDS = 10**9
CALL_REF = r"^(?!\.{1,2}$)[!-.0-~]{1,128}$"
"""A call_ref stands in a path: printable ASCII without space and slash, up to 128 characters."""
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class StrictParser(FlaskParser):
    """webargs' parser with a strict body and our problems instead of its errors."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        return strict_body(req)

    def load_headers(self, req: Request, schema: Schema) -> MultiDictProxy:
        # Werkzeug joins nothing here: a header that comes twice is read once, as the first.
        return MultiDictProxy(req.headers, schema)

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> NoReturn:
        told = error.normalized_messages()
        place, found = next(iter(told.items())) if len(told) == 1 else ("", told)
        errors = found if place in ("json", "query", "headers", "path") else told
        status = 400 if place == "headers" else 422
        raise Problem(status, "invalid", "Some of what was sent is not right.", errors=errors)


def strict_body(req: Request) -> dict[str, Any]:
    """The request's body as one JSON object. Raises `Problem`."""
    if req.mimetype != "application/json" or req.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise Problem(415, "not_json", "Send application/json in UTF-8.")
    req.max_content_length = MAX_BODY_BYTES
    try:
        body = json.loads(
            req.get_data(cache=False).decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_no_constant,
            object_pairs_hook=_no_twins,
        )
    except UnicodeDecodeError:
        raise Problem(400, "bad_encoding", "The body is not UTF-8.") from None
    except RecursionError:
        raise Problem(400, "too_deep", "The body is nested too deeply.") from None
    except ValueError:
        raise Problem(400, "bad_json", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Problem(422, "invalid", "The body must be one JSON object.")
    return body


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem(400, "duplicate_key", "A key comes twice in the body.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise Problem(400, "bad_json", "NaN and Infinity are not JSON.")


class Text(fields.String):
    """A text without control or invisible characters. In a message it is never repeated: it may be a secret."""

    def __init__(self, longest: int, *, pattern: str | None = None, **more: Any) -> None:
        metadata = {"minLength": 1, "maxLength": longest, **more.pop("metadata", {})}
        if pattern:
            metadata["pattern"] = pattern
        self.longest = longest
        self.pattern = re.compile(pattern) if pattern else None
        super().__init__(metadata=metadata, **more)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("Must be a text.")
        if not 1 <= len(value) <= self.longest:
            raise ValidationError(f"Must have 1 to {self.longest} characters.")
        if _INVISIBLE.search(value):
            raise ValidationError("Holds a control or invisible character.")
        if self.pattern and not self.pattern.search(value):
            raise ValidationError("Has characters that can't be in it.")
        return value


class Seconds(fields.Field[int]):
    """A duration in seconds, fractions allowed; whole milliseconds inside, a rest rounded up."""

    def __init__(self, **more: Any) -> None:
        metadata = {"type": "number", "minimum": 0, "maximum": MAX_SECONDS, **more.pop("metadata", {})}
        super().__init__(metadata=metadata, **more)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise ValidationError("Must be a number of seconds.")
        if not 0 <= value <= MAX_SECONDS:
            raise ValidationError(f"Must be between 0 and {MAX_SECONDS}.")
        return int((Decimal(value) * 1000).to_integral_value(ROUND_CEILING))


class Instant(fields.AwareDateTime):
    """A time with its zone (RFC 3339), between the years 2000 and 2199."""

    def _deserialize(self, value: Any, *args: Any, **more: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(
            r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", value, re.ASCII
        ):
            raise ValidationError("Must be a time with its zone, such as 2026-01-31T09:00:00Z.")
        try:
            found = super()._deserialize(value.upper().replace(" ", "T"), *args, **more)
        except OverflowError:
            found = None
        if found is None or not 2000 <= found.year < 2200:
            raise ValidationError("Must be between the years 2000 and 2199.")
        return found


class Body(Schema):
    """A request's fields: those named, and no other."""


class WithCredentials(Body):
    """Exactly one proof: a card_token; card_number and password; or the caller alone (PINless)."""

    card_number = Text(64, metadata={"description": "The card's number.", "example": "880123456789"})
    password = Text(64, metadata={"description": "The card's password.", "writeOnly": True})
    caller = Text(64, metadata={"description": "The number that calls in (ANI).", "example": "+15551230001"})
    access_number = Text(64, metadata={"description": "The number that was called (DNIS)."})

    @validates_schema
    def one_proof(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse none, half and two proofs."""
        token, number, password = ("card_token" in data), ("card_number" in data), ("password" in data)
        if number != password:
            raise ValidationError("card_number and password go together.")
        if token and number:
            raise ValidationError("Give a card_token or a card_number with its password, not both.")
        if not (token or number or "caller" in data):
            raise ValidationError("Give a card_token, a card_number with its password, or a caller.")


def bearer() -> str | None:
    """The key of the Authorization header, where there is one."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None
