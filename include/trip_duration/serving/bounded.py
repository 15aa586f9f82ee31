"""HTTP whose headers have a bound, before anybody is known.

The parser keeps what it reads of a header, and copies it with each further piece: one that never
ends takes the whole processor, and many of them the memory.
"""

from __future__ import annotations

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes that may come without a request getting further: headers, and what may stand between and
#: behind the parts of a body. The piece in which it began comes in addition.
HEADER_BYTES = 65_536

_BODY = msgspec.json.encode(
    {
        "error": {
            "given": "The headers",
            "rule": f"have more than {HEADER_BYTES:,} bytes",
            "remedy": "Send what is long in the body.",
        }
    }
)
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    _moves = 0
    _still = 0

    def data_received(self, data: bytes) -> None:
        """Read a piece, and end a connection that sends more and more without getting further."""
        moves = self._moves
        super().data_received(data)
        if self._moves != moves:
            self._still = 0
            return
        self._still += len(data)
        if self._still > HEADER_BYTES and not self.transport.is_closing():
            if not self._moves or self.cycle.response_complete:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Note that the request has got further."""
        self._moves += 1
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that the request has got further."""
        self._moves += 1
        super().on_body(body)
