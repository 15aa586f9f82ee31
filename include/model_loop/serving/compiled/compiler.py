"""Making registered models ready to answer: compiled where that is possible and proven.

Reading a model takes scikit-learn, MLflow and pandas, 250 MB, and seconds of the interpreter's
lock; its compiled form takes none of them. So a server lets a separate process compile models,
``python -m model_loop.serving.compiled.compiler``, which ends when that is done.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from upath import UPath

from model_loop.coded.answers import NO_REASONS, CodeModel
from model_loop.coded.stored import KEPT_ADMISSION
from model_loop.coded.versions import ADMISSION, is_code
from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.models.blended import members_of
from model_loop.models.classification.decision import Decision
from model_loop.models.outcomes import parts_of_classifier, predict_outcomes
from model_loop.objects.files import atomic_write
from model_loop.scoring.notices import watch_of
from model_loop.scoring.outcomes import deciding_of
from model_loop.scoring.predictor import Predictor
from model_loop.scoring.reasons import Explain
from model_loop.scoring.rows import Rows, from_frame, to_frame
from model_loop.serving.compiled import forests
from model_loop.serving.compiled.classifiers import blend_steps, flatten_classifier
from model_loop.serving.compiled.columns import Vocabulary
from model_loop.serving.compiled.encoders import forms_of
from model_loop.serving.compiled.explaining import (
    MOST_NUMBERS,
    explainer_of,
    no_reasons,
    numbers_of,
    require_reasons,
)
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.links import Scores
from model_loop.serving.compiled.model import (
    Blended,
    CompiledModel,
    NotCompiledError,
    Predict,
)
from model_loop.serving.compiled.orders import CompilerResult, Order, write_outcome
from model_loop.serving.compiled.origins import Origins
from model_loop.serving.compiled.shapley import Covers
from model_loop.serving.compiled.stored import (
    KEPT_FORM,
    LOGGED_FORM,
    FormPredictor,
    columns_of,
    proven_form,
)
from model_loop.serving.compiled.transformers import UNKNOWN
from model_loop.serving.models.predictor import ServedVersion, required_positions
from model_loop.serving.models.store import ModelStore
from model_loop.tracking.beside import decision_of, intervals_of, learned_of
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.lines import OtherLineError
from model_loop.tracking.registry import LoadedModel, declaration_in, read_model
from model_loop.tracking.runs import Tracker
from model_loop.tracking.trained import dataset_of_version

_GENERATED = 1_000
#: Requests go before: a new version may come a second later.
_NICENESS = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compiled:
    """Result of compiling a model.

    Parameters
    ----------
    columns
        Raw columns that it reads.
    form
        Its compiled form, not proven yet; None if it has none.
    plain
        Reason why it has none.
    """

    columns: tuple[str, ...]
    form: CompiledModel | None
    plain: str = ""


def compile_model(
    dataset: Dataset, version: int, loaded: LoadedModel, *, waits: bool = True
) -> Compiled:
    """Compile a loaded version.

    The form brings what the model says of the example that is stored beside it, and of generated
    rows with every oddity that requests may have.

    Parameters
    ----------
    waits
        Whether a request waits for its reasons: a form for which that takes too long gives none.

    Raises
    ------
    InvalidInputError
        If the model reads columns that no request has.
    """
    columns = _columns(dataset, loaded)
    if unknown := sorted(set(columns) - set(dataset.columns.names)):
        raise InvalidInputError(
            f"Version {version}",
            f"reads {', '.join(unknown)}, which requests do not hold",
            f"Promote a version that reads raw columns of {dataset.rows[0]}.",
        )
    try:
        return Compiled(columns, _form(dataset, loaded, columns, waits=waits))
    except NotCompiledError as error:
        return Compiled(columns, None, str(error))
    except Exception as error:
        # A fault of the compiler is not a fault of the model.
        logger.exception("Version %d cannot be compiled", version)
        return Compiled(columns, None, f"compiling it failed: {error!r}")


def make_predictor(dataset: Dataset, version: int, loaded: LoadedModel) -> ServedVersion:
    """Make a loaded version ready to answer in this process.

    Raises
    ------
    InvalidInputError
        If the model reads columns that no request has.
    """
    compiled = compile_model(dataset, version, loaded)
    columns, plain = compiled.columns, compiled.plain
    places, watch = (
        required_positions(dataset.columns, columns),
        watch_of(dataset, version, loaded.learned),
    )
    deciding = deciding_of(dataset.target, threshold_in(loaded), loaded.decision)
    if compiled.form is not None:
        try:
            predict = compiled.form.verify()
            return ServedVersion(
                version,
                columns,
                places,
                predict,
                form=compiled.form,
                watch=watch,
                intervals=loaded.intervals,
                deciding=deciding,
            )
        except NotCompiledError as error:
            plain = str(error)
    logger.warning("Version %d is served as it is: %s", version, plain)
    predict = predict_by(dataset, loaded, columns)
    return ServedVersion(
        version,
        columns,
        places,
        predict,
        plain,
        watch=watch,
        intervals=loaded.intervals,
        deciding=deciding,
    )


def log_form(tracker: Tracker, run_id: str, loaded: LoadedModel, dataset: Dataset) -> None:
    """Log the compiled form of a model beside it, for the time after an upgrade; if it has one."""
    compiled = compile_model(dataset, 0, loaded)
    plain = compiled.plain
    if compiled.form is not None:
        try:
            compiled.form.verify(machine_code=False)
        except NotCompiledError as error:
            plain = str(error)
    if compiled.form is None or plain:
        logger.info("No compiled form is stored: %s", plain)
        return
    with tempfile.TemporaryDirectory() as folder:
        place, name = LOGGED_FORM.split("/")
        path = Path(folder) / name
        with path.open("wb") as file:
            compiled.form.write(file)
        tracker.client.log_artifact(run_id, str(path), place)


def predict_by(dataset: Dataset, loaded: LoadedModel, columns: tuple[str, ...]) -> Predict:
    """Return a function that predicts by the registered model itself."""

    def predict(rows: Rows) -> np.ndarray:
        return predict_outcomes(loaded.model, to_frame(dataset, rows, columns), dataset.target)

    return predict


def threshold_in(loaded: LoadedModel) -> float:
    """Return the threshold by which a model answers with the positive class of two."""
    return parts_of_classifier(loaded.model.steps[-1][1]).threshold


def _columns(dataset: Dataset, loaded: LoadedModel) -> tuple[str, ...]:
    for model, _ in members_of(loaded.model) or [(loaded.model, 1.0)]:
        columns = forms_of(dataset).columns_of(model.named_steps.get("encode"))
        if columns:
            return columns
    return loaded.inputs


def explainer_for(predictor: Predictor) -> Explain:
    """Return a function that explains the predictions of a loaded version, however long it takes.

    Raises
    ------
    InvalidInputError
        If the version gives no reasons.
    """
    version, model = predictor.version, predictor.model
    if isinstance(model, CodeModel):
        if model.ask_reasons is None:
            raise no_reasons(f"Version {version.number} of {version.name}", NO_REASONS)
        return model.explain
    form, why = (model.form, "") if isinstance(model, FormPredictor) else (None, "")
    if predictor.pipeline is not None:
        loaded = LoadedModel(predictor.pipeline, predictor.columns, 0.0)
        compiled = compile_model(version.dataset, version.number, loaded, waits=False)
        form, why = compiled.form, compiled.plain
    form = require_reasons(form, f"Version {version.number} of {version.name}", why)
    try:
        form.verify(machine_code=False)
    except NotCompiledError as error:
        raise no_reasons(f"Version {version.number} of {version.name}", str(error)) from error
    return explainer_of(form)


def _form(
    dataset: Dataset, loaded: LoadedModel, columns: tuple[str, ...], *, waits: bool
) -> CompiledModel:
    members = members_of(loaded.model)
    each = [_taken_apart(dataset, model) for model, _ in members or [(loaded.model, 1.0)]]
    first = each[0]
    if any(other.vocabulary != first.vocabulary for other in each):
        raise NotCompiledError("its members know different categories")
    if waits and sum(numbers_of(one.flat) for one in each) > MOST_NUMBERS:
        # They would be further memory of a server, for nothing.
        each = [replace(one, covers=one.covers[:0]) for one in each]
    forms, vocabulary = forms_of(dataset), first.vocabulary
    generated = forms.odd_rows(first.tables, _GENERATED)
    plain = _plain(dataset, generated, vocabulary)
    predictions = predict_by(dataset, loaded, columns)(plain)
    if loaded.example is not None and not vocabulary:
        example = from_frame(dataset, _example(dataset, loaded.example, columns), columns)
        generated = np.concatenate([example, generated])
        predictions = predict_by(dataset, loaded, columns)(generated)
    rest = (generated, predictions, vocabulary)
    found = [
        CompiledModel(dataset, one.tables, one.flat, *rest, one.origins, one.covers) for one in each
    ]
    if members is None:
        return found[0]
    estimator = loaded.model.steps[-1][1]
    classes = dataset.target.classes
    steps = () if classes is None else blend_steps(estimator, classes)
    weights = np.array([weight for _, weight in members], dtype=np.float64)
    blend = Blended(tuple(found), weights, steps, parts_of_classifier(estimator).threshold)
    return CompiledModel(dataset, None, blend, *rest)


@dataclass(frozen=True)
class _Parts:
    """Parts of the form of a pipeline; see `CompiledModel`."""

    tables: Any
    flat: Trees | Linear | Scores
    vocabulary: Vocabulary
    origins: Origins
    covers: Covers


def _taken_apart(dataset: Dataset, model: Pipeline) -> _Parts:
    steps = dict(model.named_steps)
    encoder, selected = steps.pop("encode", None), steps.pop("select", None)
    estimator = steps.popitem()[1]
    steps = {name: step for name, step in steps.items() if not _only_casts(step)}
    forms = forms_of(dataset)
    made = None if steps else forms.tables_of(encoder)
    if made is None:
        raise NotCompiledError("pipelines of other steps have no compiled form")
    tables, vocabulary = made
    width = forms.sound_width(tables)
    if width is None:
        raise NotCompiledError("the tables of its encoder do not fit together")
    flat, covers = _flattened(dataset, estimator, selected.places if selected else None, width)
    return _Parts(tables, flat, vocabulary, forms.origins(encoder, tables), covers)


def _flattened(
    dataset: Dataset, estimator: object, places: Sequence[int] | None, width: int
) -> tuple[Trees | Linear | Scores, Covers]:
    if dataset.target.is_classified:
        return flatten_classifier(estimator, places, width, dataset.target.labels)
    flattened = forests.flatten(estimator, places, width)
    if flattened is None:
        raise NotCompiledError(f"{type(estimator).__name__} has no compiled form")
    return flattened


def _only_casts(step: object) -> bool:
    """Return whether a step changes the precision of numbers alone, as trees do anyway."""
    return (
        isinstance(step, FunctionTransformer) and getattr(step.func, "__name__", "") == "as_float32"
    )


def _plain(dataset: Dataset, rows: Rows, vocabulary: Vocabulary) -> Rows:
    """Return rows with the texts of their categories."""
    if not dataset.columns.texts:
        return rows
    plain = rows.astype(object)
    for column in dataset.columns.texts:
        place = dataset.columns.places[column]
        texts = (*vocabulary.get(place, ()), UNKNOWN)
        plain[:, place] = [
            np.nan if np.isnan(code) else texts[int(code) if 0 <= code < len(texts) else -1]
            for code in rows[:, place]
        ]
    return plain


def _example(dataset: Dataset, example: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return the example that is stored beside a model, with its times."""
    times = [one.name for one in dataset.columns.by_kind("time") if one.name in columns]
    if dataset.declaration is not None:
        return example
    return example.assign(**{name: pd.to_datetime(example[name]) for name in times})


