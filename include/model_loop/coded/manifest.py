"""The manifest of a code package: one TOML file beside the code.

Every key is checked, and one that is unknown is refused with the nearest that is known.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from model_loop.datasets.declaration_file import refusal_of
from model_loop.errors import InvalidInputError
from model_loop.runner.package import ColumnType, Form

#: Name of the file.
MANIFEST = "model.toml"

#: The function of a script that answers a row, where the manifest names none.
SCORE = "score"


class _Table(BaseModel):
    """A table of the file, in which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ManifestColumn(_Table):
    """A value of a row or of an answer.

    Parameters
    ----------
    type
        Type of its values.
    may_be_missing
        Whether a row may have none.
    """

    type: ColumnType
    may_be_missing: bool = False


class AnswerTable(_Table):
    """The outputs that answer for the target of a dataset.

    Parameters
    ----------
    prediction
        The output with the predicted number.
    probability
        The output with the probability of the positive class of two.
    probabilities
        The output with the probability of each class, by label.
    """

    prediction: str | None = None
    probability: str | None = None
    probabilities: dict[str, str] = Field(default_factory=dict)


class Manifest(_Table):
    """A code package as its manifest describes it.

    Parameters
    ----------
    form
        ``script``: a file with a function. ``mlflow``: a folder as MLflow logs a model from code.
    title
        For people.
    script, function
        File of the code, and its function that answers a row as JSON.
    file_function
        Function that answers a file, ``(data_path, model_path)``; none if left out.
    explain_function
        Function that explains the answer of a row: it gives ``base`` and an amount for each input.
    python
        Version of Python, such as ``3.11``.
    requirements
        Packages with their versions, or the name of a file of such lines.
    variables
        Names of environment values that the code reads; the values themselves are never here.
    inputs, outputs
        Values of rows and of answers, by name. Inputs may be left out where the
        package answers for a dataset: they are the columns of its default recipe then.
    answer
        The outputs that answer for a dataset's target.
    """

    form: Form = "script"
    title: str = ""
    script: str = "score.py"
    function: str = SCORE
    file_function: str | None = None
    explain_function: str | None = None
    python: Annotated[str, Field(pattern=r"^3\.\d{1,2}$")] | None = None
    requirements: tuple[str, ...] | str = ()
    variables: tuple[str, ...] = ()
    inputs: dict[str, ManifestColumn] = Field(default_factory=dict)
    outputs: dict[str, ManifestColumn] = Field(default_factory=dict)
    answer: AnswerTable = AnswerTable()

    @field_validator("inputs", "outputs", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        """Let ``name = "number"`` stand for ``name = {type = "number"}``."""
        if not isinstance(value, Mapping):
            return value
        return {name: {"type": it} if isinstance(it, str) else it for name, it in value.items()}

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        if self.form == "mlflow":
            own = {"script", "function", "file_function", "explain_function"}
            if given := sorted(own & self.model_fields_set):
                raise ValueError(f"says {', '.join(given)}, which only a script has")
        elif not self.outputs:
            raise ValueError("has no [outputs]: name the values of an answer, such as pred")
        answer = self.answer
        named = {"prediction": answer.prediction, "probability": answer.probability}
        named |= {f"probabilities.{label}": it for label, it in answer.probabilities.items()}
        for key, output in named.items():
            if output is not None and self.outputs and output not in self.outputs:
                raise ValueError(
                    f"says answer.{key} = {output!r}, which is not one of its outputs: "
                    f"{', '.join(self.outputs)}"
                )
        return self


def parse_manifest(text: str, origin: str = MANIFEST) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    origin
        Its name in errors.

    Raises
    ------
    InvalidInputError
        If it is not TOML, a key is unknown or missing, or a value is of another kind.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(origin, f"is not TOML ({error})", "Correct the line.") from error
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise refusal_of(error, origin, Manifest) from error
