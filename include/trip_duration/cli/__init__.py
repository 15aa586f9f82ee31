"""The command line ``trip-duration``: the library without Airflow."""

from __future__ import annotations

import sys
import traceback

from cyclopts import CycloptsError

from trip_duration.cli.codes import ExitCode
from trip_duration.cli.console import print_error
from trip_duration.errors import TripDurationError

__all__ = ["main"]


def main() -> None:
    """Run the command line; what is refused ends it with one message and no traceback."""
    try:
        # Settings are read while the commands are imported, and may be refused, too.
        from trip_duration.cli.app import run

        run()
    except (TripDurationError, CycloptsError, OSError) as error:
        # An OSError is a file or a disk of the user's, and names it.
        print_error(error)
        sys.exit(ExitCode.REFUSED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception:  # noqa: BLE001 - Python's own exit code says that the outcome is negative
        traceback.print_exc()
        sys.exit(ExitCode.DEFECT)
