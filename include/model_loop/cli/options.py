"""Options that several commands share, derived from the requests that they make."""

from __future__ import annotations

import dataclasses
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from model_loop.cli.console import console
from model_loop.datasets.dataset import Dataset, Target
from model_loop.datasets.dataset import Variant as DatasetVariant
from model_loop.datasets.registry import choose_variant, datasets_in_python
from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import families_for, get_family
from model_loop.models.search import PrimaryMetric, SearchRequest, primary_metrics
from model_loop.options import Option, build, options_of
from model_loop.settings import get_settings
from model_loop.training_set.options import TableOptions, training_set_options

#: Seconds until a tracking server that does not answer is taken for none.
_PATIENCE = 3.0

AsJson = Annotated[bool, Parameter(name="--json", negative=())]

#: Names on the command line that are not those of the options.
_SHORT = {
    "train_months": "train",
    "validation_months": "validation",
    "test_months": "test",
    "accepted_findings": "accept",
}


def arguments_of(cls: type) -> Any:  # noqa: ANN401 - a class made here
    """Make a dataclass with a field for each option of a class, for the command line.

    Months are one word: ``2024-01,2024-02``, or ``2023-11..2024-01``.
    """
    fields = []
    for name, each in options_of(cls).items():
        kind, help_text = _kind_and_help(each)
        parameter = Parameter(
            name=_names(name),
            help=help_text,
            negative=(),
            show_default=each.default not in ("", ()),
        )
        fields.append((name, Annotated[kind, parameter], field(default=each.default)))
    return dataclasses.make_dataclass(f"{cls.__name__}Arguments", fields, frozen=True)


def _kind_and_help(each: Option) -> tuple[Any, str]:
    if each.choices:
        return Literal[tuple(each.choices)], each.description
    if each.schema()["type"] != "array":
        return each.field.annotation, each.description
    if isinstance(each.default, str):
        return str, f"{each.description} A list with commas, or a range 2023-11..2024-01."
    return tuple[str, ...], f"{each.description} Repeat it for several."


def _names(name: str) -> str | None:
    return f"--{_SHORT[name]}" if name in _SHORT else None


#: The option that names a variant, or a dataset that has one alone.
Variant = Annotated[str, Parameter(name=("--variant", "--dataset", "--service"))]


def _options_of_datasets() -> dict[str, tuple[str, Option]]:
    """Return the options of training sets by their names, each with its group in the help.

    Without those that every dataset has, and those of the search.
    """
    found = {name: ("Declared tables", each) for name, each in options_of(TableOptions).items()}
    beside = {"source", "recipe", *options_of(SearchRequest)}
    for dataset in datasets_in_python():
        beside.add(dataset.variant_field.name)
        for name, each in options_of(training_set_options(dataset)).items():
            found[name] = ("Data", found[name][1]) if name in found else (dataset.title, each)
    return {name: each for name, each in found.items() if name not in beside}


_OF_DATASETS = _options_of_datasets()


def _arguments_of_datasets() -> Any:  # noqa: ANN401 - a class made here
    """Make a dataclass with a field for each option of a dataset; None where none is given."""
    fields = []
    for name, (group, each) in _OF_DATASETS.items():
        kind, help_text = _kind_and_help(each)
        default = each.python_default
        parameter = Parameter(
            name=_names(name),
            help=help_text,
            negative=(),
            group=group,
            show_default=False if default in ("", ()) else str(default),
        )
        fields.append((name, Annotated[kind | None, parameter], field(default=None)))
    return dataclasses.make_dataclass("DatasetArguments", fields, frozen=True)


