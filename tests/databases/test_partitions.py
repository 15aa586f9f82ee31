"""Partitions of a table of a database, on PostgreSQL and on DuckDB."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.databases.tables import ROWS, Runs, Storage, declared, fill, month_bounds, read

from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.errors import ContractError, InvalidInputError, SourceError
from model_loop.partitions.checked import CheckedTableStore, FetchedTable
from model_loop.partitions.completing import complete_files
from model_loop.training_set.declared import TablePreparation
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of

KINDS = ["timestamptz", "timestamp", "date"]


@pytest.mark.parametrize("kind", KINDS)
def test_partitions_add_up_to_the_table(
    run: Runs, storage: Storage, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each has the rows that SQL counts on the clocks of the place; strays are counted and said."""
    fill(run, kind)
    declaration = declared()
    with caplog.at_level(logging.WARNING):
        files = storage.find(declaration)
    assert "9 rows have no time, and are in no month" in caplog.text
    assert sum(read(declaration, [file]).rows_read for file in files) == ROWS - 9
    zone = {"timestamptz": "began AT TIME ZONE 'America/New_York'", "date": "began"}.get(
        kind, "began AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York'"
    )
    for file in files:
        first, after = month_bounds(file.partition)
        ((counted,),) = run(
            f"SELECT count(*) FROM public.rides WHERE {zone} >= DATE '{first}' "  # noqa: S608 - of this test
            f"AND {zone} < DATE '{after}'"
        )
        table = read(declaration, [file])
        assert table.rows_read == counted
        times = table.frame["began"]
        assert times.between(pd.Timestamp(first), pd.Timestamp(after), inclusive="left").all()


@pytest.mark.parametrize("part", ["week", "day", "whole"])
def test_partitions_of_other_lengths(run: Runs, storage: Storage, part: str) -> None:
    """Weeks and days are cut as months are; a whole table has the rows without a time, too."""
    fill(run)
    declaration = declared(partition=f'partition = "{part}"')
    files = storage.find(declaration)
    counted = [read(declaration, [file]).rows_read for file in files]
    assert sum(counted) == (ROWS if part == "whole" else ROWS - 9)
    assert len(files) == {"whole": 1, "week": 14, "day": 91}[part]


def test_types_of_a_database_are_those_of_the_declaration(run: Runs, storage: Storage) -> None:
    """Decimals are numbers, and as ids keep all their digits; NULLs are missing values."""
    fill(run)
    declaration = declared(partition='partition = "whole"')
    frame = read(declaration, storage.find(declaration)).frame.sort_values("id")
    assert frame["minutes"].tolist()[:3] == [10.25, 11.25, 12.25]
    assert frame["id"].tolist()[:2] == ["9007199254740993", "9007199254740994"]
    assert frame["rain"].tolist()[:4] == [pd.NA, False, True, pd.NA]
    assert frame["rain"].isna().sum() == ROWS // 3
    assert frame["area"].isna().sum() == ROWS // 5
    assert frame["began"].isna().sum() == 9


def test_the_copy_of_a_partition_is_the_same_wherever_it_is_made(
    run: Runs, storage: Storage, tmp_path: Path
) -> None:
    """A second look reads nothing; a second storage gets equal rows in the same order."""
    fill(run)
    declaration = declared()
    first = storage.find(declaration)
    made = {path: path.stat().st_mtime_ns for path in storage.folder.rglob("*.parquet")}
    assert storage.find(declaration) == first
    assert {path: path.stat().st_mtime_ns for path in storage.folder.rglob("*.parquet")} == made
    run(
        "CREATE TABLE public.turned AS SELECT * FROM public.rides ORDER BY minutes DESC, id DESC",
        "DROP TABLE public.rides",
        "ALTER TABLE public.turned RENAME TO rides",
    )
    again = Storage(tmp_path / "other").find(declaration)
    assert [file.digest for file in again] == [file.digest for file in first]
    pd.testing.assert_frame_equal(read(declaration, again).frame, read(declaration, first).frame)


def test_any_change_of_a_row_is_noticed(run: Runs, storage: Storage) -> None:
    """A value that changes under an old time changes its partition's digest, and no other's."""
    fill(run)
    declaration = declared()
    before = {file.partition: file.digest for file in storage.find(declaration)}
    run("UPDATE public.rides SET minutes = minutes + 0.01 WHERE id = 9007199254741300")
    after = {file.partition: file.digest for file in storage.find(declaration)}
    assert [key for key in before if before[key] != after[key]] == ["2024-01"]
    # Two values that change places keep every sum of values.
    run(
        "UPDATE public.rides SET minutes = 99 WHERE id = 9007199254740995",
        "UPDATE public.rides SET minutes = 98 WHERE id = 9007199254740996",
    )
    once = storage.find(declaration, "2024-01")[0].digest
    run(
        "UPDATE public.rides SET minutes = 98 WHERE id = 9007199254740995",
        "UPDATE public.rides SET minutes = 99 WHERE id = 9007199254740996",
    )
    assert storage.find(declaration, "2024-01")[0].digest != once


def test_a_column_of_changes_is_noticed(run: Runs, storage: Storage) -> None:
    """The newest change stands beside the digest, of the column that is declared."""
    fill(run)
    run(
        "ALTER TABLE public.rides ADD COLUMN updated timestamp",
        "UPDATE public.rides SET updated = TIMESTAMP '2024-06-01 10:00'",
    )
    declaration = declared(table='table = "public.rides"\nchanged_on = "updated"')
    assert storage.find(declaration, "2024-02")[0].last_modified == "2024-06-01 10:00:00"


