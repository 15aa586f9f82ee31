"""Runs on the MLflow server: one per DAG run, a child per model family.

A run is found again by its identity, so that a retried task continues the run that it began.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_LOGGED_ARTIFACTS,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
)

from model_loop.tracking.deployments import MOMENT_TAG
from model_loop.training_set.products import product_key

if TYPE_CHECKING:
    import pandas as pd

    from model_loop.training_set.types import TrainingSet

#: Tag that names what a run is about, for good: ``<dag>/<dag run>/<family>``.
IDENTITY_TAG = "trip_duration.identity"
#: Artifact of a partition with the findings of its comparison with earlier ones.
FINDINGS = "findings.json"
#: Tags of a partition: whether it was refused, when, and the artifact with the reason.
REFUSED_TAG, JUDGED_TAG, FINDINGS_TAG = "refused", "judged_at", "findings"

RunStatus = Literal["FINISHED", "FAILED"]

# Progress bars go to the error stream, which the log of a task takes for errors.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class Tracker:
    """One experiment on a tracking server.

    Parameters
    ----------
    tracking_uri
        Address of the server.
    experiment
        Name of the experiment; it is made when there is none.
    others
        Names of experiments in which runs are looked for as well, as far as there are any.
    """

    def __init__(self, tracking_uri: str, experiment: str, others: Sequence[str] = ()) -> None:
        # Printing a run's address when it ends takes a further request, which fetches all its data.
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # type: ignore[no-untyped-call]  # MLflow's
        self.client = MlflowClient(tracking_uri)
        self.tracking_uri = tracking_uri
        self.experiment_id = self._experiment_id(experiment)
        self._others = tuple(others)

    @functools.cached_property
    def experiment_ids(self) -> list[str]:
        """Experiments in which runs are looked for."""
        found = map(self.client.get_experiment_by_name, self._others)
        return [self.experiment_id, *(each.experiment_id for each in found if each is not None)]

    def open_run(
        self,
        identity: str,
        name: str,
        tags: Mapping[str, str],
        *,
        parent_run_id: str | None = None,
        not_before: int = 0,
    ) -> str:
        """Begin the run *identity*, or go on with it if it was begun before.

        Parameters
        ----------
        not_before
            A new run begins at this time at the earliest, in milliseconds since the epoch, whatever
            this machine's clock says.

        Returns
        -------
        str
            The run's id.
        """
        if not (found := self._runs(identity)):
            parent = {MLFLOW_PARENT_RUN_ID: parent_run_id} if parent_run_id else {}
            self.client.create_run(
                self.experiment_id,
                start_time=max(int(time.time() * 1_000), not_before),
                run_name=name,
                tags={**tags, **parent, IDENTITY_TAG: identity, MLFLOW_RUN_NAME: name},
            )
            found = self._runs(identity)
        run, *others = found
        # MLflow's client sends a request again whose answer was lost: it may begin two runs.
        for other in others:
            self.client.delete_run(other.info.run_id)
        if run.info.status != "RUNNING":
            self.client.update_run(run.info.run_id, status="RUNNING")
        run_id: str = run.info.run_id
        return run_id

    def find_run(self, identity: str) -> Run | None:
        """The run with this identity, if there is one."""
        found = self._runs(identity)
        return found[0] if found else None

    def _runs(self, identity: str) -> list[Run]:
        """All runs with an identity, always in the same order."""
        found = self.client.search_runs(
            self.experiment_ids,
            filter_string=f"tags.`{IDENTITY_TAG}` = '{identity}'",
        )
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log parameters, metrics and tags in one request.

        MLflow refuses to change a parameter. A number that was written otherwise before, as ``0``
        by a former version in place of ``0.0``, is the same and stays as it is.
        """
        now = int(time.time() * 1_000)
        logged = self.client.get_run(run_id).data.params if params else {}
        self.client.log_batch(
            run_id,
            params=[
                Param(key, str(value))
                for key, value in (params or {}).items()
                if not _is_same_number(logged.get(key), value)
            ],
            metrics=[Metric(key, value, now, 0) for key, value in (metrics or {}).items()],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )

    def log_table(self, run_id: str, table: pd.DataFrame, name: str) -> None:
        """Log a table as a whole; logging it again leaves it as it is.

        MLflow's own method reads what is there and appends, so that a second try doubles the rows.
        """
        self.client.log_text(run_id, table.to_json(orient="split", index=False), name)
        # This marks it as a table for the server's pages.
        told = json.dumps([{"path": name, "type": "table"}])
        self.client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, told)

    def log_training_set(self, run_id: str, training_set: TrainingSet) -> None:
        """Log the training set as the run's dataset inputs, one for each file that went in."""
        self.client.log_inputs(run_id, datasets=dataset_inputs(training_set))

    def close_run(self, run_id: str, status: RunStatus = "FINISHED") -> None:
        """End a run."""
        self.client.set_terminated(run_id, status)

    def close_families(self, run_id: str) -> None:
        """End the families of a run that nobody has ended, as failed.

        A task that fails or is killed ends nothing, and MLflow would show its run as running for
        ever. A task that is tried again goes on with the same run, and logs its trials again: of a
        trial that was only begun nothing is lost.
        """
        for family in self._children(run_id):
            for trial in self._children(family.info.run_id):
                if trial.info.status == "RUNNING":
                    self.client.delete_run(trial.info.run_id)
            if family.info.status == "RUNNING":
                self.close_run(family.info.run_id, "FAILED")

    def _children(self, run_id: str) -> list[Run]:
        found = self.client.search_runs(
            self.experiment_ids,
            filter_string=f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'",
            max_results=5_000,
        )
        return list(found)

    def run_url(self, run_id: str) -> str:
        """Return the address of the run's page for people."""
        return f"{self.tracking_uri}/#/experiments/{self.experiment_id}/runs/{run_id}"

    def _experiment_id(self, name: str) -> str:
        experiment = self.client.get_experiment_by_name(name)
        if experiment is not None:
            found: str = experiment.experiment_id
            return found
        return self._create_experiment(name)

    def _create_experiment(self, name: str) -> str:
        try:
            created: str = self.client.create_experiment(name, _files_beside(self.tracking_uri))
        except MlflowException as error:
            # Two tasks may find it missing at the same moment: the other one made it.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._experiment_id(name)
        return created