def carry_out(order: Order) -> tuple[CompilerResult, CompiledModel | None]:
    """Compile a version of the registry, as one process for another.

    Raises
    ------
    ModelLoopError
        If the version cannot be served.
    mlflow.exceptions.MlflowException
        If its files have to be downloaded and cannot be.
    """
    store = ModelStore(order.tracking_uri, order.name, Path(order.folder))
    store.needed = frozenset(order.needed)
    files = store.files(order.version)
    if is_code(files):
        return _code(order, files), None
    try:
        loaded = read_model(files, f"Version {order.version} of {order.name}")
    except OtherLineError as error:
        told = (error.given, error.rule, error.remedy)
        described = Model.load(str(files))
        declaration = declaration_in(described)
        stored = proven_form(
            MlflowClient(order.tracking_uri),
            order.name,
            order.version,
            error,
            dataset_of_version(order.name, order.version, declaration),
            machine_code=order.machine_code,
            kept=files / KEPT_FORM,
        )
        learned = learned_of(files)
        return CompilerResult(
            columns_of(described),
            files=str(files),
            learned=learned,
            other_line=told,
            declaration=declaration,
            intervals=intervals_of(files),
            decision=_sent(decision_of(files)),
        ), stored
    dataset = dataset_of_version(order.name, order.version, loaded.declaration)
    compiled = compile_model(dataset, order.version, loaded)
    plain = compiled.plain
    if compiled.form is not None:
        # The requesting process proves it once more, and finds the cached machine code: making it
        # takes 150 MB.
        try:
            compiled.form.verify(machine_code=order.machine_code)
        except NotCompiledError as error:
            plain = str(error)
    form = None if plain else compiled.form
    if form is not None:
        with atomic_write(UPath(files / KEPT_FORM)) as kept, kept.open("wb") as file:
            form.write(file)
    return CompilerResult(
        compiled.columns,
        plain,
        str(files),
        learned=loaded.learned,
        declaration=loaded.declaration,
        intervals=loaded.intervals,
        decision=_sent(loaded.decision),
    ), form


