"""The main job, watched: partitions in, models out, through Airflow's REST API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import require_within
from model_loop.local.airflow_api import FINISHED, AirflowApi, TaskState
from model_loop.local.preflight import LocalStackError
from model_loop.models.catalogue import get_family
from model_loop.sources.origin import source_label

PREPARATION = "data_preparation"
TRAININGS = ("sklearn_training", "xgboost_training")

_POLL_SECONDS = 1.0
_LOG_LINES = 15
_MARKS = {"success": "[green]✓[/]", "failed": "[red]✗[/]", "upstream_failed": "[red]-[/]"}


@dataclass(frozen=True)
class DemoRequest:
    """Options of the demo; those that are None take the forms' defaults.

    Parameters
    ----------
    source, service, train_months, validation_months, test_months, recipe, encoding
        Fields of the form of `data_preparation`.
    max_evaluations
        Trials per family.
    models
        scikit-learn families.

    Raises
    ------
    InvalidInputError
        If the number of evaluations or a family cannot be.
    """

    source: str | None = None
    service: str | None = None
    train_months: list[str] | None = None
    validation_months: list[str] | None = None
    test_months: list[str] | None = None
    recipe: str | None = None
    encoding: str | None = None
    max_evaluations: int = 3
    models: list[str] | None = None

    def __post_init__(self) -> None:
        """Check what would otherwise be refused only after the partitions were prepared."""
        require_within("EVALUATIONS", self.max_evaluations, least=1)
        for name in self.models or ():
            get_family(name)

    def conf(self, dag_id: str) -> dict[str, Any]:
        """The part of the request that one DAG's form takes."""
        search = {"max_evaluations", "models"}
        taken = {name: value for name, value in vars(self).items() if value is not None}
        if dag_id == PREPARATION:
            return {name: value for name, value in taken.items() if name not in search}
        if dag_id != "sklearn_training":
            taken.pop("models", None)
        return taken


class Demo:
    """Runs the three DAGs one after the other and shows what happens.

    Parameters
    ----------
    api
        API of the Airflow that runs them.
    console
        Console to print to.
    """

    def __init__(self, api: AirflowApi, console: Console) -> None:
        self.api = api
        self.console = console

    def run(self, request: DemoRequest) -> list[dict[str, Any]]:
        """Prepare, train, and show the results.

        Returns
        -------
        list of dict
            The results of the two training DAGs.

        Raises
        ------
        InvalidInputError
            If Airflow refuses the request.
        LocalStackError
            If a run fails; with the end of the log of the task that failed.
        """
        self.api.wait_for_dags({PREPARATION, *TRAININGS})
        self._watch([PREPARATION], request)
        runs = self._watch(TRAININGS, request)
        results = [self.api.result(dag_id, run_id, "results") for dag_id, run_id in runs.items()]
        self.console.print(results_table(results))
        for result in results:
            self.console.print(f"Tracked  {result['run_url']}")
        return results

    def _watch(self, dag_ids: Sequence[str], request: DemoRequest) -> dict[str, str]:
        """Start runs and follow them to their end."""
        runs = {dag_id: self.api.trigger(dag_id, request.conf(dag_id)) for dag_id in dag_ids}
        waiting, shown, started = dict(runs), set[tuple[str, str]](), time.monotonic()
        with self.console.status("") as status:
            while waiting:
                running = []
                for dag_id, run_id in list(waiting.items()):
                    state = self.api.run_state(dag_id, run_id)
                    tasks = list(self.api.tasks(dag_id, run_id))
                    self._show_done(dag_id, tasks, shown)
                    running += [task.task for task in tasks if task.state == "running"]
                    if state in FINISHED:
                        del waiting[dag_id]
                        self._require_success(dag_id, run_id, state, tasks)
                seconds = time.monotonic() - started
                status.update(f"{seconds:.0f} s · {', '.join(running) or 'scheduling'}")
                time.sleep(_POLL_SECONDS if waiting else 0)
        return runs

    def _show_done(
        self, dag_id: str, tasks: Sequence[TaskState], shown: set[tuple[str, str]]
    ) -> None:
        for task in tasks:
            if task.done and (dag_id, task.task) not in shown:
                shown.add((dag_id, task.task))
                mark = _MARKS.get(str(task.state), "[dim]·[/]")
                seconds = f"{task.seconds:6.1f} s" if task.seconds else " " * 8
                note = "" if task.state == "success" else f" ({task.state})"
                # A mapped task's name stands in brackets, which are markup to the console.
                name = task.task.replace("[", r"\[")
                self.console.print(f"  {mark} {seconds}  {dag_id} · {name}{note}", highlight=False)

    def _require_success(
        self, dag_id: str, run_id: str, state: str, tasks: Sequence[TaskState]
    ) -> None:
        if state == "success":
            return
        # The one that ends the tracked run fails because of another.
        failed = sorted(
            (task for task in tasks if task.state == "failed"),
            key=lambda task: task.task_id == "close_run",
        )
        lines = self.api.log(dag_id, run_id, failed[0])[-_LOG_LINES:] if failed else []
        raise LocalStackError(
            f"{dag_id} ({run_id})",
            f"failed in {', '.join(task.task for task in failed) or 'an unknown task'}:\n"
            + "\n".join(f"    {line}" for line in lines)
            + "\n ",
            "The same is in the task's log in the Airflow UI, and in a mail.",
        )


def results_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """All families, best first."""
    first = results[0]
    dataset = dataset_of_variant(first["service"])
    recipe, unit = dataset.recipe_label(first["recipe"]), dataset.target.unit
    source = source_label(first["data_source"])
    table = Table(
        title=f"RMSE{f' in {unit}' if unit else ''}: {first['service']}, {source}\n"
        f"{recipe}, {first['encoding']}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("model family", no_wrap=True)
    for heading in ("validation", "test", "trials", "seconds", "v."):
        table.add_column(heading, justify="right", no_wrap=True)
    families = [family for result in results for family in result["families"]]
    for family in sorted(families, key=lambda family: family["validation_rmse"]):
        table.add_row(
            family["family"],
            *(_number(family[name]) for name in ("validation_rmse", "test_rmse")),
            str(family["evaluations"]),
            f"{family['seconds']:.1f}",
            family["model_uri"].rpartition("/")[2],
        )
    rows = first["rows"]
    table.caption = (
        f"{rows['train']:,} {dataset.rows[0]} to train on, {rows['validation']:,} to validate, "
        f"{rows['test']:,} to test\n"
        f"registered as {families[0]['model_uri'].split('/')[1]}, version v."
    )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
