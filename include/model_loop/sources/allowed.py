"""Sources that a caller may name: those that the operator has listed, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from model_loop.datasets.registry import datasets_in_python
from model_loop.errors import InvalidInputError
from model_loop.masking import mask_logins

#: Stands for every source.
ANY = "*"

_FILE = "file://"
# Programs differ in what they make of these in an address: a login, a step up, a query, a parameter
# of a part of the path.
_AMBIGUOUS = re.compile(r"[@\\?#%;\s]|/\.{1,2}(/|$)")


def named_sources() -> tuple[str, ...]:
    """Return the words for sources of installed datasets, which need no list."""
    return tuple(chain.from_iterable(each.named_sources for each in datasets_in_python()))


def require_allowed_source(source: str, allowed: Iterable[str]) -> str:
    """Return the source if a caller may name it.

    Nothing is read, and no address is asked, to find that out; links of folders are followed.

    Parameters
    ----------
    source
        Source in a form.
    allowed
        Folders and addresses of which every folder below may be named as well; ``*`` for any.

    Raises
    ------
    InvalidInputError
        If it is not one of them, or carries a login.
    """
    listed, named = [one for one in (entry.strip() for entry in allowed) if one], named_sources()
    if source in named or ANY in listed or any(_covers(one, source) for one in listed):
        require_no_login(source)
        return source
    raise InvalidInputError(
        f"Source {source!r}",
        f"is not in the list of allowed sources ({', '.join(dict.fromkeys((*named, *listed)))})",
        "Choose one of these, or let the operator add it to MODEL_LOOP_ALLOWED_SOURCES.",
    )


def require_no_login(source: str) -> None:
    """Refuse an address with a login: sources stand in lineages, tags, logs and forms.

    Raises
    ------
    InvalidInputError
        If it holds a name, a password, a token or a signature.
    """
    if mask_logins(source) != source:
        raise InvalidInputError(
            f"Source {source!r}",
            "carries a login, which everybody who sees a run could read",
            "Put it into ~/.netrc, which is read for https:// addresses, or into the environment "
            "that the client of s3:// reads.",
        )


def _covers(entry: str, source: str) -> bool:
    """Return whether a source is an entry of the list, or lies below it."""
    if entry == source:
        return True
    if entry in named_sources():
        return False
    above, below = _folder(entry), _folder(source)
    if above is None or below is None:
        # The slash ends the name of the host or the bucket, whoever reads it.
        return (
            above is below
            and not _AMBIGUOUS.search(source)
            and f"{source.rstrip('/')}/".startswith(f"{entry.rstrip('/')}/")
        )
    return below.is_relative_to(above)


def _folder(source: str) -> Path | None:
    """Return a folder's real path; None for an address."""
    if source.startswith(_FILE):
        return Path(unquote(source.removeprefix(_FILE))).resolve()
    return None if "://" in source else Path(source).resolve()
