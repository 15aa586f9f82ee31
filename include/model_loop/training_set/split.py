"""Split of a table: which rows are learned from, tuned on, calibrated on and judged by.

Every row has a place on a line: its time, or a stable hash of its group or identity. The parts are
stretches of that line, and where they begin is written down, so that the same rows are in the same
part whenever the table is read again, also when it has grown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.errors import ContractError, InvalidInputError
from model_loop.training_set.options import SplitShares

PartName = Literal["train", "validation", "calibration", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "calibration", "test")
SplitRule = Literal["time", "group", "identity", "shuffle"]

#: Shares of the rows where nothing else is asked for, by the order of `PARTS`.
SHARES = SplitShares().of_parts
#: Shares in tables of few rows, in which a part of 15 % says too little.
_FEW_ROWS, _SHARES_OF_FEW = 1_000, (0.6, 0.2, 0.0, 0.2)
#: Judged rows below which nothing can be said.
FEWEST_JUDGED = 30
_MOST_JUDGED = 0.4
#: Validation rows below which settings are chosen by cross-validation, and its folds.
FEWEST_VALIDATED, FOLDS = 200, 5
#: Rows that a fold learns from at least: the folds of its target encodings need one each.
_FEWEST_LEARNED = 5
_ROUNDING = 1e-6

Places = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TableSplit:
    """Rule by which rows come into parts, and where the parts begin.

    Parameters
    ----------
    rule
        ``time``, ``group`` (no group in two parts), ``identity`` (a stable hash of the row) or
        ``shuffle``.
    on
        Column of the time or group.
    stratify_on
        Column whose values come into all parts alike.
    shares
        Shares of the rows, by the order of `PARTS`; a part of none is left out.
    starts
        Where validation, calibration and test begin; empty until rows have been seen.
    beginning, end
        Bounds of all parts; rows beyond them belong to none.
    """

    rule: SplitRule
    on: str = ""
    stratify_on: str = ""
    shares: tuple[float, ...] = SHARES
    starts: tuple[float, ...] = ()
    beginning: float | None = None
    end: float | None = None

    @property
    def in_words(self) -> str:
        """Return the rule of the split in words."""
        by = {
            "time": f"by time ({self.on})",
            "group": f"by {self.on}, no value of which is in two parts",
            "identity": "by a stable hash of each row",
            "shuffle": "by chance (shuffle = true): rows of the same time are in all parts",
        }[self.rule]
        return f"{by}, alike in {self.stratify_on}" if self.stratify_on else by


def split_of(dataset: Dataset, shares: tuple[float, ...] = SHARES) -> TableSplit:
    """Return the rule of a dataset: as declared, else by time, else by identity.

    Raises
    ------
    InvalidInputError
        If the shares are no shares.
    """
    if len(shares) != len(PARTS) or min(shares) < 0 or abs(sum(shares) - 1) > _ROUNDING:
        raise InvalidInputError(
            f"Shares {shares}",
            "are not four shares that add up to 1",
            "Give e.g. 0.6 0.15 0.1 0.15.",
        )
    declared = dataset.declaration.split if dataset.declaration else None
    stratify = (declared.stratify_on if declared else None) or ""
    if declared and declared.shuffle:
        return TableSplit("shuffle", stratify_on=stratify, shares=shares)
    if declared and declared.group_on:
        return TableSplit("group", declared.group_on, shares=shares)
    time = (declared.time_on if declared else None) or dataset.time
    if time and not stratify:
        return TableSplit("time", time, shares=shares)
    if dataset.target.is_classified:
        # Each part has the classes in the same shares.
        stratify = stratify or dataset.target.name
    return TableSplit("identity", stratify_on=stratify, shares=shares)


def places_of(
    split: TableSplit,
    dataset: Dataset,
    rows: pd.DataFrame,
    seed: int,
    labels: pd.Series[Any] | None = None,
) -> Places:
    """Return the place of each row on the line, shape (rows,).

    Parameters
    ----------
    labels
        Classes of the rows, where the target is a class.

    Raises
    ------
    ContractError
        If a row has no time or no group.
    """
    strata = strata_of(split, dataset, rows, labels)
    return within_strata(line_of(split, dataset, rows, seed), strata)


def line_of(split: TableSplit, dataset: Dataset, rows: pd.DataFrame, seed: int) -> Places:
    """Return the place of each row, whatever stratum it is of; but for chance, of it alone.

    Raises
    ------
    ContractError
        See `places_of`.
    """
    match split.rule:
        case "time":
            return _ordered(rows[split.on], split.on)
        case "group":
            groups = rows[split.on]
            _require_all(groups, split.on, "group")
            return _hashes(groups.astype("string").to_frame())
        case "shuffle":
            return np.asarray(np.random.default_rng(seed).random(len(rows)))
        case "identity":
            declaration = dataset.declaration
            key = declaration.primary_key if declaration else ()
            return _hashes(rows[list(key) or [*rows.columns]].astype("string"))


def strata_of(
    split: TableSplit, dataset: Dataset, rows: pd.DataFrame, labels: pd.Series[Any] | None
) -> pd.Series[Any] | None:
    """Return the stratum of each row as text; None where they are not split by strata."""
    if not split.stratify_on or split.rule in {"time", "group"}:
        return None
    strata = rows[split.stratify_on]
    if labels is not None and split.stratify_on == dataset.target.name:
        strata = labels
    return strata.astype("string").fillna("")


def within_strata(line: Places, strata: pd.Series[Any] | None) -> Places:
    """Return the place of each row within its stratum, where there are strata."""
    if strata is None:
        return line
    ranked = pd.Series(line).groupby(strata.to_numpy()).rank(method="first", pct=True)
    # Within (0, 1), so that each stratum is cut at its own shares.
    return np.asarray(ranked, dtype=np.float64)


def _ordered(values: pd.Series[Any], name: str) -> Places:
    _require_all(values, name, "time")
    if values.dtype.kind == "M":
        return values.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    try:
        return values.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"split.time_on = {name!r}",
            "is neither a time nor a number, so that rows have no order",
            "Name a column of times, or one of numbers that grow with time.",
        ) from error


def _require_all(values: pd.Series[Any], name: str, noun: str) -> None:
    if missing := int(values.isna().sum()):
        raise ContractError(
            f"The column {name!r}, by which rows are split",
            f"is missing in {missing:,} of {len(values):,} rows",
            f"Add a rule that sets rows without a {noun} aside: when = '{name} is missing'.",
        )


def _hashes(values: pd.DataFrame) -> Places:
    hashed = pd.util.hash_pandas_object(values.fillna("\0"), index=False).to_numpy(dtype=np.uint64)
    return hashed.astype(np.float64) / 2.0**64


def resolved(split: TableSplit, places: Places, cuts: Places | None = None) -> TableSplit:
    """Return a split whose parts begin somewhere: where their shares of the rows say.

    Equal places are never in two parts.

    Parameters
    ----------
    cuts
        Places at which partitions begin: a part begins there where one is near enough.
    """
    if split.starts:
        return split
    order = np.sort(places)
    shares = shares_of(len(order)) if split.shares == SHARES else split.shares
    wanted = np.cumsum(shares)[:-1]
    starts = []
    for share in wanted:
        place = order[min(int(np.ceil(share * len(order))), len(order) - 1)]
        if cuts is not None and len(cuts):
            least = min(each for each in shares if each) / 2
            place = _nearest_cut(order, cuts, share, least, place)
        starts.append(float(place))
    return dataclasses.replace(split, shares=tuple(shares), starts=tuple(starts))


def shares_of(rows: int) -> tuple[float, ...]:
    """Return the shares of a table where nothing else is asked for, by the order of `PARTS`.

    Of few rows, so many judge that something can be said, two fifths at most. The finding
    `too_few_rows` says what they leave open.
    """
    if rows >= _FEW_ROWS:
        return SHARES
    train, validation, calibration, test = _SHARES_OF_FEW
    judged = min(max(test, FEWEST_JUDGED / max(rows, 1)), _MOST_JUDGED)
    return (train + test - judged, validation, calibration, judged)


def _nearest_cut(order: Places, cuts: Places, share: float, least: float, place: float) -> float:
    """Return the beginning of a partition near a share of the rows; the place where none is."""
    shares = np.searchsorted(order, cuts) / len(order)
    nearest = int(np.argmin(np.abs(shares - share)))
    return float(cuts[nearest]) if abs(shares[nearest] - share) <= least else place


def parts_of(split: TableSplit, places: Places) -> dict[PartName, npt.NDArray[np.bool_]]:
    """Return which rows are in each part, each of shape (rows,)."""
    inside = np.ones(len(places), dtype=bool)
    if split.beginning is not None:
        inside &= places >= split.beginning
    if split.end is not None:
        inside &= places < split.end
    number = np.searchsorted(np.asarray(split.starts), places, side="right")
    return {name: inside & (number == place) for place, name in enumerate(PARTS)}


Mask = npt.NDArray[np.bool_]


def folds_of(
    split: TableSplit, places: Places, parts: Mapping[PartName, Mask]
) -> list[tuple[Mask, Mask]]:
    """Return which rows each fold of a cross-validation learns from and judges.

    None where the validation part is large enough to choose by. The folds are stretches of the line
    of train and validation, so that equal places stay together: no group is on both sides. By time,
    a fold judges a tenth of the rows by those before them, from the half on (rolling origin);
    otherwise it judges a fifth by all others.

    Returns
    -------
    list of (Mask, Mask)
        Rows that are learned from and rows that are judged, each of shape (rows,); each row is
        judged once at most.
    """
    learned = parts["train"] | parts["validation"]
    if int(parts["validation"].sum()) >= FEWEST_VALIDATED:
        return []
    order = np.sort(places[learned])
    first = 0.5 if split.rule == "time" else 0.0
    shares = first + (1 - first) * np.arange(FOLDS) / FOLDS
    starts = order[np.ceil(shares * len(order)).astype(int)]
    fold_of_row = np.searchsorted(starts, places, side="right") - 1
    folds = []
    for number in range(FOLDS):
        judged = learned & (fold_of_row == number)
        others = fold_of_row < number if split.rule == "time" else ~judged
        rows = learned & others
        if judged.any() and rows.sum() >= _FEWEST_LEARNED:
            folds.append((rows, judged))
    return folds if len(folds) > 1 else []


def overlap(hashes: npt.NDArray[np.uint64], parts: Mapping[PartName, Mask]) -> int:
    """Count the rows of validation, calibration and test that stand in an earlier part as well.

    Parameters
    ----------
    hashes
        Hash of all values of each row, shape (rows,); see `row_hashes`.
    """
    seen: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
    count = 0
    for part in PARTS:
        hashed = hashes[parts[part]]
        if not len(hashed):
            continue
        count += int(np.isin(hashed, seen).sum())
        seen = np.concatenate([seen, hashed])
    return count


def row_hashes(rows: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """Return a hash of all values of each row, shape (rows,)."""
    return np.asarray(pd.util.hash_pandas_object(rows, index=False), dtype=np.uint64)
