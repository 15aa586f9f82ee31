"""The command line ``model-loop``: the library without Airflow."""

from __future__ import annotations

import sys
import traceback

from cyclopts import CycloptsError

from model_loop.cli.codes import ExitCode
from model_loop.cli.console import print_error
from model_loop.errors import InvalidInputError, ModelLoopError

__all__ = ["main"]

#: Errors that libraries raise where a server does not answer, or refuses, by module.
_FROM_OUTSIDE = {
    "mlflow.exceptions": "MlflowException",
    "botocore.exceptions": "BotoCoreError",
    "sqlalchemy.exc": "OperationalError",
}


def main() -> None:
    """Run the command line; what is refused ends it with one message and no traceback."""
    try:
        # Settings are read while the commands are imported, and may be refused, too.
        from model_loop.cli.app import run

        run()
    except (ModelLoopError, CycloptsError, OSError) as error:
        # An OSError is a file or a disk of the user's, and names it.
        print_error(error)
        sys.exit(ExitCode.REFUSED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - Python's own exit code says that the outcome is negative
        if _is_from_outside(error):
            print_error(
                InvalidInputError(
                    "A server that the command needs",
                    f"did not answer, or refused it ({' '.join(str(error).split())})",
                    "Check that it runs, and its address and login in the settings.",
                )
            )
            sys.exit(ExitCode.REFUSED)
        traceback.print_exc()
        sys.exit(ExitCode.DEFECT)


def _is_from_outside(error: Exception) -> bool:
    return any(
        isinstance(error, getattr(sys.modules[module], name))
        for module, name in _FROM_OUTSIDE.items()
        if module in sys.modules
    )