@Parameter(name="*", group="Data")
@dataclass(frozen=True)
class DataOptions(_arguments_of_datasets()):  # type: ignore[misc]  # made of options
    """Options of a training set.

    Parameters
    ----------
    variant
        Variant of a dataset, or a dataset that has one alone.
    source
        Folder, s3:// or https:// address of the files, or a word for a source of the dataset's
        own; that of the declaration or of the settings, if left out.
    recipe
        Columns that the model may use, and so the moment from which it can predict; the default of
        the dataset, if left out.
    storage
        Folder of downloaded and generated files.
    """

    variant: Variant = get_settings().variant
    source: str | None = None
    recipe: str | None = None
    storage: Annotated[str, Parameter(show_default=False)] = get_settings().storage_root

    @property
    def dataset(self) -> Dataset:
        """Return the dataset of the variant.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        return choose_variant(self.variant)[0]

    def params(self, seed: int | None = None) -> dict[str, Any]:
        """Return the values that the form of the dataset would have.

        Parameters
        ----------
        seed
            Seed of the search that follows, for datasets whose training sets need one.

        Raises
        ------
        InvalidInputError
            If a value breaks a rule, or is of an option that the dataset does not have.
        """
        dataset, variant = choose_variant(self.variant)
        cls = training_set_options(dataset)
        offered = options_of(cls)
        given = {name: getattr(self, name) for name in _OF_DATASETS}
        given = {name: value for name, value in given.items() if value is not None}
        for name in given.keys() - offered.keys():
            raise InvalidInputError(
                _names(name) or f"--{name.replace('_', '-')}",
                f"is not an option of the dataset {dataset.name}",
                "Leave it out, or name another dataset.",
            )
        declared = str(dataset.declaration.source) if dataset.declaration else get_settings().source
        values = {name: each.python_default for name, each in offered.items()} | given
        values |= {
            "source": declared if self.source is None else self.source,
            "service": variant.key,
            "recipe": self.recipe or dataset.default_recipe,
        }
        if seed is not None:
            values["random_state"] = seed
        # Wrong values are refused before the heavy imports begin.
        dataset.recipe(values["recipe"])
        build(cls, values)
        return values


_METRIC = options_of(SearchRequest)["primary_metric"]
#: The option that names a metric; none of its values is the default of every kind of target.
PrimaryMetricOption = Annotated[
    PrimaryMetric | None,
    Parameter(
        help=f"{_METRIC.description} By default rmse, or log_loss of a class.", show_default=False
    ),
]


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

    primary_metric: PrimaryMetricOption = None
    model: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()

    def families(self, target: Target) -> list[str]:
        """Return the names of the families for a kind of target.

        Raises
        ------
        InvalidInputError
            If one is unknown, or learns another kind of target.
        """
        names = self.model or families_for(target.kind)
        return [get_family(name, target.kind).name for name in names]

    def request(self, target: Target) -> SearchRequest:
        """Return the search that is asked for.

        Raises
        ------
        InvalidInputError
            If a value is out of bounds, or the metric does not fit the kind of the target.
        """
        metric = self.primary_metric or primary_metrics(target)[0]
        request = build(SearchRequest, {**vars(self), "primary_metric": metric})
        request.require_for(target)
        return request


def trained_variant(name: str, tracking_uri: str) -> tuple[Dataset, DatasetVariant]:
    """Find a variant, of a dataset whose file is broken or gone by its registered versions.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    try:
        return choose_variant(name)
    except InvalidInputError:
        from model_loop.serving.models.registry import use_missing_datasets

        use_missing_datasets(tracking_uri)
        return choose_variant(name)


def answering_uri(uri: str) -> str:
    """Return the address of the tracking server, or of the database of ``model-loop run``.

    Raises
    ------
    InvalidInputError
        If no server answers, and nothing has made that database below the current folder.
    """
    if tracking_answers(uri):
        return uri
    if (database := local_database()).is_file():
        return use_database(uri, database)
    raise InvalidInputError(
        f"The tracking server {uri}",
        f"does not answer, and `model-loop run` has made no {database}",
        "Start it, set MODEL_LOOP_TRACKING_URI, or give the command in the folder of the run.",
    )


def tracking_answers(uri: str) -> bool:
    """Return whether a tracking server answers; what is no address of one does."""
    if not uri.startswith(("http://", "https://")):
        return True
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=_PATIENCE):  # noqa: S310 - http(s), as checked
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def local_database() -> Path:
    """Return the file of runs and versions of a machine without a tracking server."""
    return (Path.cwd() / ".state" / "runs" / "mlflow.db").resolve()


def use_database(uri: str, database: Path) -> str:
    """Say that a file stands in for a tracking server; return its address."""
    address = f"sqlite:///{database}"
    console(stderr=True).print(f"No tracking server answers at {uri}: {address} is used.")
    return address
