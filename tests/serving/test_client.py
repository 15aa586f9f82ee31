"""The client against a real server, and against servers that behave badly."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.types import ASGIApp
from tests.servers import free_port
from tests.serving.conftest import TRIP, Server

from model_loop.client import (
    Client,
    ClientError,
    ClientTimeoutError,
    ForbiddenRequestError,
    RefusedInputError,
    ServerFailedError,
    ThrottledRequestError,
    UnauthorizedRequestError,
    UnreachableServerError,
)
from model_loop.client.code import LANGUAGES, TOKEN_VARIABLE
from model_loop.client.errors import NothingThereError


@contextlib.contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """A real server around an application, on a free port."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """Address of a server whose champion is version 1."""
    with listening(server.app) as url:
        yield url


@pytest.fixture
def client(url: str, server: Server) -> Iterator[Client]:
    """A client with a token."""
    with Client(url, server.secret) as client:
        yield client


def test_predict(client: Client, server: Server) -> None:
    """One row gives one answer, several give as many, with the level that was asked."""
    one = client.predict(TRIP, level=80)
    assert (one.unit, one.model_version, one.moment) == ("min", 1, "ended")
    assert one.prediction == server.predict(TRIP)[0]["prediction"]
    several = client.predict([TRIP, {**TRIP, "trip_distance": 3.0}])
    assert len(several) == 2
    assert several[0].prediction == one.prediction
    assert several[1].prediction != one.prediction


def test_values_as_python_has_them(client: Client) -> None:
    """Times and numbers of NumPy are sent as JSON has them; NaN is refused before it is sent."""
    when = dt.datetime.fromisoformat(TRIP["pickup_at"])  # type: ignore[arg-type]  # a text
    row = {**TRIP, "pickup_at": when, "trip_distance": np.float32(1.5)}
    assert client.predict(row).prediction == client.predict(TRIP).prediction
    for value in (float("nan"), object()):
        with pytest.raises(RefusedInputError, match="JSON"):
            client.predict({**TRIP, "trip_distance": value})


def test_reasons(client: Client) -> None:
    """They add up to the prediction."""
    answer = client.explain(TRIP)
    assert answer.reasons is not None
    parts = [answer.reasons["base"], answer.reasons["others"]]
    parts += [one["added"] for one in answer.reasons["strongest"]]
    assert sum(parts) == pytest.approx(answer.prediction)
    assert client.predict(TRIP).reasons is None


def test_feedback(client: Client, server: Server) -> None:
    """True values are stored by their ids, and an unknown id is reported."""
    one = client.predict(TRIP)
    assert client.feedback({one.prediction_id: 12.5}) == 1
    found = server.ask("GET", f"/predictions/{one.prediction_id}").json()
    assert found["actual_minutes"] == 12.5
    with pytest.raises(NothingThereError) as refused:
        client.feedback({"0" * 32: 1.0})
    assert refused.value.status == 404


def test_looking(client: Client) -> None:
    """The versions, the description, and readiness."""
    client.wait_ready(10)
    models = client.models()
    assert (models.service, models.enabled, models.answering) == ("green", True, 1)
    assert models.versions[0]["alias"] == "champion"
    assert "/predict" in client.openapi()["paths"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_code(client: Client, url: str, language: str) -> None:
    """It asks this server, with the example of its description and without the token."""
    code = client.code(language)
    assert f"{url}/predict" in code
    assert "trip_distance" in code
    assert TOKEN_VARIABLE in code
    assert "td_" not in code


def test_code_runs(client: Client, server: Server) -> None:
    """As it is."""
    done = subprocess.run(
        [sys.executable, "-c", client.code("python")],
        env={TOKEN_VARIABLE: server.secret},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)[0]["model_version"] == 1


def test_refusals_say_what_the_server_says(client: Client) -> None:
    """The input, the rule and the remedy, and each problem of several."""
    with pytest.raises(RefusedInputError) as refused:
        client.predict({**TRIP, "trip_distance": -1.0, "pickup_zone": 999})
    assert refused.value.status == 422
    assert len(refused.value.problems) == 2
    assert {one["given"] for one in refused.value.problems}
    assert refused.value.remedy
    with pytest.raises(RefusedInputError) as refused:
        client.predict(TRIP, level=12)
    assert "level" in refused.value.given


def test_tokens(server: Server, url: str) -> None:
    """An unknown token and one without the right are different errors; neither shows it."""
    with pytest.raises(UnauthorizedRequestError) as refused:
        Client(url, "td_nobody").predict(TRIP)
    assert "td_nobody" not in str(refused.value)
    reader = server.tokens.add("reader", scopes=("read",))
    assert reader not in repr(Client(url, reader))
    with pytest.raises(ForbiddenRequestError):
        Client(url, reader).predict(TRIP)


def test_address_and_token_of_the_environment(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is given."""
    monkeypatch.setenv("MODEL_LOOP_URL", url)
    monkeypatch.setenv(TOKEN_VARIABLE, server.secret)
    assert Client().predict(TRIP).model_version == 1


