"""Drafts of tables that lie in folders, as engines write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.addresses import folder_pattern
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.drafting.analysis import analyse
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.draft import draft
from model_loop.partitions.checked import keys_of_files
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files, resolved_source

_ROWS = 120


def write(folder: Path, month: str, seed: int) -> None:
    """Write two files of a month's rows, and the mark that an engine leaves."""
    random = np.random.default_rng(seed)
    sizes = random.normal(5, 2, _ROWS)
    times = pd.Timestamp(f"{month}-01") + pd.to_timedelta(random.integers(0, 28 * 24, _ROWS), "h")
    rows = pd.DataFrame(
        {"at": times, "size": sizes, "minutes": 3 * sizes + random.normal(size=_ROWS)}
    )
    folder.mkdir(parents=True)
    for part in range(2):
        rows.iloc[part::2].to_parquet(folder / f"part-{part}.parquet", index=False)
    (folder / "_SUCCESS").touch()


def test_folders_of_hive_are_partitions(tmp_path: Path) -> None:
    """A folder is enough: partitions and further keys are read out of its folders' names."""
    for number, month in enumerate(("2023-12", "2024-01", "2024-02")):
        year, part = month.split("-")
        for shop in ("east", "west"):
            folder = tmp_path / "orders" / f"shop={shop}" / f"year={year}" / f"month={part}"
            write(folder, month, 10 * number + len(shop))
    files, analysis = analyse([str(tmp_path / "orders")], "minutes", folder=tmp_path)
    text = draft(files, analysis, DraftAnswers()).text
    declaration = resolved_source(parse_declaration(text, "orders.toml"), tmp_path)
    assert declaration.name == "orders"
    pattern = "orders/shop=*/year={year}/month={month}/part-*.parquet"
    assert declaration.source == f"{tmp_path}/{pattern}"
    assert declaration.partition == "month"
    # A folder's own key says a value; the parts of a partition's key say none.
    assert set(declaration.columns) == {"at", "size", "minutes", "shop"}
    assert declaration.columns["shop"].type == "category"
    found = find_files(declaration, "orders")
    assert keys_of_files(declaration, found) == ("2023-12", "2024-01", "2024-02")
    assert set(complete_files(declaration, found, "orders").columns) == set(declaration.columns)


def test_a_finding_names_the_partition_of_its_folder(tmp_path: Path) -> None:
    """A month with broken rows is named by its key, not by a file that each month has."""
    rows = pd.DataFrame({"at": ["2024-02-01"] * 40, "size": range(40), "minutes": range(40)})
    for month, broken in (("2024-01", ""), ("2024-02", "2024-02-02,1\n")):
        folder = tmp_path / "orders" / f"month={month}"
        folder.mkdir(parents=True)
        (folder / "part-0.csv").write_text(rows.to_csv(index=False) + broken)
    files, analysis = analyse([str(tmp_path / "orders")], "minutes", folder=tmp_path)
    made = draft(files, analysis, DraftAnswers())
    assert files.pattern.source == f"{tmp_path}/orders/month={{partition}}/part-0.csv"
    assert "2024-02" in {finding.partition for finding in made.findings}


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ("year=2024/month=1/a.csv year=2024/month=12/b.csv", "year={year}/month={month}/*.csv"),
        ("year=2024/month=1/day=2/a.csv", "year={year}/month={month}/day={day}/a.csv"),
        ("d/year=2024/week=7/a.csv", "d/year={year}/week={week}/a.csv"),
        ("date=2024-01-01/a.csv date=2024-01-02/a.csv", "date={partition}/a.csv"),
        ("year=2023/a.csv year=2024/a.csv", "year=*/a.csv"),
        ("shop=1/2024-01/a.csv shop=2/2024-02/a.csv", None),
        ("d/a.csv d/b.csv", None),
        ("year=2024/a.csv year=2024/month=1/a.csv", None),
    ],
)
def test_patterns_of_folders(addresses: str, expected: str | None) -> None:
    """Folders become the place of a key, or of any value; other folders have no pattern."""
    found = folder_pattern(addresses.split())
    assert (found and found[0]) == expected
    if found:
        kinds = {"{day}": "day", "{week}": "week", "{month}": "month", "{partition}": "day"}
        assert found[1] == next((kind for key, kind in kinds.items() if key in found[0]), None)
