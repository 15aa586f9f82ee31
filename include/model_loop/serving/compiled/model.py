"""Compiled forms of models as files: one process makes them, another one answers from them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from model_loop.datasets.classes import HALF, is_share
from model_loop.datasets.dataset import Dataset
from model_loop.errors import StoredObjectError
from model_loop.objects.limits import bounded_file
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.encoders import forms_of
from model_loop.serving.compiled.errors import NotCompiledError
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.links import STEPS, Scores, Step
from model_loop.serving.compiled.origins import Origins
from model_loop.serving.compiled.shapley import Covers
from model_loop.serving.compiled.soundness import (
    are_steps,
    is_array,
    is_explaining,
    is_sample,
    is_sound,
)

__all__ = ["FORMAT", "NUMBER", "TOLERANCE", "CompiledModel", "NotCompiledError", "Predict"]

#: Largest difference between the compiled form and the registered model: a share of the largest
#: prediction of the sample, and in any case so much; and so much of a probability.
_SHARE, TOLERANCE, PROBABILITY_TOLERANCE = 1e-9, 1e-5, 1e-6

#: Name and number of the format of a stored form.
FORMAT, NUMBER = "model_loop.compiled", 1
#: Numbers of the forms of classifiers and of blends, which earlier versions cannot read.
CLASSIFIER_NUMBER, BLEND_NUMBER = 2, 3
#: Names of the same format in forms of earlier versions; the first ones have none.
_FORMER = (None, ("trip_duration.compiled", 1))

#: Steps from scores to probabilities; a calibrated calibration has eight.
_MOST_STEPS = 16
#: Members of a blend.
_MOST_MEMBERS = 100

Targets = npt.NDArray[np.float64]
Predict = Callable[[Rows], Targets]

_FLAT: dict[str, type[Any]] = {kind.__name__: kind for kind in (Trees, Linear)}


@dataclass(frozen=True)
class Blended:
    """A weighted mean of what other forms say.

    Parameters
    ----------
    members
        Forms of the members, which know the same categories.
    weights
        Their weights, shape (members,).
    steps
        Steps from the mean to probabilities, of a calibrated classifier.
    threshold
        As of `Scores`.
    """

    members: tuple[CompiledModel, ...]
    weights: Targets
    steps: tuple[Step, ...] = ()
    threshold: float = HALF

    def mean(self, predicted: Sequence[Targets]) -> Targets:
        """Return the outcomes of the blend for those of its members, each of shape (rows, …)."""
        mixed = np.tensordot(self.weights, np.stack(predicted), 1)
        numbers = mixed if mixed.ndim > 1 else mixed[:, np.newaxis]
        for step in self.steps:
            numbers = step.apply(numbers)
        return numbers if mixed.ndim > 1 else np.ascontiguousarray(numbers[:, 0])


@dataclass(frozen=True)
class CompiledModel:
    """A model as tables and flat arrays, with what it has to say.

    Parameters
    ----------
    dataset
        Dataset of the rows.
    tables, flat
        Tables of its encoder, and flat arrays of its estimator. Those of a blend are its members'.
    sample
        Rows on which it has to agree with the registered model; categories that are texts as their
        places in the vocabulary.
    predictions
        Predictions of the registered model for them, as `verify` returns them.
    vocabulary
        Texts of the categories that it knows, by the places of their columns.
    origins
        Columns of a row that each column of the design matrix comes from; None in forms of earlier
        versions, which explain nothing.
    covers
        Covers of the nodes of trees; none if explaining a row takes too long for a request.
    """

    dataset: Dataset
    tables: Any
    flat: Trees | Linear | Scores | Blended
    sample: Rows
    predictions: Targets
    vocabulary: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    origins: Origins | None = None
    covers: Covers = field(default_factory=lambda: np.zeros(0, dtype=np.float32))

    def verify(self, *, machine_code: bool = True) -> Predict:
        """Return a function that predicts by this form, once it agrees with the registered model.

        It returns numbers, or the probabilities of classes, as `models.outcomes` describes them.

        Parameters
        ----------
        machine_code
            Whether machine code does; arithmetic on arrays otherwise, which takes 80 times as long
            for one row, 6 times for many, and spares the process numba and LLVM, 130 MB.

        Raises
        ------
        NotCompiledError
            If there is no machine code for it, or it says something else.
        """
        predict = self.predictor(machine_code=machine_code)
        difference = float(np.max(np.abs(predict(self.sample) - self.predictions)))
        tolerance = max(TOLERANCE, _SHARE * float(np.max(np.abs(self.predictions))))
        if self.dataset.target.is_classified:
            tolerance = PROBABILITY_TOLERANCE
        # Written so that NaN is too much.
        if not difference <= tolerance:
            raise NotCompiledError(
                f"its compiled form differs by up to {difference:g} on the sample"
            )
        return predict

    def predictor(self, *, machine_code: bool) -> Predict:
        """Return the function of `verify`, which has verified nothing.

        Raises
        ------
        NotCompiledError
            If there is no machine code for it.
        """
        forms, tables, flat, codes = forms_of(self.dataset), self.tables, self.flat, self._codes
        if isinstance(flat, Blended):
            members = [one.predictor(machine_code=machine_code) for one in flat.members]

            def predict_mean(rows: Rows) -> Targets:
                # They know the same categories: texts are looked up once.
                if codes and rows.dtype == object:
                    rows = _coded(rows, codes)
                return flat.mean([member(rows) for member in members])

            return predict_mean
        kernels = []
        for each in self.columns:
            kernel = forms.kernel(tables, each, machine_code=machine_code)
            if kernel is None:
                raise NotCompiledError("linear models of dense columns have no compiled form")
            kernels.append((kernel, each))

        def predict(rows: Rows) -> Targets:
            if codes and rows.dtype == object:
                rows = _coded(rows, codes)
            predictions = np.empty((len(kernels), len(rows)))
            for (kernel, each), column in zip(kernels, predictions, strict=True):
                kernel(rows, tables, each, column)
            return flat.probabilities(predictions) if isinstance(flat, Scores) else predictions[0]

        return predict

    @property
    def columns(self) -> tuple[Trees | Linear, ...]:
        """Flat estimators, each of which makes a number of a row."""
        if isinstance(self.flat, Blended):
            return tuple(column for one in self.flat.members for column in one.columns)
        return self.flat.columns if isinstance(self.flat, Scores) else (self.flat,)

    @property
    def threshold(self) -> float:
        """Probability from which the model answers with the positive class of two."""
        return self.flat.threshold if isinstance(self.flat, Scores | Blended) else HALF

    @functools.cached_property
    def _codes(self) -> list[tuple[int, dict[str, float]]]:
        return [
            (place, {text: float(code) for code, text in enumerate(texts)})
            for place, texts in self.vocabulary.items()
        ]

    def design(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Return the design matrix of rows, shape (rows, columns of the encoder)."""
        first = self.columns[0]
        absent = first.absent if isinstance(first, Trees) else 0.0
        plain = _coded(rows, self._codes) if rows.dtype == object else rows
        return forms_of(self.dataset).design(plain, self.tables, absent)

    def write(self, file: BinaryIO) -> None:
        """Write it where a file is."""
        is_blend = isinstance(self.flat, Blended)
        number = CLASSIFIER_NUMBER if isinstance(self.flat, Scores) else NUMBER
        parts: dict[str, Any] = {"format": FORMAT, "number": BLEND_NUMBER if is_blend else number}
        # The name of the predictions is that of the first forms.
        parts |= {"sample": self.sample, "minutes": self.predictions}
        if self.vocabulary:
            parts["vocabulary"] = msgspec.json.encode(
                {str(place): texts for place, texts in self.vocabulary.items()}
            ).decode()
        np.savez(file, **parts, **self.arrays())

    def arrays(self) -> dict[str, Any]:
        """Return tables, estimator and what explains them, by the names of a stored form."""
        flat, parts = self.flat, dict[str, Any]()
        if self.origins is not None:
            parts |= {"origins": self.origins, "covers": self.covers}
        if isinstance(flat, Blended):
            parts |= {"weights": flat.weights, "flat.threshold": flat.threshold}
            for number, member in enumerate(flat.members):
                arrays = member.arrays().items()
                parts |= {f"member{number}.{name}": value for name, value in arrays}
            return parts | _fields_of_steps(flat.steps)
        parts |= _fields("tables", self.tables)
        return parts | (
            _fields_of_scores(flat) if isinstance(flat, Scores) else _fields("flat", flat)
        )

    @classmethod
    def read(cls, file: BinaryIO, dataset: Dataset) -> CompiledModel:
        """Read it from where a file is.

        Parameters
        ----------
        dataset
            Dataset of its rows.

        Raises
        ------
        NotCompiledError
            If it was written in another format, or would read foreign memory when it runs, or take
            much of it when it is read.
        """
        try:
            plain = bounded_file(file, "A compiled form")
        except StoredObjectError as error:
            raise NotCompiledError(str(error)) from error
        with np.load(plain, allow_pickle=False) as parts:
            found = (str(parts["format"]), int(parts["number"])) if "format" in parts else None
            numbers = (NUMBER, CLASSIFIER_NUMBER, BLEND_NUMBER)
            if found not in {*((FORMAT, number) for number in numbers), *_FORMER}:
                raise NotCompiledError(f"it is stored in the format {found}")
            sample, predictions = parts["sample"], parts["minutes"]
            stored = str(parts["vocabulary"]) if "vocabulary" in parts else "{}"
            rest = (sample, predictions, _vocabulary(stored, dataset))
            form = (
                cls(dataset, None, _blended(parts, dataset, rest), *rest)
                if found == (FORMAT, BLEND_NUMBER)
                else _form(parts, dataset, rest, is_classifier=found == (FORMAT, CLASSIFIER_NUMBER))
            )
        if not is_sample(dataset, sample, predictions):
            raise _unfit()
        return form


