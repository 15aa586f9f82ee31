"""Tables in files: how many rows of an identity are in one, and the same file without them."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from model_loop.datasets.dataset import Dataset
from model_loop.erasure.identity import Identity, Mask
from model_loop.errors import StoredObjectError
from model_loop.objects.files import atomic_write
from model_loop.scoring.paths import kind_of_name
from model_loop.tables.opening import FileKind, find_encoding, open_unpacked
from model_loop.tables.typed import TypedFile, is_typed

#: Rows that are compared at once.
_ROWS = 50_000
#: A cell may be as long as a file.
csv.field_size_limit(2**31 - 1)
_DELIMITERS = ",;\t|"
_PACKED = (".gz", ".zip")
_KEEP = "surrogateescape"

#: Errors by which a file shows that it is no table of its kind.
UNREADABLE_TABLE = (pa.ArrowException, ValueError, csv.Error, OSError)


def is_table(path: Path) -> bool:
    """Return whether a name is that of a table that can be read row by row, perhaps packed."""
    return kind_of_name(UPath(path)) is not None and not path.name.startswith(".")


def is_packed(path: Path) -> bool:
    """Return whether a name is that of a packed table."""
    return kind_of_name(UPath(path)) is not None and path.suffix.lower() in _PACKED


def count_rows(path: Path, identity: Identity) -> int:
    """Return the number of rows of an identity in a file.

    Raises
    ------
    UNREADABLE_TABLE
        If it is no table of its kind.
    """
    kind = kind_of_name(UPath(path))
    if kind in {"csv", "json_lines"}:
        with _opened(path, identity.dataset) as file:
            return sum(
                int(mask.sum()) for _, mask in _marked(_lines(file, kind, identity), identity)
            )
    return sum(int(mask.sum()) for _, mask in _typed(path, identity, all_columns=False))


def count_cells(path: Path, identity: Identity) -> int:
    """Return the number of rows of a CSV without a header that have all values of an identity.

    The values may be in any cells, so that rows of others may be among them.
    """
    wanted = {one.value.strip() for one in identity.keys}
    with _opened(path, identity.dataset) as file:
        reader = csv.reader(file, delimiter=_delimiter(file, identity.dataset))
        rows = ({cell.strip() for cell in cells} for cells in reader)
        return sum(
            bool(wanted and wanted <= cells) or not identity.predictions.isdisjoint(cells)
            for cells in rows
        )


def rewrite_without(path: Path, identity: Identity) -> int:
    """Write a file again without the rows of an identity; return how many were left out.

    The new file is written beside the old one, counted, and takes its place when it is whole. The
    other rows of a text are as they were, byte for byte.

    Raises
    ------
    StoredObjectError
        If two ways of counting the rows differ; the file is as it was then.
    """
    kind, left_out = kind_of_name(UPath(path)), 0
    with atomic_write(UPath(path)) as partial:
        # Named by its kind, so that it can be counted.
        target = Path(partial.path)
        if kind in {"csv", "json_lines"}:
            encoding = _encoding(path, identity.dataset)
            with (
                _opened(path, identity.dataset) as file,
                target.open("w", encoding=encoding, errors=_KEEP, newline="") as out,
            ):
                for lines, mask in _marked(_lines(file, kind, identity), identity):
                    left_out += int(mask.sum())
                    out.writelines(line for line, gone in zip(lines, mask, strict=True) if not gone)
        else:
            left_out = _rewrite_typed(path, target, identity)
        _require_counts(path, target, identity, left_out)
        shutil.copymode(path, target)
    return left_out


def _require_counts(path: Path, target: Path, identity: Identity, left_out: int) -> None:
    """Count both files once more, in another way than they were written."""
    named = target.with_name(f"{target.name}{path.suffix}")
    target.rename(named)
    try:
        still = count_rows(named, identity)
        before, after = (_all_rows(one, identity.dataset) for one in (path, named))
    finally:
        named.rename(target)
    if still or before - after != left_out:
        raise StoredObjectError(
            f"The file {path}",
            f"has {before:,} rows, and {after:,} without the {left_out:,} of the identity, of "
            f"which {still:,} are still there",
            "It is as it was. Report this as a defect.",
        )


def _all_rows(path: Path, dataset: Dataset) -> int:
    """Return the number of rows of a table, as its own reader counts them."""
    kind = kind_of_name(UPath(path))
    if kind == "parquet":
        return int(pq.read_metadata(path).num_rows)
    if kind == "arrow":
        with pa.OSFile(str(path)) as file:
            return sum(TypedFile(file, "arrow", str(path)).groups())
    with _opened(path, dataset) as file:
        lines = csv.reader(file, delimiter=_delimiter(file, dataset)) if kind == "csv" else file
        return sum(1 for _ in lines)


Line = tuple[str, "Mapping[str, Any] | None"]


def _lines(file: TextIO, kind: FileKind | None, identity: Identity) -> Iterator[Line]:
    """Yield each row as it stands in a text, with its cells that are compared; None of no row."""
    if kind == "json_lines":
        for line in file:
            try:
                record = msgspec.json.decode(line)
            except msgspec.DecodeError:
                record = None
            yield line, record if isinstance(record, dict) else None
        return
    recorder = _Recorder(file)
    reader = csv.reader(recorder, delimiter=_delimiter(file, identity.dataset))
    names = [name.removeprefix("\ufeff").strip() for name in next(reader, [])]
    yield recorder.taken(), None
    places = [(name, names.index(name)) for name in identity.wanted(names)]
    if not places:
        # It has a title above its header, no header, or other columns.
        raise ValueError("its first line names no column of the identity")
    for cells in reader:
        given = {name: cells[place] if place < len(cells) else None for name, place in places}
        yield recorder.taken(), given
    if rest := recorder.taken():
        yield rest, None


class _Recorder:
    """Lines on their way to a reader, as they stand: a row may have several."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._read = iter(lines), list[str]()

    def __iter__(self) -> _Recorder:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._read.append(line)
        return line

    def taken(self) -> str:
        """Return what was read since the last call."""
        text = "".join(self._read)
        self._read.clear()
        return text