def test_a_query_is_a_table(run: Runs, storage: Storage) -> None:
    """A query may join and count; a remark in its last line, and a semicolon, change nothing."""
    fill(run)
    query = (
        "query = '''SELECT began, id, minutes, rain FROM public.rides WHERE area = 'n1'\n-- last'''"
    )
    declaration = declared(table=query)
    ((counted,),) = run("SELECT count(began) FROM public.rides WHERE area = 'n1'")
    assert sum(read(declaration, [file]).rows_read for file in storage.find(declaration)) == counted
    assert "area" not in str(declaration.source)
    assert str(declaration.source).startswith("database://warehouse/query-")


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("DELETE FROM public.rides", r"is not a SELECT|writes"),
        (
            "SELECT 1 AS began) AS q; DELETE FROM public.rides; SELECT * FROM (SELECT 1 AS began",
            r".*",
        ),
        ("SELECT * FROM public.rides; SELECT 1", r"is not a SELECT|several statements"),
    ],
)
def test_a_query_that_is_no_select_is_refused(
    run: Runs, storage: Storage, query: str, rule: str
) -> None:
    """Whatever stands in the file, not a row is changed."""
    fill(run)
    with pytest.raises((InvalidInputError, SourceError), match=rule):
        storage.find(declared(table=f'query = "{query}"'))
    assert run("SELECT count(*) FROM public.rides") == [(ROWS,)]


def test_names_are_quoted(run: Runs, storage: Storage) -> None:
    """A name may hold anything, and is never a piece of SQL."""
    fill(run)
    run('ALTER TABLE public.rides RENAME COLUMN began TO "a""t; DROP"')
    declaration = declared(column="column = 'a\"t; DROP'")
    assert len(storage.find(declaration)) == 4
    with pytest.raises(SourceError, match="names a table that is not there"):
        storage.find(declared(table="table = 'rides\"; DROP TABLE public.rides; --'"))
    assert run("SELECT count(*) FROM public.rides") == [(ROWS,)]


def test_lists_are_refused_by_their_name(run: Runs, storage: Storage) -> None:
    """A column of lists is named with its type; declared as ignored, it is left out."""
    fill(run)
    run("ALTER TABLE public.rides ADD COLUMN stops integer[]")
    with pytest.raises(SourceError, match=r"The column 'stops' of .* holds no single value"):
        storage.find(declared())
    ignored = declared(partition='partition = "month"\ncolumns.stops.type = "ignored"')
    assert len(storage.find(ignored)) == 4


def test_what_is_not_there_is_named(run: Runs, storage: Storage) -> None:
    """A partition, a table, and a column each have an error of their own."""
    fill(run)
    with pytest.raises(SourceError, match="has no rows of 2023-07"):
        storage.find(declared(), "2024-01", "2023-07")
    with pytest.raises(SourceError, match="names a table that is not there"):
        storage.find(declared(table='table = "public.none"'))
    with pytest.raises(SourceError, match="has no column 'when'") as error:
        storage.find(declared(column='column = "when"'))
    assert "began, id, minutes" in error.value.remedy
    with pytest.raises(SourceError, match="is the time, and of the type"):
        storage.find(declared(column='column = "area"'))


def test_a_copy_that_was_altered_is_refused(run: Runs, storage: Storage) -> None:
    """What is read is what was copied, as of any other file."""
    fill(run)
    declaration = declared()
    files = storage.find(declaration, "2024-01")
    completed = complete_files(declaration, files, declaration.name)
    fetched = FetchedTable(declaration.name, "2024-01", text_of_declaration(completed), files)
    store = CheckedTableStore(str(storage.folder))
    checked = store.check(fetched)
    assert checked.report.rows_read == read(declaration, files).rows_read
    (other,) = storage.find(declaration, "2024-02")
    Path(files[0].path).write_bytes(Path(other.path).read_bytes())
    changed = FetchedTable(
        declaration.name, "2024-01", text_of_declaration(completed), files, ("2024-01",)
    )
    with pytest.raises(ContractError, match="has changed since"):
        store.check(changed)


def test_a_training_set_is_current_until_a_row_changes(run: Runs, tmp_path: Path) -> None:
    """Equal rows are found to be those of the training set; another row is not."""
    fill(run)
    declaration = declared()
    steps = TablePreparation(use_dataset(dataset_of(declaration)))
    where: dict[str, Any] = {"storage_root": str(tmp_path / "store"), "timeout_seconds": 10.0}
    request = TableRequest(
        text_of_declaration(declaration),
        declaration.name,
        steps.dataset.default_recipe,
        split_of(steps.dataset),
    )
    keys = steps.plan(request, **where)
    assert keys == ("2023-12", "2024-01", "2024-02", "2024-03")
    checked = [
        steps.check(steps.fetch(request, key, **where), storage_root=where["storage_root"])
        for key in keys
    ]
    assert sum(each.report.rows_read for each in checked) == ROWS - 9
    training_set = steps.encode(
        request,
        steps.compare(checked, storage_root=where["storage_root"]),
        storage_root=where["storage_root"],
    )
    assert {file.url for file in training_set.files} == {"database://warehouse/public.rides"}
    product = TrainingSetStore(where["storage_root"]).publish(training_set, request)
    assert steps.is_current(product, **where)
    run("UPDATE public.rides SET rain = NOT rain WHERE id = 9007199254741000")
    assert not steps.is_current(product, **where)
