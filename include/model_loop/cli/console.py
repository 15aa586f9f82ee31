"""The one place from which commands print to people.

Paths, names of columns and messages hold whatever users have written. Rich would take `[final]` for
markup and drop it, and would raise at `[/h]`; so nothing that is printed here is read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from model_loop.errors import ModelLoopError


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is, in lines as long as they are."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_error(error: ModelLoopError | Exception) -> None:
    """Print why a command has ended."""
    console(stderr=True).print(Text.assemble(("Error:", "bold red"), " ", str(error)))
