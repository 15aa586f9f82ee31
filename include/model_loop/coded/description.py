"""A code package as the loop knows it: what the runner runs, and which of its values answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration_file import nearest
from model_loop.errors import InvalidInputError
from model_loop.objects.documents import UNREADABLE, record_of, text_of
from model_loop.runner.package import CodeColumn, CodePackage, ColumnType

#: Output of a function that explains: the amount at which the sum begins.
BASE = "base"


@dataclass(frozen=True)
class CodeDescription:
    """A code package with what the loop asks of it.

    Parameters
    ----------
    package
        The code, and the values that a row and an answer have.
    title
        For people.
    prediction, probability, probabilities
        The outputs that answer: a number, the probability of the positive class, those of all
        classes by label. Empty where it answers for no dataset.
    explain
        Function that explains an answer; empty if there is none.
    file_function
        Function that answers files; empty if there is none.
    """

    package: CodePackage
    title: str = ""
    prediction: str = ""
    probability: str = ""
    probabilities: Mapping[str, str] = field(default_factory=dict)
    explain: str = ""
    file_function: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, every file's digest among it."""
        own = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.name != "package"
        }
        own |= {"package": self.package.digest, "probabilities": dict(self.probabilities)}
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()

    @property
    def explaining(self) -> CodePackage | None:
        """Return the code with the function that explains; None if there is none."""
        if not self.explain:
            return None
        outputs = (BASE, *(column.name for column in self.package.inputs))
        return dataclasses.replace(
            self.package,
            function=self.explain,
            outputs=tuple(CodeColumn(name, "number") for name in outputs),
        )

    @property
    def answering_files(self) -> CodePackage | None:
        """Return the code with the function that answers files; None if there is none."""
        if not self.file_function:
            return None
        return dataclasses.replace(self.package, function=self.file_function)

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Return the columns of a dataset that it reads, by their names in frames.

        Raises
        ------
        InvalidInputError
            If it reads others.
        """
        known = dataset.columns
        for one in self.package.inputs:
            if one.name not in known.by_any_name:
                raise InvalidInputError(
                    f"The input {one.name!r}",
                    f"is not a column that a {dataset.rows[1]} of {dataset.name} has",
                    nearest(one.name, known.fields),
                )
            column = known[known.by_any_name[one.name]]
            if (wanted := type_of(column.kind, text=column.text)) != one.type:
                raise InvalidInputError(
                    f"The input {one.name!r}",
                    f"has the type {one.type}, and in the dataset {dataset.name} it is {wanted}",
                    "Give it that type, or leave [inputs] out.",
                )
            if not one.may_be_missing and column.name not in known.required:
                raise InvalidInputError(
                    f"The input {one.name!r}",
                    f"may be missing in the dataset {dataset.name}, and the code wants a value",
                    "Let the code do without it, and say may_be_missing = true.",
                )
        return tuple(known[known.by_any_name[one.name]].name for one in self.package.inputs)

    def require_answer(self, dataset: Dataset) -> None:
        """Refuse code that does not answer for the target of a dataset.

        Raises
        ------
        InvalidInputError
            If an output is missing, or is not a number.
        """
        target, labels = dataset.target, ""
        if not target.is_classified:
            key, wanted = "prediction", [self.prediction]
        elif self.probability and target.kind == "binary":
            key, wanted = "probability", [self.probability]
        else:
            # The classes of a file are not known before a model was trained on it.
            known = target.classes.texts if target.classes else tuple(self.probabilities)
            key, labels = "probabilities", ", ".join(known)
            wanted = [self.probabilities.get(label, "") for label in known] or [""]
        types = {one.name: one.type for one in self.package.outputs if not one.may_be_missing}
        for output in wanted:
            if types.get(output) != "number":
                raise InvalidInputError(
                    f"answer.{key} = {output!r}",
                    f"is not a number among the outputs, which the target {target.name} of "
                    f"{dataset.name} needs",
                    f"Name one of {', '.join(types) or 'the outputs'} under [answer]"
                    + (f", for each of the classes {labels}." if labels else "."),
                )


def type_of(kind: str, *, text: bool) -> ColumnType:
    """Return the type in which code gets the values of a column."""
    if kind == "time":
        return "time"
    if kind == "yes_no":
        return "yes/no"
    return "text" if text else "number"


def inputs_of(dataset: Dataset) -> tuple[CodeColumn, ...]:
    """Return the inputs of code that reads what a dataset's models read: its default recipe."""
    read = dataset.recipe(dataset.default_recipe).columns
    return tuple(
        CodeColumn(
            column.field,
            type_of(column.kind, text=column.text),
            may_be_missing=column.name not in dataset.columns.required,
        )
        for column in dataset.columns
        if column.name in read
    )


def write_description(description: CodeDescription) -> str:
    """Serialize a description."""
    return text_of(description)


def read_description(text: bytes, what: str) -> CodeDescription:
    """Read a stored description.

    Parameters
    ----------
    what
        Name of the version in errors.

    Raises
    ------
    InvalidInputError
        If it is damaged or of a later version.
    """
    try:
        return record_of(CodeDescription, json.loads(text))
    except UNREADABLE as error:
        raise InvalidInputError(
            what,
            f"has a description of its code that cannot be read ({error})",
            "Bring it in anew.",
        ) from error
