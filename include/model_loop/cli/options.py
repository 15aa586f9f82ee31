"""Options that several commands share, derived from the requests that they make."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from model_loop.models.catalogue import FAMILIES, get_family
from model_loop.models.search import SearchRequest
from model_loop.options import Option, build, options_of
from model_loop.settings import get_settings
from trip_duration.training_set.request import TrainingSetRequest

AsJson = Annotated[bool, Parameter(name="--json", negative=())]

#: Names on the command line that are not those of the options.
_SHORT = {
    "train_months": "train",
    "validation_months": "validation",
    "test_months": "test",
    "accepted_findings": "accept",
}


def arguments_of(cls: type, **defaults: Any) -> Any:  # noqa: ANN401 - any value; a class made here
    """Make a dataclass with a field for each option of a class, for the command line.

    Months are one word: ``2024-01,2024-02``, or ``2023-11..2024-01``.

    Parameters
    ----------
    defaults
        Values where a command gives none, if they are not those of the options.
    """
    known = options_of(cls)
    fields = [(name, *_argument(each, defaults.get(name))) for name, each in known.items()]
    return dataclasses.make_dataclass(f"{cls.__name__}Arguments", fields, frozen=True)


def _argument(each: Option, default: Any = None) -> tuple[Any, Any]:  # noqa: ANN401 - any value, any type
    default = each.default if default is None else default
    kind: Any = each.field.annotation
    description = each.description
    if each.choices:
        kind = Literal[tuple(each.choices)]
    elif each.schema()["type"] == "array" and isinstance(default, str):
        kind = str
        description += " A list with commas, or a range 2023-11..2024-01."
    elif each.schema()["type"] == "array":
        kind = tuple[str, ...]
        description += " Repeat it for several."
    name = f"--{_SHORT[each.name]}" if each.name in _SHORT else None
    parameter = Parameter(
        name=name, help=description, negative=(), show_default=default not in ("", ())
    )
    return Annotated[kind, parameter], dataclasses.field(default=default)


@Parameter(name="*", group="Data")
@dataclass(frozen=True)
class DataOptions(arguments_of(TrainingSetRequest, test_months="")):  # type: ignore[misc]  # made of options
    """Options of a training set.

    Parameters
    ----------
    storage
        Folder of downloaded and generated files.
    """

    storage: Annotated[str, Parameter(show_default=False)] = get_settings().storage_root

    @property
    def request(self) -> TrainingSetRequest:
        """The training set that is asked for.

        Raises
        ------
        InvalidInputError
            If a value breaks a rule.
        """
        return build(TrainingSetRequest, vars(self))


@Parameter(name="*", group="Search")
@dataclass(frozen=True)
class SearchOptions(arguments_of(SearchRequest)):  # type: ignore[misc]  # made of options
    """Options of a search.

    Parameters
    ----------
    model
        A model family, for example xgboost or linear_model.Lasso; repeat it for several. All of
        them when left out.
    """

    model: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()

    @property
    def families(self) -> list[str]:
        """Names of the families.

        Raises
        ------
        InvalidInputError
            If one is unknown.
        """
        return [get_family(name).name for name in self.model or FAMILIES]

    @property
    def request(self) -> SearchRequest:
        """The search that is asked for.

        Raises
        ------
        InvalidInputError
            If a value is out of bounds.
        """
        return build(SearchRequest, vars(self))
