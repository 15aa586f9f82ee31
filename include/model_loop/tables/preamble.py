"""Rows at the top of a table that are neither its header nor its data, as spreadsheets have them.

Above a header may stand titles and the names of groups of columns, with empty cells beside them;
below it, the units of the columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from model_loop.datasets.literals import MISSING_WORDS

#: Rows that are looked at, and those of data that tell numbers from texts.
_ROWS, _DATA = 30, 5
#: Shares of filled cells: at most those of a title or of names of groups, at least a header's.
_SPARSE, _FULL = 0.6, 0.8
_LEAST_COLUMNS = 3
_NUMBER = re.compile(r"[^\w(]*\d|\(\d", re.ASCII)
_BRACKETED = re.compile(r"[\[(<{](?:\D|1/).{0,13}[\])>}]|\[\]")
_WORDS = """
    - % ‰ ° °c °f c f k kelvin ms s sec min h hr hrs d day days date time unix utc yyyy-mm-dd
    dd.mm.yyyy mm/dd/yyyy hh:mm hh:mm:ss kg g mg µg t to lb lbs oz m cm mm km mi ft in l ml hl w
    kw mw wh kwh mwh gwh v mv kv a ma va hz khz mhz rpm pa hpa kpa mbar bar psi m² m2 km² ha m³
    m3 l/h m/s km/h mph w/m² w/m2 µg/m³ ug/m3 mg/m3 mg/l ppm ppb db lux lx j kj mj nm n kn € eur
    $ usd £ gbp chf pln zł kč jpy ¥ ct €/kwh ct/kwh eur/mwh n pcs stk stk. stück st. anzahl
    count no. text code number string int float bool boolean
"""
_UNITS = frozenset(_WORDS.split())


def rows_above_header(rows: Sequence[Sequence[str]]) -> int:
    """Return how many of the first rows stand above the header.

    They are sparsely filled; the header behind them is full of texts without digits, and numbers
    stand below it. A first row that is full is the header itself.
    """
    width = max(map(len, rows), default=0)
    if width < _LEAST_COLUMNS:
        return 0
    for place, row in enumerate(rows[:_ROWS]):
        filled = [cell for cell in row if cell.strip()]
        if len(filled) > _SPARSE * width:
            is_header = len(filled) >= _FULL * width and not any(map(_NUMBER.match, filled))
            numbers = any(map(_NUMBER.match, _cells(rows[place + 1 : place + 1 + _DATA])))
            return place if is_header and numbers else 0
    return 0


def is_row_of_units(row: Sequence[str], data: Sequence[Sequence[str]]) -> bool:
    """Return whether the row below a header holds units.

    Parameters
    ----------
    data
        Rows below it. Numbers stand in at least one column that has a unit.
    """
    filled = {place: cell.strip() for place, cell in enumerate(row) if cell.strip()}
    if len(filled) < 2 or not all(map(_is_unit, filled.values())):  # noqa: PLR2004 - units of columns
        return False
    numeric = {
        place
        for place in filled
        if any(len(each) > place and _NUMBER.match(each[place].strip()) for each in data[:_DATA])
    }
    return bool(numeric)


def _is_unit(cell: str) -> bool:
    bare = cell.casefold()
    return bool(_BRACKETED.fullmatch(cell)) or (
        bare in _UNITS and cell not in MISSING_WORDS - {"-"}
    )


def _cells(rows: Sequence[Sequence[str]]) -> list[str]:
    return [cell.strip() for row in rows for cell in row]


def sample_rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of some lines; nothing where a quoted cell goes on over several of them."""
    if any(line.count('"') % 2 for line in lines):
        return []
    return list(csv.reader(lines, delimiter=delimiter))
