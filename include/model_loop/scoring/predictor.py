"""The version that answers, ready to predict."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from model_loop.datasets.classes import HALF
from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant, find_variant, variants
from model_loop.datasets.stored import dataset_of_text
from model_loop.errors import InvalidInputError
from model_loop.intervals.adaptive import NO_CORRECTION, Correction
from model_loop.intervals.calibrated import Intervals
from model_loop.models.outcomes import Explains, Predicts, parts_of_classifier, predict_outcomes
from model_loop.scoring.notices import ValueWatch, watch_of
from model_loop.scoring.outcomes import DecisionRules, deciding_of
from model_loop.tracking.corrections import correction_of
from model_loop.tracking.deployments import (
    Standings,
    parts_of_aliases,
    version_of_alias,
)
from model_loop.tracking.registry import Load, LoadedModel, load_registered
from model_loop.tracking.trained import dataset_of_version
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.matrices import Targets

#: A version's number; longer ones are numbers that no registry keeps.
_NUMBER = re.compile(r"\d{1,9}")
_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d{1,9})|@(?P<alias>.+))")


@dataclass(frozen=True)
class RegisteredVersion:
    """Version of a registered model.

    Parameters
    ----------
    service
        Key of the variant of the model; see `datasets.registry`.
    number
        Number of the version.
    declaration
        The stored declaration that it was trained on, once it is loaded; empty where rows are read
        by the present one.
    """

    service: str
    number: int
    declaration: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Name of the registered model."""
        return self.dataset.variants[self.service].model_name

    @property
    def dataset(self) -> Dataset:
        """Dataset by which rows are read: as it was declared when the version was trained."""
        if self.declaration:
            return dataset_of_text(self.declaration)
        return find_variant(self.service)[0]


@dataclass(frozen=True)
class VersionAddress:
    """The version that the address of a model names, by its number or by an alias.

    Parameters
    ----------
    service
        Key of the variant of the model.
    version
        Its number; None where an alias is named.
    alias
        One of `standing.parts_of_aliases`; empty where a version is named.
    """

    service: str
    version: int | None = None
    alias: str = ""

    def number(self, versions: ModelVersions) -> int:
        """Return the number of the version that is named.

        Raises
        ------
        InvalidInputError
            If no version has the alias.
        """
        if self.version is not None:
            return self.version
        found = version_of_alias(self.alias, versions.standings())
        if found is None:
            raise InvalidInputError(
                f"Model models:/{versions.name}@{self.alias}",
                "names no version: nothing has this alias now",
                "Look up the aliases on the page of the registered model, or name a version.",
            )
        return found


@dataclass(frozen=True)
class Predictor:
    """A version, loaded.

    Parameters
    ----------
    version
        Version to load.
    model
        Encoder and estimator together, or what answers for them after an upgrade.
    columns
        The raw columns that it takes.
    watch
        Compares rows with what it has learned from; None where that was not stored.
    intervals
        Intervals around its predictions; None where they were not stored.
    correction
        Correction of the intervals, or of the sets of classes, when the version was loaded.
    deciding
        Rules by which it answers with classes; None where it answers with numbers.
    """

    version: RegisteredVersion
    model: Predicts
    columns: tuple[str, ...]
    watch: ValueWatch | None = None
    intervals: Intervals | None = None
    correction: Correction = NO_CORRECTION
    deciding: DecisionRules | None = None

    @property
    def pipeline(self) -> Pipeline | None:
        """Return encoder and estimator; None where the model itself cannot be read."""
        return self.model if isinstance(self.model, Pipeline) else None

    @property
    def explained(self) -> Pipeline | Explains | None:
        """Return the model that SHAP values are computed by; None where it cannot be read."""
        return self.model if isinstance(self.model, Pipeline | Explains) else None

    def predict(self, rows: pd.DataFrame) -> Targets:
        """Predict rows from their raw columns, as `models.outcomes` describes predictions."""
        target = self.version.dataset.target
        if rows.empty:
            several = target.kind == "multiclass"
            return np.empty((0, len(target.labels.labels)) if several else 0)
        return predict_outcomes(self.model, rows[list(self.columns)], target)


def parse_model(text: str, service: str) -> VersionAddress:
    """Read ``3``, ``models:/flights/3`` or ``models:/flights@champion``.

    Parameters
    ----------
    service
        Key of the variant of the model, where the text does not name it.

    Raises
    ------
    InvalidInputError
        If the text is none of these, or the model is not one of ours, or the alias is none of ours.
    """
    if _NUMBER.fullmatch(text):
        return VersionAddress(service, int(text))
    services = {variant.model_name: key for key, variant in variants().items()}
    address = _ADDRESS.fullmatch(text)
    if address is None or address["name"] not in services:
        raise InvalidInputError(
            f"Model {text!r}",
            "is not a version of a registered model",
            f"Give a number, or models:/{find_variant(service)[1].model_name}/3.",
        )
    named, alias = services[address["name"]], address["alias"]
    if alias is None:
        return VersionAddress(named, int(address["version"]))
    if alias not in (aliases := parts_of_aliases(dataset_of_variant(named).moments)):
        raise InvalidInputError(
            f"Model {text!r}",
            f"has the alias {alias!r}, which is unknown",
            f"Choose one of: {', '.join(aliases)}.",
        )
    return VersionAddress(named, alias=alias)