def _unfit() -> NotCompiledError:
    return NotCompiledError("its stored parts do not fit together")


def _form(
    parts: Mapping[str, Any],
    dataset: Dataset,
    rest: tuple[Rows, Targets, Mapping[int, tuple[str, ...]]],
    *,
    is_classifier: bool,
) -> CompiledModel:
    """Return the form of a single estimator; the rest of it is read already."""
    forms = forms_of(dataset)
    tables = _part(parts, "tables", forms.kinds)
    flat = _scores(parts, dataset) if is_classifier else _part(parts, "flat", _FLAT)
    explaining = (parts["origins"], parts["covers"]) if "origins" in parts else ()
    width = forms.sound_width(tables)
    if width is None or not is_sound(width, dataset.target, flat):
        raise _unfit()
    if explaining and not is_explaining(width, len(dataset.columns), flat, *explaining):
        raise NotCompiledError("what explains its predictions does not fit its other parts")
    return CompiledModel(dataset, tables, flat, *rest, *explaining)


def _blended(
    parts: Mapping[str, Any],
    dataset: Dataset,
    rest: tuple[Rows, Targets, Mapping[int, tuple[str, ...]]],
) -> Blended:
    weights, threshold = parts["weights"], float(parts["flat.threshold"])
    steps, classes = _steps(parts), dataset.target.classes
    columns = 1 if classes is None or classes.is_binary else len(classes.labels)
    if (
        not is_array(weights, np.float64, (len(weights),))
        or not 0 < len(weights) <= _MOST_MEMBERS
        or not (weights > 0).all()
        or not math.isclose(weights.sum(), 1.0)
        or not are_steps(steps, columns if dataset.target.is_classified else 0)
        or not is_share(threshold)
    ):
        raise _unfit()
    members = []
    for number in range(len(weights)):
        prefix = f"member{number}."
        own = {name[len(prefix) :]: parts[name] for name in parts if name.startswith(prefix)}
        members.append(_form(own, dataset, rest, is_classifier=dataset.target.is_classified))
    return Blended(tuple(members), weights, steps, threshold)