@pytest.mark.parametrize("wrong", ["ftp://host", "host:8090", "http://", "http://a:b@host"])
def test_addresses_that_are_none(wrong: str) -> None:
    """They are refused before anything is sent."""
    with pytest.raises(ClientError, match="http"):
        Client(wrong, "td_secret")


def test_it_imports_nothing_heavy() -> None:
    """`requests`, and nothing that computes."""
    heavy = "'pandas', 'numpy', 'sklearn', 'mlflow', 'airflow', 'pyarrow', 'pydantic', 'msgspec'"
    code = f"import sys, model_loop.client; print({{{heavy}}} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout.strip() == "set()"


Answers = list[tuple[int, dict[str, str], Any]]


class Scripted:
    """A server that gives answers from a list, and notes the requests."""

    def __init__(self, answers: Answers) -> None:
        self.seen: list[tuple[str, str | None]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                """Give the next answer; none ends the connection."""
                scripted.seen.append((self.command, self.headers.get("Authorization")))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, body = answers.pop(0)
                self.close_connection = True
                if not status:
                    return
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer  # noqa: N815 - the names that the library calls

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def scripted() -> Iterator[Callable[[Answers], Scripted]]:
    """Makes such servers, and ends them."""
    made: list[Scripted] = []

    def make(answers: Answers) -> Scripted:
        made.append(Scripted(answers))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


_OK = {"prediction": 1.0, "prediction_id": "a", "model_version": 1, "moment": "now", "newer": 1}
_ENDED: tuple[int, dict[str, str], Any] = (0, {}, None)


def test_the_token_goes_to_no_other_address(scripted: Callable[[Answers], Scripted]) -> None:
    """A redirect is an error, and is not followed."""
    other = scripted([(200, {}, [_OK])])
    first = scripted([(307, {"Location": f"{other.url}/predict"}, {})])
    with pytest.raises(ServerFailedError, match="redirected"):
        Client(first.url, "td_secret").predict(TRIP)
    assert first.seen == [("POST", "Bearer td_secret")]
    assert other.seen == []


def test_what_is_repeated(scripted: Callable[[Answers], Scripted]) -> None:
    """A server that has done nothing is asked again; a prediction whose answer is lost is not."""
    busy = scripted(
        [(503, {"Retry-After": "0"}, {}), (429, {"Retry-After": "0"}, {}), (200, {}, [_OK])]
    )
    assert Client(busy.url, "").predict(TRIP).prediction == 1.0
    assert busy.seen == [("POST", None)] * 3
    lost = scripted([_ENDED, (200, {}, [_OK])])
    with pytest.raises(UnreachableServerError):
        Client(lost.url, "").predict(TRIP)
    assert len(lost.seen) == 1
    looked = scripted([_ENDED, (200, {}, {"paths": {}})])
    assert Client(looked.url, "").openapi() == {"paths": {}}
    failed = scripted([(500, {"Retry-After": "0"}, {}), (200, {}, [_OK])])
    with pytest.raises(ServerFailedError):
        Client(failed.url, "").predict(TRIP)
    assert len(failed.seen) == 1


def test_repeating_has_an_end(scripted: Callable[[Answers], Scripted]) -> None:
    """The server's own words come after the last try."""
    told = {"error": {"given": "Token 'a'", "rule": "may ask 1 times", "remedy": "Wait."}}
    busy = scripted([(429, {"Retry-After": "0"}, told)] * 9)
    with pytest.raises(ThrottledRequestError, match="may ask 1 times"):
        Client(busy.url, "").predict(TRIP)
    assert len(busy.seen) == 4


def test_a_file_is_sent_again_by_the_same_key(
    scripted: Callable[[Answers], Scripted], tmp_path: Any
) -> None:
    """Where the answer is lost, the key leads to what was accepted."""
    (tmp_path / "rows.csv").write_text("a\n1\n")
    lost = scripted([_ENDED, (202, {}, {"id": "b"})])
    assert Client(lost.url, "").predict_file(tmp_path / "rows.csv").id == "b"
    assert len(lost.seen) == 2


def test_other_servers(scripted: Callable[[Answers], Scripted]) -> None:
    """An answer of another server is an error that says so."""
    strange = scripted([(200, {}, {"hello": 1}), (404, {}, "gone"), (503, {}, {}), (503, {}, {})])
    client = Client(strange.url, "")
    with pytest.raises(ServerFailedError, match="does not come from a prediction server"):
        client.predict(TRIP)
    with pytest.raises(NothingThereError, match="not by a prediction server"):
        client.models()
    with pytest.raises(ClientTimeoutError):
        client.wait_ready(0.2)
