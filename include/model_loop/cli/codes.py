"""Exit codes of commands."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit code of a command; every command keeps to these."""

    #: The command succeeded. Single rows that were rejected are counted and printed.
    DONE = 0
    #: It ran, and what it found is bad: an error differs, or a new model is needed.
    NEGATIVE = 1
    #: The input was refused, or nothing of it could be used.
    REFUSED = 2
    #: An error that nobody foresaw: a defect, of which the traceback says more (EX_SOFTWARE).
    DEFECT = 70
    #: Somebody stopped it, as shells count that.
    INTERRUPTED = 130
