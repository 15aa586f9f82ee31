"""Time until each page of the dashboard is usable, over a full store, and its memory.

A real MLflow server on SQLite holds 5,000 runs (families and trials of training DAGs, 36 months,
120 windows of monitoring) and versions of two models that were really trained; Chromium opens
every page. Usable: the page is parsed and its script has run, so that links, fields and tables
answer, and the charts in view are drawn. Runs are copies of a few real ones, written into the
database.

With ``--serve`` the pages stay up until they are stopped, for people to look at.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import uvicorn
from benchmarks.results import record
from playwright.sync_api import Page, sync_playwright
from tests.servers import free_port, mlflow_server, wait_for

from model_loop.background_cache import BackgroundCache
from model_loop.dashboard.app import Dashboard, Right
from model_loop.dashboard.page_data import PageSources, pages_of
from model_loop.dashboard.types import DagDay, DagRuns, LastRun
from model_loop.dashboard.worker_queries import WorkerQueries
from model_loop.datasets.dataset import Dataset
from model_loop.models.search import SearchRequest
from model_loop.models.termination import EarlyTermination
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.monitoring.health.types import ServiceHealth
from model_loop.monitoring.levels import judge_value, thresholds_of
from model_loop.monitoring.records import FindingRecords, WatchedVersion
from model_loop.monitoring.windows import Window
from model_loop.serving.comparison.report import ab_report
from model_loop.serving.http.app import create_app
from model_loop.serving.http.server import make_services
from model_loop.serving.http.tokens import Caller
from model_loop.settings import Settings
from model_loop.tracking.actions import Action
from model_loop.tracking.deployments import registered_name
from model_loop.tracking.models import log_model_report
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import register_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.tracking.trials import TrialLogger
from model_loop.training_set.preparation import build_training_set
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month, MonthSplit
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.settings import TripSettings
from trip_duration.source.fetching import fetch_month
from trip_duration.tracked_months import log_month
from trip_duration.training_set.request import TrainingSetRequest

RUNS, MONTHS, WINDOWS, ROUNDS = 5_000, 36, 120, 5
FAMILIES = {"xgboost": "xgboost_training", "ensemble.ExtraTreesRegressor": "sklearn_training"}
PAGES = ("overview", "data", "models", "monitoring", "playground")
CHROMIUM = "/usr/bin/chromium"
DAY = 86_400_000


class Store:
    """A tracking server, filled.

    Parameters
    ----------
    url
        Of the server.
    folder
        Its folder; also that of the months.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.random = random.Random(7)  # noqa: S311 - figures that look real
        self.tracker = Tracker(url, "trip-duration")
        self.monitoring = Tracker(url, "trip-duration-monitoring")
        self.promoter = Promoter(Tracker(url, "trip-duration-promotion"), "green", "ended")

    def fill(self) -> None:
        """Train two families and profile two months for real, and copy them."""
        trained = {family: self.train(family) for family in FAMILIES}
        months = [self.month(name) for name in ("2024-01", "2024-02")]
        window = self.window()
        for action in (
            Action("promote", "green", 2, who="admin", why="the first"),
            Action("promote", "green", 1, who="retraining", why="RMSE 4.9 instead of 5.6"),
            Action("canary", "green", 2, who="admin", why="to compare", share=0.2),
        ):
            self.promoter.act(action, f"benchmark/{action.kind}/{action.version}")
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db", timeout=60)) as database:
            self.copy(database, trained, months, window)
            database.commit()

    def train(self, family: str) -> str:
        """Log a family as its DAG does; return its run."""
        options = SampleOptions(trips=4_000)
        request = TrainingSetRequest(
            "sample",
            "green",
            MonthSplit.parse("2024-01", "2024-02", "2024-03"),
            recipe="rich",
            sample=options,
        )
        training_set = build_training_set(request, storage_root=self.folder.as_uri())
        pipeline = FAMILIES[family]
        tags = {"pipeline": pipeline, "MODEL": family, **training_set_tags(training_set)}
        run_id = self.tracker.open_run(f"{pipeline}/manual__0/{family}", family, tags)
        search = SearchRequest(
            max_evaluations=10, early_termination=EarlyTermination("median"), threads=1
        )
        with TrialLogger(self.tracker, run_id, tags) as log_trial:
            tuned = tune(family, training_set, search, log_trial)
        trained = train(tuned, training_set, search)
        assert trained.test is not None
        assert trained.evaluation is not None
        metrics = {
            **tuned.validation.named("validation"),
            **trained.test.named("test"),
            **trained.evaluation.naive.named("naive_test"),
            "tuning_seconds": tuned.seconds,
            "training_seconds": trained.seconds,
        }
        self.tracker.log(run_id, params=tuned.best.settings, metrics=metrics)
        log_model_report(self.tracker, run_id, trained, training_set)
        register_model(
            self.tracker,
            run_id,
            trained.model,
            name=registered_name("green"),
            example=training_set.example_rows,
            tags=tags,
            dataset=training_set.dataset,
        )
        self.tracker.close_run(run_id)
        return run_id

    def month(self, name: str) -> str:
        """Log a month as its DAG does; return its run."""
        root, service = self.folder.as_uri(), get_service("green")
        raw = fetch_month(
            "sample",
            service,
            Month.parse(name),
            root,
            sample=SampleOptions(trips=20_000),
            timeout_seconds=10,
        )
        checked = CheckedMonthStore(root).check(raw, service, ContractLimits())
        return log_month(self.tracker, checked)

    def window(self) -> str:
        """Log a window as monitoring does; return its run."""
        end = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = end - dt.timedelta(days=1)
        window = Window("green", start, end, f"{start:%Y-%m-%d} to {end:%Y-%m-%d}")
        watched, records = WatchedVersion(window, 1, "request_log"), FindingRecords(self.monitoring)
        limits = thresholds_of(Settings())
        subjects = {
            "psi": ("pickup_zone", "dropoff_zone", "trip_distance", "hour"),
            "shap_drift": ("trip_distance", "pickup_zone", "dropoff_zone", "hour"),
            "slice_rmse": ("worst slice",),
        }
        findings = [
            judge_value(metric, subject, 0.05 + 0.04 * place, limits[metric])
            for metric in limits
            for place, subject in enumerate(subjects.get(metric, ("all",)))
        ]
        run_id = records.open(watched)
        (self.folder / "report").mkdir()
        (self.folder / "report" / "evidently.html").write_text("<h1>Evidently</h1>")
        records.write(run_id, "drift", findings, self.folder / "report")
        records.close(watched, findings)
        return run_id

    def copy(
        self,
        database: sqlite3.Connection,
        trained: Mapping[str, str],
        months: list[str],
        window: str,
    ) -> None:
        """Copy runs until there are as many as wanted."""
        names = ["2021-03"]
        while len(names) < MONTHS:
            names.append(str(Month.parse(names[-1]).next()))
        for place, name in enumerate(names[: MONTHS - 2]):
            tags = {"month": name, "trip_duration.identity": f"months/green/{name}/copy"}
            self.run(database, months[place % 2], tags, MONTHS - place, 0.08)
        for days in range(1, WINDOWS):
            end = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
            grave = self.random.random() < 0.15  # noqa: PLR2004 - some
            tags = {
                "window": f"{end - dt.timedelta(days=1):%Y-%m-%d} to {end:%Y-%m-%d}",
                "window_end": end.replace(hour=0, minute=0, second=0, microsecond=0).isoformat(),
                "level": "warn" if grave else "ok",
                "found": "PSI(trip_distance) = 0.14" if grave else "",
                "trip_duration.identity": f"monitoring/green/1/copy/{days}",
            }
            self.run(database, window, tags, days, 0.5)
        (count,) = database.execute("select count(*) from runs").fetchone()
        sources = list(trained.items())
        number = 0
        while count < RUNS:
            number += 1
            family, source = sources[number % len(sources)]
            pipeline = FAMILIES[family]
            tags = {"trip_duration.identity": f"{pipeline}/copy__{number}/{family}"}
            made = self.run(database, source, tags, 1 + number // 6, 0.12)
            wanted = "select run_uuid from tags where key = 'mlflow.parentRunId' and value = ?"
            trials = [row[0] for row in database.execute(wanted, (source,)).fetchall()]
            for trial in trials:
                self.run(database, trial, {"mlflow.parentRunId": made}, 1 + number // 6, 0.12)
            count += 1 + len(trials)

    def run(
        self,
        database: sqlite3.Connection,
        source: str,
        tags: Mapping[str, str],
        days: int,
        noise: float,
    ) -> str:
        """Copy a run, some days earlier, with other tags and metrics that differ by some noise."""
        made = uuid.uuid4().hex
        for table in ("runs", "tags", "params", "latest_metrics"):
            columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
            named = ", ".join(f'"{column}"' for column in columns)
            found = database.execute(
                f"select {named} from {table} where run_uuid = ?",  # noqa: S608 - names of MLflow's tables
                (source,),
            ).fetchall()
            rows = [dict(zip(columns, row, strict=True)) | {"run_uuid": made} for row in found]
            for row in rows:
                if table == "runs":
                    row["start_time"] -= days * DAY
                    row["end_time"] -= days * DAY
                elif table == "tags":
                    row["value"] = tags.get(row["key"], row["value"])
                elif table == "latest_metrics":
                    row["value"] *= 1 + noise * (self.random.random() - 0.4)
            holders = ", ".join("?" for _ in columns)
            database.executemany(
                f"insert into {table} ({named}) values ({holders})",  # noqa: S608 - names of MLflow's tables
                [tuple(row.values()) for row in rows],
            )
        return made


def dag_runs() -> DagRuns:
    """Counts that Airflow's database would give."""
    today = dt.datetime.now(dt.UTC).date()
    days = tuple(
        DagDay(dag_id, str(today - dt.timedelta(days=day)), 1 + (day * 7) % 4, int(day % 9 == 0))
        for dag_id in ("sklearn_training", "xgboost_training")
        for day in range(29, -1, -1)
    )
    last = LastRun("retraining", "scheduled__1", "success", time.time() - 5 * 3_600)
    return DagRuns(days, (last,), {"new_months": 2})


def serve(url: str, folder: Path, port: int) -> None:
    """Serve the pages without a login, on this machine alone; never returns."""
    settings = TripSettings(
        tracking_uri=url, serving_folder=folder / "serving", storage_root=folder.as_uri(),
        dashboard_zone_file=os.environ.get("MODEL_LOOP_DASHBOARD_ZONE_FILE", ""),
    )  # fmt: skip
    service = make_services(settings, small=True).default
    questions = WorkerQueries()
    always = float("inf")
    sources = PageSources(
        service="green",
        runs=questions,
        families=BackgroundCache(lambda: questions.families("green"), 45, always),
        partitions=BackgroundCache(lambda: questions.partitions("green"), 45, always),
        registry=BackgroundCache(lambda: questions.registry("green"), 1, always),
        windows=BackgroundCache(lambda: questions.windows("green"), 45, always),
        live=BackgroundCache(
            lambda: ab_report(service.log.engine, "green", service.live.moment_of), 10, always
        ),
        dags=BackgroundCache(dag_runs, 10, always),
        health=BackgroundCache(lambda: ServiceHealth("green", time.time()), 10, always),
        thresholds=thresholds_of(settings),
        pages=pages_of(service.dataset, settings),
        predict="predict",
    )

    # The plugin does this when the api-server has started.
    sources.begin()

    async def anybody(_: object) -> Caller:
        return Caller("benchmark")

    async def trips(_: object, _right: Right, datasets: Sequence[Dataset]) -> frozenset[str]:
        # This store holds nothing of any other dataset.
        return frozenset(dataset.name for dataset in datasets if dataset.name == "trips")

    pages = Dashboard("green", lambda _: sources, {"green": service}, trips)
    app = create_app(
        service,
        anybody,
        max_bytes=1_000_000,
        max_rows=100,
        mounts={"/dashboard": pages.app()},
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


@contextlib.contextmanager
def pages(url: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The pages, served by a process of their own."""
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "MODEL_LOOP_TRACKING_URI": url,
        "MODEL_LOOP_SERVING_FOLDER": str(folder / "serving"),
    }
    command = [sys.executable, "-m", "benchmarks.dashboard", "serve", url, str(folder), str(port)]
    with (folder / "pages.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - ourselves
        try:
            wait_for(f"{here}/healthz", server, folder / "pages.log")
            yield here, psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(timeout=30)


def usable(page: Page, address: str) -> float:
    """Seconds until a page answers."""
    started = time.perf_counter()
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.wait_for_selector("body:not([data-waiting])", state="attached")
    if page.locator(".plot").count():
        page.wait_for_selector(".plot.drawn .main-svg", state="attached")
    return time.perf_counter() - started


def measure(here: str, process: psutil.Process) -> None:
    """Open every page, cold and warm."""
    trip = {
        "pickup_zone": 74,
        "dropoff_zone": 166,
        "trip_distance": 2,
        "pickup_at": "2024-03-01T08:00:00",
    }
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{here}/healthz")
        page.request.post(f"{here}/predict", data=trip)
        before = process.memory_info().rss
        first = usable(page, f"{here}/dashboard/overview")
        print(f"the very first page after the start, everything looked up: {first:.2f} s")
        record("dashboard", "the very first", {"slowest, s": first})
        for name in PAGES:
            seconds = [usable(page, f"{here}/dashboard/{name}") for _ in range(ROUNDS)]
            print(
                f"{name:12} {statistics.median(seconds):5.2f} s (the slowest {max(seconds):.2f} s)"
            )
            found = {"median, s": statistics.median(seconds), "slowest, s": max(seconds)}
            record("dashboard", name, found)
        grown = (process.memory_info().rss - before) / 2**20
        print(f"memory of the server: {before / 2**20:.0f} MB, grown by {grown:.0f} MB")
        browser.close()


def main() -> None:
    """Fill a store, and measure or show the pages."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    if not Path(CHROMIUM).exists():
        print(f"Not measured: there is no {CHROMIUM}.")
        return
    with tempfile.TemporaryDirectory() as place, mlflow_server(Path(place)) as url:
        folder = Path(place)
        started = time.perf_counter()
        Store(url, folder).fill()
        print(f"{RUNS:,} runs and {MONTHS} months in {time.perf_counter() - started:.0f} s")
        with pages(url, folder) as (here, process):
            if "--serve" in sys.argv:
                print(f"{here}/dashboard/overview, until it is stopped")
                process.wait()
            else:
                measure(here, process)


if __name__ == "__main__":
    main()
