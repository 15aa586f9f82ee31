"""Conditions of rules: what they mean, and that nothing else is taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_loop.datasets.conditions import Condition, quoted
from model_loop.errors import InvalidInputError

TABLE = pd.DataFrame(
    {
        "delay": [1.0, 2.0, None, -5.0],
        "carrier": ["AA", "UA", None, "B6"],
        "dep time": pd.to_datetime(["2024-01-01", "NaT", "2024-03-01", "2024-02-02"]),
        "seats": pd.array([1, None, 3, 4], dtype="Int64"),
        "class": pd.Categorical(["u", "v", None, "u"]),
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("delay is missing", [2]),
        ("delay is not missing", [0, 1, 3]),
        ("delay > 0", [0, 1]),
        ("0 <= delay < 2", [0]),
        ("delay == -5", [3]),
        ("delay != 1", [1, 3]),
        ("not delay > 0", [3]),
        ("delay is not missing and carrier == 'AA'", [0]),
        ("carrier is missing or delay < 0", [2, 3]),
        ("carrier in ['AA', 'B6']", [0, 3]),
        ("carrier not in ['AA']", [1, 3]),
        ("delay in [-5, 1]", [0, 3]),
        ("seats > delay", [3]),
        ("seats - delay * 2 >= 14", [3]),
        ("-delay > 0", [3]),
        ("(delay > 1 or seats > 3) and not carrier == 'UA'", [3]),
        ("`dep time` > '2024-01-15'", [2, 3]),
        ("`class` == 'u'", [0, 3]),
        ("1 < 2", [0, 1, 2, 3]),
        ("2 < 1", []),
    ],
)
def test_a_condition_chooses_rows(text: str, rows: list[int]) -> None:
    """A comparison with a missing value is unknown, and unknown rows are not chosen."""
    assert np.flatnonzero(Condition.parse(text, TABLE.columns).rows_of(TABLE)).tolist() == rows


@given(st.lists(st.one_of(st.none(), st.floats(-3, 3)), min_size=1, max_size=20), st.floats(-3, 3))
def test_a_condition_and_its_negation_leave_the_missing(
    values: list[float | None], bound: float
) -> None:
    """Every row meets a comparison, or its negation, or has no value."""
    frame = pd.DataFrame({"x": np.array(values, dtype=float)})
    parts = [
        Condition.parse(text, frame.columns).rows_of(frame)
        for text in (f"x < {bound!r}", f"not x < {bound!r}", "x is missing")
    ]
    assert (np.sum(parts, axis=0) == 1).all()


def test_it_knows_its_columns() -> None:
    """Those that it reads, by the names of the table."""
    found = Condition.parse("`dep time` is missing and delay + seats > 3", TABLE.columns)
    assert found.columns == {"dep time", "delay", "seats"}
    assert [quoted(name) for name in ("delay", "dep time", "class", "missing")] == [
        "delay",
        "`dep time`",
        "`class`",
        "`missing`",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "delay",
        "delay >",
        "delay = 1",
        "delay is None",
        "delay is carrier",
        "delay in carrier",
        "delay in [carrier]",
        "delay ** 9 > 1",
        "delay % 2 == 0",
        "__import__('os').system('true')",
        "delay.__class__ == 1",
        "carrier[0] == 'A'",
        "[x for x in carrier]",
        "lambda: 1",
        "(delay := 1) > 0",
        "f'{delay}' == '1'",
        "delay > None",
        "delay > 1j",
        "delay > b'1'",
        "1 if delay > 1 else 2",
        "'a' * 1000000000 == 'x'",
        "carrier * 1000000000 == 'x'",
        "not " * 100 + "delay > 1",
        "delay > 1 and " * 200 + "delay > 1",
        "(" * 400 + "delay" + ")" * 400 + " > 1",
        "\x00delay > 1",
    ],
)
def test_nothing_else_is_taken(text: str) -> None:
    """An expression outside the language is refused with the language, and never run."""
    with pytest.raises(InvalidInputError, match="Combine comparisons"):
        Condition.parse(text, TABLE.columns).rows_of(TABLE)


def test_an_unknown_column_is_named() -> None:
    """With those that there are, as a condition has to name them."""
    with pytest.raises(InvalidInputError, match=r"names 'arr', which is no column.*`dep time`"):
        Condition.parse("arr > 1", TABLE.columns)


@pytest.mark.parametrize("text", ["delay > carrier", "carrier > 1", "`class` > 1"])
def test_values_without_an_order_are_refused(text: str) -> None:
    """The rule is named, not a line of pandas."""
    with pytest.raises(InvalidInputError, match="without an order"):
        Condition.parse(text, TABLE.columns).rows_of(TABLE)
