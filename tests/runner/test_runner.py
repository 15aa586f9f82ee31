"""The runner, over HTTP and with real processes: what a version answers, and what bounds it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast

import msgspec
import pytest
import urllib3
from starlette.requests import Request
from starlette.responses import Response
from tests.runner.conftest import TIGHT, TOKEN, USERS, Runner, running

from model_loop.errors import InvalidInputError
from model_loop.runner.client import RunnerClient
from model_loop.runner.errors import CodeFailedError, RunnerUnavailableError
from model_loop.runner.package import CodeColumn
from model_loop.runner.separation import Separation, read_statuses
from model_loop.runner.service import RunnerRoutes, make_runner
from model_loop.runner.supervisor import Supervisor
from model_loop.settings import Settings

TEXT = CodeColumn("y", "text")

DOUBLE = """
import json

def score(data: str, base_path: str):
    return {"y": 2 * json.loads(data)["x"]}
"""
#: A script whose function has this body.
BODY = """
import ctypes, json, os, pathlib, socket, subprocess, sys, time
CALLS = 0

def score(data: str, base_path: str):
    global CALLS
    CALLS += 1
    x = json.loads(data)["x"]
    {body}
"""


def script(body: str) -> str:
    """Return a script whose function has these lines."""
    return BODY.replace("{body}", "\n    ".join(body.strip().splitlines()))


@pytest.fixture(scope="module")
def good(runner: Runner) -> str:
    """Return a version that nothing is wrong with."""
    return runner.deploy(DOUBLE)


@contextmanager
def undisturbed(runner: Runner, good: str) -> Iterator[None]:
    """Ask a good version all the while: each request has to be answered, and none late."""
    done = threading.Event()
    waited: list[float] = []
    faults: list[Exception] = []
    client = RunnerClient(runner.address, TOKEN)
    client._deployed = runner.client._deployed

    def ask() -> None:
        while not done.is_set():
            start = time.monotonic()
            try:
                assert client.predict(good, [{"x": 3}], 10) == [{"y": 6}]
                waited.append(time.monotonic() - start)
            except Exception as error:  # noqa: BLE001 - shown below
                faults.append(error)
            time.sleep(0.01)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield
    finally:
        done.set()
        asker.join()
    assert faults == []
    assert len(waited) > 1
    assert max(waited) < 2


def test_a_script_answers_row_by_row(runner: Runner, good: str) -> None:
    """In their order."""
    assert runner.client.predict(good, [{"x": 1}, {"x": 2.5}], 10) == [{"y": 2}, {"y": 5.0}]
    assert runner.client.states()[good].state == "ready"


def test_values_are_in_its_environment_and_in_no_argument(runner: Runner) -> None:
    """Other processes could read arguments, and the environment that a process starts with."""
    code = script("""
started = open("/proc/self/environ").read() + open("/proc/self/cmdline").read()
return {"y": os.environ["API_KEY"] + str(os.environ["API_KEY"] in started)}
""")
    digest = runner.deploy(code, values={"API_KEY": "hidden"}, outputs=(TEXT,))
    assert runner.client.predict(digest, [{"x": 1}], 10) == [{"y": "hiddenFalse"}]
    assert "hidden" not in repr(runner.client.states())
    # Another value is another version: the one that answers already goes on with its own.
    other = runner.deploy(code, values={"API_KEY": "other"}, outputs=(TEXT,))
    assert runner.client.predict(other, [{"x": 1}], 10) == [{"y": "otherFalse"}]
    assert runner.client.predict(digest, [{"x": 1}], 10) == [{"y": "hiddenFalse"}]
    former = runner.client._deployed[digest]
    with pytest.raises(InvalidInputError, match="not those that the package names: API_KEY"):
        runner.client.deploy(former.package, former.read, {})


def test_it_reads_its_own_files(runner: Runner) -> None:
    """Below the folder that it is handed."""
    code = script('return {"y": float(pathlib.Path(base_path, "data/w.txt").read_text())}')
    digest = runner.deploy(code, files={"data/w.txt": b"7"})
    assert runner.client.predict(digest, [{"x": 1}], 10) == [{"y": 7.0}]


def test_a_function_of_files_answers_with_a_file(runner: Runner, tmp_path: Path) -> None:
    """Files are streamed both ways; a function of rows is refused."""
    code = """