def _code(order: Order, files: Path) -> CompilerResult:
    """Return how a version that is code of its own is started, which this process does not do."""
    described, kept = Model.load(str(files)), files / KEPT_ADMISSION
    client = MlflowClient(order.tracking_uri)
    try:
        found = client.get_model_version(order.name, str(order.version))
        sealed = read_artifact(client, found.run_id, ADMISSION)
    except MlflowException:
        # The server does not answer: what it last said still counts.
        sealed = kept.read_bytes() if kept.exists() else None
    if sealed is None:
        raise InvalidInputError(
            f"Version {order.version} of {order.name}",
            "is code that nobody has admitted",
            "Bring it in with the DAG bring_in_code, or with model-loop code add.",
        )
    with atomic_write(UPath(kept)) as file:
        file.write_bytes(sealed)
    return CompilerResult(
        columns_of(described),
        files=str(files),
        declaration=declaration_in(described),
        admission=sealed.decode(),
    )


def _sent(decision: Decision | None) -> Decision | None:
    """Return a decision without its measures, which no answer needs."""
    return None if decision is None else replace(decision, metrics={})


def main() -> None:
    """Carry out the order on the standard input; outcome and form go to the standard output."""
    os.nice(_NICENESS)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    form: CompiledModel | None = None
    # Output of libraries goes to the log; only the outcome is returned.
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)
        try:
            outcome, form = carry_out(order)
        except ModelLoopError as error:
            outcome = CompilerResult(refused=(error.given, error.rule, error.remedy))
        except MlflowException as error:
            said = str(error).partition("\n")[0][:200]
            outcome = CompilerResult(
                refused=(
                    f"Version {order.version} of {order.name}",
                    f"cannot be had from the tracking server ({said})",
                    "It is tried again.",
                )
            )
        except Exception as error:
            # A damaged file may raise anything; the error names the version.
            logger.exception("Version %d cannot be read", order.version)
            outcome = CompilerResult(
                refused=(
                    f"Version {order.version} of {order.name}",
                    f"cannot be read ({error!r:.200})",
                    "Promote another version, or register it again.",
                )
            )
        write_outcome(answer, outcome, form)


if __name__ == "__main__":
    main()
