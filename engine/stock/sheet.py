"""A one-sheet XLSX file, streamed: text cells only, so that no spreadsheet turns digits into numbers or runs a formula.

Written straight into the given file and nowhere else: there is no temporary copy that could outlive a crash.
Format: ECMA-376, Office Open XML, part 1 (SpreadsheetML), with inline strings.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Generator, Iterable, Sequence
from itertools import chain
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

MOST_ROWS = 1_048_576
"""Rows of a sheet, the heading included."""

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="Cards" sheetId="1" r:id="rId1"/></sheets></workbook>',
    # Style 1 is the number format 49, "@": text, also when somebody edits the cell. Style 2 is the same in bold.
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = re.compile("[<>&]|[^\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|^ | $")


def write_sheet(file: BinaryIO, heading: Sequence[str], rows: Iterable[Sequence[Sequence[str]]]) -> None:
    """Write a heading and the rows, which come in blocks, as an XLSX file.

    Characters that XML cannot hold are dropped. Raises `ValueError` where there are more than `MOST_ROWS` rows.
    """
    for part in sheet_parts(heading, rows):
        file.write(part)


def sheet_parts(
    heading: Sequence[str] | None, rows: Iterable[Sequence[Sequence[str]]]
) -> Generator[bytes, None, None]:
    """The same as pieces of a file, for what goes on to be encrypted or sent; without a heading where that is None."""
    out = _Out()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, part in _PARTS.items():
            # Opened by name, a part gets no time of its own: the same cards make the same file.
            with archive.open(name, "w") as entry:
                entry.write((_XML + part).encode())
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet:
            count = columns = 0
            for block in chain([] if heading is None else [[heading]], rows):
                if not columns:
                    columns = max((len(row) for row in block), default=0)
                    sheet.write(_start(columns, heading is not None).encode())
                if count + len(block) > MOST_ROWS:
                    raise ValueError("too many rows for one sheet")
                style = 2 if count == 0 and heading is not None else 1
                sheet.write(
                    "".join([_row(count + at, row, style) for at, row in enumerate(block, 1)]).encode()
                )
                count += len(block)
                yield out.taken()
            if not columns:
                sheet.write(_start(1, False).encode())
            whole = f"A1:{_letter(max(columns, 1) - 1)}{max(count, 1)}"
            sheet.write(
                # Digits kept as text are meant: no green corner on every cell.
                f'</sheetData><ignoredErrors><ignoredError sqref="{whole}" numberStoredAsText="1"/></ignoredErrors>'
                "</worksheet>".encode()
            )
    yield out.taken()


class _Out(io.RawIOBase):
    """Where the archive is written to: what has come is taken on from time to time. It cannot be gone back in."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _start(columns: int, headed: bool) -> str:
    pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>' if headed else ""
    return (
        f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">{pane}</sheetView></sheetViews>'
        f'<cols><col min="1" max="{columns}" width="18" customWidth="1"/></cols><sheetData>'
    )


def _row(number: int, values: Sequence[str], style: int) -> str:
    cells = [
        f'<c r="{_letter(column)}{number}" s="{style}" t="inlineStr"><is>{_text(value)}</is></c>'
        for column, value in enumerate(values)
        if value
    ]
    return f'<row r="{number}">{"".join(cells)}</row>'


def _text(value: str) -> str:
    if not _SPECIAL.search(value):
        return f"<t>{value}</t>"
    return f'<t xml:space="preserve">{escape(_UNFIT.sub("", value))}</t>'


def _letter(column: int) -> str:
    return chr(ord("A") + column)
