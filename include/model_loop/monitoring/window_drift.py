"""Check windows for drift: the steps of the DAG `monitoring`, which a notebook can take too."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_loop.datasets.classes import HALF
from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.monitoring.drift import Inputs, drift_findings, no_findings, shap_of_window
from model_loop.monitoring.levels import Thresholds, WindowFinding
from model_loop.monitoring.profile import (
    ReferenceProfile,
    VersionProfile,
    find_profile,
    find_sample,
    log_reference,
    make_reference,
    score_of,
)
from model_loop.monitoring.report import write_report
from model_loop.monitoring.windows import WindowRows
from model_loop.scoring.predictor import Predictor, RegisteredVersion
from model_loop.tracking.challengers import judged_by
from model_loop.tracking.versions import ModelVersions
from model_loop.training_set.preparation import build_training_set

NO_PROFILE = (
    "version {version} has no profile of what it has learned from: make one with "
    "`model-loop profile-version --version {version}`"
)
BAD_PROFILE = (
    "the profile of version {version} cannot be read: make it again with "
    "`model-loop profile-version --version {version}`"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DriftRules:
    """Thresholds and limits of drift detection.

    Parameters
    ----------
    thresholds
        By metric.
    least_rows
        With fewer rows, findings are unknown.
    report
        Whether Evidently's report is made.
    """

    thresholds: Mapping[str, Thresholds]
    least_rows: int
    report: bool = True


def look_for_drift(
    versions: ModelVersions,
    predictor: Predictor,
    rows: WindowRows,
    rules: DriftRules,
    folder: Path | None = None,
) -> list[WindowFinding]:
    """Compare a window with what a version has learned from.

    Parameters
    ----------
    folder
        Where Evidently's report is written; without one, there is none.
    """
    version = predictor.version
    profile = known_profile(versions, version)
    if isinstance(profile, str):
        logger.warning("%s", profile)
        return no_findings(rules.thresholds, profile)
    asked = rows.inputs(predictor.columns)
    own = rows.of_version(version.number)
    predicted = own.predicted[own.is_predicted]
    shap = (
        shap_of_window(predictor.explained, asked, random_state=0)
        if predictor.explained and profile.shap is not None and len(asked) >= rules.least_rows
        else None
    )
    threshold = predictor.deciding.threshold if predictor.deciding else HALF
    inputs = Inputs(asked, predicted, shap, rows.dataset, threshold)
    findings = drift_findings(profile, inputs, rules.thresholds, rules.least_rows)
    if folder is not None and rules.report and len(asked) >= rules.least_rows:
        sample = find_sample(versions.tracker, version.name, version.number)
        if sample is not None:
            about = (score_of(predicted), rules.thresholds, rows.dataset)
            findings += write_report(folder, sample, asked, *about)
    return findings


def known_profile(versions: ModelVersions, version: RegisteredVersion) -> VersionProfile | str:
    """Return the profile of a version; in words, why none can be read."""
    try:
        profile = find_profile(versions.tracker, version.name, version.number)
    except StoredObjectError as error:
        logger.warning("%s", error)
        return BAD_PROFILE.format(version=version.number)
    return profile or NO_PROFILE.format(version=version.number)


def profile_version(
    versions: ModelVersions, predictor: Predictor, *, storage_root: str, timeout_seconds: float
) -> ReferenceProfile:
    """Profile a version afterwards, and keep the profile beside it.

    It is made from the training set of its lineage; a version that was brought in, by that of the
    champion.

    Raises
    ------
    InvalidInputError, SourceError, ContractError
        If there is no such training set, and it can no longer be built.
    """
    number, model = predictor.version.number, predictor.explained
    if model is None:
        raise InvalidInputError(
            f"Version {number}",
            "cannot be read by the libraries that are installed, so that it cannot be profiled",
            "Run the DAG retraining.",
        )
    training_set = judged_by(
        versions, number, storage_root=storage_root, timeout_seconds=timeout_seconds
    )
    if training_set.reference_rows is None:
        training_set = build_training_set(
            training_set.request, storage_root=storage_root, timeout_seconds=timeout_seconds
        )
    reference = make_reference(model, training_set, columns=predictor.columns)
    run_id = versions.tracker.client.get_model_version(versions.name, str(number)).run_id
    log_reference(versions.tracker, str(run_id), reference)
    return reference
