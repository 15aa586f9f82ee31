"""Compiled forms of models as files: one process makes them, another one answers from them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from model_loop.errors import StoredObjectError
from model_loop.objects.limits import bounded_file
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.flat import DenseTables, Linear, SparseTables, Trees
from model_loop.serving.compiled.soundness import is_sample, is_sound

#: Minutes by which the compiled form may differ from the registered model.
TOLERANCE = 1e-5

#: Name and number of the format of a stored form.
FORMAT, NUMBER = "model_loop.compiled", 1
#: Names of the same format in forms of earlier versions; the first ones have none.
_FORMER = (None, ("trip_duration.compiled", 1))

Targets = npt.NDArray[np.float64]
Predict = Callable[[Rows], Targets]

_CODE: dict[tuple[type, type], str] = {
    (DenseTables, Trees): "predict_dense_trees",
    (SparseTables, Trees): "predict_sparse_trees",
    (SparseTables, Linear): "predict_sparse_linear",
}
_TABLES = {kind.__name__: kind for kind in (DenseTables, SparseTables)}
_FLAT = {kind.__name__: kind for kind in (Trees, Linear)}


class NotCompiledError(Exception):
    """A model has no compiled form, or none that agrees with it."""


@dataclass(frozen=True)
class CompiledModel:
    """A model as tables and flat arrays, with what it has to say.

    Parameters
    ----------
    tables, flat
        Tables of its encoder, and flat arrays of its estimator.
    sample
        Rows on which it has to agree with the registered model.
    minutes
        Predictions of the registered model for them.
    """

    tables: DenseTables | SparseTables
    flat: Trees | Linear
    sample: Rows
    minutes: Targets

    def verify(self, *, machine_code: bool = True) -> Predict:
        """Return a function that predicts by this form, once it agrees with the registered model.

        Parameters
        ----------
        machine_code
            Whether machine code does; arithmetic on arrays otherwise, which takes 80 times as long
            for one trip, 6 times for many, and spares the process numba and LLVM, 130 MB.

        Raises
        ------
        NotCompiledError
            If there is no machine code for it, or it says something else.
        """
        name = _CODE.get((type(self.tables), type(self.flat)))
        if name is None:
            raise NotCompiledError("linear models of dense columns have no compiled form")
        # Only one of them is needed, and one of them is large.
        code = importlib.import_module(f"{__package__}.{'kernels' if machine_code else 'vectors'}")
        kernel, tables, flat = getattr(code, name), self.tables, self.flat

        def predict(rows: Rows) -> Targets:
            minutes = np.empty(len(rows))
            kernel(rows, tables, flat, minutes)
            return minutes

        difference = float(np.max(np.abs(predict(self.sample) - self.minutes)))
        # Written so that NaN is too much.
        if not difference <= TOLERANCE:
            raise NotCompiledError(
                f"its compiled form differs by up to {difference:g} minutes on the sample"
            )
        return predict

    def write(self, file: BinaryIO) -> None:
        """Write it where a file is."""
        parts: dict[str, Any] = {"format": FORMAT, "number": NUMBER}
        parts |= {"sample": self.sample, "minutes": self.minutes}
        for name, part in (("tables", self.tables), ("flat", self.flat)):
            parts[name] = type(part).__name__
            parts |= {f"{name}.{key}": value for key, value in part._asdict().items()}
        np.savez(file, **parts)

    @classmethod
    def read(cls, file: BinaryIO) -> CompiledModel:
        """Read it from where a file is.

        Raises
        ------
        NotCompiledError
            If it was written in another format, or would read foreign memory when it runs, or take
            much of it when it is read.
        """
        try:
            plain = bounded_file(file, "A compiled form")
        except StoredObjectError as error:
            raise NotCompiledError(str(error)) from error
        with np.load(plain, allow_pickle=False) as parts:
            found = (str(parts["format"]), int(parts["number"])) if "format" in parts else None
            if found not in {(FORMAT, NUMBER), *_FORMER}:
                raise NotCompiledError(f"it is stored in the format {found}")
            tables, flat = _part(parts, "tables", _TABLES), _part(parts, "flat", _FLAT)
            sample, minutes = parts["sample"], parts["minutes"]
        if not (is_sound(tables, flat) and is_sample(sample, minutes)):
            raise NotCompiledError("its stored parts do not fit together")
        return cls(tables, flat, sample, minutes)


def _part(parts: Any, name: str, kinds: dict[str, Any]) -> Any:  # noqa: ANN401 - one of our named tuples
    kind = kinds[str(parts[name])]
    values = (parts[f"{name}.{key}"] for key in kind._fields)
    # Numbers come back as arrays without a dimension.
    return kind(*(value if value.ndim else value.item() for value in values))