def score(data_path: str, model_path: str):
    target = data_path + ".out"
    with open(data_path) as file, open(target, "w") as out:
        for line in file:
            out.write(line.upper())
    return target
"""
    digest, other = runner.deploy(code), runner.deploy(DOUBLE)
    source, target = tmp_path / "source", tmp_path / "target"
    for lines in ("a line\n" * 400_000, "", "b\n"):
        source.write_text(lines)
        runner.client.predict_file(digest, source, target, 10)
        assert target.read_text() == lines.upper()
    with pytest.raises(CodeFailedError, match="files and no rows"):
        runner.client.predict(digest, [{"x": 1}], 10)
    with pytest.raises(CodeFailedError, match="rows and no files"):
        runner.client.predict_file(other, source, target, 10)
    assert runner.client.predict(other, [{"x": 1}], 10) == [{"y": 2}]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('return {"y": float("nan")}', "the output y is nan"),
        ('return {"y": float("inf")}', "the output y is inf"),
        ("return None", "NoneType was returned for a row"),
        ("return [1, 2]", "list was returned for a row"),
        ('return {"y": None}', "hold, at 0, no value of 'y'"),
        ('return {"y": "a"}', "'y' that is no number"),
        ('return {"y": True}', "'y' that is no number"),
        ('return {"z": 1}', "'z', which is not a column"),
        ("return {}", "hold, at 0, no value of 'y'"),
        ('import decimal; return {"y": decimal.Decimal(1)}', r"decimal.Decimal: return bool, int"),
        ('return {"y": {1}}', "the output y is set"),
        ("return {1: 1}", "the name of an output is int"),
        (
            'raise ValueError("no such street")',
            r"ValueError: no such street \(line [0-9]+ of score.py",
        ),
        ("sys.exit(3)", "it has called exit"),
        ('return {"y": bytearray(8 * 2**30)}', "MemoryError"),
        ('open("/etc/shadow")', "PermissionError"),
        ("socket.socket()", "PermissionError"),
        ('os.truncate("/proc/self/oom_score_adj", 0)', "PermissionError"),
        ('return {"y": [0] * 10**5000}', "OverflowError"),
    ],
)
def test_a_bad_answer_is_an_error_and_the_version_goes_on(
    runner: Runner, body: str, said: str
) -> None:
    """The rule that it breaks is in the error, and no process was ended for it."""
    digest = runner.deploy(script(f"if x < 0: return {{'y': CALLS}}\n{body}"))
    with pytest.raises(CodeFailedError, match=said):
        runner.client.predict(digest, [{"x": 1}], 10)
    assert runner.client.predict(digest, [{"x": -1}], 10) == [{"y": 2}]
    assert runner.client.states()[digest].restarts == 0
    runner.client.stop(digest)


#: Acts for which a version is ended, and how the error says so. The function is called again
#: with another row afterwards.
ENDED = {
    "an endless loop": ("while True: pass", "has not answered within 1 seconds"),
    "a hang in C": ("ctypes.CDLL(None).pause()", "has not answered within 1 seconds"),
    "the end of the process": ("os._exit(3)", r"has ended itself \(3\)"),
    "an end that leaves others": (
        "if os.fork() == 0: time.sleep(60)\nos._exit(4)",
        r"has ended itself \(4\)",
    ),
    "a crash": ("ctypes.string_at(0)", "ended by signal 11"),
    "a fork bomb": (
        "while True:\n    try: os.fork()\n    except OSError: pass",
        "(has not answered within 1 seconds|has taken more than 209715200 bytes)",
    ),
    "memory by many hidden processes": (
        """
for _ in range(4):
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(4, 0)
        os.setsid()
        held = b"x" * (80 * 2**20)
        time.sleep(60)
time.sleep(60)
""",
        "has taken more than 209715200 bytes of memory",
    ),
    "many files": (
        """
for number in range(10):
    with open(os.path.join(os.environ["TMPDIR"], str(number)), "wb") as file:
        file.write(bytes(8 * 2**20))