def _fields(name: str, part: Any) -> dict[str, Any]:  # noqa: ANN401 - one of our named tuples
    return {name: type(part).__name__} | {
        f"{name}.{key}": value for key, value in part._asdict().items()
    }


def _fields_of_scores(scores: Scores) -> dict[str, Any]:
    """Return the parts of a classifier; an array that several of its columns share once."""
    parts: dict[str, Any] = {
        "flat": Scores.__name__,
        "flat.columns": len(scores.columns),
        "flat.unit": scores.unit,
        "flat.threshold": scores.threshold,
    }
    first = scores.columns[0]._asdict()
    for number, column in enumerate(scores.columns):
        fields = _fields(f"flat.column{number}", column)
        parts |= {
            name: value
            for name, value in fields.items()
            if not (number and value is first.get(name.rpartition(".")[2]))
            or not isinstance(value, np.ndarray)
        }
    return parts | _fields_of_steps(scores.steps)


def _fields_of_steps(steps: Sequence[Step]) -> dict[str, Any]:
    parts: dict[str, Any] = {"flat.steps": len(steps)}
    for number, step in enumerate(steps):
        parts |= _fields(f"flat.step{number}", step)
    return parts


def _steps(parts: Mapping[str, Any]) -> tuple[Step, ...]:
    if not 0 <= (steps := int(parts["flat.steps"])) <= _MOST_STEPS:
        raise _unfit()
    return tuple(_part(parts, f"flat.step{number}", STEPS) for number in range(steps))


