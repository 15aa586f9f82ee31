"""HTTP whose headers and times have a bound, before anybody is known.

The parser keeps what it reads of a header, and copies it with each further piece: one that never
ends takes the whole processor, and many of them the memory. A request that comes byte by byte holds
a connection, and a handler that waits for its body.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from model_loop.serving.http.asgi import MORE_TIME

#: Bytes that may come without a request getting further: headers, and what may stand between and
#: behind the parts of a body. The piece in which it began comes in addition.
HEADER_BYTES = 65_536

#: Requests of one connection that may wait for the one before them. A piece from the network holds
#: thousands, each of which takes more memory and time than its bytes.
PIPELINED_REQUESTS = 100


def _refusal(status: bytes, given: str, rule: str, remedy: str) -> bytes:
    """Return a whole reply that ends its connection."""
    told = {"error": {"given": given, "rule": rule, "remedy": remedy}}
    body = msgspec.json.encode(told)
    return (
        b"HTTP/1.1 %b\r\n"
        b"content-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (status, len(body), body)
    )


_TOO_LARGE = _refusal(
    b"431 Request Header Fields Too Large",
    "The headers",
    f"have more than {HEADER_BYTES:,} bytes",
    "Send what is long in the body.",
)


class _TooManyPipelinedError(Exception):
    """More requests than may wait have come behind one another."""


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    #: Seconds in which a request has to arrive whole.
    read_seconds = 30.0

    _moves = 0
    _still = 0
    #: True if the bytes so far end with the end of a request.
    _whole = False
    _in_headers = False
    #: Set while a request is awaited or has come in part: those that come in one piece need none.
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a piece, and end a connection that sends more and more without getting further."""
        moves, self._whole = self._moves, False
        super().data_received(data)
        if self._whole:
            if self._deadline is not None:
                self._end_deadline()
        elif self._deadline is None and not self.transport.is_closing():
            self._set_deadline()
        if self._moves != moves:
            self._still = 0
            return
        self._still += len(data)
        if self._still > HEADER_BYTES and not self.transport.is_closing():
            if not self._moves or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Note that another request has begun.

        Raises
        ------
        _TooManyPipelinedError
            If too many wait already; the parser reads no further.
        """
        if len(self.pipeline) >= PIPELINED_REQUESTS:
            raise _TooManyPipelinedError
        self._whole, self._in_headers = False, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that more of the request has arrived, unless its address is invalid."""
        super().on_headers_complete()
        # Handlers are given the same mapping, once the parser is done with this piece.
        self.scope[MORE_TIME] = self._give_time  # type: ignore[literal-required]  # a further key
        self._moves += 1
        self._in_headers = False

    def on_body(self, body: bytes) -> None:
        """Note that the request has got further."""
        self._moves += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._whole = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or only close where answers to earlier ones are still due."""
        if self.pipeline or (self._moves and not self.cycle.response_complete):
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _set_deadline(self, seconds: float | None = None) -> None:
        self._deadline = self.loop.call_later(seconds or self.read_seconds, self._end_late)

    def _give_time(self, seconds: float) -> None:
        """Give the request that is coming so many seconds from now."""
        if self._deadline is not None:
            self._end_deadline()
            self._set_deadline(seconds)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_late(self) -> None:
        """End a connection whose request has not come in time."""
        self._deadline = None
        awaited = bool(self._moves) and not self.cycle.response_complete
        if self.pipeline or (awaited and not self.cycle.more_body):
            # One is whole and not answered yet: what came behind it has to wait for that.
            self._set_deadline()
        elif not self.transport.is_closing():
            # A connection that was only opened has asked for nothing.
            if self._in_headers or (awaited and not self.cycle.response_started):
                self.transport.write(self._too_late())
            self.transport.close()

    def _too_late(self) -> bytes:
        return _refusal(
            b"408 Request Timeout",
            "The request",
            f"had not arrived whole after {self.read_seconds:g} seconds",
            "Send it again, in smaller parts where the line is slow.",
        )


def bounded(read_seconds: float) -> type[BoundedHttp]:
    """Return the protocol of a server whose requests have to arrive whole in so many seconds."""
    return type("TimedHttp", (BoundedHttp,), {"read_seconds": read_seconds})
