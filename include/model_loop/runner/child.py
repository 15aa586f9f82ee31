"""The process that runs a version's code.

It is started by the runner with the version's own Python and imports the standard library alone:
neither this package nor what it needs is in the version's environment. Before any code of the
version is loaded it gives up for good what that code must not do.

It reads frames from its standard input and writes frames to the descriptor that its argument
names: 4 bytes of length (big-endian), a byte that says what it is, and content. The first frame
holds the configuration with the values; they are in no argument, which other processes could read.
"""

from __future__ import annotations

import ctypes
import importlib.util
import inspect
import json
import math
import os
import pathlib
import resource
import select
import signal
import site
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

#: Kinds of frames: the configuration, rows, a piece of a file, the end of a file; ready, an answer,
#: an error.
CONFIGURE, ROWS, PIECE, FILE = b"C", b"R", b"P", b"F"
READY, ANSWER, ERROR = b"O", b"A", b"E"
HEADER = struct.Struct(">Ic")
#: Form of a configuration that loads no code and shows that this process is confined.
PROBE = "probe"
#: Bytes of a file in a frame.
PIECE_BYTES = 2**20

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
#: Rights on files by the version of Landlock in which they came (bits); versions in which ports,
#: and abstract sockets with signals, came.
_LANDLOCK_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
_WITH_PORTS, _WITH_SCOPES = 4, 6
_EXECUTE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 2, 1 << 3
#: Rights that a file, and no folder, can have.
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1
#: Calls that no model needs: networks, rings that would carry them past this filter, other
#: processes, memory that no bound counts, other processors, the kernel itself.
REFUSED_CALLS = (
    *("socket", "bind", "connect", "listen", "accept", "accept4"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "kcmp"),
    *("memfd_create", "memfd_secret", "shmget", "shmat", "mq_open", "userfaultfd"),
    *("sched_setaffinity", "ioprio_set"),
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "fsopen"),
    *("bpf", "perf_event_open", "keyctl", "add_key", "request_key", "kexec_load", "init_module"),
    *("finit_module", "open_by_handle_at", "name_to_handle_at", "personality", "quotactl"),
)
_NEEDED_CALLS = ("socket", "ptrace", "unshare")

_Functions = tuple["Callable[[list[Any]], list[Any]] | None", "Callable[[str], Any] | None"]


class RefusedAnswerError(Exception):
    """An answer breaks a rule; the text says which."""


def read_frame(descriptor: int) -> tuple[bytes, bytes]:
    """Return the kind and the content of the next frame; nothing at the end."""
    header = _read(descriptor, HEADER.size)
    if len(header) < HEADER.size:
        return b"", b""
    size, kind = HEADER.unpack(header)
    return kind, _read(descriptor, size)


def write_frame(descriptor: int, kind: bytes, content: bytes) -> None:
    """Write a frame."""
    data = memoryview(HEADER.pack(len(content), kind) + content)
    while data:
        data = data[os.write(descriptor, data) :]


def _read(descriptor: int, size: int) -> bytes:
    pieces = []
    while size:
        piece = os.read(descriptor, min(size, 2**20))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def end_with_runner(requests: int) -> None:
    """Let the kernel end this process when the runner ends, also while it computes.

    The next runner ends processes that it has started.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    # The runner may have ended before, and with it the other end of the pipe.
    poll = select.poll()
    poll.register(requests, 0)
    if any(event & select.POLLHUP for _, event in poll.poll(0)):
        sys.exit(1)


def limit(bounds: dict[str, int], processors: list[int]) -> None:
    """Set the bounds of this process and of all that it starts."""
    for name, value in bounds.items():
        resource.setrlimit(getattr(resource, name), (value, value))
    os.sched_setaffinity(0, processors)
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")


def confine(readable: list[str], writable: list[str]) -> None:
    """Give up for good what the code must not do: other files, networks, further privileges.

    Raises
    ------
    OSError
        If the kernel refuses any of it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _restrict_files(libc, readable, writable)
    _restrict_calls()


