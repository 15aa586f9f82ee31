"""From checked rows of a declared table to a training set: split, encode."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.holidays import dated_columns, holidays_of
from model_loop.datasets.stored import declaration_of_text
from model_loop.days import days_of
from model_loop.errors import ContractError, InvalidInputError
from model_loop.findings import Finding
from model_loop.partitions.contract import KeptRows
from model_loop.partitions.keys import WHOLE, bounds_of, keys_of
from model_loop.partitions.labels import label_texts
from model_loop.partitions.types import SourceFile
from model_loop.training_set.class_rows import class_findings, require_classes
from model_loop.training_set.encoders.tables import as_float32, table_encoder
from model_loop.training_set.encodings import Layout
from model_loop.training_set.frames import as_numbers, clock_times, model_frame
from model_loop.training_set.labels import coded, with_classes
from model_loop.training_set.learned import learned_values
from model_loop.training_set.matrices import Targets
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import (
    PARTS,
    PartName,
    Places,
    TableSplit,
    folds_of,
    overlap,
    parts_of,
    places_of,
    resolved,
    row_hashes,
)
from model_loop.training_set.types import EncodedFold, EncodedSplits, Period, TrainingSet

EXAMPLE_ROWS = 5
#: Rows below which nothing is learned.
FEWEST_ROWS = 30
#: Number of learned rows by which shares are known to a tenth of a percent.
REFERENCE_ROWS = 50_000
#: Share of the baseline's error above which half the interval of the judged error is said.
_WIDE = 0.1
_Z = 1.959964
#: Standard deviations of the target by which medians of parts differ without a word.
_MOST_SHIFT = 2.0
#: Share of validation rows that may have a category that was never seen, without a word.
_MOST_UNSEEN = 0.5


def require_ready(declaration: Declaration) -> None:
    """Refuse to learn from a draft.

    Raises
    ------
    InvalidInputError
        If a question is open, the declaration is a draft, or its country is unknown.
    """
    if declaration.open_questions:
        raise InvalidInputError(
            f"The dataset {declaration.name}",
            f"has open questions: {', '.join(declaration.open_questions)}",
            "Answer each in its file: a moment in the place of '?'.",
        )
    if declaration.status == "draft":
        raise InvalidInputError(
            f"The dataset {declaration.name}",
            "is a draft",
            'Read its file, then set status = "ready": nobody trains on a draft.',
        )
    holidays_of(declaration.time)


def encode_table(
    request: TableRequest, files: Sequence[SourceFile], checked: KeptRows
) -> TrainingSet:
    """Split checked rows into parts, and encode them.

    Raises
    ------
    ContractError
        If a part has too few rows, or the target does not vary.
    """
    dataset, rows = request.dataset, checked.frame
    labels = None
    if dataset.target.is_classified:
        labels = label_texts(declaration_of_text(request.declaration), rows)
    places = places_of(request.split, dataset, rows, request.random_state, labels)
    keys = partition_keys(dataset, rows)
    split = resolved(request.split, places, cuts_of(dataset, request.split, keys))
    request = dataclasses.replace(request, split=split)
    masks = parts_of(split, places)
    learned = masks["train"] | masks["validation"]
    request = with_classes(request, None if labels is None else labels[learned])
    dataset = request.dataset
    recipe, target = dataset.recipe(request.recipe), dataset.target.name
    columns = [*recipe.columns]
    repeated = overlap(row_hashes(rows), masks)
    held = held_rows(request, rows)
    parts = {name: held[mask].reset_index(drop=True) for name, mask in masks.items()}
    targets = {name: part[target].to_numpy(dtype=np.float64) for name, part in parts.items()}
    require_rows(dataset, targets)
    folds = _folds(request, [(held[a], held[b]) for a, b in folds_of(split, places, masks)])
    del held
    encoded = _layouts(dataset, request, parts, targets)
    said = [
        *checked.findings,
        *doubts(dataset, targets, repeated, len(rows)),
        *shifted(dataset, targets),
        *unseen(dataset, columns, parts),
    ]
    return TrainingSet(
        request=request,
        files=tuple(files),
        cleaning=checked.reports,
        layouts=MappingProxyType(encoded),
        train_target=targets["train"],
        validation_target=targets["validation"],
        test_rows=judged_rows(request, rows[masks["test"]]),
        example_rows=example_of(parts["validation"][columns]),
        periods=MappingProxyType(periods_of(split, places, masks)),
        strays=int(len(rows) - sum(mask.sum() for mask in masks.values())),
        reference_rows=reference_of(parts, columns, request.random_state),
        findings=tuple(said),
        calibration_rows=parts["calibration"] if len(parts["calibration"]) else None,
        train_rows=sample_of(parts["train"], request.random_state),
        validation_rows=sample_of(parts["validation"], request.random_state),
        validation_places=sample_places(len(parts["validation"]), request.random_state),
        parts=MappingProxyType(
            {name: tuple(dict.fromkeys(keys[mask].tolist())) for name, mask in masks.items()}
        ),
        folds=MappingProxyType(folds),
        validation_times=times_of(dataset, parts["validation"]),
        train_days=train_days_of(dataset, parts["train"]),
        learned=learned_values(dataset.columns, columns, (parts["train"], parts["validation"])),
    )


def times_of(dataset: Dataset, rows: pd.DataFrame) -> Targets | None:
    """Return the times of rows in seconds since 1970; None where a row has none."""
    if dataset.time is None or dataset.time not in rows:
        return None
    times = as_numbers(rows[dataset.time])
    return times if np.isfinite(times).all() else None


def train_days_of(dataset: Dataset, rows: pd.DataFrame) -> npt.NDArray[np.int32] | None:
    """Return the days of rows since 1970; None where a row has no time."""
    times = times_of(dataset, rows)
    return None if times is None else days_of(times).astype(np.int32)


def held_rows(request: TableRequest, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as models take them, with the target and what judged rows are shown by."""
    dataset = request.dataset
    columns = dataset.recipe(request.recipe).columns
    shown = list(dict.fromkeys([*columns, *_beside(dataset), dataset.target.name]))
    return coded(request, rows, model_frame(dataset.columns, rows[shown]))