def _marked(lines: Iterator[Line], identity: Identity) -> Iterator[tuple[list[str], Mask]]:
    """Yield some rows, with those of an identity marked, shape (rows,)."""
    while some := list(itertools.islice(lines, _ROWS)):
        mask = np.zeros(len(some), dtype=bool)
        rows = [place for place, (_, record) in enumerate(some) if record is not None]
        names = {name for _, record in some for name in record or ()}
        if rows and (wanted := identity.wanted([*names])):
            records = [some[place][1] or {} for place in rows]
            frame = pd.DataFrame({name: [one.get(name) for one in records] for name in wanted})
            mask[rows] = identity.mask(frame)
        yield [line for line, _ in some], mask


def _delimiter(file: TextIO, dataset: Dataset) -> str:
    declared = dataset.declaration.dialect.delimiter if dataset.declaration else None
    if declared is not None:
        return declared
    first = file.readline()
    file.seek(0)
    return max(_DELIMITERS, key=first.count)


def _typed(
    path: Path, identity: Identity, *, all_columns: bool
) -> Iterator[tuple[pa.RecordBatch, Mask]]:
    """Yield some rows of a typed file, with those of an identity marked."""
    kind = kind_of_name(UPath(path))
    assert kind is not None
    assert is_typed(kind)
    with pa.OSFile(str(path)) as file:
        opened = TypedFile(file, kind, str(path))
        names = list(opened.schema.names)
        wanted = identity.wanted(names)
        if not wanted and not all_columns:
            return
        for batch in opened.batches(_ROWS, names=names if all_columns else wanted):
            frame = pa.Table.from_batches([batch]).select(wanted).to_pandas()
            yield batch, identity.mask(frame) if wanted else np.zeros(batch.num_rows, dtype=bool)


def _rewrite_typed(path: Path, target: Path, identity: Identity) -> int:
    """Write a typed file without the rows of an identity, in its own format."""
    left_out, schema = 0, None
    with contextlib.ExitStack() as stack:
        writer: Any = None
        for batch, mask in _typed(path, identity, all_columns=True):
            if writer is None:
                schema = batch.schema
                is_parquet = kind_of_name(UPath(path)) == "parquet"
                made = pq.ParquetWriter if is_parquet else pa.ipc.new_file
                writer = stack.enter_context(made(str(target), schema))
            left_out += int(mask.sum())
            writer.write_batch(batch.filter(pa.array(~mask)))
    return left_out


@contextlib.contextmanager
def _opened(path: Path, dataset: Dataset) -> Iterator[TextIO]:
    encoding = _encoding(path, dataset)
    with open_unpacked(str(path)) as (plain, _):
        # Bytes that are no characters, and line ends, stay as they are.
        text = io.TextIOWrapper(plain, encoding=encoding, errors=_KEEP, newline="")
        try:
            yield text
        finally:
            text.detach()


def _encoding(path: Path, dataset: Dataset) -> str:
    declared = dataset.declaration.encoding if dataset.declaration else None
    with open_unpacked(str(path)) as (plain, _):
        return find_encoding(plain, declared, str(path)).name
