"""A web server over a folder of months, with its faults."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import gzip
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class Website:
    """A web server over a folder, with its faults.

    Parameters
    ----------
    url
        Its address.
    status
        What it answers instead of the file.
    failures
        How many requests it fails with `status` before it recovers; None for all of them.
    retry_after
        What it says then.
    etag
        The version that it names; None for a server that knows no ETags.
    ranges
        Whether it knows how to send the rest of a file.
    cut_off
        How many downloads break off half way.
    chunk_pause_seconds
        How long it waits after each 10 kB.
    head_status
        What it answers to HEAD alone.
    packing
        How it packs what it sends, whatever was asked for.
    part
        How it answers a request for the rest of a file: as it should (None), with all of it
        ("whole"), with another part ("other"), with more bytes than it says ("long"), or without
        a word about the version that it is of ("unsaid").
    length
        What it says of the length of a body, which stands for ``{}``.
    whole_status
        Its status for a whole file; 206 names the part that it is.
    moved
        Folder to which it sends whoever asks for a file in the folder ``moved``.
    """

    url: str
    status: int | None = None
    failures: int | None = None
    retry_after: str | None = None
    etag: str | None = None
    ranges: bool = True
    cut_off: int = 0
    stall_seconds: float = 0.0
    chunk_pause_seconds: float = 0.0
    head_status: int | None = None
    packing: str | None = None
    part: str | None = None
    length: str = "{}"
    whole_status: int = 200
    moved: str | None = None
    requests: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def downloads(self) -> int:
        """How many times the file itself was asked for."""
        return self.requests.count("GET")


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: object, website: Website, **kwargs: object) -> None:
        self.website = website
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        site = self.website
        site.requests.append(self.command)
        # Cut short when the server stops, so that no test waits for it.
        site.stopped.wait(site.stall_seconds)
        if site.status is not None and site.failures != 0:
            site.failures = None if site.failures is None else site.failures - 1
            self._fail(site.status)
            return
        if self.command == "HEAD" and site.head_status is not None:
            self._fail(site.head_status)
            return
        if site.moved is not None and self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved", site.moved, 1))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self._fail(404)
            return
        self._send(path, body=body)

    def _fail(self, status: int) -> None:
        self.send_response(status)
        if self.website.retry_after is not None:
            self.send_header("Retry-After", self.website.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path: Path, *, body: bool) -> None:
        content, site = path.read_bytes(), self.website
        modified = self.date_time_string(int(path.stat().st_mtime))
        start = self._start(modified)
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if site.packing is not None:
            content, start = gzip.compress(content), 0
        self.send_response(206 if start else site.whole_status)
        unsaid = start > 0 and site.part == "unsaid"
        if not start and site.whole_status == 206:
            self.send_header("Content-Range", f"bytes 0-{len(content) - 1}/{len(content)}")
        if start:
            said = 0 if site.part == "whole" else 100 if site.part == "other" else start
            self.send_header("Content-Range", f"bytes {said}-{len(content) - 1}/{len(content)}")
            start = 0 if site.part == "long" else said
        if site.packing is not None:
            self.send_header("Content-Encoding", site.packing)
        self.send_header("Content-Length", site.length.replace("{}", str(len(content) - start)))
        if not unsaid:
            self.send_header("Last-Modified", modified)
        if self.website.etag is not None and not unsaid:
            self.send_header("ETag", self.website.etag)
        self.end_headers()
        if body:
            self._write(content[start:])

    def _start(self, modified: str) -> int:
        """Where the client wants to go on, if it has the beginning of the same file."""
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        same = condition in (self.website.etag, modified)
        if wanted is None or not self.website.ranges or not same:
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _write(self, content: bytes) -> None:
        site = self.website
        if site.cut_off:
            site.cut_off -= 1
            content = content[: len(content) // 2]
            self.close_connection = True
        # A client may hang up before the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for first in range(0, len(content), 10_000):
                self.wfile.write(content[first : first + 10_000])
                site.bytes_sent += len(content[first : first + 10_000])
                site.stopped.wait(site.chunk_pause_seconds)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write an authority of its own, and a certificate of this machine with its key, as PEM."""
    now, day = dt.datetime.now(tz=dt.UTC), dt.timedelta(days=1)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Tests", "here")
    ]
    local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = []
    for place, extension in enumerate((x509.BasicConstraints(ca=True, path_length=0), local)):
        builder = x509.CertificateBuilder(names[0], names[place], keys[place].public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - day).not_valid_after(now + day)
        signed = builder.add_extension(extension, critical=place == 0).sign(keys[0], SHA256())
        made.append(signed.public_bytes(Encoding.PEM))
    key = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    authority, server = folder / "authority.pem", folder / "server.pem"
    authority.write_bytes(made[0])
    server.write_bytes(key + made[1])
    return authority, server


@contextlib.contextmanager
def website_over(folder: Path, server_certificate: Path | None = None) -> Iterator[Website]:
    """A real web server on a free port; over TLS if it has a certificate."""
    site = Website("")
    handler = functools.partial(_Handler, directory=str(folder), website=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        if server_certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(server_certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            site.url = site.url.replace("http:", "https:")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            site.stopped.set()
            server.shutdown()
            thread.join()
