"""Declarations as they are stored with training sets, models and logged predictions.

A version answers by the declaration that it was trained on, whatever the file says later. The
stored text is completed: it names the type of each column, see `partitions.completing`.
"""

from __future__ import annotations

import functools
import hashlib
import json

from pydantic import ValidationError

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declared import dataset_of
from model_loop.errors import StoredObjectError

#: Name and number of the stored form of a declaration.
_FORMAT = "declaration/1"
#: Characters of the digest of a stored declaration.
DIGEST_LENGTH = 16


def text_of_declaration(declaration: Declaration) -> str:
    """Return a declaration as JSON with the number of its format, as it is stored."""
    content = declaration.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"format": _FORMAT, **content}, separators=(",", ":"))


def text_of_dataset(dataset: Dataset) -> str:
    """Return the declaration of a dataset as it is stored; empty if it is written in Python."""
    return "" if dataset.declaration is None else text_of_declaration(dataset.declaration)


def declaration_of_text(text: str) -> Declaration:
    """Read a stored declaration.

    Raises
    ------
    StoredObjectError
        If it is damaged, or of another format.
    """
    try:
        content = json.loads(text)
        if content.pop("format", None) == _FORMAT:
            return Declaration.model_validate_json(json.dumps(content))
        why = "is of a format that is not known"
    except (ValidationError, ValueError, TypeError, AttributeError, RecursionError) as error:
        why = f"cannot be read ({type(error).__name__})"
    raise StoredObjectError("A stored declaration", why, "Train anew.")


@functools.lru_cache(maxsize=256)
def dataset_of_text(text: str) -> Dataset:
    """Return the dataset of a stored declaration, the same object for the same text.

    Raises
    ------
    StoredObjectError
        If it cannot be read.
    """
    return dataset_of(declaration_of_text(text))


@functools.lru_cache(maxsize=256)
def digest_of_text(text: str) -> str:
    """Return the digest of a stored declaration; empty of no text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH] if text else ""
