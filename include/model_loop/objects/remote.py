"""Files of web servers and stores, and errors where one of them cannot be read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from upath import UPath

from model_loop.errors import (
    InvalidInputError,
    NotPublishedError,
    SourceError,
    TransientSourceError,
)
from model_loop.objects.files import LOCAL_PROTOCOLS

WEB = ("http://", "https://")


def is_remote(address: str) -> bool:
    """Return whether a file lies on a web server or in a store, and not in a folder."""
    return UPath(address).protocol not in LOCAL_PROTOCOLS


@contextlib.contextmanager
def naming(address: str) -> Iterator[None]:
    """Turn what clients of stores raise into an error that names the address and the remedy.

    Raises
    ------
    InvalidInputError
        If no client of the store is installed.
    NotPublishedError, SourceError, TransientSourceError
        If there is no such file, it may not be read, or its store does not answer.
    """
    try:
        yield
    except ImportError as error:
        raise InvalidInputError(
            f"The address {address}",
            f"needs a client that is not installed ({error})",
            "Install it: pip install 'model-loop[s3]' for s3://.",
        ) from error
    except FileNotFoundError as error:
        raise NotPublishedError(
            f"The file {address}", "is not there", "Check the address, and the name of the bucket."
        ) from error
    except PermissionError as error:
        raise _without_access(address, error) from error
    except OSError as error:
        raise _without_answer(address, error) from error
    except Exception as error:
        module = sys.modules.get("botocore.exceptions")
        if module is None or not isinstance(error, module.BotoCoreError):
            raise
        if isinstance(error, module.NoCredentialsError | module.PartialCredentialsError):
            raise _without_access(address, error) from error
        raise _without_answer(address, error) from error


def _without_access(address: str, error: Exception) -> SourceError:
    return SourceError(
        f"The file {address}",
        f"may not be read ({error})",
        "Put a login that may read and list it into the environment that the client reads, such as "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, of every worker.",
    )


def _without_answer(address: str, error: Exception) -> TransientSourceError:
    return TransientSourceError(
        f"The file {address}",
        f"cannot be read ({error})",
        "Check the address, AWS_ENDPOINT_URL where the store is not Amazon's, and the network; try "
        "again.",
    )
