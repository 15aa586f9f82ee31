"""The registered model of a variant as a server sees it: how its versions stand, and each of them.

Both are had without MLflow's client and without scikit-learn, which together take 250 MB: the
standing by one request to the tracking server, a version from a process that compiles it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import msgspec
import requests

from model_loop.alerts.outbox import Outbox
from model_loop.alerts.types import Alert
from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_model
from model_loop.errors import InvalidInputError
from model_loop.intervals.adaptive import Correction
from model_loop.scoring.notices import watch_of
from model_loop.scoring.outcomes import deciding_of
from model_loop.serving.compiled.model import CompiledModel, NotCompiledError
from model_loop.serving.compiled.orders import CompilerResult, Order
from model_loop.serving.models.loading import RegistryError
from model_loop.serving.models.predictor import ServedVersion, required_positions
from model_loop.tracking.corrections import correction_of
from model_loop.tracking.deployments import (
    MomentUnknownError,
    Standings,
    declared_moment,
    log_once,
    standings_of,
)
from model_loop.tracking.moments import MomentLookUps
from model_loop.tracking.names import experiments_of
from model_loop.tracking.shares import ShareMove, read_move
from model_loop.tracking.trained import (
    MOST_MODELS,
    dataset_of_version,
    missing_models,
    use_trained_datasets,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


#: Paths of MLflow's REST interface, version 2.0.
_MODEL = "/api/2.0/mlflow/registered-models/get"
_VERSION = "/api/2.0/mlflow/model-versions/get"
_MODELS = "/api/2.0/mlflow/registered-models/search"
_EXPERIMENT = "/api/2.0/mlflow/experiments/get-by-name"
_RUNS = "/api/2.0/mlflow/runs/search"
#: Entries of the history that are fetched in one request.
_PAGE = 200
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_NOT_FOUND = 404
#: Ways to log in, and others of the server's, that are left to MLflow's client.
_FURTHER_SETTINGS = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_WORKSPACE",
)
#: Seconds, where MLflow's own setting says nothing.
_TIMEOUT_SECONDS = 20.0
_MOST_SECONDS = 86_400.0
#: Seconds for which a look at the registry waits for moments that only a store knows: the first,
#: which may have to import MLflow's client, and before which nothing answers; and each later one.
FIRST_SECONDS, MORE_SECONDS = 10.0, 1.0
#: Reading and compiling a model takes seconds; downloading it may take longer.
_COMPILING_SECONDS = 600.0
#: Time between two looks at the process that does it.
_LOOK_SECONDS = 0.1

logger = logging.getLogger(__name__)

#: Tags, begin and end in seconds since 1970, and id of a run of the history.
_HistoryRun = tuple[Mapping[str, str], float, float, str]


def upgrade_alert(name: str, version: int, given: str, rule: str, remedy: str) -> Alert:
    """Ask for a retraining of a version that only its compiled form answers for."""
    about = f"other-line/{name}/{version}"
    return Alert(
        kind="failure",
        key=f"{about}/{rule}",
        about=about,
        subject=f"Train {name} again: a library was upgraded",
        headline="A model was made by another line of a library",
        summary=f"{given} {rule}. Its compiled form, which says what the model said then, goes on "
        "answering.",
        advice=(remedy,),
    )


def use_missing_datasets(tracking_uri: str) -> None:
    """Let this process know datasets whose files are broken or gone; see `tracking.trained`.

    MLflow's client is imported only where there is one. A server that does not answer is no reason
    not to start.
    """
    try:
        if _is_plain(tracking_uri):
            most = {"max_results": str(MOST_MODELS)}
            session, seconds = requests.Session(), min(_timeout(), FIRST_SECONDS)
            answer = _get(session, tracking_uri, _MODELS, most, _ModelsAnswer, seconds)
            listed = answer.registered_models if answer else ()
            models = [
                (
                    one.name,
                    {
                        each.version: {tag.key: tag.value for tag in each.tags}
                        for each in one.latest_versions
                    },
                )
                for one in listed
            ]
            if not [*missing_models(models)]:
                return
        _ask_client(tracking_uri, use_trained_datasets)
    except RegistryError as error:
        logger.warning("Whether versions of datasets that are gone can answer: %s", error)


class MlflowRegistry:
    """The registered model of one variant, with its files kept on disk.

    Parameters
    ----------
    tracking_uri
        Address of the tracking server.
    name
        Name of the registered model, of a variant of some dataset.
    folder
        Folder of the models' files.
    machine_code
        Whether compiled forms run as machine code; see `CompiledModel.verify`.
    outbox
        Outbox for alerts; None to leave none.
    dataset
        Dataset of the model; that of its name by default.
    experiment
        Setting of the experiment, below which the history of the versions stands.
    """

    def __init__(
        self,
        tracking_uri: str,
        name: str,
        folder: Path,
        *,
        machine_code: bool = True,
        outbox: Outbox | None = None,
        dataset: Dataset | None = None,
        experiment: str = "",
    ) -> None:
        self._experiment = experiment
        self._tracking_uri = tracking_uri
        self._name = name
        self.dataset = dataset or dataset_of_model(name)
        self._folder = folder
        self._machine_code = machine_code
        self._outbox = outbox
        self._session = requests.Session()
        self._needed: frozenset[int] = frozenset()
        #: The moment of a version never changes.
        self._moments: dict[int, Moment] = {}
        self._look_ups = MomentLookUps(name, self._ask_model)
        #: Standing at the last look, in place of what cannot be read at the next.
        self.before: Standings | None = None
        #: Errors of the last look, in words.
        self.unreadable: tuple[str, ...] = ()
        self.corrections: Mapping[int, Correction] = {}

    def standings(self) -> Standings:
        """Return the current standing of the versions, at each moment.

        Raises
        ------
        RegistryError
            If the tracking server does not tell.
        """
        unreadable: list[str] = []
        seconds = FIRST_SECONDS if self.before is None else MORE_SECONDS
        moment_of = functools.partial(self.moment, deadline=time.monotonic() + seconds)
        aliases, tags = self._ask()
        found = standings_of(
            aliases, tags, moment_of, self.dataset.moments, self.before, unreadable.append
        )
        for problem in unreadable:
            log_once(problem)
        self.before, self.unreadable = found, tuple(unreadable)
        self._needed = frozenset().union(*(standing.versions for standing in found.values()))
        self.corrections = {version: correction_of(tags, version) for version in self._needed}
        return found

    def moves(self) -> list[ShareMove]:
        """Return the moves of the versions, as the history has them.

        Raises
        ------
        RegistryError
            If the tracking server does not tell.
        """
        names = experiments_of(self.dataset, self._experiment, "promotion")
        (key,) = (one.key for one in self.dataset.variants.values() if one.model_name == self._name)
        wanted = f"tags.service = '{key}' and tags.action != '' and attributes.status = 'FINISHED'"
        moves = []
        for entry in self._entries(names, wanted):
            try:
                move = read_move(*entry)
            except (KeyError, ValueError) as error:
                log_once(f"Run {entry[-1]} is not an entry of the history: {error!r}")
                continue
            if move is not None:
                moves.append(move)
        return moves

    def _entries(self, names: Sequence[str], wanted: str) -> Iterator[_HistoryRun]:
        """Yield tags, begin and end in seconds, and id of the runs of the history."""
        if not _is_plain(self._tracking_uri):
            yield from _ask_client(self._tracking_uri, lambda it: _runs(it, names, wanted)) or ()
            return
        answers = (
            self._get(_EXPERIMENT, {"experiment_name": name}, _ExperimentAnswer) for name in names
        )
        ids = [one.experiment.experiment_id for one in answers if one is not None]
        order: dict[str, Any] = {"experiment_ids": ids, "filter": wanted, "max_results": _PAGE}
        while ids:
            answer = (
                _get(self._session, self._tracking_uri, _RUNS, {}, _RunsAnswer, body=order)
                or _RunsAnswer()
            )
            for run in answer.runs:
                tags = {tag.key: tag.value for tag in run.data.tags}
                yield tags, run.info.start_time / 1_000, run.info.end_time / 1_000, run.info.run_id
            if not answer.next_page_token:
                return
            order["page_token"] = answer.next_page_token

    def load(self, version: int, given_up: threading.Event | None = None) -> ServedVersion:
        """A version, ready to answer.

        Parameters
        ----------
        given_up
            Set by a caller that no longer needs it: the compiling process is ended.

        Raises
        ------
        InvalidInputError
            If it cannot be served.
        RegistryError
            If it takes too long, is given up, or the compiling process fails.
        """
        order = Order(
            self._tracking_uri,
            self._name,
            str(self._folder),
            version,
            tuple(self._needed),
            self._machine_code,
        )
        # Without a name, so that nothing of it is left after a crash.
        with tempfile.TemporaryFile() as file:
            _compile(order, file, given_up or threading.Event())
            file.seek(0)
            outcome = msgspec.json.decode(file.readline(), type=CompilerResult)
            if outcome.refused is not None:
                raise InvalidInputError(*outcome.refused)
            return self._predictor(version, outcome, file)

    def _predictor(self, version: int, outcome: CompilerResult, file: BinaryIO) -> ServedVersion:
        columns, plain, declaration = outcome.columns, outcome.plain, outcome.declaration
        dataset = dataset_of_version(self._name, version, declaration)
        places = required_positions(dataset.columns, columns)
        if outcome.admission is not None:
            return self._coded(version, outcome, outcome.admission, dataset)
        watch = watch_of(dataset, version, outcome.learned)
        if not plain:
            try:
                form = CompiledModel.read(file, dataset)
                predict = form.verify(machine_code=self._machine_code)
                if outcome.other_line is not None:
                    self._tell(version, *outcome.other_line)
                return ServedVersion(
                    version,
                    columns,
                    places,
                    predict,
                    form=form,
                    watch=watch,
                    declaration=declaration,
                    intervals=outcome.intervals,
                    deciding=deciding_of(dataset.target, form.threshold, outcome.decision),
                )
            except NotCompiledError as error:
                plain = str(error)
        logger.warning("Version %d is served as it is: %s", version, plain)
        from model_loop.serving.compiled.compiler import (  # noqa: PLC0415 - 250 MB, see above
            predict_by,
            threshold_in,
        )
        from model_loop.tracking.registry import read_model  # noqa: PLC0415 - as above

        loaded = read_model(Path(outcome.files), f"Version {version} of {self._name}")
        return ServedVersion(
            version,
            columns,
            places,
            predict_by(dataset, loaded, columns),
            plain,
            watch=watch,
            declaration=declaration,
            intervals=outcome.intervals,
            deciding=deciding_of(dataset.target, threshold_in(loaded), outcome.decision),
        )

    def _coded(
        self, version: int, outcome: CompilerResult, sealed: str, dataset: Dataset
    ) -> ServedVersion:
        """Start a version that is code of its own in the runner."""
        from model_loop.serving.models.coded import (  # noqa: PLC0415 - few servers have such versions
            start_served,
        )

        what = f"Version {version} of {self._name}"
        return start_served(
            version, what, Path(outcome.files), self._name, sealed, dataset, outcome.declaration
        )

    def _tell(self, version: int, given: str, rule: str, remedy: str) -> None:
        """Ask for a retraining of a version that only its compiled form answers for."""
        logger.warning("%s %s. Its compiled form goes on answering. %s", given, rule, remedy)
        if self._outbox is None:
            return
        try:
            self._outbox.put(upgrade_alert(self._name, version, given, rule, remedy))
        except OSError as error:
            logger.warning("No mail could be left: %s", error)

    def moment(self, version: int, deadline: float | None = None) -> Moment:
        """Return the moment of a version, by its tags or else by its model.

        Parameters
        ----------
        deadline
            Time limit by the monotonic clock: until then, its model is waited for.

        Raises
        ------
        MomentUnknownError
            If neither tells.
        InvalidInputError
            If its tag names no moment.
        """
        if version not in self._moments:
            try:
                tags = self._tags(version)
            except RegistryError as error:
                raise MomentUnknownError.of(self._name, version, str(error)) from error
            until = time.monotonic() + FIRST_SECONDS if deadline is None else deadline
            self._moments[version] = declared_moment(tags, self.dataset) or self._look_ups.moment(
                version, until
            )
        return self._moments[version]

    def _ask(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return aliases and tags of the registered model; nothing where there is none."""
        if not _is_plain(self._tracking_uri):
            found = _ask_client(
                self._tracking_uri, lambda client: client.get_registered_model(self._name)
            )
            return (found.aliases, found.tags) if found is not None else ({}, {})
        answer = self._get(_MODEL, {"name": self._name}, _ModelAnswer)
        model = answer.registered_model if answer else _Model()
        return (
            {one.alias: one.version for one in model.aliases},
            {one.key: one.value for one in model.tags},
        )

    def _tags(self, version: int) -> Mapping[str, str]:
        """Return the tags of a version; none where there is no such version."""
        number = str(version)
        if not _is_plain(self._tracking_uri):
            found = _ask_client(
                self._tracking_uri, lambda client: client.get_model_version(self._name, number)
            )
            return found.tags if found is not None else {}
        answer = self._get(_VERSION, {"name": self._name, "version": number}, _VersionAnswer)
        return {one.key: one.value for one in answer.model_version.tags} if answer else {}

    def _get(self, path: str, params: Mapping[str, str], kind: type[_AnAnswer]) -> _AnAnswer | None:
        return _get(self._session, self._tracking_uri, path, params, kind)

    def _ask_model(self, version: int) -> Moment:
        """Read the moment from the model of a version without the tag: an old or a foreign one."""
        from mlflow import MlflowClient  # noqa: PLC0415 - as above

        from model_loop.tracking.versions import find_moment  # noqa: PLC0415 - as above

        return find_moment(MlflowClient(self._tracking_uri), self._name, version)