os.mkdir(os.path.join(os.environ["TMPDIR"], "closed"), 0)
time.sleep(60)
""",
        "has written more than 20971520 bytes of files",
    ),
    "frames of its own": (
        """
import struct
for number in range(3, 40):
    try: os.write(number, struct.pack(">Ic", 2**31, b"A"))
    except OSError: pass
""",
        "has answered with 2147483648 bytes",
    ),
    "an answer that is too large": (
        "return {'y': 'x' * 2**17}",
        "has answered with 131[0-9]* bytes",
    ),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_bad_version_is_ended_and_no_other_feels_it(runner: Runner, good: str, name: str) -> None:
    """All of its processes are gone, and after a pause it answers again."""
    body, said = ENDED[name]
    digest = runner.deploy(script(f"if x < 0: return {{'y': CALLS}}\n{body}"))
    seconds = 1 if "within 1" in said else 10
    with undisturbed(runner, good), pytest.raises(CodeFailedError, match=said):
        runner.client.predict(digest, [{"x": 1}], seconds)
    state = runner.client.states()[digest]
    assert (state.state, state.restarts, state.memory_bytes) == ("paused", 1, 0)
    until(lambda: runner.client.predict(digest, [{"x": -1}], 10) == [{"y": 1}])
    runner.client.stop(digest)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that cannot be asked at first."""
    for _ in range(200):
        try:
            assert holds()
        except RunnerUnavailableError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError


def test_printed_lines_are_bounded_and_shown_with_an_error(runner: Runner, good: str) -> None:
    """Megabytes of output cost only time of their version, and no memory."""
    code = script("""
if x < 0: raise ValueError("bad")
for _ in range(4):
    print("a long line" * 100_000)
return {"y": 1}
""")
    digest = runner.deploy(code)
    with undisturbed(runner, good):
        assert runner.client.predict(digest, [{"x": 1}], 10) == [{"y": 1}]
        with pytest.raises(CodeFailedError, match="bad") as caught:
            runner.client.predict(digest, [{"x": -1}], 10)
    assert "in score" in caught.value.output
    assert len(caught.value.output) <= 8_192


def test_a_version_that_cannot_be_loaded_is_paused_for_longer_and_longer(runner: Runner) -> None:
    """The error and its output say why."""
    digest = runner.deploy("import nothing_of_the_kind", wait=False)
    with pytest.raises(CodeFailedError, match="No module named") as caught:
        runner.client.wait_ready(digest, 20)
    assert "Traceback" in caught.value.output
    for _ in range(2):
        with pytest.raises(CodeFailedError, match="No module named"):
            until(lambda: bool(runner.client.predict(digest, [{"x": 1}], 10)))
    with pytest.raises(RunnerUnavailableError, match="it starts again in") as paused:
        runner.client.predict(digest, [{"x": 1}], 10)
    # The first pause has half a second, the third one two.
    assert float(paused.value.rule.split("again in ")[1].split()[0]) > 0.5
    assert runner.client.states()[digest].restarts == 3
    runner.client.stop(digest)


def test_a_busy_version_says_so(runner: Runner) -> None:
    """Requests wait for their turn, and not for longer than they may."""
    digest = runner.deploy(script('time.sleep(x)\nreturn {"y": 1}'))
    slow = threading.Thread(target=runner.client.predict, args=(digest, [{"x": 3}], 10))
    slow.start()
    time.sleep(1)
    with pytest.raises(RunnerUnavailableError, match=r"was busy for 0\.1 seconds"):
        runner.client.predict(digest, [{"x": 0}], 0.1)
    assert runner.client.predict(digest, [{"x": 0}], 10) == [{"y": 1}]
    slow.join()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"x": "1"}, "no number"),
        ({}, "no value of"),
        ({"x": 1, "z": 1}, "not a column"),
        ({"x": None}, "no value of"),
        ({"x": float("nan")}, "not finite"),
    ],
)
def test_rows_are_checked_before_they_are_sent(
    runner: Runner, good: str, row: dict[str, object], said: str
) -> None:
    """By the inputs of the package."""
    with pytest.raises(InvalidInputError, match=said):
        runner.client.predict(good, [row], 10)