def _files_beside(tracking_uri: str) -> str | None:
    """Return the folder of files beside a database that no server answers for."""
    scheme, _, path = tracking_uri.partition(":///")
    return str(PurePath(path).parent / "artifacts") if scheme == "sqlite" else None


def training_set_tags(training_set: TrainingSet) -> dict[str, str]:
    """Tags that lead from a run back to its data."""
    request = training_set.request
    return {
        "data_source": training_set.data_source,
        "service": request.service,
        "recipe": request.recipe,
        MOMENT_TAG: training_set.recipe.moment,
        "encoding": request.encoding,
        # Digest of the training data, and the key of `model-loop products show`.
        "training_set": training_set.digest,
        "training_set_key": product_key(request, training_set.files),
        **{f"{part}_rows": digest for part, digest in training_set.rows_digests.items()},
        "TRAIN_DATA": ",".join(training_set.partitions("train")),
        "VAL_DATA": ",".join(training_set.partitions("validation")),
        "TEST_DATA": ",".join(training_set.partitions("test")),
    }


#: Names of the parts in MLflow.
_CONTEXTS = {"train": "training", "validation": "validation", "test": "test"}


def dataset_inputs(training_set: TrainingSet) -> list[DatasetInput]:
    """The files that went into a training set, as MLflow's dataset inputs.

    A file that holds several parts is named as one of training.
    """
    contexts = {
        key: context
        for part, context in reversed(_CONTEXTS.items())
        for key in training_set.partitions(part)
    }
    return [
        DatasetInput(
            Dataset(
                name=f"{file.variant}_{file.partition}",
                # MLflow holds 36 characters of a digest; the tags hold it whole.
                digest=file.digest[:36],
                source_type=file.data_source,
                source=file.url,
            ),
            tags=[InputTag("mlflow.data.context", contexts.get(file.partition, "training"))],
        )
        for file in training_set.files
    ]


def _is_same_number(logged: str | None, value: object) -> bool:
    """Return whether a value is the number that was logged, however that is written."""
    if logged is None or isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return float(logged) == value
    except ValueError:
        return False
