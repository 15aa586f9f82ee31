"""Partitions of a declared table against those before: planted damage is named, the rest is not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from tests.heating import BUILDINGS, heating, heating_rows

from model_loop.errors import InvalidInputError
from model_loop.findings import Finding
from model_loop.history.declared import compared_table, compared_values, sketch_of
from model_loop.history.judging import judge_partition
from model_loop.history.sketch import Sketch
from model_loop.history.table import units_of

TABLE = compared_table(heating())


def sketch(month: str, rows: pd.DataFrame | None = None) -> Sketch:
    """Sketch a month."""
    start = dt.datetime.fromisoformat(f"{month}-01")
    after = (start + dt.timedelta(days=32)).replace(day=1)
    return sketch_of(TABLE, month, (start, after), heating_rows(month) if rows is None else rows)


@pytest.fixture(scope="module")
def history() -> list[Sketch]:
    """Three sound months."""
    return [sketch(month) for month in ("2024-01", "2024-02", "2024-03")]


def found(history: list[Sketch], rows: pd.DataFrame | None = None) -> list[Finding]:
    """Compare April with them."""
    return list(judge_partition(TABLE, sketch("2024-04", rows), history))


def test_a_sound_month_is_no_finding(history: list[Sketch]) -> None:
    """The same table a month later, drawn anew."""
    assert found(history) == []


def _swapped(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.rename(columns={"temperature": "area", "area": "temperature"})


@pytest.mark.parametrize(
    ("damage", "code", "column"),
    [
        (lambda rows: rows.assign(area=rows.area / 0.3048), "another_unit", "area"),
        (_swapped, "swapped_columns", "temperature, area"),
        (
            lambda rows: rows.assign(
                temperature=rows.temperature.where(np.arange(len(rows)) % 2 == 0)
            ),
            "missing_values",
            "temperature",
        ),
        (
            lambda rows: rows.assign(measured_at=rows.measured_at + pd.Timedelta(hours=2)),
            "another_clock",
            "measured_at",
        ),
        (
            lambda rows: rows.assign(building=rows.building.replace("pool", "baths")),
            "rare_values",
            "building",
        ),
        (
            lambda rows: rows.assign(load=rows.load.sample(frac=1, random_state=1).to_numpy()),
            "shuffled_column",
            "load",
        ),
    ],
    ids=["unit", "swap", "missing", "clock", "unseen text", "shuffled"],
)
def test_planted_damage_is_named(
    history: list[Sketch],
    damage: Callable[[pd.DataFrame], pd.DataFrame],
    code: str,
    column: str,
) -> None:
    """By its kind and its columns."""
    findings = found(history, damage(heating_rows("2024-04")))
    assert (code, column) in {(one.code, one.column) for one in findings}, findings


def test_an_earlier_partition_again_is_a_stale_copy(history: list[Sketch]) -> None:
    """The same rows a month later, whatever their times."""
    copied = heating_rows("2024-03")
    later = copied.assign(measured_at=copied.measured_at + pd.Timedelta(days=30))
    (finding, *_) = found(history, later)
    assert (finding.code, finding.level) == ("stale_copy", "refused")
    assert "2024-03" in finding.message


def test_texts_have_the_same_number_in_every_partition() -> None:
    """Whatever their order and type in pandas; a missing one has none."""
    rows = heating_rows("2024-01", 4).assign(
        building=pd.Series([*BUILDINGS[:3], None], dtype=object)
    )
    turned = rows[::-1].astype({"building": "category"})
    numbers, others = (compared_values(one, TABLE)["building"] for one in (rows, turned))
    np.testing.assert_array_equal(numbers, others[::-1])
    assert len(np.unique(numbers[:3])) == 3
    assert np.isnan(numbers[3])


def test_a_table_without_a_time_is_refused() -> None:
    """Its partitions cannot be counted by the hour."""
    import dataclasses

    with pytest.raises(InvalidInputError, match="has no time"):
        compared_table(dataclasses.replace(heating(), time=None))


def test_units_multiply_by_their_size() -> None:
    """A length in metres that comes in feet is so much larger."""
    found = units_of("m")
    assert found["ft in place of m"] == pytest.approx(1 / 0.3048)
    assert "ones in place of thousands" in found
    assert set(units_of("°C")) < set(found)
