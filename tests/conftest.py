"""Fixtures that tests of several parts share."""
# ruff: noqa: E402 - the environment is prepared before anything reads it

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Airflow reads these when it is first imported, which the imports below may do.
_AIRFLOW_HOME = tempfile.mkdtemp(prefix="model-loop-airflow-")
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# Threads of XGBoost that wait for each other give their core away: two processes of tests, or of
# tasks beside them, took ten times as long where they kept it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The same of NumPy's and SciPy's, which have no such policy: a fit of a hundred milliseconds took
# seconds of both processors.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Nobody here is a machine of a cloud: boto3 would ask its metadata service for ten seconds.
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(Path(__file__).parents[1] / "plugins")
for name in [name for name in os.environ if name.startswith("MODEL_LOOP_")]:
    if name != "MODEL_LOOP_TLC_FOLDER":
        del os.environ[name]

from model_loop.datasets import registry
from model_loop.settings import get_settings
from model_loop.training_set.encodings import Encoding
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.months import MonthSplit
from trip_duration.sample_options import SampleOptions
from trip_duration.training_set.request import TrainingSetRequest

# Set no bound on the seconds of an example: they are the machine's matter.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

#: Environment variable with the folder of whole published months; without it, tests of their
#: figures are skipped.
TLC_FOLDER = "MODEL_LOOP_TLC_FOLDER"

pytest_plugins = ["tests.selection"]

SMALL_SAMPLE = SampleOptions(trips=1_500, seed=7)


#: Files of integration tests that start a stack of their own.
STACKS_OF_THEIR_OWN = (
    "test_declared_loop.py",
    "test_retraining.py",
    "test_monitoring.py",
    "test_upgrade.py",
)

#: These show what others of the same stack have left, who begin with an empty registry.
LAST = ("test_dashboard.py", "test_health.py")


class TogetherScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Keeps tests that share a server in one process: each process would start its own.

    By groups of its own: those of xdist 3.8 are not seen by pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if "tests/integration/" in file:
            if file.endswith("test_upgrade.py"):
                # It waits for others more than it works: behind them it would be alone at the end.
                return file
            # Of two that ran at once each would wait for the other's processors.
            return "stacks of their own" if file.endswith(STACKS_OF_THEIR_OWN) else "the stack"
        return "the tracking server" if "tests/tracking/" in file else file


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


def pytest_collection() -> None:
    """Let the collector of garbage rest while everything is imported: nothing of it is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Let it pass over that ever after: a look through a million objects takes a second."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes minutes: begun last, one process would work on it alone."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.path.parent.name != "integration":
        return 3 if item.path.parent.name == "tracking" else 4
    if item.path.name in STACKS_OF_THEIR_OWN:
        return 2
    return 1 if item.path.name in LAST else 0


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Which tests go to which process."""
    return TogetherScheduling(config, log)


@pytest.fixture(scope="session")
def published_months() -> str:
    """The folder of published months that were cut to 3,000 rows each."""
    return str(Path(__file__).parent / "published")


@pytest.fixture(scope="session")
def whole_months() -> str:
    """The folder of whole published months, for tests of their figures."""
    folder = os.environ.get(TLC_FOLDER)
    if not folder:
        pytest.skip(f"needs whole published months: set {TLC_FOLDER}")
    return folder


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are read anew in every test, so that one test's environment is not the next's."""
    # MLflow writes the address of the server that was used last into the environment.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def own_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset that a test gives its process is not the next test's, which may name its own so."""
    monkeypatch.setattr(registry, "_given", dict(registry._given))


@pytest.fixture(scope="session")
def sample_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage root that keeps the generated months of the session."""
    return tmp_path_factory.mktemp("storage")


def sample_request(recipe: str = "rich", encoding: Encoding = "native") -> TrainingSetRequest:
    """A request for three small generated months."""
    return TrainingSetRequest(
        source="sample",
        service="green",
        split=MonthSplit.parse("2024-01", "2024-02", "2024-03"),
        recipe=recipe,
        encoding=encoding,
        sample=SMALL_SAMPLE,
    )


@pytest.fixture(scope="session")
def sample_training_set(sample_root: Path) -> TrainingSet:
    """A small training set: recipe `rich`, encoding `native`."""
    return build_training_set(sample_request(), storage_root=str(sample_root))
