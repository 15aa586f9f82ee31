"""``.env.example``: every setting with its default, made from the settings themselves."""

from __future__ import annotations

import json
import textwrap

from pydantic_core import PydanticUndefined

from model_loop.settings import ENVIRONMENT_PREFIX, all_settings

_HEADER = """\
# Settings of Model Loop on Airflow. Copy this file to .env and change what you need;
# what stays commented out keeps its default. Made by `make docs` from
# include/model_loop/settings/.
"""


def env_example() -> str:
    """Return the text of `.env.example`."""
    entries = [_HEADER]
    for name, field in all_settings().model_fields.items():
        about = textwrap.wrap(f"{field.title}. {field.description}", 96)
        # A default that depends on where one stands is left for the reader to fill in.
        known = field.default is not PydanticUndefined
        default = _text(field.default) if known else ""
        lines = [f"# {line}" for line in about]
        entries.append(
            "\n".join([*lines, f"# {ENVIRONMENT_PREFIX}{name.upper()}={default}"]) + "\n"
        )
    return "\n".join(entries)


def _text(default: object) -> str:
    """A default as the environment has it: several values are JSON."""
    return json.dumps(default) if isinstance(default, tuple) else str(default)
