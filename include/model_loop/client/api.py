"""The client: what can be asked of a prediction server, and what comes back."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self, overload
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from model_loop.client.answers import (
    BatchStatus,
    Label,
    ModelsAnswer,
    Prediction,
    read_answer,
)
from model_loop.client.code import TOKEN_VARIABLE, request_code
from model_loop.client.errors import (
    BatchFailedError,
    ClientError,
    ClientTimeoutError,
    RefusedInputError,
    ServerFailedError,
    UnreachableServerError,
)
from model_loop.client.transport import Transport, unreachable

#: Variable of the address, where none is given.
URL_VARIABLE = "MODEL_LOOP_URL"
_LOCAL = "http://127.0.0.1:8090"
_JSON = {"Content-Type": "application/json"}
_PIECE = 2**20
#: Times that a file is sent where the connection ends without an answer.
_FILE_TRIES = 3
#: Pauses (seconds) between two looks at something that is waited for.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

RowValues = Mapping[str, Any]


class Client:
    """Client of a prediction server, with a token.

    Parameters
    ----------
    url
        Address of the server; the variable ``MODEL_LOOP_URL``, or a server on this machine, if
        left out.
    token
        Its token; the variable ``MODEL_LOOP_TOKEN``, if left out.
    dataset
        Dataset or key of the variant that answers, such as ``flights`` or ``flights.domestic``;
        the server's own, if left out.
    timeout
        Seconds until a connection is there, and between two pieces of an answer.

    Raises
    ------
    ClientError
        If the address or the name cannot be one.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        dataset: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        address = os.environ.get(URL_VARIABLE, _LOCAL) if url is None else url
        secret = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
        if not secret.isascii() or not secret.isprintable():
            raise ClientError(
                "The token",
                "holds characters that no token has",
                "Give it as `model-loop tokens add` has printed it.",
            )
        self._transport = Transport(address, secret.strip(), timeout)
        parts = [] if dataset is None else dataset.split(".")
        if not all(parts):
            raise ClientError(
                f"Dataset {dataset!r}",
                "is not the name of a dataset or the key of a variant",
                "Give one such as flights or flights.domestic.",
            )
        self._path = "".join(f"/{quote(part, safe='')}" for part in parts)

    def __repr__(self) -> str:
        """Return the address without the token."""
        return f"Client({self._transport.url + self._path!r})"

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @overload
    def predict(
        self,
        rows: RowValues,
        *,
        level: float | None = ...,
        explain: bool = ...,
        key: str | None = ...,
        moment: str | None = ...,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        rows: Sequence[RowValues],
        *,
        level: float | None = ...,
        explain: bool = ...,
        key: str | None = ...,
        moment: str | None = ...,
    ) -> list[Prediction]: ...

    def predict(
        self,
        rows: RowValues | Sequence[RowValues],
        *,
        level: float | None = None,
        explain: bool = False,
        key: str | None = None,
        moment: str | None = None,
    ) -> Prediction | list[Prediction]:
        """Predict a row, or several.

        A request that was sent is not repeated unless the server says that it has not answered it:
        each answer is in its log.

        Parameters
        ----------
        rows
            Values by names of columns.
        level
            Percentage of true values that the interval is to hold, from 50 to 99.
        explain
            Whether to give reasons, of up to 100 rows.
        key
            The same key is always answered by the same version.
        moment
            Moment of the champion to ask.

        Raises
        ------
        ClientError
            If the server refuses the rows (`RefusedInputError`), or has not answered.
        """
        single = isinstance(rows, Mapping)
        further = {"level": level, "key": key, "moment": moment}
        asked = {name: value for name, value in further.items() if value is not None}
        body = {"inputs": [rows] if single else list(rows), **asked}
        params = {"explain": "true"} if explain else None
        answers = self._json("POST", "/predict", body, params=params)
        with _as_said("/predict"):
            found = [read_answer(Prediction, one) for one in answers]
            return found[0] if single else found

    @overload
    def explain(self, rows: RowValues, *, level: float | None = ...) -> Prediction: ...

    @overload
    def explain(
        self, rows: Sequence[RowValues], *, level: float | None = ...
    ) -> list[Prediction]: ...

    def explain(
        self, rows: RowValues | Sequence[RowValues], *, level: float | None = None
    ) -> Prediction | list[Prediction]:
        """Predict with reasons: what each column adds; see `predict`."""
        return self.predict(rows, level=level, explain=True)

    def feedback(self, actual: Mapping[str, Label]) -> int:
        """Send true values by their prediction ids; return how many were stored.

        Told again, the last one counts, so that it may be repeated.
        """
        told = [{"prediction_id": one, "actual": value} for one, value in actual.items()]
        return int(self._json("POST", "/feedback", told)["noted"])

    def models(self) -> ModelsAnswer:
        """Return the versions that answer."""
        answer = self._json("GET", "/models")
        with _as_said("/models"):
            return read_answer(ModelsAnswer, answer)

    def openapi(self) -> dict[str, Any]:
        """Return the description of the server, as OpenAPI."""
        found: dict[str, Any] = self._transport.json("GET", "/openapi.json")
        return found

    def code(self, language: str) -> str:
        """Return code that asks this server for a prediction, as it is.

        Parameters
        ----------
        language
            ``curl``, ``python`` or ``javascript``.

        Raises
        ------
        InvalidInputError
            If there is none for this language.
        """
        with _as_said("/openapi.json"):
            operation = self.openapi()["paths"][f"{self._path}/predict"]["post"]
            examples = operation["requestBody"]["content"]["application/json"]["examples"]
            row: RowValues = examples["one"]["value"]
        return request_code(language, f"{self._transport.url}{self._path}", row)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until the server answers predictions.

        Raises
        ------
        ClientTimeoutError
            If it does not in so many seconds.
        """
        last: ClientError | None = None
        for _ in _looks(timeout):
            try:
                self._transport.send("GET", f"{self._path}/readyz")
            except (ServerFailedError, UnreachableServerError) as error:
                last = error
            else:
                return
        raise ClientTimeoutError(
            f"{self!r}",
            f"does not answer predictions after {timeout:g} seconds ({last})",
            "Look at its log, and at /readyz.",
        )

    def predict_file(
        self,
        source: str | os.PathLike[str],
        *,
        level: float | None = None,
        explain: bool = False,
        moment: str | None = None,
        key: str | None = None,
    ) -> Execution:
        """Have a file scored, and return the execution before it is done.

        Parameters
        ----------
        source
            A file of this machine (CSV, JSON lines, Parquet, Arrow; texts may be packed), or the
            address of one that the server may read, such as ``s3://bucket/rows.parquet``.
        level, explain, moment
            As of `predict`.
        key
            Names the request: sent again with the same key, the same execution is returned. One of
            its own, if left out.

        Raises
        ------
        ClientError
            If the file is refused.
        """
        name = os.fspath(source)
        given = {"level": level, "moment": moment, "explain": "true" if explain else None}
        asked = {each: str(value) for each, value in given.items() if value is not None}
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        for left in reversed(range(_FILE_TRIES)):
            try:
                answer = self._sent(name, headers, asked)
            except UnreachableServerError:
                # The key leads to the same execution, however the first request has ended.
                if not left:
                    raise
            else:
                break
        with _as_said("/batches"):
            return Execution(self, str(answer["id"]))

    def _sent(self, name: str, headers: Mapping[str, str], asked: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        path = f"{self._path}/batches"
        if "://" in name:
            body = _encoded({"address": name})
            return self._transport.json(
                "POST", path, data=body, params=asked, headers={**headers, **_JSON}
            )
        try:
            file = Path(name).open("rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise RefusedInputError(
                f"The file {name}", f"cannot be read ({error.strerror})", "Check its path."
            ) from error
        with file:
            return self._transport.json(
                "POST",
                path,
                data=file,
                params={**asked, "name": Path(name).name},
                headers={**headers, "Content-Type": "application/octet-stream"},
            )

    def execution(self, identifier: str) -> Execution:
        """Return an execution by its id; nothing is asked yet."""
        return Execution(self, identifier)

    def executions(self) -> list[BatchStatus]:
        """Return the states of all files that were sent with this token, the newest first."""
        answer = self._json("GET", "/batches")
        with _as_said("/batches"):
            return [read_answer(BatchStatus, one) for one in answer["batches"]]

    def _json(self, method: str, path: str, body: object = None, **more: Any) -> Any:  # noqa: ANN401 - JSON
        if body is not None:
            more |= {"data": _encoded(body), "headers": _JSON}
        return self._transport.json(method, f"{self._path}{path}", **more)

    def _saved(self, path: str, target: Path) -> Path:
        """Save an answer as a file, which appears completely or not at all."""
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
        with self._transport.send("GET", f"{self._path}{path}", stream=True) as answer:
            try:
                with partial.open("xb") as file:
                    _copy(answer, file)
                partial.replace(target)
            except (requests.RequestException, HTTPError) as error:
                raise unreachable(answer.url, error) from error
            finally:
                partial.unlink(missing_ok=True)
        return target


class Execution:
    """A file that is scored.

    Parameters
    ----------
    client
        Client that has sent it.
    id
        Id of the batch.
    """

    def __init__(self, client: Client, id: str) -> None:  # noqa: A002 - its name everywhere
        self._client = client
        self.id = id
        self._path = f"/batches/{quote(id, safe='')}"

    def __repr__(self) -> str:
        """Return its id."""
        return f"Execution({self.id!r})"

    def status(self) -> BatchStatus:
        """Return how far it is."""
        return self._read(self._client._json("GET", self._path))  # noqa: SLF001 - of one module

    def wait(self, timeout: float | None = None) -> BatchStatus:
        """Wait until the batch is done.

        Parameters
        ----------
        timeout
            Seconds to wait for it; None for as long as it takes.

        Raises
        ------
        BatchFailedError
            If it fails, or is cancelled.
        ClientTimeoutError
            If it is not done in time; it goes on.
        """
        for _ in _looks(timeout):
            status = self.status()
            if status.state == "done":
                return status
            if status.is_final:
                told = status.error or {
                    "given": f"The batch {self.id}",
                    "rule": f"is {status.state}",
                    "remedy": "Send its file again.",
                }
                raise BatchFailedError(told["given"], told["rule"], told["remedy"])
        raise ClientTimeoutError(
            f"The batch {self.id}",
            f"is not done after {timeout:g} seconds",
            "Wait again: it goes on.",
        )

    def download(self, path: str | os.PathLike[str]) -> Path:
        """Save the rows with their predictions as a file, and return its path."""
        return self._client._saved(f"{self._path}/result", Path(path))  # noqa: SLF001 - of one module

    def download_rejected(self, path: str | os.PathLike[str]) -> Path:
        """Save the rows that could not be predicted, with the reason, and return the path.

        Raises
        ------
        NothingThereError
            If all rows could be predicted.
        """
        return self._client._saved(f"{self._path}/rejected", Path(path))  # noqa: SLF001 - of one module

    def cancel(self) -> BatchStatus:
        """Cancel the batch, if it is not done."""
        return self._read(self._client._json("POST", f"{self._path}/cancel"))  # noqa: SLF001 - of one module

    def remove(self) -> None:
        """Cancel the batch, and remove its files from the server."""
        self._client._json("DELETE", self._path)  # noqa: SLF001 - of one module

    def _read(self, answer: Any) -> BatchStatus:  # noqa: ANN401 - JSON
        with _as_said(self._path):
            return read_answer(BatchStatus, answer)


def _looks(timeout: float | None) -> Iterator[None]:
    """Yield again and again, with growing pauses, at least once and until the time is over."""
    end = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        yield
        left = pause if end is None else end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


@contextlib.contextmanager
def _as_said(path: str) -> Iterator[None]:
    """Say of an answer of another form that no prediction server has given it."""
    try:
        yield
    except (TypeError, LookupError, AttributeError) as error:
        raise ServerFailedError(
            f"The answer to {path}",
            f"does not come from a prediction server ({type(error).__name__}: {error})",
            "Check the address, and the version of the server.",
        ) from error


def _copy(answer: requests.Response, file: IO[bytes]) -> None:
    for piece in answer.iter_content(_PIECE):
        file.write(piece)


def _encoded(body: object) -> bytes:
    """Return JSON; times as texts, and numbers of NumPy as numbers.

    Raises
    ------
    RefusedInputError
        If a value has no JSON.
    """
    try:
        return json.dumps(body, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise RefusedInputError(
            "The request",
            f"cannot be written as JSON ({error})",
            "Give texts, finite numbers, times, True, False, or None for what is missing.",
        ) from error


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a row
    for name in ("isoformat", "item"):
        if (method := getattr(value, name, None)) is not None:
            return method()
    raise TypeError(f"a {type(value).__name__}")
