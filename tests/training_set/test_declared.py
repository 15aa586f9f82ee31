"""The steps from the files of a declared table to its training set."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.training_set.test_tables import DECLARATION, table
from upath import UPath

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.errors import ContractError, InvalidInputError
from model_loop.findings import Finding, RefusedPartitionError
from model_loop.history.tables import PartitionVerdict
from model_loop.objects import ObjectReference, read_object
from model_loop.partitions import checked as checked_tables
from model_loop.partitions.completing import complete_files
from model_loop.partitions.contract import RULE
from model_loop.partitions.source import find_files, resolved_source
from model_loop.tracking import partitions
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.partitions import log_table
from model_loop.tracking.runs import Tracker
from model_loop.training_set.declared import TablePreparation
from model_loop.training_set.matrices import as_dense
from model_loop.training_set.preparation import (
    build_training_set,
    compare_partitions,
    require_sound,
)
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet

MONTHLY = DECLARATION.replace("rides.csv", "rides-{partition}.csv")
WAIT = 5.0

pytestmark = pytest.mark.filterwarnings("ignore::model_loop.findings.DoubtfulDataWarning")


def months_of(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cut rows by their month on the clocks of New York."""
    local = pd.to_datetime(frame["at"]).dt.tz_convert("America/New_York")
    keys = local.dt.strftime("%Y-%m")
    return {str(key): frame[keys == key] for key in sorted(keys.unique())}


def write_months(folder: Path, frame: pd.DataFrame) -> tuple[str, ...]:
    """Write a file for each month; return their keys."""
    months = months_of(frame)
    for key, rows in months.items():
        rows.to_csv(folder / f"rides-{key}.csv", index=False)
    return tuple(months)


class Prepared:
    """A declared table with its preparation and store."""

    def __init__(self, folder: Path, text: str) -> None:
        self.root = str(folder / "store")
        found: Declaration = resolved_source(parse_declaration(text, "rides.toml"), folder)
        files = find_files(found, found.name)
        self.declaration = complete_files(found, files, found.name)
        self.dataset = dataset_of(self.declaration)
        self.steps = TablePreparation(self.dataset)

    def request(self, *partitions: str, accepted: tuple[str, ...] = ()) -> TableRequest:
        """Return the request for some partitions; all by default."""
        return TableRequest(
            text_of_declaration(self.declaration),
            self.dataset.name,
            self.dataset.default_recipe,
            split_of(self.dataset),
            partitions,
            accepted_findings=accepted,
        )

    def verdicts(self, request: TableRequest) -> list[PartitionVerdict]:
        """Fetch, check and compare."""
        keys = self.steps.plan(request, storage_root=self.root, timeout_seconds=WAIT)
        fetched = [
            self.steps.fetch(request, key, storage_root=self.root, timeout_seconds=WAIT)
            for key in keys
        ]
        checked = [self.steps.check(each, storage_root=self.root) for each in fetched]
        accepted = request.accepted_findings
        return self.steps.compare(checked, storage_root=self.root, accepted=accepted)


def test_steps_give_the_training_set_of_one_reading(tmp_path: Path) -> None:
    """The same rows in files of months or one, step by step or at once, give the same numbers."""
    keys = write_months(tmp_path, table())
    table().to_csv(tmp_path / "rides.csv", index=False)
    prepared = Prepared(tmp_path, MONTHLY)
    verdicts = prepared.verdicts(prepared.request())
    assert [verdict.partition for verdict in verdicts] == [*keys]
    assert sum(verdict.rows for verdict in verdicts) == len(table())
    made = prepared.steps.encode(prepared.request(), verdicts, storage_root=prepared.root)
    again = build_training_set(prepared.request(), storage_root=prepared.root)
    assert again.digest == made.digest
    assert_same_rows(made, one_file_of(tmp_path, DECLARATION))


def one_file_of(folder: Path, text: str) -> TrainingSet:
    """Build the training set of a table that is one file."""
    whole = Prepared(folder, text)
    return build_training_set(whole.request(), storage_root=whole.root)


def assert_same_rows(first: TrainingSet, second: TrainingSet) -> None:
    """Compare what is learned from and judged by, to the last digit."""
    assert np.array_equal(first.train_target, second.train_target)
    for layout, splits in first.layouts.items():
        others = second.layouts[layout]
        assert np.array_equal(as_dense(splits.train), as_dense(others.train))
    pd.testing.assert_frame_equal(first.test_rows, second.test_rows)


