"""Exact relations with the target: those that were planted are found, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest

from model_loop.datasets.declaration_types import Kind
from model_loop.drafting.relations import find_relations, resolution
from model_loop.drafting.values import ColumnValues

Floats = npt.NDArray[np.float64]
N = 1_000


def column(name: str, numbers: Floats, kind: Kind = "number") -> ColumnValues:
    """A column of numbers."""
    known = numbers[~np.isnan(numbers)]
    return ColumnValues(name, kind, numbers.astype(float), (), len(np.unique(known)))


def found(
    target: Floats, *columns: ColumnValues, classes: bool = False
) -> set[tuple[str, frozenset[str]]]:
    """Code and columns of each relation, beside three columns that have none."""
    draw = np.random.default_rng(9)
    others = [
        column(f"other{place}", draw.normal(50, 20, len(target)).round(1)) for place in range(3)
    ]
    kind: Kind = "yes_no" if classes else "number"
    outcome = column("y", target, kind)
    relations = find_relations([*others, *columns], outcome, classes=classes)
    return {(each.code, frozenset(each.columns)) for each in relations}


Amounts = Mapping[str, Floats]


def with_gaps(values: Floats) -> Floats:
    """Values of which three in ten are missing."""
    return np.where(np.random.default_rng(5).random(len(values)) < 0.3, np.nan, values)


def damaged(values: Floats) -> Floats:
    """Values of which three are wrong."""
    return np.concatenate([values[:3] + 17, values[3:]])


#: Code of a finding, the target as it is made of amounts, and the columns that stand beside it.
PLANTED: Mapping[str, tuple[str, Callable[[Amounts], Floats], str]] = {
    "sum": ("target_sum", lambda c: c["a"] + c["b"], "ab"),
    "rounded sum": ("target_sum", lambda c: np.round(c["a"] + c["b"]), "ab"),
    "sum with gaps": ("target_sum", lambda c: c["a"] + c["b"], "gb"),
    "damaged sum": ("target_sum", lambda c: damaged(c["a"] + c["b"]), "ab"),
    "weighted sum": ("target_sum", lambda c: 0.5 * c["a"] + 2 * c["b"] - c["c"], "abc"),
    "difference": ("target_difference", lambda c: c["a"] - c["b"], "ab"),
    "product": ("target_product", lambda c: np.round(c["a"] * c["b"], 2), "ab"),
    "product of three": ("target_product", lambda c: np.round(c["a"] * c["b"] * c["c"], 4), "abc"),
    "percentage": ("target_ratio", lambda c: 100 * c["a"] / c["b"], "ab"),
    "hours": ("target_difference", lambda c: np.round((c["t"] - c["s"]) / 3_600, 2), "st"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_equation_is_found(name: str) -> None:
    """With all of its columns, and nothing else."""
    draw = np.random.default_rng(3)
    code, target, names = PLANTED[name]
    amounts = {
        each: draw.gamma(3, scale, N).round(2) for each, scale in (("a", 20), ("b", 50), ("c", 5))
    }
    amounts["g"] = with_gaps(amounts["a"])
    amounts["s"] = 1.7e9 + np.sort(draw.integers(0, 10**7, N)).astype(float)
    amounts["t"] = amounts["s"] + draw.gamma(3, 9_000, N).round()
    columns = [column(each, amounts[each], "time" if each in "st" else "number") for each in names]
    relations = found(target(amounts), *columns)
    assert (code, frozenset(names)) in relations
    assert all(members <= {*names} for _, members in relations)


@pytest.mark.parametrize(
    "copy",
    [
        lambda y: y,
        lambda y: -y,
        lambda y: 1.8 * y + 32,
        np.round,
        lambda y: np.log(y - y.min() + 1),
        lambda y: np.argsort(np.argsort(y)).astype(float),
        lambda y: np.digitize(y, np.quantile(y, [0.2, 0.4, 0.6, 0.8])).astype(float),
        lambda y: np.where(np.random.default_rng(5).random(N) < 0.4, np.nan, y),
    ],
)
def test_a_copy_is_found_in_any_scale(copy: Callable[[Floats], Floats]) -> None:
    """Equal, shifted, rounded, by rank, in buckets, and with gaps."""
    y = np.random.default_rng(2).normal(100, 15, N).round(2)
    assert ("target_copy", frozenset({"copy"})) in found(y, column("copy", copy(y)))


def test_a_good_column_is_no_copy() -> None:
    """A correlation of 0.995 is no equation."""
    draw = np.random.default_rng(4)
    y = draw.normal(100, 15, N).round(1)
    assert found(y, column("near", (y + draw.normal(0, 1.5, N)).round(1))) == set()


@pytest.mark.parametrize("word", ["or", "and"])
def test_yes_no_columns_that_make_the_target(word: str) -> None:
    """Any of three, or all of three."""
    draw = np.random.default_rng(6)
    flags = draw.random((3, N)) < (0.1 if word == "or" else 0.9)
    y = flags.any(axis=0) if word == "or" else flags.all(axis=0)
    columns = [
        column(f"f{place}", flag.astype(float), "yes_no") for place, flag in enumerate(flags)
    ]
    columns.append(column("chance", (draw.random(N) < 0.1).astype(float), "yes_no"))
    assert found(y.astype(float), *columns, classes=True) == {
        ("target_or", frozenset({"f0", "f1", "f2"}))
    }


def test_a_threshold_gives_classes_away() -> None:
    """A number whose order parts them is a copy of them."""
    score = np.random.default_rng(8).normal(size=N)
    y = (score > 0.3).astype(float)
    assert found(y, column("score", score), classes=True) == {("target_copy", frozenset({"score"}))}


@pytest.mark.parametrize("seed", range(25))
def test_chance_makes_no_relation(seed: int) -> None:
    """Small tables of small whole numbers have many near coincidences."""
    draw = np.random.default_rng(seed)
    rows = int(draw.choice([40, 60, 200, 1_000]))
    makers: list[Callable[[], Floats]] = [
        lambda: draw.integers(0, 5, rows).astype(float),
        lambda: draw.poisson(3, rows).astype(float),
        lambda: draw.normal(50, 10, rows).round(),
        lambda: draw.integers(0, 1_000, rows).astype(float),
        lambda: draw.gamma(2, 30, rows).round(2),
    ]
    columns = [column(f"v{place}", makers[place % 5]()) for place in range(15)]
    target = makers[seed % 5]()
    assert find_relations(columns, column("y", target), classes=False) == []


@pytest.mark.parametrize(
    ("values", "step"),
    [([1.0, 20.0], 1.0), ([0.5, 2.25], 0.01), ([10.0, 250.0], 10.0), ([1 / 3], 0.0)],
)
def test_the_step_of_numbers(values: list[float], step: float) -> None:
    """Decimals that are written bound what rounding may have changed."""
    assert resolution(np.array(values)) == pytest.approx(step)
