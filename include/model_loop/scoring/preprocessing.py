"""The operator's own step before a file is scored."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from model_loop.errors import InvalidInputError


@dataclass(frozen=True)
class Preprocessing:
    """A function from rows as they are given to rows as the model wants them.

    Parameters
    ----------
    name
        Its dotted name, as the setting `scoring_preprocessing` has it.
    function
        Takes a frame and returns one with as many rows in the same order.
    digest
        Digest of its module's source, so that scored rows of another version are not reused.
    """

    name: str
    function: Callable[[pd.DataFrame], Any]
    digest: str

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows as the model wants them.

        Raises
        ------
        InvalidInputError
            If the function returns something else than so many rows.
        """
        prepared = self.function(rows)
        if not isinstance(prepared, pd.DataFrame) or len(prepared) != len(rows):
            raise InvalidInputError(
                f"The preprocessing {self.name}",
                f"returned {_described(prepared)} for {len(rows)} rows",
                "It has to return a DataFrame with the same rows in the same order.",
            )
        return prepared


def _described(prepared: object) -> str:
    rows = f" with {len(prepared)} rows" if isinstance(prepared, pd.DataFrame) else ""
    return type(prepared).__name__ + rows


def find_preprocessing(name: str) -> Preprocessing | None:
    """The function of a dotted name such as ``fleet.scoring.rename_columns``; None for no name.

    Raises
    ------
    InvalidInputError
        If there is no such function.
    """
    if not name:
        return None
    module_name, _, function_name = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInputError(
            f"scoring_preprocessing = {name!r}",
            f"names no function that can be imported ({error})",
            "Give package.module.function of a module on the workers' PYTHONPATH.",
        ) from error
    digest = hashlib.sha256(inspect.getsource(module).encode()).hexdigest()
    return Preprocessing(name, function, digest)