def _beside(dataset: Dataset) -> list[str]:
    """Columns that judged rows are shown by, whether a model may know them or not."""
    learned = {column.name for column in dataset.columns}
    return [name for name in (dataset.time, *dataset.slices) if name in learned]


def judged_rows(request: TableRequest, rows: pd.DataFrame) -> pd.DataFrame:
    """Return test rows with every column that a model of any recipe asks for, and their group."""
    dataset = request.dataset
    names = [column.name for column in dataset.columns if column.name in rows]
    wanted = [*names, *([dataset.group] if dataset.group else []), dataset.target.name]
    held = model_frame(dataset.columns, rows[list(dict.fromkeys(wanted))])
    return coded(request, rows, held).reset_index(drop=True)


def partition_keys(dataset: Dataset, rows: pd.DataFrame) -> np.ndarray:
    """Return the key of the partition of each row, shape (rows,)."""
    if dataset.time is None or dataset.partition == "whole":
        return np.full(len(rows), WHOLE, dtype=object)
    return keys_of(clock_times(rows[dataset.time]).to_numpy(), dataset.partition)


def cuts_of(dataset: Dataset, split: TableSplit, keys: Iterable[str]) -> Places | None:
    """Places at which partitions begin, where rows are split by the time that cuts them."""
    if split.rule != "time" or split.on != dataset.time or dataset.partition == "whole":
        return None
    found = sorted(set(keys))
    starts = [np.datetime64(bounds_of(key, dataset.partition)[0], "us") for key in found]
    return np.array(starts).astype(np.int64) / 1e6


def require_rows(dataset: Dataset, targets: dict[PartName, Targets]) -> None:
    """Refuse parts of too few rows, and a target that does not vary.

    Raises
    ------
    ContractError
        If it is so.
    """
    noun = dataset.rows[0]
    total = sum(map(len, targets.values()))
    if total < FEWEST_ROWS:
        raise ContractError(
            f"The table of {dataset.name}",
            f"has {total} {noun} to learn from and judge by, and less than {FEWEST_ROWS} say "
            "nothing",
            f"Give {FEWEST_ROWS - total} {noun} more.",
        )
    for name, needed in (("train", 2), ("validation", 2), ("test", 2)):
        there = len(targets[name])  # type: ignore[index]  # names of parts
        if there < needed:
            share = max(there, 1) / total
            raise ContractError(
                f"The {name} part of {dataset.name}",
                f"has {there} of {total:,} {noun}, and less than {needed} say nothing",
                f"Give about {int(np.ceil(needed / share)):,} {noun} or more, or a larger share.",
            )
    if dataset.target.is_classified:
        require_classes(dataset, targets)
    elif np.ptp(targets["train"]) == 0:
        raise ContractError(
            f"The target {dataset.target.name!r} of {dataset.name}",
            "is the same in every row that is learned from",
            "Choose another target: there is nothing to learn.",
        )