def _get(
    session: requests.Session,
    tracking_uri: str,
    path: str,
    params: Mapping[str, str],
    kind: type[_AnAnswer],
    seconds: float | None = None,
    body: Mapping[str, Any] | None = None,
) -> _AnAnswer | None:
    """Ask the server for something; None if it does not have that."""
    try:
        answer = session.request(
            "GET" if body is None else "POST",
            f"{tracking_uri.rstrip('/')}{path}",
            params=params,
            json=body,
            headers=_authorization(),
            auth=_login(),
            timeout=_timeout() if seconds is None else seconds,
        )
    except requests.RequestException as error:
        raise RegistryError(f"The tracking server does not answer ({error})") from error
    if answer.status_code == _NOT_FOUND and _ABSENT in answer.text:
        return None
    try:
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=kind)
    except (requests.HTTPError, msgspec.MsgspecError) as error:
        # Without the address, which may hold a password.
        told = f"The tracking server does not tell (status {answer.status_code})"
        raise RegistryError(told) from error


def _ask_client(tracking_uri: str, ask: Callable[[MlflowClient], Found]) -> Found | None:
    """Ask MLflow's own client, which knows every other kind of address and of login."""
    from mlflow import MlflowClient  # noqa: PLC0415 - as above
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    try:
        return ask(MlflowClient(tracking_uri))
    except MlflowException as error:
        if error.error_code == _ABSENT:
            return None
        raise RegistryError(str(error).partition("\n")[0]) from error


