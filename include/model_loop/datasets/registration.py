"""Datasets that are one file: put into the folder of datasets, and taken out again.

A record of each name stays in the storage: what was trained bears the name, so that it is not given
to another table. The file by which Airflow finds its DAGs is written and removed with it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from pathlib import Path

from upath import UPath

from model_loop.datasets.changes import Change, Effect, changes_between, effect_of
from model_loop.datasets.declaration import Declaration, source_in
from model_loop.datasets.declaration_file import parse_declaration, read_declaration
from model_loop.datasets.holidays import holidays_of
from model_loop.datasets.registry import dataset_names, datasets_folder
from model_loop.datasets.stubs import remove_stub, write_stub
from model_loop.errors import InvalidInputError
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.files import atomic_write

#: Folder of the records in the storage.
_RECORDS = "datasets"


@dataclass(frozen=True)
class DatasetRecord:
    """The record of a name that is, or was, a dataset.

    Parameters
    ----------
    name
        Name of the dataset.
    text
        Its declaration when it was last added, as TOML.
    changed
        Time of the last change of the record, ISO 8601 in UTC.
    removed
        Whether it was removed.
    """

    name: str
    text: str
    changed: str
    removed: bool = False

    @property
    def declaration(self) -> Declaration:
        """The declaration when it was last added."""
        return parse_declaration(self.text, self.name)


def find_record(name: str, storage: str) -> DatasetRecord | None:
    """Return the record of a name; None if the name was never given.

    Parameters
    ----------
    storage
        Root of the storage.
    """
    return read_document(_path(name, storage), lambda stored: record_of(DatasetRecord, stored))


def changes_since_added(declaration: Declaration, storage: str) -> tuple[Change, ...] | None:
    """Return the changes since a dataset was last added; None if it never was."""
    record = find_record(declaration.name, storage)
    return None if record is None else changes_between(record.declaration, declaration)


def add_dataset(file: Path, storage: str, *, force: bool = False) -> Path:
    """Put a declaration into the folder of datasets; return its path there.

    Its source is written relative to nothing: the copy finds the same files.

    Parameters
    ----------
    storage
        Root of the storage, for the record of the name.
    force
        Replace a declaration of the same name.

    Raises
    ------
    InvalidInputError
        If the name is taken by a dataset, or was by another table, or its country is unknown.
    """
    declaration = read_declaration(file)
    holidays_of(declaration.time)
    name, target = declaration.name, datasets_folder() / f"{declaration.name}.toml"
    same_file = target.is_file() and target.samefile(file)
    record = find_record(name, storage)
    if name in dataset_names() and not (same_file or (force and target.is_file())):
        remedy = "Choose another name" + (", or give --force." if target.is_file() else ".")
        raise InvalidInputError(f"The dataset {name}", "is there already", remedy)
    if record is not None and record.removed:
        effect = effect_of(changes_between(record.declaration, declaration))
        if effect == Effect.CONTRACT:
            raise InvalidInputError(
                f"The name {name}",
                f"was that of another table until {record.changed[:10]}, whose models bear it",
                "Choose another name.",
            )
    text = file.read_text(encoding="utf-8-sig")
    write_stub(name)
    if not same_file:
        text = _with_whole_sources(text, declaration, file.parent)
        with atomic_write(UPath(target)) as path:
            path.write_text(text, encoding="utf-8")
    _write(DatasetRecord(name, text, _now()), storage)
    return target


def remove_dataset(name: str, storage: str) -> Path:
    """Take a declaration out of the folder of datasets; return the path that it had.

    The record of the name stays, and so does all that was trained.

    Raises
    ------
    InvalidInputError
        If no file of the folder declares it.
    """
    path = datasets_folder() / f"{name}.toml"
    if name not in dataset_names() or not path.is_file():
        raise InvalidInputError(
            f"The dataset {name}",
            f"has no file in {datasets_folder()}",
            "Look at: model-loop datasets list.",
        )
    record = find_record(name, storage)
    text = path.read_text(encoding="utf-8-sig")
    if record is None:
        record = DatasetRecord(name, text, _now())
    _write(replace(record, text=text, changed=_now(), removed=True), storage)
    remove_stub(name)
    path.unlink()
    return path


def _with_whole_sources(text: str, declaration: Declaration, folder: Path) -> str:
    """Return the text of a declaration whose relative sources are absolute."""
    variants = [each.source for each in declaration.variants.values() if each.source]
    for source in (each for each in {declaration.source, *variants} if isinstance(each, str)):
        whole = source_in(source, folder)
        if whole != source:
            pattern = re.compile(rf"^(\s*source\s*=\s*)([\"']){re.escape(source)}\2", re.MULTILINE)
            text = pattern.sub(lambda found, whole=whole: f"{found[1]}'{whole}'", text)  # type: ignore[misc]  # mypy infers no default of a lambda
    return text


def _write(record: DatasetRecord, storage: str) -> None:
    path = _path(record.name, storage)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_text(text_of(record), encoding="utf-8")


def _path(name: str, storage: str) -> UPath:
    return UPath(storage) / _RECORDS / f"{name}.json"


def _now() -> str:
    return dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds")
