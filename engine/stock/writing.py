"""Cards as the bytes of a file, in the form that was asked for: made piece by piece, never held whole.

**CSV** by RFC 4180; **TSV** the same with tabs; **fixed width** pads with spaces and refuses what does not fit;
**XLSX** is one sheet of text cells, the one to open in a spreadsheet, which would show the digits of a CSV file as
numbers. In the text formats free text that a spreadsheet would run as a formula gets an apostrophe in front.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyrage  # type: ignore[import-untyped]
from pyrage import x25519

from engine.errors import InvalidInput
from engine.stock.forms import ENCODINGS, LINE_ENDS, Form
from engine.stock.rows import VARYING, Block, Rows
from engine.stock.sheet import sheet_parts


def parts(form: Form, rows: Rows) -> Iterator[bytes]:
    """The file, a piece for each block of cards. Raises `InvalidInput` (column_too_narrow, encoding_unfit)."""
    if form.format == "xlsx":
        heading = form.columns if form.header else None
        yield from sheet_parts(heading, (cells(form, block) for block in rows.blocks(guard=False)))
        return
    check_encoding(form, rows.batch.name)
    encode = codecs.getincrementalencoder(ENCODINGS[form.encoding])().encode
    if form.header:
        yield encode(heading_line(form))
    for block in rows.blocks(guard=True):
        yield encode("".join(lines(form, block)))


def check_encoding(form: Form, name: str) -> None:
    """Refuse an encoding that has no sign for a batch's name, the only free text of a file."""
    if form.format == "xlsx" or "batch" not in form.columns:
        return
    try:
        name.encode(ENCODINGS[form.encoding])
    except UnicodeEncodeError:
        raise InvalidInput("encoding_unfit", field="encoding", name=name) from None


def heading_line(form: Form) -> str:
    """The line of column names."""
    if form.format == "fixed":
        # A name may be longer than its column; the values tell what it is.
        names = [name[: form.width(name)].ljust(form.width(name)) for name in form.columns]
        return "".join(names) + LINE_ENDS[form.line_end]
    return _between(form).join(form.columns) + LINE_ENDS[form.line_end]


def lines(form: Form, block: Block) -> list[str]:
    """The cards of a block as lines. Only what is alike can need quotes, so it is written once for a kind of card."""
    patterns = {kind: _pattern(form, block.fixed(kind)) for kind in block.rest}
    varying = [_values(form, block, column) for column in form.columns if column in VARYING]
    if not varying:
        return [patterns[kind] % () for kind in block.kinds]
    cards = zip(*varying, strict=True)
    if len(patterns) == 1:
        (pattern,) = patterns.values()
        return [pattern % card for card in cards]
    return [patterns[kind] % card for kind, card in zip(block.kinds, cards, strict=True)]


def cells(form: Form, block: Block) -> list[tuple[str, ...]]:
    """The cards of a block as rows of cells."""
    if not block.serials:
        return []
    varying = {name: _values(form, block, name) for name in form.columns if name in VARYING}
    rest = {kind: block.fixed(kind) for kind in block.rest}

    def column(name: str) -> Sequence[str]:
        return varying[name] if name in varying else [rest[kind][name] for kind in block.kinds]

    return list(zip(*(column(name) for name in form.columns), strict=True))


def grouped(number: str, size: int) -> str:
    """The digits of a number with a space after every `size`; 0: as they are."""
    return number if not size else " ".join(number[at : at + size] for at in range(0, len(number), size))


def _values(form: Form, block: Block, column: str) -> Sequence[str]:
    values = block.varying(column)
    if column == "number" and form.grouping:
        values = [grouped(number, form.grouping) for number in values]
    if form.format == "fixed":
        _check_width(form, column, max(map(len, values)))
    return values


def _pattern(form: Form, fixed: dict[str, str]) -> str:
    """A line with `%s` where a card differs from the others of its kind."""
    between = _between(form)
    written = [
        _place(form, name) if name in VARYING else _constant(form, name, fixed) for name in form.columns
    ]
    return between.join(written) + LINE_ENDS[form.line_end]


def _place(form: Form, name: str) -> str:
    return f"%-{form.width(name)}s" if form.format == "fixed" else "%s"


def _constant(form: Form, name: str, fixed: dict[str, str]) -> str:
    value = fixed[name]
    if form.format == "fixed":
        _check_width(form, name, len(value))
        # Amounts stand where their last digits are in one column.
        value = value.rjust(form.width(name)) if name == "denomination" else value.ljust(form.width(name))
    else:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=_between(form), lineterminator="").writerow([value])
        value = "" if value == "" else text.getvalue()
    return value.replace("%", "%%")


def _between(form: Form) -> str:
    return {"csv": form.delimiter, "tsv": "\t", "fixed": ""}[form.format]


def _check_width(form: Form, column: str, length: int) -> None:
    if length > form.width(column):
        raise InvalidInput(
            "column_too_narrow", field="widths", column=column, length=length, width=form.width(column)
        )


# --- encryption to a recipient (age, https://age-encryption.org/v1) ---


def checked_recipient(text: str | None) -> str | None:
    """An age recipient (`age1…`) without spaces around it, or None where there is none.

    Raises `InvalidInput` ("bad_recipient").
    """
    recipient = (text or "").strip()
    if not recipient:
        return None
    try:
        x25519.Recipient.from_str(recipient)
    except (pyrage.RecipientError, ValueError):
        raise InvalidInput("bad_recipient", field="recipient") from None
    return recipient


def write(file: BinaryIO, pieces: Iterator[bytes], recipient: str | None) -> None:
    """Write a file's pieces, encrypted where there is a `recipient`: the clear text is never written anywhere."""
    if recipient is None:
        for piece in pieces:
            file.write(piece)
        return
    reader = _Reader(pieces)
    try:
        pyrage.encrypt_io(reader, file, [x25519.Recipient.from_str(recipient)])
    except pyrage.EncryptError:
        if reader.error is not None:
            raise reader.error from None
        raise


class _Reader:
    """Pieces as a file that is read. What goes wrong while they are made is kept: its class is lost on the way."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end."""
        try:
            while not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._left = memoryview(piece)
        except BaseException as error:
            self.error = error
            raise
        size = len(self._left) if size < 0 else size
        taken, self._left = self._left[:size], self._left[size:]
        return bytes(taken)