def _scores(parts: Mapping[str, Any], dataset: Dataset) -> Scores:
    classes, columns = dataset.target.classes, int(parts["flat.columns"])
    if not 0 < columns <= (len(classes.labels) if classes else 0):
        raise _unfit()
    first = _part(parts, "flat.column0", _FLAT)
    return Scores(
        (
            first,
            *(
                _part(parts, f"flat.column{number}", _FLAT, first._asdict())
                for number in range(1, columns)
            ),
        ),
        _steps(parts),
        str(parts["flat.unit"]),  # type: ignore[arg-type]  # its soundness is checked
        float(parts["flat.threshold"]),
    )


def _part(
    parts: Mapping[str, Any],
    name: str,
    kinds: Mapping[str, Any],
    shared: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - one of our named tuples
    kind = kinds[str(parts[name])]
    # A field that an earlier version had not has a default.
    names = [key for key in kind._fields if f"{name}.{key}" in parts]
    values = {key: parts[f"{name}.{key}"] for key in names}
    given = {key: value for key, value in (shared or {}).items() if key in kind._fields}
    # Numbers come back as arrays without a dimension.
    return kind(
        **{**given, **{key: one if one.ndim else one.item() for key, one in values.items()}}
    )


def _coded(rows: Rows, codes: list[tuple[int, dict[str, float]]]) -> Rows:
    """Return rows in which each text is its place in the vocabulary; -1 means no place."""
    coded = rows.copy()
    for place, code_of in codes:
        coded[:, place] = [
            code_of.get(value, -1.0) if isinstance(value, str) else value
            for value in rows[:, place]
        ]
    # Texts of columns that the model does not read.
    return np.array(
        [[np.nan if isinstance(value, str) else value for value in row] for row in coded],
        dtype=np.float64,
    )


def _vocabulary(stored: str, dataset: Dataset) -> dict[int, tuple[str, ...]]:
    try:
        told = msgspec.json.decode(stored, type=dict[int, tuple[str, ...]])
    except msgspec.MsgspecError as error:
        raise NotCompiledError(f"its vocabulary cannot be read ({error})") from error
    if any(not 0 <= place < len(dataset.columns) for place in told):
        raise _unfit()
    return told