def _layouts(
    dataset: Dataset,
    request: TableRequest,
    parts: dict[PartName, pd.DataFrame],
    targets: dict[PartName, Targets],
) -> dict[Layout, EncodedSplits]:
    names = dataset.recipe(request.recipe).columns
    learned = pd.concat([parts["train"], parts["validation"]], ignore_index=True)[[*names]]
    both = np.concatenate([targets["train"], targets["validation"]])
    found: dict[Layout, EncodedSplits] = {}
    layouts: tuple[Layout, ...] = ("sparse", "dense")
    for layout in layouts:
        train_encoder = encoder_of(request, layout, len(parts["train"]))
        encoder = encoder_of(request, layout, len(learned))
        train = train_encoder.fit_transform(parts["train"][[*names]], targets["train"])
        found[layout] = EncodedSplits(
            train=as_float32(train),
            validation=as_float32(train_encoder.transform(parts["validation"][[*names]])),
            train_validation=as_float32(encoder.fit_transform(learned, both)),
            train_encoder=train_encoder,
            encoder=encoder,
        )
    return found


def encoder_of(request: TableRequest, layout: Layout, rows: int) -> ColumnTransformer:
    """Return the encoder of the columns of a recipe, to be fitted on so many rows."""
    dataset, declaration = request.dataset, declaration_of_text(request.declaration)
    names = dataset.recipe(request.recipe).columns
    return table_encoder(
        [column for column in dataset.columns if column.name in names],
        layout,
        rows=rows,
        holidays=holidays_of(declaration.time),
        dated=dated_columns(declaration),
        random_state=request.random_state,
        kind=dataset.target.kind,
    )


def _folds(
    request: TableRequest, folds: Sequence[tuple[pd.DataFrame, pd.DataFrame]]
) -> dict[Layout, tuple[EncodedFold, ...]]:
    """Encode each fold of a cross-validation by what its own train rows say."""
    if not folds:
        return {}
    dataset = request.dataset
    names, target = [*dataset.recipe(request.recipe).columns], dataset.target.name

    def encoded(layout: Layout, learned: pd.DataFrame, judged: pd.DataFrame) -> EncodedFold:
        encoder = encoder_of(request, layout, len(learned))
        actual, wanted = (rows[target].to_numpy(dtype=np.float64) for rows in (learned, judged))
        return EncodedFold(
            train=as_float32(encoder.fit_transform(learned[names], actual)),
            validation=as_float32(encoder.transform(judged[names])),
            train_target=actual,
            validation_target=wanted,
            names=tuple(map(str, encoder.get_feature_names_out())),
            train_rows=learned.reset_index(drop=True),
            validation_rows=judged.reset_index(drop=True),
        )

    layouts: tuple[Layout, ...] = ("sparse", "dense")
    return {layout: tuple(encoded(layout, *fold) for fold in folds) for layout in layouts}


def doubts(
    dataset: Dataset, targets: dict[PartName, Targets], repeated: int, rows: int
) -> list[Finding]:
    """Tell of an error that is not known surely, of unlike classes, and of repeated rows."""
    found, rows_word = [], dataset.rows[0]
    if dataset.target.is_classified:
        return [*class_findings(dataset, targets), *_repetitions(dataset, repeated, rows)]
    mean = float(np.mean(np.concatenate([targets["train"], targets["validation"]])))
    squared = np.square(targets["test"] - mean)
    baseline = float(np.sqrt(squared.mean()))
    half = _Z * float(squared.std(ddof=1)) / np.sqrt(len(squared)) / (2 * baseline or 1.0)
    if half > _WIDE * baseline:
        needed = int(np.ceil(len(squared) * (half / (_WIDE * baseline)) ** 2))
        found.append(
            Finding(
                "too_few_rows",
                None,
                WHOLE,
                "warning",
                f"{len(squared):,} judged {rows_word} leave the RMSE open by "
                f"±{half / baseline:.0%} of that of the mean "
                f"({dataset.target.with_unit(f'{baseline:.4g}')})",
                f"Give {needed:,} {rows_word} to judge by, or read small differences as none.",
            )
        )
    return [*found, *_repetitions(dataset, repeated, rows)]


