"""The commands ``monitor``, ``profile-version`` and ``correct-intervals`` of ``model-loop``."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich import box
from rich.table import Table

from model_loop.cli.codes import ExitCode
from model_loop.cli.console import console
from model_loop.cli.options import AsJson, Variant, trained_variant
from model_loop.errors import InvalidInputError, require_within
from model_loop.monitoring.levels import Level, as_row, gravest_first, thresholds_of, worst
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from model_loop.monitoring.levels import WindowFinding
    from model_loop.monitoring.windows import WindowRows
    from model_loop.scoring.predictor import Predictor
    from model_loop.tracking.versions import ModelVersions

_settings = get_settings()


@Parameter(name="*", group="Version")
@dataclass(frozen=True)
class VersionOptions:
    """Options that choose a version.

    Parameters
    ----------
    variant
        Variant of the model; a dataset, if it has one variant alone.
    version
        Its number; if left out, every champion: there is one for each moment.
    """

    variant: Variant = _settings.variant
    version: int | None = None

    def versions(self) -> ModelVersions:
        """Return the versions of the variant."""
        from model_loop.tracking.experiments import tracker_of
        from model_loop.tracking.versions import ModelVersions

        dataset, variant = trained_variant(self.variant, _settings.tracking_uri)
        where = (_settings.tracking_uri, _settings.experiment)
        return ModelVersions(tracker_of(dataset, *where, "promotion"), variant.key)

    def predictors(self) -> list[Predictor]:
        """The versions, loaded.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        from model_loop.coded.versions import load_any
        from model_loop.scoring.predictor import choose_version, choose_versions, load_predictor

        versions = self.versions()
        # Says what there is not.
        first = choose_version(versions, self.version)
        chosen = [first] if self.version else choose_versions(versions)
        return [load_predictor(versions, version, load_any) for version in chosen]


_VERSION = VersionOptions()
#: A hundred years.
_MOST_DAYS = 36_500.0