def landlock_version() -> int:
    """Return the version of the kernel's Landlock; 0 if it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(int(libc.syscall(_LANDLOCK_CREATE, None, 0, 1)), 0)


def require_confined() -> None:
    """Show that neither files nor networks can be reached.

    Raises
    ------
    OSError
        If they can.
    """
    import socket  # noqa: PLC0415 - versions need it only if they import it themselves

    for name, attempt in (
        ("files", lambda: [*pathlib.Path("/").iterdir()]),
        ("networks", socket.socket),
    ):
        try:
            attempt()
        except PermissionError:
            continue
        raise OSError(f"{name} can be reached")


def _restrict_files(libc: ctypes.CDLL, readable: list[str], writable: list[str]) -> None:
    version = landlock_version()
    if version == 0:
        raise OSError("the kernel has no Landlock")
    bits = max(bits for since, bits in _LANDLOCK_FILES.items() if since <= version)
    everything = (1 << bits) - 1
    # Files, TCP ports, and from the sixth version on abstract sockets and signals.
    rules = struct.pack(
        "QQQ", everything, 3 * (version >= _WITH_PORTS), 3 * (version >= _WITH_SCOPES)
    )
    size = 24 if version >= _WITH_SCOPES else 16 if version >= _WITH_PORTS else 8
    ruleset = _check(libc.syscall(_LANDLOCK_CREATE, rules, size, 0))
    reading = _EXECUTE | _READ_FILE | _READ_FOLDER
    for paths, rights in ((readable, reading), (writable, everything & ~_EXECUTE)):
        for path in paths:
            _allow(libc, ruleset, path, rights)
    _check(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not pathlib.Path(path).is_dir():
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, descriptor)
    _check(libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0))
    os.close(descriptor)


def _restrict_calls() -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    # Calls of another architecture end the process: that is the library's default.
    rules = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_ALLOW)))
    for name in REFUSED_CALLS:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        # An older library does not know the newest; those that matter most it has to know.
        if number < 0 and name in _NEEDED_CALLS:
            raise OSError(f"libseccomp does not know {name}")
        if number >= 0:
            seccomp.seccomp_rule_add(rules, ctypes.c_uint32(_REFUSE), number, 0)
    if seccomp.seccomp_load(rules) != 0:
        raise OSError("the kernel refuses the filter of system calls")


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def load_functions(configuration: dict[str, Any]) -> _Functions:
    """Load the code; return a function from rows to answers, and one from a file to a file."""
    folder, entry = configuration["folder"], configuration["entry"]
    path = pathlib.Path(folder, entry)
    if configuration["form"] == "mlflow":
        return _mlflow(str(path.parent), configuration["times"]), None
    sys.path.insert(0, str(path.parent))
    name = configuration["function"]
    spec = importlib.util.spec_from_file_location(path.name.partition(".")[0], path)
    if spec is None or spec.loader is None:
        raise RefusedAnswerError(f"{entry} is not a Python script")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise RefusedAnswerError(f"{entry} has no function {name}")
    first = next(iter(inspect.signature(function).parameters), "")
    if first == "data_path":
        return None, lambda source: function(source, folder)
    return (lambda rows: [function(json.dumps(row), folder) for row in rows]), None


#: MLflow's kinds of numbers, as NumPy calls them.
_MLFLOW = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}


def _mlflow(folder: str, times: list[str]) -> Callable[[list[Any]], list[Any]]:
    import mlflow.pyfunc  # noqa: PLC0415 - of the version's own environment
    import numpy as np  # noqa: PLC0415 - as above
    import pandas as pd  # noqa: PLC0415 - as above

    model = mlflow.pyfunc.load_model(folder)
    schema = model.metadata.get_input_schema()
    columns = [] if schema is None else schema.inputs
    kinds = {each.name: _MLFLOW.get(getattr(each.type, "name", "")) for each in columns}

    def predict(rows: list[Any]) -> list[Any]:
        names = dict.fromkeys(name for row in rows for name in row)
        columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
        # JSON has one kind of number, and MLflow takes no whole one for another.
        for name, kind in kinds.items():
            if kind is None or name not in columns:
                continue
            values = columns[name]
            if kind.startswith("float") or all(one is not None and one % 1 == 0 for one in values):
                columns[name] = np.array(values, kind)
        for name in times:
            # With and without fractions; before its second version, pandas reads both by itself.
            written = None if pd.__version__.startswith("1.") else "ISO8601"
            columns[name] = pd.to_datetime(pd.Series(columns[name]), format=written)
        # For one row, several times as fast as by rows.
        answer = model.predict(pd.DataFrame(columns))
        if isinstance(answer, pd.DataFrame):
            return answer.to_dict("records")
        return answer.tolist() if hasattr(answer, "tolist") else list(answer)

    return predict


def plain_answers(answers: list[Any], number: int, outputs: list[str], *, single: bool) -> bytes:
    """Return answers as JSON.

    Parameters
    ----------
    outputs
        Names of the outputs.
    single
        Whether an answer may be the value of the only output, without its name.

    Raises
    ------
    RefusedAnswerError
        If there is another number of them, or one is no dictionary of plain values.
    """
    if len(answers) != number:
        raise RefusedAnswerError(f"{len(answers)} answers were returned for {number} rows")
    if single and len(outputs) == 1:
        answers = [one if isinstance(one, dict) else {outputs[0]: one} for one in answers]
    for answer in answers:
        if type(answer) is not dict:
            raise RefusedAnswerError(
                f"{_kind(answer)} was returned for a row, and not a dictionary of the outputs "
                f"{', '.join(outputs)}"
            )
        for name, value in answer.items():
            if type(name) is not str:
                raise RefusedAnswerError(f"the name of an output is {_kind(name)}, and not a str")
            if type(value) is float and not math.isfinite(value):
                raise RefusedAnswerError(f"the output {name} is {value}")
            if type(value) not in (bool, int, float, str, type(None)):
                raise RefusedAnswerError(
                    f"the output {name} is {_kind(value)}: return bool, int, float, str or None, "
                    "for example float(value) or value.item()"
                )
    return json.dumps(answers, allow_nan=False).encode()


def _kind(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def score_rows(content: bytes, functions: _Functions, configuration: dict[str, Any]) -> bytes:
    """Return the answers to rows as JSON."""
    if functions[0] is None:
        raise RefusedAnswerError("it scores files and no rows: its first parameter is data_path")
    rows = json.loads(content)
    is_mlflow = configuration["form"] == "mlflow"
    return plain_answers(functions[0](rows), len(rows), configuration["outputs"], single=is_mlflow)


def score_file(source: str, functions: _Functions, descriptor: int) -> None:
    """Score a file, and write the result as frames.

    This process reads it, so that a path leads to nothing else than what the code may read anyway.
    """
    if functions[1] is None:
        raise RefusedAnswerError(
            "it scores rows and no files: the first parameter of a function of files is data_path"
        )
    result = functions[1](source)
    if not isinstance(result, str) or not pathlib.Path(result).is_file():
        raise RefusedAnswerError(f"{_kind(result)} was returned, and not the path of a file")
    with pathlib.Path(result).open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            write_frame(descriptor, PIECE, piece)


def error_text(error: BaseException) -> str:
    """Return the text of an error for people: what failed, and where in the code."""
    if isinstance(error, RefusedAnswerError):
        return str(error)
    if isinstance(error, SystemExit):
        return "it has called exit"
    ours = str(pathlib.Path(__file__).absolute())
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename != ours]
    where = (
        f" (line {frames[-1].lineno} of {pathlib.Path(frames[-1].filename).name})" if frames else ""
    )
    return f"{type(error).__name__}: {error}{where}"[:4000]


def serve(
    requests: int, answers: int, functions: _Functions, configuration: dict[str, Any]
) -> None:
    """Answer frames until there are no more."""
    source = pathlib.Path(configuration["scratch"], "input")
    while True:
        kind, content = read_frame(requests)
        if not kind:
            return
        if kind == PIECE:
            with source.open("ab") as file:
                file.write(content)
            continue
        reply = ANSWER, b""
        try:
            if kind == ROWS:
                reply = ANSWER, score_rows(content, functions, configuration)
            else:
                score_file(str(source), functions, answers)
        except BaseException as error:  # noqa: BLE001 - of foreign code; exit, too
            traceback.print_exc()
            reply = ERROR, error_text(error).encode("utf-8", "replace")
        if kind == FILE:
            source.unlink(missing_ok=True)
        # Printed lines have their own way.
        sys.stdout.flush()
        sys.stderr.flush()
        write_frame(answers, *reply)


def main() -> None:
    """Confine this process, load the code, and serve until the standard input ends."""
    answers, requests = int(sys.argv[1]), os.dup(0)
    os.set_inheritable(answers, False)  # noqa: FBT003 - without names
    with pathlib.Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    configuration = json.loads(read_frame(requests)[1])
    if configuration["form"] != PROBE:
        end_with_runner(requests)
    try:
        limit(configuration["bounds"], configuration["processors"])
        confine(configuration["readable"], configuration["writable"])
        os.environ.update(configuration.pop("values"))
        sys.dont_write_bytecode = True
        if configuration["form"] == PROBE:
            require_confined()
        site.addsitedir(configuration["site"])
        functions = (
            (None, None) if configuration["form"] == PROBE else load_functions(configuration)
        )
    except BaseException as error:  # noqa: BLE001 - of foreign code; exit, too
        traceback.print_exc()
        sys.stderr.flush()
        write_frame(answers, ERROR, error_text(error).encode("utf-8", "replace"))
        return
    write_frame(answers, READY, b"")
    serve(requests, answers, functions, configuration)


if __name__ == "__main__":
    main()
