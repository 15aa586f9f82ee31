"""Files that appear whole or not at all, also when their writer is killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import sample_request
from upath import UPath

from model_loop.errors import ContractError
from model_loop.objects.files import atomic_write, create_file, files_in, remove_leftovers
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.products import TrainingSetProduct, TrainingSetStore

FORK = multiprocessing.get_context("fork")


def names(folder: Path) -> list[str]:
    """Names of all files."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def write_and_die(target: UPath) -> None:
    """Begin to write a file and be killed."""
    with atomic_write(target) as partial:
        partial.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def abandon(target: UPath) -> None:
    """Let a writer of a file die."""
    process = FORK.Process(target=write_and_die, args=(target,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """A killed writer leaves no file, and nothing beside it once the file is written."""
    target = UPath(tmp_path / "value.json")
    abandon(target)
    assert not target.exists()
    assert len(names(tmp_path)) == 1
    with atomic_write(target) as partial:
        partial.write_bytes(b"whole")
    assert names(tmp_path) == ["value.json"]
    assert target.read_bytes() == b"whole"


def test_writers_at_work_are_not_disturbed(tmp_path: Path) -> None:
    """Two that write the same file at once both succeed; the last one's content stays."""
    target = UPath(tmp_path / "value.json")
    with atomic_write(target) as first:
        first.write_bytes(b"first")
        with atomic_write(target) as second:
            second.write_bytes(b"second")
        assert not remove_leftovers(UPath(tmp_path))
    assert names(tmp_path) == ["value.json"]
    assert target.read_bytes() == b"first"


def test_one_of_many_makes_a_file(tmp_path: Path) -> None:
    """Of several that make the same file at once one does; the others are told."""
    target = UPath(tmp_path / "turns" / "1.json")
    made = []

    def make(number: int) -> None:
        try:
            create_file(target, str(number).encode() * 1_000)
        except FileExistsError:
            return
        made.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert target.read_text() == str(made[0]) * 1_000
    assert [path.name for path in files_in(target.parent)] == ["1.json"]
    assert files_in(UPath(tmp_path / "nothing")) == []


def test_maintenance_removes_leftovers(tmp_path: Path) -> None:
    """What killed writers have left is found in every folder; whole files stay."""
    (tmp_path / "whole.json").write_bytes(b"{}")
    abandon(UPath(tmp_path / "a" / "b" / "value.json"))
    assert len(remove_leftovers(UPath(tmp_path))) == 1
    assert names(tmp_path) == ["whole.json"]
    assert not remove_leftovers(UPath(tmp_path / "nowhere"))


def write_half(target: UPath) -> None:
    """Begin to write, and fail."""
    with atomic_write(target) as partial:
        partial.write_text("half")
        raise ContractError("The file", "breaks off", "Try again.")


def test_an_error_keeps_the_former_file(tmp_path: Path) -> None:
    """An error while writing leaves what was there, and nothing else."""
    target = UPath(tmp_path / "file")
    target.write_text("former")
    with pytest.raises(ContractError):
        write_half(target)
    assert target.read_text() == "former"
    assert names(tmp_path) == ["file"]


def test_many_at_once(tmp_path: Path) -> None:
    """However many write the same file, it is whole at any moment."""
    target = UPath(tmp_path / "value")
    content = b"x" * 100_000

    def write() -> None:
        for _ in range(20):
            with atomic_write(target) as partial:
                partial.write_bytes(content)
            assert target.read_bytes() == content

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["value"]


def test_object_storage() -> None:
    """It works the same where files are no local ones."""
    target = UPath("memory://trips-test-files/folder/file")
    for content in ("former", "later"):
        with atomic_write(target) as partial:
            partial.write_text(content)
    assert target.read_text() == "later"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def prepare(storage: Path) -> None:
    """All of it: generate, check, clean, encode, publish."""
    training_set = build_training_set(sample_request(), storage_root=f"file://{storage}")
    TrainingSetStore(f"file://{storage}").publish(training_set)


def product(storage: Path) -> TrainingSetProduct:
    """The only product of a storage root."""
    (found,) = TrainingSetStore(f"file://{storage}").products()
    return found


@pytest.mark.timeout(300)
def test_killed_twenty_times(tmp_path: Path) -> None:
    """Preparation that is killed at twenty random moments ends with the same files as undisturbed.

    The moments are spread over the time that the preparation takes here.
    """
    storage = tmp_path / "storage"
    started = time.monotonic()
    process = FORK.Process(target=prepare, args=(storage,))
    process.start()
    process.join()
    needed = time.monotonic() - started
    assert process.exitcode == 0
    undisturbed, expected = names(storage), product(storage)
    shutil.rmtree(storage)
    moments, deaths = np.random.default_rng(7), 0
    for _ in range(20):
        process = FORK.Process(target=prepare, args=(storage,))
        process.start()
        process.join(moments.random() * needed)
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            deaths += 1
        process.join()
    assert deaths > 5
    prepare(storage)
    assert names(storage) == undisturbed
    found = product(storage)
    assert found.digest == expected.digest == found.load().digest
    assert found.reference == expected.reference