@pytest.mark.parametrize("content", ["b'[' * 5000", "b'[\"\\xff\\xfe\"]'"])
def test_an_answer_that_is_no_json_is_an_error_of_the_code(runner: Runner, content: str) -> None:
    """Code may write frames of its own."""
    code = script("""
import struct
content = CONTENT
os.write(int(sys.argv[1]), struct.pack(">Ic", len(content), b"A") + content)
os._exit(0)
""")
    digest = runner.deploy(code.replace("CONTENT", content))
    with pytest.raises(CodeFailedError, match="are not JSON"):
        runner.client.predict(digest, [{"x": 1}], 10)
    runner.client.stop(digest)


def test_the_client_reads_no_more_than_an_answer_may_have(
    runner: Runner, good: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers in the runner's place may send anything."""
    with monkeypatch.context() as patch:
        patch.setattr("model_loop.runner.client.most_answer_bytes", lambda *_: 3)
        with pytest.raises(CodeFailedError, match="have more than 3 bytes"):
            runner.client.predict(good, [{"x": 1}], 10)
    assert runner.client.predict(good, [{"x": 1}], 10) == [{"y": 2}]


class Forgetful(StreamRequestHandler):
    """Answers once on each connection, and closes it when it is used again."""

    def handle(self) -> None:
        """Answer with no versions."""
        if self._read_head():
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
            self._read_head()

    def _read_head(self) -> bool:
        line = first = self.rfile.readline()
        while line.strip():
            line = self.rfile.readline()
        return bool(first)


def test_a_connection_that_was_closed_while_idle_costs_no_request() -> None:
    """The runner closes it when the next request is under way; the client asks once more."""
    with ThreadingTCPServer(("127.0.0.1", 0), Forgetful) as server:
        # The last connection stays open.
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = RunnerClient(f"http://127.0.0.1:{server.server_address[1]}", TOKEN)
        for _ in range(3):
            assert client.states() == {}
        server.shutdown()


def test_a_file_without_an_end_is_ended(runner: Runner, tmp_path: Path) -> None:
    """An answer has as many bytes as a version may write."""
    code = """
import os, struct, sys

def score(data_path: str, model_path: str):
    while True:
        os.write(int(sys.argv[1]), struct.pack(">Ic", 1000, b"P") + bytes(1000))
"""
    digest = runner.deploy(code)
    (tmp_path / "source").write_text("x")
    with pytest.raises(RunnerUnavailableError):
        runner.client.predict_file(digest, tmp_path / "source", tmp_path / "target", 10)
    assert (tmp_path / "target").stat().st_size <= 20 * 2**20
    assert "more than 20971520 bytes" in runner.client.states()[digest].reason
    runner.client.stop(digest)


def test_a_start_that_lasts_longer_than_an_answer_may_is_no_failure(runner: Runner) -> None:
    """The version would never come back."""
    body = "if x > 0: os._exit(3)\nreturn {'y': CALLS}"
    digest = runner.deploy("import time\ntime.sleep(1.5)\n" + script(body))
    with pytest.raises(CodeFailedError):
        runner.client.predict(digest, [{"x": 1}], 10)
    time.sleep(0.6)
    with pytest.raises(RunnerUnavailableError, match="was starting for 1 seconds"):
        runner.client.predict(digest, [{"x": -1}], 1)
    assert runner.client.predict(digest, [{"x": -1}], 5) == [{"y": 1}]
    assert runner.client.states()[digest].restarts == 1
    runner.client.stop(digest)


def test_a_version_that_is_deployed_while_another_ends_is_not_ended_with_it(
    runner: Runner,
) -> None:
    """It has no user id that is not free yet."""
    code = script('time.sleep(x)\nreturn {"y": os.getpid()}')
    digest = runner.deploy(code)
    asker = threading.Thread(target=runner.client.predict, args=(digest, [{"x": 3}], 10))
    asker.start()
    time.sleep(0.5)
    stopper = threading.Thread(target=RunnerClient(runner.address, TOKEN).stop, args=(digest,))
    stopper.start()
    time.sleep(0.5)
    other = runner.deploy(code + "# other")
    process = runner.client.predict(other, [{"x": 0}], 10)
    asker.join()
    stopper.join()
    assert digest not in runner.client.states()
    assert runner.client.predict(other, [{"x": 0}], 10) == process
    runner.client.stop(other)


def test_an_unexpected_error_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Without its text, which may hold values."""
    settings = Settings(runner_token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest())

    async def fails(_: Request) -> Response:
        raise KeyError("secret")

    routes = RunnerRoutes(cast("Supervisor", None), settings)
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/versions", "headers": headers}

    async def ask() -> Response:
        return await routes._guarded(fails)(Request(scope))

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert b"KeyError" in answer.body
    assert b"secret" not in answer.body
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("digest", "rule"), [("", "is not set"), ("abc", "is not a SHA-256 digest")]
)
def test_a_runner_without_a_token_is_not_started(digest: str, rule: str) -> None:
    """It says how the digest is made."""
    with pytest.raises(InvalidInputError, match=f"{rule}.*sha256sum . cut -d"):
        make_runner(Settings(runner_token_sha256=digest))


def test_only_the_token_opens_it(runner: Runner, good: str) -> None:
    """Every route but that of its health."""
    for token in ("", "other", TOKEN[:-1]):
        client = RunnerClient(runner.address, token)
        with pytest.raises(
            RunnerUnavailableError, match=r"no valid token.* MODEL_LOOP_RUNNER_TOKEN "
        ):
            client.states()
        with pytest.raises(RunnerUnavailableError, match="no valid token"):
            client.stop(good)
    assert urllib3.request("GET", f"{runner.address}/healthz").status == 200


def test_a_file_that_lies_is_refused(runner: Runner) -> None:
    """By its digest; a package by its own."""
    lying = RunnerClient(runner.address, TOKEN)
    digest = runner.deploy(DOUBLE + "# twice")
    package = runner.client._deployed[digest].package
    runner.client.stop(digest)
    with pytest.raises(InvalidInputError, match="is not in the package"):
        lying.deploy(package, lambda _: b"other", {})
    assert runner.client.states()[digest].state == "incomplete"
    # The digest of a version is that of its values, too.
    body = msgspec.json.encode({"package": package, "values": {}})
    with pytest.raises(InvalidInputError, match="has another digest"):
        lying._send("PUT", f"/versions/{'0' * 64}", body)
    runner.client.stop(digest)


def test_a_file_that_is_sent_again_is_not_written_again(runner: Runner) -> None:
    """Another server may deploy the same package while the version loads it."""
    code = script('return {"y": os.stat(base_path + "/w.txt").st_ino}')
    digest = runner.deploy(code, files={"w.txt": b"7"})
    first = runner.client.predict(digest, [{"x": 1}], 10)
    sha256 = runner.client._deployed[digest].package.files["w.txt"]
    runner.client._send("PUT", f"/versions/{digest}/files/{sha256}", b"7")
    assert runner.client.predict(digest, [{"x": 1}], 10) == first
    runner.client.stop(digest)


def test_a_process_may_call_itself_anything(runner: Runner, good: str) -> None:
    """States are shown nevertheless, and the watch over the memory of all goes on."""
    name = r"ctypes.CDLL(None).prctl(15, b'\xff\xfe')"
    body, said = ENDED["memory by many hidden processes"]
    digest = runner.deploy(script(f"{name}\n{body}"))
    with pytest.raises(CodeFailedError, match=said):
        runner.client.predict(digest, [{"x": 1}], 10)
    assert runner.client.states()[good].state == "ready"
    runner.client.stop(digest)


def test_the_watch_outlives_a_look_that_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged."""

    class Failing(Supervisor):
        looks = 0

        def _look(self) -> None:
            self.looks += 1
            raise ValueError("no such status")

    async def watch() -> int:
        made = Failing(tmp_path, cast("Separation", None), Settings())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(made.watch(), 2)
        return made.looks

    assert asyncio.run(watch()) > 1
    assert "no such status" in caplog.text


def _ask_in_vain(made: Runner, digest: str) -> None:
    with pytest.raises((RunnerUnavailableError, CodeFailedError)):
        made.client.predict(digest, [{"x": 1}], 60)


def test_the_signal_to_stop_ends_runner_and_versions(folder: Path) -> None:
    """Loops and open connections do not hold it up."""
    (folder / "stopped").mkdir(mode=0o755)
    with running(folder / "stopped", seconds="60") as made:
        loading = made.deploy("import time\ntime.sleep(60)\n" + DOUBLE, wait=False)
        digest = made.deploy(script("while True: pass"))
        asked = threading.Thread(target=lambda: _ask_in_vain(made, digest))
        asked.start()
        until(lambda: made.client.states()[loading].state == "starting")
        time.sleep(0.5)
        parent = str(made.process.pid)
        children = {pid for pid, said in read_statuses().items() if said["PPid"] == parent}
        assert len(children) == 2
        made.process.terminate()
        made.process.wait(20)
        asked.join()
    assert [path.name for path in (folder / "stopped").iterdir()] == ["environments"]
    assert not children & {*read_statuses()}


def test_a_runner_that_must_not_signal_others_ends_them_nevertheless(folder: Path) -> None:
    """A process of the version's own user does it."""
    if not shutil.which("setpriv") or os.geteuid() != 0:
        pytest.skip("needs setpriv and root")
    (folder / "no-kill").mkdir(mode=0o755)
    prefix = ("setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill")
    with running(folder / "no-kill", prefix=prefix) as made:
        digest = made.deploy(script("while True: pass"))
        with pytest.raises(CodeFailedError, match="has not answered within 1 seconds"):
            made.client.predict(digest, [{"x": 1}], 1)
        assert made.client.states()[digest].memory_bytes == 0


def test_a_runner_that_is_started_again_gets_its_versions_again(folder: Path) -> None:
    """From the client that has deployed them; idle ones are ended, and start when asked."""
    (folder / "again").mkdir(mode=0o755)
    with running(folder / "again", idle_seconds="0.5", versions="2") as first:
        digest = first.deploy(DOUBLE)
        for _ in range(100):
            if first.client.states()[digest].state == "idle":
                break
            time.sleep(0.05)
        assert first.client.predict(digest, [{"x": 4}], 10) == [{"y": 8}]
        # The runner forgets it, as if it were another one at the same address.
        RunnerClient(first.address, TOKEN).stop(digest)
        assert first.client.predict(digest, [{"x": 4}], 10) == [{"y": 8}]
        # There may be two: the one that was idle for longest goes.
        other = first.deploy(DOUBLE + "# other")
        until(lambda: bool(first.deploy(DOUBLE + "# third")))
        assert {*first.client.states()} >= {other}
        assert digest not in first.client.states()
    assert [path.name for path in (folder / "again").iterdir()] == ["environments"]
    with pytest.raises(RunnerUnavailableError, match="does not answer"):
        first.client.predict(digest, [{"x": 4}], 10)


def test_nothing_of_a_version_outlives_a_runner_that_is_killed(
    runner: Runner, folder: Path
) -> None:
    """The kernel ends what computes, and the next runner what that has started."""
    del runner  # Skips where code cannot be kept apart.
    first_user = str(next(USERS))
    # The first one is tried at every start.
    user = str(int(first_user) + 1)
    code = script("""
if x < 0: return {"y": os.getpid()}
if os.fork() == 0:
    os.setsid()
    time.sleep(120)
    os._exit(0)
end = time.monotonic() + 120
while time.monotonic() < end: pass
os._exit(0)""")

    def wait_for(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.05)

    def left() -> set[int]:
        told = read_statuses().items()
        return {
            pid for pid, one in told if one["Uid"].split()[0] == user and one["State"][0] != "Z"
        }

    with running(folder, **TIGHT, first_user=first_user) as first:
        first.deploy(DOUBLE)
        digest = first.deploy(code)
        root = int(first.client.predict(digest, [{"x": -1}], 10)[0]["y"])

        def ask() -> None:
            with contextlib.suppress(RunnerUnavailableError):
                first.client.predict(digest, [{"x": 1}], 10)

        busy = threading.Thread(target=ask)
        busy.start()
        wait_for(lambda: len(left()) == 2)
        first.process.kill()
        wait_for(lambda: root not in left())
        assert len(left()) == 1
        busy.join()
    with running(folder, **TIGHT, first_user=first_user) as second:
        assert second.client.states() == {}
        assert left() == set()
