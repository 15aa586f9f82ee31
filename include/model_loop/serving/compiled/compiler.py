"""Making registered models ready to answer: compiled where that is possible and proven.

Reading a model takes scikit-learn, MLflow and pandas, 250 MB, and seconds of the interpreter's
lock; its compiled form takes none of them. So a server has models compiled by a process of their
own, ``python -m model_loop.serving.compiled.compiler``, which ends when that is done.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from upath import UPath

from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.objects.files import atomic_write
from model_loop.scoring.rows import COLUMNS, PLACES, Rows, from_frame, to_frame
from model_loop.serving.compiled import forests
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError, Predict
from model_loop.serving.compiled.orders import CompilerResult, Order, write_outcome
from model_loop.serving.compiled.stored import KEPT_FORM, LOGGED_FORM, columns_of, proven_form
from model_loop.serving.compiled.tables import dense_tables, sparse_tables
from model_loop.serving.models.predictor import ServedVersion, places_of
from model_loop.serving.models.store import ModelStore
from model_loop.tracking.lines import OtherLineError
from model_loop.tracking.registry import LoadedModel, read_model
from model_loop.tracking.runs import Tracker
from model_loop.training_set.encoders.dense import DenseTripEncoder
from model_loop.training_set.encoders.one_hot import OneHotTripEncoder
from trip_duration.recipes import get_recipe
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
    TRIP_TYPE,
    VENDOR,
)

_GENERATED = 1_000
_ODD_SHARE = 0.3
#: 2000-01-01 and 2099-12-31, in seconds since 1970.
_TIMES = (946_684_800, 4_102_444_799)
#: Rare zones: the first and last of TLC's. Models refuse other numbers, as requests do.
_ODD_ZONES = (1, 263, 264, 265)
#: Miles: what the encoders clip or floor, and what meters have reported.
_ODD_DISTANCES = (0.0, 0.01, 0.3, 30.0, 30.01, 100.0, 201_421.0)
#: 2024-07-04, a holiday, and the last second of a leap day.
_ODD_TIMES = (1_720_051_200, 1_709_251_199)

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


def compile_model(version: int, loaded: LoadedModel) -> Compiled:
    """Compile a loaded version.

    The form brings what the model says of the example that is stored beside it, and of generated
    trips with every oddity that requests may have.

    Raises
    ------
    InvalidInputError
        If the model reads columns that no request has.
    """
    columns = _columns(loaded)
    if unknown := sorted(set(columns) - set(COLUMNS)):
        raise InvalidInputError(
            f"Version {version}",
            f"reads {', '.join(unknown)}, which requests do not hold",
            "Promote a version that reads raw columns of trips.",
        )
    try:
        return Compiled(columns, _form(loaded, columns))
    except NotCompiledError as error:
        return Compiled(columns, None, str(error))
    except Exception as error:
        # A fault of the compiler is not a fault of the model.
        logger.exception("Version %d cannot be compiled", version)
        return Compiled(columns, None, f"compiling it failed: {error!r}")


def make_predictor(version: int, loaded: LoadedModel) -> ServedVersion:
    """Make a loaded version ready to answer in this process.

    Raises
    ------
    InvalidInputError
        If the model reads columns that no request has.
    """
    compiled = compile_model(version, loaded)
    columns, plain = compiled.columns, compiled.plain
    if compiled.form is not None:
        try:
            return ServedVersion(version, columns, places_of(columns), compiled.form.verify())
        except NotCompiledError as error:
            plain = str(error)
    logger.warning("Version %d is served as it is: %s", version, plain)
    return ServedVersion(version, columns, places_of(columns), predict_by(loaded, columns), plain)


def log_form(tracker: Tracker, run_id: str, loaded: LoadedModel) -> None:
    """Log the compiled form of a model beside it, for the time after an upgrade; if it has one."""
    compiled = compile_model(0, loaded)
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


def predict_by(loaded: LoadedModel, columns: tuple[str, ...]) -> Predict:
    """Return a function that predicts by the registered model itself."""

    def predict(rows: Rows) -> np.ndarray:
        return np.asarray(loaded.model.predict(to_frame(rows, columns)), dtype=np.float64)

    return predict


def _columns(loaded: LoadedModel) -> tuple[str, ...]:
    encoder = loaded.model.named_steps.get("encode")
    if isinstance(encoder, DenseTripEncoder | OneHotTripEncoder):
        return get_recipe(encoder.recipe).columns
    return loaded.inputs


def _form(loaded: LoadedModel, columns: tuple[str, ...]) -> CompiledModel:
    steps = dict(loaded.model.named_steps)
    encoder, selected = steps.pop("encode", None), steps.pop("select", None)
    estimator = steps.popitem()[1]
    if steps or not isinstance(encoder, DenseTripEncoder | OneHotTripEncoder):
        raise NotCompiledError("pipelines of other steps have no compiled form")
    width = len(encoder.get_feature_names_out())
    flat = forests.flatten(estimator, selected.places if selected else None, width)
    if flat is None:
        raise NotCompiledError(f"{type(estimator).__name__} has no compiled form")
    one_hot = isinstance(encoder, OneHotTripEncoder)
    sample = _sample(loaded, columns)
    return CompiledModel(
        tables=sparse_tables(encoder) if one_hot else dense_tables(encoder),
        flat=flat,
        sample=sample,
        minutes=predict_by(loaded, columns)(sample),
    )


def _sample(loaded: LoadedModel, columns: tuple[str, ...]) -> Rows:
    """The stored example and generated trips."""
    generated = odd_rows(_GENERATED)
    if loaded.example is None:
        return generated
    example: pd.DataFrame = loaded.example
    if PICKUP_TIME in columns:
        example = example.assign(**{PICKUP_TIME: pd.to_datetime(example[PICKUP_TIME])})
    return np.concatenate([from_frame(example, columns), generated])


def odd_rows(count: int, seed: int = 0) -> Rows:
    """Generated rows, among them every oddity that a request may have."""
    random = np.random.default_rng(seed)

    def mixed(usual: np.ndarray, odd: tuple[float, ...]) -> np.ndarray:
        return np.where(random.random(count) < _ODD_SHARE, random.choice(odd, count), usual)

    rows = np.empty((count, len(COLUMNS)))
    for zone in (PICKUP_ZONE, DROPOFF_ZONE):
        rows[:, PLACES[zone]] = mixed(random.integers(1, 266, count), _ODD_ZONES)
    rows[:, PLACES[PICKUP_TIME]] = mixed(random.integers(*_TIMES, count), _ODD_TIMES)
    rows[:, PLACES[DISTANCE]] = mixed(random.gamma(2.0, 1.5, count).round(2), _ODD_DISTANCES)
    for name in (PASSENGERS, VENDOR, TRIP_TYPE):
        rows[:, PLACES[name]] = mixed(random.integers(0, 7, count), (np.nan,))
    return rows


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
    try:
        loaded = read_model(files, f"Version {order.version} of {order.name}")
    except OtherLineError as error:
        told = (error.given, error.rule, error.remedy)
        stored = proven_form(
            MlflowClient(order.tracking_uri),
            order.name,
            order.version,
            error,
            machine_code=order.machine_code,
            kept=files / KEPT_FORM,
        )
        return CompilerResult(columns_of(files), files=str(files), other_line=told), stored
    compiled = compile_model(order.version, loaded)
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
    return CompilerResult(compiled.columns, plain, str(files)), form


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