def _runs(client: MlflowClient, names: Sequence[str], wanted: str) -> list[_HistoryRun]:
    """Ask MLflow's client for runs of experiments, as far as there are any."""
    found = map(client.get_experiment_by_name, names)
    ids = [one.experiment_id for one in found if one is not None]
    runs: list[_HistoryRun] = []
    token = None
    while ids:
        page = client.search_runs(ids, wanted, max_results=_PAGE, page_token=token)
        runs += [
            (one.data.tags, one.info.start_time / 1_000, one.info.end_time / 1_000, one.info.run_id)
            for one in page
        ]
        token = page.token
        if not token:
            break
    return runs


def _compile(order: Order, file: BinaryIO, given_up: threading.Event) -> None:
    """Let another process carry out an order, and end it when it takes too long or is given up."""
    deadline = time.monotonic() + _COMPILING_SECONDS
    with subprocess.Popen(
        [sys.executable, "-m", "model_loop.serving.compiled.compiler"],
        stdin=subprocess.PIPE,
        stdout=file,
    ) as process:
        try:
            assert process.stdin is not None
            # If it has ended already, its status says so.
            with contextlib.suppress(BrokenPipeError), process.stdin as order_file:
                order_file.write(msgspec.json.encode(order))
            while process.poll() is None:
                if given_up.wait(_LOOK_SECONDS):
                    raise RegistryError("loading it was given up, it is not wanted any more")
                if time.monotonic() > deadline:
                    raise RegistryError(f"loading it took more than {_COMPILING_SECONDS:.0f} s")
        finally:
            process.kill()
    if process.returncode:
        raise RegistryError(f"the process that compiles it ended with {process.returncode}")


