"""The reference of the commands, written from the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from model_loop.cli.app import app

_HEADER = """\
# Commands

Written from the code by `make docs`; a test fails when it is stale. `model-loop COMMAND --help`
shows the same with the defaults of your settings.
"""
#: The title, the table of contents and the list of commands: the site has its own.
_FRONT = re.compile(r"\A.*?(?=^## model-loop )", re.DOTALL | re.MULTILINE)


def commands() -> str:
    """Return the page, as Markdown."""
    text = _FRONT.sub("", app.generate_docs()).replace("```console", "```text")
    text = re.sub(r"^(model-loop .*?) -m \S+", r"\1", text, flags=re.MULTILINE)
    return f"{_HEADER}\n{text.strip()}\n"


def main() -> None:
    """Write the page into the file that is named on the command line."""
    Path(sys.argv[1]).write_text(commands(), encoding="utf-8")


if __name__ == "__main__":
    main()
