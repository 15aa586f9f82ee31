"""The end of a task's log, as a person reads it.

Airflow writes a line of JSON for each message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Longest line, and how much of the end of a file is looked at.
_LINE_CHARACTERS = 400
_TAIL_BYTES = 131_072

#: Lines that Airflow writes into every log.
_NOISE = (
    "::group::",
    "::endgroup::",
    "DAG bundles loaded",
    "Filling up the DagBag",
    "Worker startup parse complete",
    "Retry policy decision",
    # … and hyperopt.
    "build_posterior_wrapper took",
    "TPE using",
)


def log_tail(path: Path, most: int = 20) -> tuple[str, ...]:
    """Return the last lines that say what failed.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    if size > _TAIL_BYTES:
        # The first one is the rest of a line.
        del lines[0]
    readable = [text for line in lines for text in _readable(line)]
    return tuple(text[:_LINE_CHARACTERS] for text in readable[-most:])


def _readable(line: str) -> Iterator[str]:
    """Yield the text of a line; nothing if it does not matter."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        if line.strip():
            yield line
        return
    event = str(entry.get("event", ""))
    if entry.get("level") == "debug" or event.startswith(_NOISE) or not event:
        return
    time = str(entry.get("timestamp", ""))[11:19]
    level = str(entry.get("level", "")).upper()
    signal = f" ({entry['signal_name']})" if "signal_name" in entry else ""
    first, *rest = event.splitlines()
    yield f"{time} {level:<7} {first}{signal}".strip()
    yield from (f"    {more}" for more in rest if more.strip())
    yield from _errors(entry.get("error_detail"))


def _errors(details: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    for detail in details or ():
        for frame in (detail.get("frames") or ())[-3:]:
            file = "/".join(str(frame.get("filename")).split("/")[-2:])
            yield f"    {file}:{frame.get('lineno')} in {frame.get('name')}"
        lines = str(detail.get("exc_value", "")).splitlines() or [""]
        yield f"    {detail.get('exc_type')}: {lines[0]}"
        yield from (f"    {more}" for more in lines[1:])


def error_in(path: Path) -> str:
    """The last error that a log holds, in its own words; empty if it holds none.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    found = ""
    for line in path.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict):
            continue
        for detail in entry.get("error_detail") or ():
            found = f"{detail.get('exc_type')}: {detail.get('exc_value')}"
        if "signal_name" in entry:
            found = f"{entry.get('event')} (signal {entry['signal_name']})"
    return found
