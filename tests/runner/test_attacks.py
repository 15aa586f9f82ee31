"""Code that tries to break out of its version, with real processes under user ids of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.runner.conftest import Runner

from model_loop.runner.errors import CodeFailedError
from model_loop.runner.package import CodeColumn

#: A version with a secret value and a file; it says where it is.
VICTIM = """
import os
HELD = os.environ["API_KEY"] + "-held-in-memory"

def score(data: str, base_path: str):
    return {"pid": os.getpid(), "folder": base_path, "home": os.environ["HOME"]}
"""
#: Answers with what each attempt has come to: what it has got, or the error.
ATTACKER = """
import ctypes, glob, json, os, pathlib, signal, socket, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def everything(pattern):
    return "".join(pathlib.Path(path).read_text(errors="replace") for path in glob.glob(pattern))

def written(path):
    with open(path, "w") as file:
        file.write("x")
    return "written"

def score(data: str, base_path: str):
    victim = json.loads(data)
    pid = victim["pid"]
    answers = {}
    for name, attempt in {
        "environ of another version": lambda: pathlib.Path(f"/proc/{pid}/environ").read_bytes(),
        "memory of another version": lambda: open(f"/proc/{pid}/mem", "rb").read(1),
        "command of another version": lambda: pathlib.Path(f"/proc/{pid}/cmdline").read_text(),
        "files of another version by /proc": lambda: os.listdir(f"/proc/{pid}/root/tmp"),
        "descriptors of another version": lambda: os.listdir(f"/proc/{pid}/fd"),
        "code of another version": lambda: pathlib.Path(victim["folder"], "score.py").read_text(),
        "file of another version": lambda: pathlib.Path(victim["folder"], "secret.txt").read_text(),
        "home of another version": lambda: os.listdir(victim["home"]),
        "write to another version": lambda: written(victim["home"] + "/input"),
        "all versions": lambda: os.listdir(os.path.dirname(os.path.dirname(base_path))),
        "environ of the runner": lambda: pathlib.Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "environ of everybody": lambda: open("/proc/1/environ", "rb").read(),
        "list of processes": lambda: os.listdir("/proc"),
        "its own code": lambda: written(base_path + "/score.py"),
        "a further file beside its code": lambda: written(base_path + "/other.py"),
        "users": lambda: pathlib.Path("/etc/passwd").read_text(),
        "shadow": lambda: pathlib.Path("/etc/shadow").read_text(),
        "other folders": lambda: os.listdir("/tmp") + os.listdir("/var") + os.listdir("/root"),
        "shared memory": lambda: written("/dev/shm/x"),
        "write to /tmp": lambda: written("/tmp/runner-attack"),
        "signal to another version": lambda: ended(pid),
        "signal to the runner": lambda: ended(os.getppid()),
        "becoming root": lambda: os.setuid(0),
        "becoming another version": lambda: os.setuid(abs(os.getuid() - 1)),
        "other groups": lambda: os.setgroups([0]),
        "tracing another version": lambda: ptrace(pid),
        "reading its memory": lambda: call(310, pid, 0, 0, 0, 0, 0),
        "tcp": lambda: socket.create_connection(("127.0.0.1", 80), 1),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "raw sockets": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "unix sockets": lambda: socket.socket(socket.AF_UNIX),
        "io_uring": lambda: call(425, 8, ctypes.create_string_buffer(120)),
        "memory without a bound": lambda: os.memfd_create("x"),
        "namespaces": lambda: call(272, 0x10000000),
        "other processors": lambda: os.sched_setaffinity(0, range(os.cpu_count())),
        "mounts": lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, None),
        "more processes": lambda: limit(),
        "less of a victim for the kernel": lambda: written("/proc/self/oom_score_adj"),
        "devices": lambda: os.open("/dev/mem", os.O_RDONLY),
        "a program": lambda: subprocess.run(["/bin/cat", "/etc/hostname"], check=True),
        "its own program": program,
    }.items():
        try:
            answers[name] = f"GOT {attempt()!r}"[:300]
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            answers[name] = f"refused: {type(error).__name__}"
    return {"y": json.dumps(answers)}

def ended(pid):
    if pid in (0, os.getpid()):
        raise ProcessLookupError("it is not seen")
    os.kill(pid, signal.SIGKILL)

def ptrace(pid):
    if libc.ptrace(16, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")

def limit():
    import resource
    resource.setrlimit(resource.RLIMIT_NPROC, (1000, 1000))

def program():
    path = pathlib.Path(os.environ["HOME"], "program")
    path.write_text("#!/bin/sh\\necho out")
    path.chmod(0o755)
    return subprocess.run([str(path)], check=True)
"""
TEXTS = (CodeColumn("pid", "number"), CodeColumn("folder", "text"), CodeColumn("home", "text"))


def attacked(runner: Runner) -> dict[str, str]:
    """Return what became of each attempt against a version that runs beside it."""
    victim = runner.deploy(
        VICTIM,
        values={"API_KEY": "key-of-the-victim"},
        files={"secret.txt": b"file-of-the-victim"},
        outputs=TEXTS,
    )
    (place,) = runner.client.predict(victim, [{"x": 1}], 10)
    attacker = runner.deploy(ATTACKER, inputs=TEXTS, outputs=(CodeColumn("y", "text"),))
    answer = runner.client.predict(attacker, [place], 10)[0]["y"]
    # Both are as they were.
    assert runner.client.predict(victim, [{"x": 1}], 10) == [place]
    states = runner.client.states()
    assert (states[victim].restarts, states[attacker].restarts) == (0, 0)
    for digest in (victim, attacker):
        runner.client.stop(digest)
    answers: dict[str, str] = json.loads(answer)
    assert len(answers) > 40
    return {name: said for name, said in answers.items() if not said.startswith("refused")}


def test_every_attempt_is_refused(runner: Runner) -> None:
    """By the kernel; none of the secrets has come."""
    assert attacked(runner) == {}


def test_every_attempt_is_refused_where_ids_cannot_be_changed(bubblewrapped: Runner) -> None:
    """Another version's process has the number that its own has in its namespace."""
    reached = attacked(bubblewrapped)
    its_own = {
        f"{name} of another version" for name in ("environ", "memory", "command", "descriptors")
    }
    # The tests' user is root, in the namespaces too, and without any right.
    assert reached.keys() <= its_own | {"becoming root"}
    for secret in ("key-of-the-victim", "file-of-the-victim", "secret-of-the-runner"):
        assert secret not in str(reached)


@pytest.mark.parametrize("path", ["/etc/shadow", "/proc/1/environ", "/root/.netrc"])
def test_a_link_as_the_answer_leads_nowhere(runner: Runner, path: str, tmp_path: Path) -> None:
    """The process of the version reads the file, with the rights that it has."""
    digest = runner.deploy(f"""
import os

def score(data_path: str, model_path: str):
    link = data_path + ".link"
    os.symlink({path!r}, link)
    return link
""")
    (tmp_path / "source").write_text("x")
    with pytest.raises(CodeFailedError, match=r"and not the path of a file|PermissionError"):
        runner.client.predict_file(digest, tmp_path / "source", tmp_path / "target", 10)
    runner.client.stop(digest)


def test_packages_hold_no_links(runner: Runner) -> None:
    """Files come by their content alone, and are written where only the runner writes."""
    digest = runner.deploy("""
import os

def score(data: str, base_path: str):
    return {"y": os.stat(base_path).st_uid + 1000 * os.access(base_path, os.W_OK)}
""")
    (answer,) = runner.client.predict(digest, [{"x": 1}], 10)
    assert answer["y"] == 0
    runner.client.stop(digest)
