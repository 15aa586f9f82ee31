"""docker-compose.yaml as tests read it: merged, and with its variables filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yaml"

#: Longest first start that has to be waited for: 135 s were measured on a loaded machine.
START_SECONDS = 300

#: `$$` is a dollar; the others are variables, with a default or a message.
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Z0-9_]+)(?:(?P<rule>:-|:\?)(?P<rest>[^}]*))?\})"
)


class MissingVariableError(Exception):
    """A variable that has to be set is not."""


def services(file: Path = COMPOSE) -> dict[str, dict[str, Any]]:
    """The services of a compose file, with what they merge."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["services"]
    return found


def variables(file: Path = COMPOSE) -> Iterator[tuple[str, str | None, str | None]]:
    """Name, rule and default (or message) of every variable that a file names."""
    for match in _VARIABLE.finditer(file.read_text()):
        if match["name"]:
            yield match["name"], match["rule"], match["rest"]


def filled(value: str, environment: Mapping[str, str]) -> str:
    """A value with its variables filled in, as Compose does it.

    Raises
    ------
    MissingVariableError
        With the message of the file.
    """

    def fill(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if found := environment.get(match["name"]):
            return found
        if match["rule"] == ":-":
            return match["rest"]
        raise MissingVariableError(f"{match['name']}: {match['rest']}")

    return _VARIABLE.sub(fill, value)