def _repetitions(dataset: Dataset, repeated: int, rows: int) -> Iterator[Finding]:
    """Tell of rows that stand in two parts."""
    if repeated:
        yield Finding(
            "overlap",
            None,
            WHOLE,
            "warning",
            f"{repeated:,} of {rows:,} {dataset.rows[0]} stand in an earlier part as well",
            "Remove repetitions, or declare the primary key or split.group_on.",
        )


def shifted(dataset: Dataset, targets: dict[PartName, Targets]) -> Iterator[Finding]:
    """Tell of a target that is another one in later parts."""
    if dataset.target.is_classified:
        return
    medians = {name: float(np.median(values)) for name, values in targets.items() if len(values)}
    spread = float(np.std(np.concatenate([targets["train"], targets["validation"]])))
    if max(medians.values()) - min(medians.values()) <= _MOST_SHIFT * spread:
        return
    said = ", ".join(f"{name} {median:.4g}" for name, median in medians.items())
    yield Finding(
        "target_shift",
        dataset.target.name,
        WHOLE,
        "warning",
        f"The median of the target differs between the parts by more than {_MOST_SHIFT:g} standard "
        f"deviations: {dataset.target.with_unit(said)}",
        "Trees predict no value beyond those that they have learned from: predict a change or a "
        "ratio where the target grows, or learn from later rows.",
    )


def unseen(
    dataset: Dataset, names: Sequence[str], parts: dict[PartName, pd.DataFrame]
) -> Iterator[Finding]:
    """Tell of categories that most validation rows have and no train row had."""
    train, validation = parts["train"], parts["validation"]
    for column in dataset.columns.by_kind("category"):
        if column.name not in names:
            continue
        given = validation[column.name].dropna()
        share = float(np.mean(~given.isin(train[column.name].unique()))) if len(given) else 0.0
        if share > _MOST_UNSEEN:
            yield Finding(
                "unseen_categories",
                column.name,
                WHOLE,
                "warning",
                f"{share:.0%} of the validation {dataset.rows[0]} have a value of {column.name} "
                "that no train row has: nothing is learned from it",
                f"If {column.name} names single things, declare its type as id; if it follows from "
                "the time, leave it out of the recipe.",
            )


def periods_of(
    split: TableSplit, places: Places, masks: dict[PartName, np.ndarray]
) -> dict[str, Period]:
    """First and last time of each part, where rows are split by time."""
    if split.rule != "time":
        return {}
    found: dict[str, Period] = {}
    for name in PARTS:
        inside = places[masks[name]]
        if len(inside):
            found[name] = Period(*map(_moment, (inside.min(), inside.max())))
    return found


def _moment(place: float) -> str:
    """Return a time as ISO 8601 text, to the second."""
    return str(np.datetime64(int(place * 1e6), "us").astype("datetime64[s]"))


def example_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the first of the rows that lack the fewest values: they show what a model takes."""
    lacking = rows.isna().sum(axis=1).to_numpy()
    return rows.iloc[np.argsort(lacking, kind="stable")[:EXAMPLE_ROWS]].copy()


def reference_of(
    parts: dict[PartName, pd.DataFrame], columns: list[str], random_state: int
) -> pd.DataFrame:
    """Draw a sample of what is learned from, in the order of the rows."""
    learned = pd.concat([parts["train"], parts["validation"]], ignore_index=True)
    return sample_of(learned, random_state)[columns]


def sample_of(rows: pd.DataFrame, random_state: int) -> pd.DataFrame:
    """Draw some rows, in their order; all of them where they are few."""
    drawn = sample_places(len(rows), random_state)
    return rows if drawn is None else rows.iloc[drawn].reset_index(drop=True)


def sample_places(
    rows: int, random_state: int, most: int = REFERENCE_ROWS
) -> npt.NDArray[np.int64] | None:
    """Return the positions of the rows that `sample_of` draws; None where it takes all of them."""
    if rows <= most:
        return None
    generator = np.random.default_rng(random_state)
    return np.sort(generator.choice(rows, most, replace=False))
