"""A name server that knows one name: as a container engine answers for a service with replicas."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Sequence

from tests.production.processes import HOST

_HEADER = struct.Struct(">6H")
_ANSWER = struct.Struct(">HHHIH4s")
#: An answer, wanted recursively and given so.
_FLAGS = 0x8180
_ADDRESS, _INTERNET, _SECONDS = 1, 1, 1


@contextlib.contextmanager
def name_server(addresses: Sequence[str]) -> Iterator[str]:
    """Its address; whatever is asked for, it answers with the same addresses."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, reply = self.request
            reply.sendto(_answer(query, addresses), self.client_address)

    with socketserver.ThreadingUDPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{HOST}:{server.server_address[1]}"
        server.shutdown()


def _answer(query: bytes, addresses: Sequence[str]) -> bytes:
    """The reply to one question (RFC 1035, 4.1)."""
    end = query.index(b"\0", _HEADER.size) + 5
    (kind, _) = struct.unpack(">HH", query[end - 4 : end])
    # There are none of the sixth version.
    told = addresses if kind == _ADDRESS else ()
    header = _HEADER.pack(_HEADER.unpack_from(query)[0], _FLAGS, 1, len(told), 0, 0)
    question = query[_HEADER.size : end]
    # The name is the one of the question.
    name = 0xC000 | _HEADER.size
    records = [
        _ANSWER.pack(name, _ADDRESS, _INTERNET, _SECONDS, 4, socket.inet_aton(one)) for one in told
    ]
    return header + question + b"".join(records)