def test_a_table_in_one_file_is_compared_month_by_month(tmp_path: Path) -> None:
    """Each row counts to one partition, also those that were set aside or have no time."""
    frame = table()
    frame.loc[[3, 4, 700], "count"] = np.nan
    frame.loc[[5, 6], "at"] = ""
    frame.to_csv(tmp_path / "rides.csv", index=False)
    prepared = Prepared(tmp_path, DECLARATION)
    verdicts = prepared.verdicts(prepared.request())
    assert [verdict.partition for verdict in verdicts] == [*months_of(table())]
    assert sum(verdict.rows for verdict in verdicts) == len(frame)
    assert sum(verdict.quarantined for verdict in verdicts) == 5
    kept = verdicts[0].table.load_quarantine()
    assert kept[RULE].value_counts().to_dict() == {"no target": 3, "no time": 2}


def test_a_table_may_end_on_any_day(tmp_path: Path) -> None:
    """Half of a last month has as many rows a day as the others, and lacks none."""
    table().to_csv(tmp_path / "rides.csv", index=False)
    prepared = Prepared(tmp_path, DECLARATION)
    *_, last = prepared.verdicts(prepared.request())
    assert (last.partition, last.findings) == ("2024-06", ())


def test_the_same_content_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is run again finds its work done."""
    write_months(tmp_path, table())
    prepared = Prepared(tmp_path, MONTHLY)
    before = prepared.verdicts(prepared.request())
    monkeypatch.setattr(checked_tables, "read_table", None)
    assert [each.table for each in prepared.verdicts(prepared.request())] == [
        each.table for each in before
    ]


def test_a_file_that_changes_on_the_way_is_refused(tmp_path: Path) -> None:
    """What is checked is what was planned."""
    (first, *_) = write_months(tmp_path, table())
    prepared, file = Prepared(tmp_path, MONTHLY), tmp_path / f"rides-{first}.csv"
    request = prepared.request(first)
    prepared.steps.plan(request, storage_root=prepared.root, timeout_seconds=WAIT)
    fetched = prepared.steps.fetch(request, first, storage_root=prepared.root, timeout_seconds=WAIT)
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ContractError, match="has changed since the run has begun"):
        prepared.steps.check(fetched, storage_root=prepared.root)


def test_an_identity_that_comes_again_in_another_file_is_counted(tmp_path: Path) -> None:
    """The later row is set aside, and the numbers of its file still add up."""
    frame = table()
    first, second, *_ = write_months(tmp_path, frame)
    file = tmp_path / f"rides-{second}.csv"
    rows = pd.read_csv(file)
    rows.loc[[0, 1], "number"] = months_of(frame)[first]["number"].to_numpy()[:2]
    rows.to_csv(file, index=False)
    keyed = 'partition = "month"', 'partition = "month"\nprimary_key = ["number"]'
    prepared = Prepared(tmp_path, MONTHLY.replace(*keyed))
    verdicts = prepared.verdicts(prepared.request())
    made = prepared.steps.encode(prepared.request(), verdicts, storage_root=prepared.root)
    by_partition = {report.partition: report for report in made.cleaning}
    assert by_partition[second].set_aside == {"same number again": 2}
    assert all(
        report.rows_read == report.rows_kept + report.rows_set_aside for report in made.cleaning
    )
    assert sum(report.rows_kept for report in made.cleaning) == len(frame) - 2
    files = [pd.read_csv(tmp_path / f"rides-{key}.csv") for key in months_of(frame)]
    pd.concat(files).to_csv(tmp_path / "rides.csv", index=False)
    assert_same_rows(made, one_file_of(tmp_path, DECLARATION.replace(*keyed)))


def test_a_partition_unlike_those_before_it_is_refused_unless_accepted(tmp_path: Path) -> None:
    """Another unit in the last file stops the training, until an operator says it is right."""
    frame = pd.concat([table(seed=seed) for seed in range(8)], ignore_index=True)
    # At any hour: rows at every second hour of UTC move by one when the clocks change.
    hours = np.random.default_rng(1).integers(0, 165 * 24, len(frame))
    at = pd.Timestamp("2024-01-01T05:00Z") + pd.to_timedelta(hours, unit="h")
    keys = write_months(tmp_path, frame.assign(at=at.strftime("%Y-%m-%dT%H:%M:%SZ")))
    file = tmp_path / f"rides-{keys[-1]}.csv"
    rows = pd.read_csv(file)
    rows.assign(warmth=rows["warmth"] * 9 / 5 + 32, count=rows["count"] * 60).to_csv(
        file, index=False
    )
    prepared = Prepared(tmp_path, MONTHLY)
    verdicts = prepared.verdicts(prepared.request())
    assert [verdict.partition for verdict in verdicts if verdict.refused] == [keys[-1]]
    with pytest.raises(RefusedPartitionError, match=f"Month {keys[-1]} of rides"):
        require_sound(prepared.dataset, verdicts)
    refusing = [each for each in verdicts[-1].findings if each.level == "refused"]
    accepted = tuple(f"{each.partition} {each.code}" for each in refusing)
    require_sound(prepared.dataset, prepared.verdicts(prepared.request(accepted=accepted)))

    files = [pd.read_csv(tmp_path / f"rides-{key}.csv") for key in keys]
    pd.concat(files).to_csv(tmp_path / "rides.csv", index=False)
    whole = Prepared(tmp_path, DECLARATION)
    *_, last = whole.verdicts(whole.request())
    assert not last.refused, "of a table in one file"
    # A table may end on any day.
    codes = {each.code for each in refusing} - {"part_of_partition"}
    assert codes
    assert codes <= {each.code for each in last.findings}


def test_a_partition_of_one_table_is_read_alone(tmp_path: Path) -> None:
    """Only its rows are counted and checked."""
    frame = table()
    frame.to_csv(tmp_path / "rides.csv", index=False)
    prepared = Prepared(tmp_path, DECLARATION)
    (verdict,) = prepared.verdicts(prepared.request("2024-02"))
    wanted = months_of(frame)["2024-02"]
    assert (verdict.partition, verdict.rows) == ("2024-02", len(wanted))
    assert verdict.table.load_rows()["number"].tolist() == wanted["number"].astype(str).tolist()
    with pytest.raises(ContractError, match="has no row of 2031-01"):
        prepared.verdicts(prepared.request("2031-01"))


def test_remote_files_are_copied_and_must_stay_the_same(tmp_path: Path) -> None:
    """A run reads the copy of what was planned, whatever the source has later."""
    memory = UPath("memory://bucket/rides.csv")
    memory.write_text(table().to_csv(index=False))
    text = DECLARATION.replace("rides.csv", "memory://bucket/rides.csv")
    prepared = Prepared(tmp_path, text)
    request = prepared.request()
    prepared.steps.plan(request, storage_root=prepared.root, timeout_seconds=WAIT)
    fetched = prepared.steps.fetch(
        request, "whole", storage_root=prepared.root, timeout_seconds=WAIT
    )
    (file,) = fetched.files
    assert file.path.startswith(prepared.root)
    assert file.url == "memory://bucket/rides.csv"
    memory.write_text(table(seed=6).to_csv(index=False))
    checked = prepared.steps.check(fetched, storage_root=prepared.root)
    assert checked.report.rows_read == len(table())
    again = prepared.steps.plan(request, storage_root=prepared.root, timeout_seconds=WAIT)
    assert again == ("whole",)
    with pytest.raises(ContractError, match="has changed since the run has begun"):
        prepared.steps.check(
            dataclasses.replace(fetched, wanted=("2024-01",)), storage_root=prepared.root
        )


def test_a_form_asks_for_a_training_set(tmp_path: Path) -> None:
    """Partitions, shares and seed of the form are those of the request."""
    keys = write_months(tmp_path, table())
    prepared = Prepared(tmp_path, MONTHLY)
    use_dataset(prepared.dataset)
    form = {
        "service": "rides",
        "partitions": [*keys[:5]],
        "train_share": 0.6,
        "validation_share": 0.2,
        "test_share": 0.2,
        "random_state": 7,
    }
    request = prepared.steps.request(form, str(prepared.declaration.source))
    assert (request.partitions, request.random_state) == (keys[:5], 7)
    assert request.split.shares == (0.6, 0.2, 0.0, 0.2)
    with pytest.raises(InvalidInputError, match="2024-13"):
        prepared.steps.request(
            {**form, "partitions": ["2024-13"]}, str(prepared.declaration.source)
        )


def test_a_partition_is_logged(tmp_path: Path) -> None:
    """Its profile, report, quarantine and findings are on the tracking server."""
    frame = table()
    frame.loc[[3, 4], "count"] = np.nan
    frame.to_csv(tmp_path / "rides.csv", index=False)
    prepared = Prepared(tmp_path, DECLARATION)
    verdict, *_ = prepared.verdicts(prepared.request())
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "partitions")
    run_id = log_table(tracker, verdict, verdict.findings)
    assert log_table(tracker, verdict, verdict.findings) == run_id
    run = tracker.client.get_run(run_id)
    assert run.data.tags["partition"] == "rides|2024-01"
    target = verdict.load_rows()["count"]
    assert run.data.metrics["median_count"] == pytest.approx(target.median())
    assert run.data.metrics["rows_quarantined"] == 2
    names = {each.path for each in tracker.client.list_artifacts(run_id)}
    assert {"profile.json", "report.json", "quarantine.parquet", "findings.json"} <= names


def test_what_varies_from_month_to_month_refuses_none(tmp_path: Path) -> None:
    """A relation that is another one each month, and a column that counts the months."""
    frame = pd.concat([table(seed=seed) for seed in range(8)], ignore_index=True)
    hours = np.random.default_rng(1).integers(0, 330 * 24, len(frame))
    at = pd.Timestamp("2024-01-01T05:00Z") + pd.to_timedelta(hours, unit="h")
    month = at.tz_convert("America/New_York").month
    slope = np.random.default_rng(2).permutation(np.linspace(-3, 3, 12))[month - 1]
    frame = frame.assign(
        at=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        number=month,
        count=100 + slope * frame["warmth"].fillna(10),
    )
    write_months(tmp_path, frame)
    counted = MONTHLY.replace('[columns.number]\ntype = "id"', '[columns.number]\ntype = "number"')
    assert counted != MONTHLY
    prepared = Prepared(tmp_path, counted)
    verdicts = prepared.verdicts(prepared.request())
    assert len(verdicts) == 11
    later = [each for verdict in verdicts[5:] for each in verdict.findings]
    assert [each for each in later if each.code != "part_of_partition"] == []


def test_each_partition_of_one_file_has_its_own_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules are counted in the partition whose rows break them; undated rows are of the first.

    The table is read once for all of its partitions.
    """
    reads: list[str] = []

    def read(reference: ObjectReference) -> pd.DataFrame:
        reads.append(reference.uri)
        rows: pd.DataFrame = read_object(reference)
        return rows

    monkeypatch.setattr(partitions, "read_object", read)
    frame = table()
    first, second, third, *_ = months_of(frame).values()
    frame.loc[first.index[:2], "count"] = np.nan
    frame.loc[second.index[:3], "count"] = np.nan
    frame.loc[third.index[0], "at"] = None
    frame.to_csv(tmp_path / "rides.csv", index=False)
    prepared = Prepared(tmp_path, DECLARATION)
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "partitions")
    request, ids = prepared.request(), list[str]()
    log = partitions.partition_log_of(request.dataset)
    verdicts = compare_partitions(
        request,
        storage_root=prepared.root,
        log=lambda verdict, found: ids.append(log(tracker, verdict, found)),
    )
    assert len(verdicts) > 2
    assert len(reads) == len({*reads}) == 2
    said: list[dict[str, int]] = []
    for run_id, verdict in zip(ids, verdicts, strict=True):
        report = json.loads(read_artifact(tracker.client, run_id, "report.json") or "")
        said.append({rule["rule"]: rule["rows"] for rule in report["rules"]})
        assert report["rows"] == verdict.rows
        assert sum(said[-1].values()) == verdict.quarantined
    assert said[:3] == [{"no target": 2, "no time": 1}, {"no target": 3}, {}]
    assert not any(said[3:])


def test_a_partition_that_is_refused_is_logged(tmp_path: Path) -> None:
    """Of a partition that breaks its contract the findings are logged, and nothing else."""
    frame = table()
    frame.loc[: len(frame) * 3 // 4, "count"] = np.nan
    frame.to_csv(tmp_path / "rides.csv", index=False)
    prepared = Prepared(tmp_path, DECLARATION)
    logged: list[tuple[str, Sequence[Finding]]] = []
    with pytest.raises(RefusedPartitionError) as refusal:
        compare_partitions(
            prepared.request(),
            storage_root=prepared.root,
            log=lambda fetched, found: logged.append((fetched.partition, found)),
        )
    assert logged == [("whole", refusal.value.findings)]
