"""Reading a request's body: once, and by the letter. What JSON leaves open is refused, never guessed.

No key twice, no bytes that aren't UTF-8, no depth that would exhaust the stack. Numbers never become floats: whole ones
are `int`, fractions `Decimal`; NaN, Infinity and numbers too large to hold become a `Decimal` that no field accepts.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import request
from werkzeug.http import parse_options_header

from portal.switch_api.problems import Problem

MAX_BYTES = 64 * 1024
_MANY_DIGITS = 40
_NAN = Decimal("NaN")


def read_json(*, may_be_empty: bool = False) -> Any:
    """The value in the body of this request; `{}` for no body where it `may_be_empty`. Raises `Problem`."""
    if request.content_type != "application/json" and not _is_json(may_be_empty):
        raise Problem(415, "not_json")
    data = request.get_data(cache=False)
    if request.content_length is None and len(data) >= MAX_BYTES:
        raise Problem(413, "body_too_large")  # sent in chunks, and cut off where it became too long
    if not data and may_be_empty:
        return {}
    return parse(data)


def _is_json(may_be_empty: bool) -> bool:
    kind, options = parse_options_header(request.content_type)
    if not kind:
        return may_be_empty and not request.content_length and "Transfer-Encoding" not in request.headers
    charset = options.get("charset", "utf-8").lower()
    return kind.lower() == "application/json" and charset in ("utf-8", "utf8")


def parse(data: bytes) -> Any:
    """Strict JSON. Raises `Problem` 400."""
    try:
        return _DECODER.decode(data.decode())
    except UnicodeDecodeError:
        raise Problem(400, "not_utf8") from None
    except _TwiceError:
        raise Problem(400, "json_duplicate_key") from None
    except RecursionError:
        raise Problem(400, "json_too_deep") from None
    except ValueError:
        raise Problem(400, "json_malformed") from None


class _TwiceError(Exception):
    """An object has the same key twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _whole(text: str) -> int | Decimal:
    return int(text) if len(text) < _MANY_DIGITS else _fraction(text)


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that not even a Decimal can hold
        return _NAN


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=_whole, parse_float=_fraction, parse_constant=lambda _: _NAN
)
