"""Blocks of table rows in PostgreSQL's binary COPY format, put together a column at a time.

All rows of a block have columns of the same widths, so that a block is one array of records: constants are written
once for all rows and the rest is copied in as arrays. That costs a fraction of formatting row by row.
Format: PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Comes before the first block of a COPY."""

TRAILER = b"\xff\xff"
"""Comes after the last one."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Value = int | str | bytes | datetime | None


class Layout:
    """The columns of a block: for each either its constant value or, as a `Varying`, the type it changes in.

    `integers` names the columns that are smallint (2), integer (4); other whole numbers are bigint (8 bytes).
    """

    def __init__(self, table: str, columns: dict[str, Value | Varying], **integers: int) -> None:
        fields: list[tuple[str, str]] = [("fields", ">i2")]
        constants: dict[str, Any] = {"fields": len(columns)}
        for name, value in columns.items():
            kind, constant = _encode(value, integers.get(name, 8))
            width = -1 if kind is None else np.dtype(kind).itemsize
            fields.append((f"{name} length", ">i4"))
            constants[f"{name} length"] = width
            if kind is not None:
                fields.append((name, kind))
                if not isinstance(value, Varying):
                    constants[name] = constant
        self._row = np.zeros(1, np.dtype(fields))
        for name, constant in constants.items():
            self._row[name] = constant
        self.statement = "COPY {} ({}) FROM STDIN (FORMAT binary)".format(table, ", ".join(columns))

    def block(self, count: int, **columns: NDArray[Any]) -> bytes:
        """The rows of a block. Bytes columns come as arrays of unsigned bytes, shape (count, width)."""
        rows = np.empty(count, self._row.dtype)
        rows[:] = self._row
        for name, values in columns.items():
            target = rows[name]
            if target.dtype.kind == "V":
                values = np.ascontiguousarray(values).view(target.dtype).reshape(count)
            rows[name] = values
        return rows.tobytes()


class Varying:
    """A column that differs from row to row: whole numbers (no width) or bytes of one width."""

    def __init__(self, width: int | None = None) -> None:
        self.width = width


def _encode(value: Value | Varying, integer: int) -> tuple[str | None, Any]:
    if value is None:
        return None, None
    if isinstance(value, Varying):
        return (f">i{integer}", None) if value.width is None else (f"V{value.width}", None)
    if isinstance(value, int):
        return f">i{integer}", value
    if isinstance(value, datetime):
        return ">i8", (value - _EPOCH) // timedelta(microseconds=1)
    data = value.encode() if isinstance(value, str) else value
    # As void, not as numpy's string type, which would drop zero bytes at the end.
    return f"V{len(data)}", np.void(data)