def choose_version(
    versions: ModelVersions, number: int | None = None, moment: Moment | None = None
) -> RegisteredVersion:
    """Return the version that is to answer.

    Parameters
    ----------
    number
        The version, where it is named.
    moment
        The champion of this moment; by default, of the earliest moment that has one.

    Raises
    ------
    InvalidInputError
        If the service is disabled, has no champion, or the version is not there or was retired.
    """
    standings = versions.standings()
    if number is not None:
        versions.require_usable(number)
        asked_at = versions.moment(number)
    else:
        asked_at = moment or _first_answering(versions.service, standings)
    standing = standings[asked_at]
    if not standing.enabled:
        raise InvalidInputError(
            f"The model of {versions.service}",
            f"is disabled, so nothing answers at the moment {asked_at}",
            "Run the DAG promotion with the action enable when it is safe again.",
        )
    chosen = number or standing.champion
    if chosen is None:
        raise InvalidInputError(
            f"Variant {versions.service}",
            "has no champion yet" + (f" at the moment {moment}" if moment else ""),
            "Train models (DAGs sklearn_training and xgboost_training), then run the DAG "
            "promotion; or name a version.",
        )
    versions.require_usable(chosen)
    return RegisteredVersion(versions.service, chosen)


def choose_versions(versions: ModelVersions) -> list[RegisteredVersion]:
    """Return every champion that answers, that of the earliest moment first."""
    return [
        RegisteredVersion(versions.service, standing.champion)
        for standing in versions.standings().values()
        if standing.champion is not None and standing.enabled
    ]


def find_predictor(
    versions: ModelVersions,
    given: Callable[[Dataset], Collection[str]],
    *,
    number: int | None = None,
    moment: Moment | None = None,
    load: Load = load_registered,
) -> Predictor:
    """Load the version that is to answer rows of which some columns are given.

    The version that is named, or the champion of the moment that is named, or else the earliest
    champion that has all the columns that it needs; if there is none, the earliest one for which
    what is missing can be computed.

    Parameters
    ----------
    given
        Returns the columns that the rows have, by names in frames, as a version's dataset reads
        them. A champion whose dataset refuses them is passed over.

    Raises
    ------
    InvalidInputError
        See `choose_version`; also if no version is named, and every champion needs a column that is
        not given, or the datasets of all of them refuse the rows.
    """
    if number is not None:
        return load_predictor(versions, choose_version(versions, number), load)
    dataset, standings = versions.dataset, versions.standings()
    led = [one for one in dataset.moments if standings[one].champion is not None]
    asked = [moment] if moment else led
    able = [one for one in asked if standings[one].enabled]
    if not able:
        # Says what there is not.
        choose_version(versions, moment=moment)
    lacking, computing = [], []
    refused: InvalidInputError | None = None
    for one in able:
        predictor = load_predictor(versions, choose_version(versions, moment=one), load)
        columns = predictor.version.dataset.columns
        try:
            there = {*given(predictor.version.dataset)}
        except InvalidInputError as error:
            refused = refused or error
            continue
        missing = {*predictor.columns} & columns.required - there
        if not missing:
            return predictor
        if missing <= columns.computed:
            computing.append(predictor)
        lacking.append((one, predictor.version.number, ", ".join(sorted(missing))))
    if computing:
        return computing[0]
    if refused is not None:
        raise refused
    needs = "; ".join(
        f"version {version}, the champion at the moment {name}, needs {what}"
        for name, version, what in lacking
    )
    raise InvalidInputError(
        f"A {dataset.rows[1]}",
        f"lacks {lacking[-1][-1]} ({needs})",
        "Give it, or train and promote a model that does without it.",
    )


def _first_answering(variant: str, standings: Standings) -> Moment:
    moments = dataset_of_variant(variant).moments
    led = [moment for moment in moments if standings[moment].champion is not None]
    return next((moment for moment in led if standings[moment].enabled), (*led, moments[0])[0])


def load_predictor(
    versions: ModelVersions, version: RegisteredVersion, load: Load = load_registered
) -> Predictor:
    """Load a version, under the policy of `objects.trust`.

    Raises
    ------
    InvalidInputError, StoredObjectError
        If it cannot be loaded safely.
    """
    loaded = load(versions.tracker, versions.name, version.number)
    dataset_of_version(versions.name, version.number, loaded.declaration)
    version = replace(version, declaration=loaded.declaration)
    columns = loaded.inputs
    if not columns and isinstance(loaded, LoadedModel):
        # Models of before there were signatures name their recipe.
        columns = version.dataset.recipe(loaded.model.named_steps["encode"].recipe).columns
    watch = watch_of(version.dataset, version.number, loaded.learned)
    correction = NO_CORRECTION
    if loaded.intervals is not None or loaded.decision is not None:
        tags = versions.tracker.client.get_registered_model(versions.name).tags
        correction = correction_of(tags, version.number)
    deciding = deciding_of(version.dataset.target, _threshold(loaded.model), loaded.decision)
    return Predictor(
        version, loaded.model, tuple(columns), watch, loaded.intervals, correction, deciding
    )


def _threshold(model: Predicts) -> float:
    """Return the threshold by which a model answers with the positive class of two."""
    if isinstance(model, Pipeline):
        return parts_of_classifier(model.steps[-1][1]).threshold
    # A compiled form that answers for a model has its threshold.
    return float(getattr(model, "threshold", HALF))