def monitor(
    *,
    options: VersionOptions = _VERSION,
    partition: Annotated[str | None, Parameter(name=("--partition", "--month"))] = None,
    days: float | None = None,
    source: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Compare what was asked with what versions have learned from; nothing is kept or started.

    Ends with exit code 1 if a finding says that a new model is needed.

    Parameters
    ----------
    partition
        Look at all rows of a partition, such as 2024-01, 2024-W05 or 2024-01-31; otherwise at the
        request log.
    days
        Days of the request log to look back; the days of the settings, if left out.
    source
        Source of the partition; that of the declaration or of the settings, if left out.
    as_json
        Print one JSON object, for machines.
    """
    if partition and days is not None:
        raise InvalidInputError(
            f"--days {days:g}",
            f"cannot be combined with --partition {partition}",
            "Give one of the two.",
        )
    days = _settings.monitoring_days if days is None else days
    require_within("days", days, above=0.0, most=_MOST_DAYS)
    from model_loop.monitoring.window_drift import DriftRules, look_for_drift

    versions, settings = options.versions(), get_settings()
    rules = DriftRules(thresholds_of(settings), settings.monitoring_rows)
    every: list[WindowFinding] = []
    told: list[dict[str, object]] = []
    for predictor in options.predictors():
        number = predictor.version.number
        rows = (
            _published(predictor, partition, source)
            if partition
            else _logged(days, predictor, versions)
        )
        moment, label = versions.moment(number), rows.window.label
        findings = look_for_drift(versions, predictor, rows, rules)
        level, count, noun = worst(findings), len(rows), rows.dataset.rows[0]
        every += findings
        told.append(
            {
                "version": number,
                "moment": moment,
                "window": label,
                "rows": count,
                # A dataset in Python may have a word of its own, as its callers know it.
                noun: count,
                "level": level.value,
                "findings": [as_row(finding) for finding in findings],
            }
        )
        if not as_json:
            _print(findings, f"Version {number} ({moment}): {count:,} {noun}, {label}: {level}")
    if as_json:
        content = {"level": worst(every).value, "versions": told}
        print(json.dumps(content))  # noqa: T201 - the command's answer
    if worst(every) is Level.ACT:
        sys.exit(ExitCode.NEGATIVE)


def profile_version(*, options: VersionOptions = _VERSION) -> None:
    """Profile versions that have no profile, or an old one, and keep the profile beside each."""
    from model_loop.monitoring.window_drift import profile_version as make

    settings = get_settings()
    for predictor in options.predictors():
        reference = make(
            options.versions(),
            predictor,
            storage_root=settings.storage_root,
            timeout_seconds=settings.request_timeout_seconds,
        )
        names = ", ".join(feature.bins.name for feature in reference.profile.features)
        version = predictor.version
        console().print(f"Version {version.number} of {version.name} has a profile of {names}.")


def correct_intervals(
    *, options: VersionOptions = _VERSION, days: float | None = None, as_json: AsJson = False
) -> None:
    """Correct intervals and sets of classes by the closed days of the request log, each once.

    A day is closed when it has ended and the delay of labels has passed. A second run changes
    nothing. Ends with exit code 1 where the evidence suffices that intervals do not hold.

    Parameters
    ----------
    days
        Days of the request log to look back; the days of the settings, if left out.
    as_json
        Print one JSON object, for machines.
    """
    days = _settings.monitoring_days if days is None else days
    require_within("days", days, above=0.0, most=_MOST_DAYS)
    from model_loop.monitoring.correcting import look_at_intervals
    from model_loop.monitoring.interval_days import INTERVAL_EVIDENCE
    from model_loop.monitoring.labels import labelled
    from model_loop.monitoring.records import FindingRecords, WatchedVersion
    from model_loop.tracking.experiments import tracker_of

    versions, settings = options.versions(), get_settings()
    where = (settings.tracking_uri, settings.experiment)
    limits = thresholds_of(settings)[INTERVAL_EVIDENCE]
    every: list[WindowFinding] = []
    results: list[dict[str, object]] = []
    for predictor in options.predictors():
        number, dataset = predictor.version.number, predictor.version.dataset
        own = _logged(days, predictor, versions).of_version(number)
        judged = dataset.extensions.load("judged")
        known = labelled(own, judged(settings).of_actual if judged else None)
        watched = WatchedVersion(own.window, number, own.source, versions.moment(number))
        records = FindingRecords(tracker_of(dataset, *where, "monitoring"))
        findings, measured = look_at_intervals(
            versions, records, watched, known, limits, learns=True
        )
        every += findings
        last = [asdict(day) for day in measured[-1:]]
        results.append(
            {"version": number, "days": len(measured), "last": last[0] if last else None}
        )
        if not as_json:
            none = "" if findings else ": it has neither intervals nor sets of classes"
            _print(findings, f"Version {number}, {len(measured)} closed days{none}")
    if as_json:
        print(json.dumps({"level": worst(every).value, "versions": results}))  # noqa: T201 - the command's answer
    if worst(every) is Level.WARN:
        sys.exit(ExitCode.NEGATIVE)


def _published(predictor: Predictor, partition: str, source: str | None) -> WindowRows:
    from model_loop.monitoring.published import read_published, window_of_published
    from model_loop.monitoring.windows import Window
    from model_loop.sources.published import PublishedSource

    settings, variant = get_settings(), predictor.version.service
    declared = predictor.version.dataset.declaration
    address = source or (str(declared.source) if declared else settings.source)
    limits = (settings.storage_root, settings.request_timeout_seconds)
    found = read_published(
        PublishedSource(variant, address, *limits, predictor.version.dataset), partition
    )
    window = replace(Window.of_partition(variant, partition), trained=predictor.version.dataset)
    return window_of_published(window, found, predictor.columns, predictor)


def _logged(days: float, predictor: Predictor, versions: ModelVersions) -> WindowRows:
    from model_loop.monitoring.windows import Window, read_request_log
    from model_loop.serving.request_log.tables import open_log

    settings, now = get_settings(), dt.datetime.now(tz=dt.UTC)
    window = Window.of_days(predictor.version.service, now - dt.timedelta(days=days), now)
    window = replace(window, trained=predictor.version.dataset)
    found = read_request_log(open_log(settings.request_log_url, settings.serving_folder), window)
    moment = versions.moment(predictor.version.number)
    return found.asked_at(moment, versions.known_moment)


def _print(findings: list[WindowFinding], title: str) -> None:
    table = Table("found", "level", "thresholds", "", box=box.SIMPLE_HEAD)
    for one in gravest_first(findings):
        table.add_row(str(one), one.level.value, str(one.thresholds), one.note)
    out = console()
    out.print(title)
    out.print(table)