class _Alias(msgspec.Struct):
    alias: str
    version: str


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Model(msgspec.Struct):
    aliases: tuple[_Alias, ...] = ()
    tags: tuple[_Tag, ...] = ()


class _ModelAnswer(msgspec.Struct):
    registered_model: _Model


class _ModelVersion(msgspec.Struct):
    tags: tuple[_Tag, ...] = ()


class _VersionAnswer(msgspec.Struct):
    model_version: _ModelVersion


class _LatestVersion(msgspec.Struct):
    version: str
    tags: tuple[_Tag, ...] = ()


class _ListedModel(msgspec.Struct):
    name: str
    latest_versions: tuple[_LatestVersion, ...] = ()


class _ModelsAnswer(msgspec.Struct):
    registered_models: tuple[_ListedModel, ...] = ()


class _Experiment(msgspec.Struct):
    experiment_id: str


class _ExperimentAnswer(msgspec.Struct):
    experiment: _Experiment


class _RunInfo(msgspec.Struct):
    run_id: str
    start_time: int
    end_time: int


class _RunData(msgspec.Struct, frozen=True):
    tags: tuple[_Tag, ...] = ()


class _Run(msgspec.Struct):
    info: _RunInfo
    data: _RunData = _RunData()


class _RunsAnswer(msgspec.Struct):
    runs: tuple[_Run, ...] = ()
    next_page_token: str = ""


_AnAnswer = TypeVar(
    "_AnAnswer", _ModelAnswer, _VersionAnswer, _ModelsAnswer, _ExperimentAnswer, _RunsAnswer
)
Found = TypeVar("Found")


def _is_plain(tracking_uri: str) -> bool:
    """Return whether the address and the login of MLflow are of supported kinds."""
    return (
        tracking_uri.startswith(("http://", "https://"))
        and not any(map(os.environ.get, _FURTHER_SETTINGS))
        and not (Path.home() / ".mlflow" / "credentials").exists()
    )


def _timeout() -> float:
    """Return seconds that the server is given, by MLflow's setting where that is a number."""
    told = os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(told)) <= _MOST_SECONDS:
            return seconds
    if told:
        log_once(f"MLFLOW_HTTP_REQUEST_TIMEOUT is {told!r}, not a number of seconds")
    return _TIMEOUT_SECONDS


def _authorization() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token and _login() is None else {}


def _login() -> tuple[str, str] | None:
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (user, password) if user and password else None
