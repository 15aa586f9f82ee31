"""Months as files and as a website."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trip_duration.trips.months import Month
from trip_duration.trips.sample import SampleOptions, write_month
from trip_duration.trips.services import get_service
from trip_duration.trips.source import RawMonth, fetch_month

GREEN = get_service("green")
JANUARY = Month(2024, 1)
OPTIONS = SampleOptions(trips=300, seed=1)


def fetch(source: str, storage: Path, options: SampleOptions = OPTIONS) -> RawMonth:
    """January of the green taxis."""
    return fetch_month(source, GREEN, JANUARY, str(storage), sample=options, timeout_seconds=2.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with January of the green taxis."""
    path = tmp_path / "months"
    write_month(path / f"green_tripdata_{JANUARY}.parquet", GREEN, JANUARY, OPTIONS)
    return path


@dataclass
class Website:
    """A web server over a folder, with its faults."""

    url: str
    status: int | None = None
    cut_off: bool = False
    stall_seconds: float = 0.0
    requests: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: object, website: Website, **kwargs: object) -> None:
        self.website = website
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    def send_head(self) -> object:  # type: ignore[override]  # a file, or nothing
        self.website.requests += 1
        # Cut short when the server stops, so that no test waits for it.
        self.website.stopped.wait(self.website.stall_seconds)
        if self.website.status is not None:
            self.send_error(self.website.status)
            return None
        return super().send_head()

    def copyfile(self, source: object, outputfile: object) -> None:
        content = source.read()  # type: ignore[attr-defined]  # a file
        cut = content[: len(content) // 2] if self.website.cut_off else content
        outputfile.write(cut)  # type: ignore[attr-defined]  # a file

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def website(folder: Path) -> Iterator[Website]:
    """A real web server on a free port."""
    site = Website("")
    handler = functools.partial(_Handler, directory=str(folder), website=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield site
        site.stopped.set()
        server.shutdown()
        thread.join()
