"""Asking the process that explains: started when it is needed, ended when it is not."""

from __future__ import annotations

import atexit
import json
import math
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

#: A process that nobody has asked for so long ends.
IDLE_SECONDS = 300.0
#: An answer that takes longer is not waited for.
PATIENCE_SECONDS = 60.0


class Explainer:
    """Explains predictions in a process of its own, one after another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._idle: threading.Timer | None = None
        atexit.register(self.stop)

    def explain(self, version: int, row: Sequence[float], columns: Sequence[str]) -> dict[str, Any]:
        """How a version comes to its prediction; ``why`` says why that is not known."""
        asked = {
            "version": version,
            "row": [None if math.isnan(value) else value for value in row],
            "columns": list(columns),
        }
        with self._lock:
            answer = self._ask(json.dumps(asked))
            self._end_later()
        if not answer:
            return {
                "why": "The process that explains has ended; the log of the api-server says why."
            }
        found: dict[str, Any] = json.loads(answer)
        return found

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, line: str) -> str:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Timer(PATIENCE_SECONDS, process.kill)
        watch.start()
        try:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            return process.stdout.readline()
        except BrokenPipeError:
            return ""
        finally:
            watch.cancel()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trip_duration.dashboard.explainer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def _end_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(IDLE_SECONDS, self.stop)
        self._idle.daemon = True
        self._idle.start()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            # It ends with its input.
            process.stdin.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
