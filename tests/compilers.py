"""Compiling processes of servers, forked with their libraries imported."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

import msgspec
from tests.commands import fork, streams_of

from model_loop.serving.compiled import compiler
from model_loop.serving.compiled.orders import Order
from model_loop.serving.models.loading import RegistryError


def compile_in_fork(order: Order, file: BinaryIO, given_up: threading.Event) -> None:
    """Carry out the order of a server in a process of its own, as the server does.

    The server starts one that imports the libraries first, for six seconds; its own tests do, too.
    """
    with tempfile.TemporaryDirectory() as told:
        streams = streams_of(Path(told), msgspec.json.encode(order))
        process = fork(compiler.__name__, (), Path.cwd(), os.environ, streams)
        while process.is_alive():
            if given_up.wait(0.02):
                process.kill()
                raise RegistryError("loading it was given up, it is not wanted any more")
        if process.exitcode:
            raise RegistryError(f"the process that compiles it ended with {process.exitcode}")
        file.write(streams[1].read_bytes())
