"""A process that runs a version's code, and the frames that go to and fro."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from typing import Any

from model_loop.runner import child
from model_loop.runner.child import HEADER
from model_loop.runner.errors import CodeFailedError

#: Bytes of printed lines that are kept, that are read at once, and the pause (seconds) after it: a
#: version that prints more waits, and no other one does.
_TAIL_BYTES, _PRINTED_BYTES, _PRINT_PAUSE = 8_192, 2**18, 0.02
#: Seconds in which printed lines are read that were printed before something else happened.
PRINT_SECONDS = 5 * _PRINT_PAUSE
#: Bytes of a frame that is no answer to rows: a piece of a file, or an error.
_MOST_FRAME = 2 * child.PIECE_BYTES
_END_SECONDS = 10


class ProcessEndedError(Exception):
    """The process has ended, or does not keep to the frames."""


class CodeProcess:
    """A process of a version; `start` makes it.

    Parameters
    ----------
    process
        The process, whose standard input takes frames.
    answers
        Descriptor of its answers.
    """

    def __init__(self, process: subprocess.Popen[bytes], answers: int) -> None:
        self._process = process
        self._answers = answers
        self._printed = b""
        self._tasks: list[asyncio.Task[None]] = []
        self._transports: list[asyncio.BaseTransport] = []

    @classmethod
    def start(cls, command: list[str], options: dict[str, Any]) -> CodeProcess:
        """Start a command; *command* lacks the number of the descriptor of its answers.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        answers, writing = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - our own words
                [*command, str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
                **options,
            )
        except BaseException:
            os.close(answers)
            raise
        finally:
            os.close(writing)
        return cls(process, answers)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """The end of what it has printed."""
        return self._printed.decode(errors="replace")

    async def connect(self, configuration: dict[str, Any]) -> None:
        """Hand over the configuration, and wait until the code is loaded.

        Raises
        ------
        CodeFailedError
            If it cannot be loaded.
        ProcessEndedError
            If the process has ended.
        """
        loop = asyncio.get_running_loop()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._replies = await self._reader(os.fdopen(self._answers, "rb", 0), _PRINTED_BYTES)
        printed = await self._reader(self._process.stdout, _PRINTED_BYTES)
        self._tasks.append(asyncio.create_task(self._gather(printed)))
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, self._process.stdin
        )
        self._transports.append(transport)
        self._requests = asyncio.StreamWriter(transport, protocol, None, loop)
        await self.send(child.CONFIGURE, json.dumps(configuration).encode())
        kind, content = await self.receive()
        if kind != child.READY:
            raise _failed(content)

    async def send(self, kind: bytes, content: bytes) -> None:
        """Send a frame.

        Raises
        ------
        ProcessEndedError
            If the process has ended.
        """
        try:
            self._requests.write(HEADER.pack(len(content), kind) + content)
            await self._requests.drain()
        except ConnectionError as error:
            raise ProcessEndedError(self.ending) from error

    async def receive(self, most: int = _MOST_FRAME) -> tuple[bytes, bytes]:
        """Return the kind and the content, of at most *most* bytes, of the next frame.

        Raises
        ------
        CodeFailedError
            If it is an error of the code.
        ProcessEndedError
            If the process has ended, or the frame is none.
        """
        try:
            size, kind = HEADER.unpack(await self._replies.readexactly(HEADER.size))
            if size > most:
                raise ProcessEndedError(f"it has answered with {size} bytes")
            content = await self._replies.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ProcessEndedError(self.ending) from error
        if kind == child.ERROR:
            raise _failed(content)
        return kind, content

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the pieces of a file that is the answer; see `receive` for its errors."""
        while True:
            kind, content = await self.receive()
            if kind != child.PIECE:
                return
            yield content

    @property
    def ending(self) -> str:
        """Text of how the process has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        code = self._process.poll()
        if code is None:
            return "it has closed its connection"
        return f"it was ended by signal {-code}" if code < 0 else f"it has ended itself ({code})"

    @property
    def has_ended(self) -> bool:
        """True if it has ended."""
        return self._process.poll() is not None

    def kill(self) -> bool:
        """Kill it alone; return False if the runner must not signal it, and its own user has to.

        Processes that it has started are ended with the version.
        """
        try:
            self._process.kill()
        except PermissionError:
            return False
        return True

    async def close(self) -> None:
        """Kill it, and close what leads to it."""
        self.kill()
        await asyncio.to_thread(self._process.wait, _END_SECONDS)
        await asyncio.sleep(PRINT_SECONDS)
        for task in self._tasks:
            task.cancel()
        for transport in self._transports:
            transport.abort() if isinstance(
                transport, asyncio.WriteTransport
            ) else transport.close()

    async def _reader(self, pipe: Any, limit: int) -> asyncio.StreamReader:  # noqa: ANN401 - as asyncio's
        reader = asyncio.StreamReader(limit)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        self._transports.append(transport)
        return reader

    async def _gather(self, printed: asyncio.StreamReader) -> None:
        while data := await printed.read(_PRINTED_BYTES):
            self._printed = (self._printed + data)[-_TAIL_BYTES:]
            await asyncio.sleep(_PRINT_PAUSE)


def _failed(content: bytes) -> CodeFailedError:
    return CodeFailedError(
        "The code of the version",
        f"has failed: {content.decode(errors='replace')}",
        "Correct the code, and register another version.",
    )
