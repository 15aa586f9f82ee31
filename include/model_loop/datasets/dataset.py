"""A dataset: everything that the loop has to know of one table.

It is made from a declaration (`declared`), or written in Python. Forms, requests, files, the log,
training sets, models and charts are derived from it. Nothing here needs NumPy or pandas: forms are
built from it when DAG files are read, and servers read every request by it.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import math
import operator
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from model_loop.datasets.classes import Classes, TaskKind
from model_loop.datasets.columns import Columns, Scale
from model_loop.datasets.reading import RowReader
from model_loop.errors import InvalidInputError, look_up

if TYPE_CHECKING:
    # Stored models bring recipes with them, and need no pydantic.
    from model_loop.datasets.declaration import Declaration
    from model_loop.datasets.declaration_types import Part

#: A moment from which values are known, such as ``request``; the dataset lists them in order.
Moment = str


@dataclass(frozen=True)
class Target:
    """The column that is predicted.

    Parameters
    ----------
    name
        Name in frames.
    unit
        Unit as people write it, such as ``min``; empty if it has none.
    title
        For people, in the middle of a sentence: ``duration``.
    former
        Older name of predictions, which answers and scored files have beside ``prediction``; empty
        if there is none.
    above, highest
        Bounds of a true value: it is more than the first, and at most the second.
    scale
        Cells by which charts count its values; found in the data, if left out.
    kind
        Kind of the prediction: a number, yes or no, or which of several classes.
    classes
        Its classes; None of a number, and where no row has been read yet that names them.
    """

    name: str
    unit: str = ""
    title: str = ""
    former: str = ""
    above: float = -math.inf
    highest: float = math.inf
    scale: Scale | None = None
    kind: TaskKind = "regression"
    classes: Classes | None = None

    @property
    def is_classified(self) -> bool:
        """Return whether it is a class, and no number."""
        return self.kind != "regression"

    @property
    def main_metric(self) -> str:
        """Name of the metric that is shown first, and that models are ranked by."""
        return "log_loss" if self.is_classified else "rmse"

    @property
    def labels(self) -> Classes:
        """Its classes, where a training set has been made.

        Raises
        ------
        ValueError
            If they are not known.
        """
        if self.classes is None:
            msg = f"The classes of {self.name} are not known"
            raise ValueError(msg)
        return self.classes

    def with_unit(self, text: str) -> str:
        """Return a number in words with the unit: ``5.3 min``."""
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True)
class Recipe:
    """Columns that a model may use, and the moment at which it is asked.

    Parameters
    ----------
    name
        Name in forms and commands.
    title
        For people.
    columns
        The raw columns that the model takes, in the order of its signature.
    moment
        The moment at which a caller can fill all of them.
    asked
        The moment in words, after "asked": ``when an order comes in``.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    moment: Moment
    when: str = ""

    @property
    def asked(self) -> str:
        """The moment in words: ``asked when an order comes in``."""
        return f"asked {self.when or f'at the moment {self.moment}'}"

    @property
    def label(self) -> str:
        """The recipe in words: ``recipe at_once, asked when an order comes in``."""
        return f"recipe {self.name}, {self.asked}"


@dataclass(frozen=True)
class Variant:
    """A variant of a dataset, with models of its own.

    Parameters
    ----------
    key
        Name in settings, forms, tags and the log, unlike that of any other variant of any dataset.
    title
        For people.
    model_name
        Name of its registered model.
    """

    key: str
    title: str
    model_name: str


@dataclass(frozen=True)
class VariantField:
    """The field of forms, and the option of commands, that names a variant.

    Parameters
    ----------
    name
        Name of the field; ``--name`` is the option.
    title, description
        Texts for people.
    """

    name: str = "variant"
    title: str = "Variant"
    description: str = "Variant of the table, which has models of its own."


@dataclass(frozen=True)
class StoredNames:
    """Names of DAGs, assets and fields, which users and stored runs refer to.

    Parameters
    ----------
    dag_prefix
        Beginning of every DAG's id.
    asset_prefix
        Beginning of every asset's name.
    address
        Beginning of every asset's URI.
    group
        Group of the assets.
    partitions
        Word in the names of DAGs and assets of partitions.
    least_rows
        Field of forms for the number of rows below which a window gets no findings.
    experiment
        MLflow experiment of the runs; the name of the dataset, if empty.
    """

    dag_prefix: str
    asset_prefix: str
    address: str
    group: str
    partitions: str = "partitions"
    least_rows: str = "least_rows"
    experiment: str = ""


#: Words for several partitions, and for one.
_PARTITIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "month": ("months", "month"),
        "week": ("weeks", "week"),
        "day": ("days", "day"),
        "whole": ("tables", "table"),
    }
)


#: Name of a partition, and the pattern of all names.
_EXAMPLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "month": ("2024-01", r"^20[0-9]{2}-(0[1-9]|1[0-2])$"),
        "week": ("2024-W01", r"^20[0-9]{2}-W(0[1-9]|[1-4][0-9]|5[0-3])$"),
        "day": ("2024-01-31", r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"),
        "whole": ("whole", r"^whole$"),
    }
)


@dataclass(frozen=True)
class Extensions:
    """Functions and objects of a dataset that is written in Python, as ``module:name``.

    Each has a general fallback, named in its description; empty where the fallback serves.

    Parameters
    ----------
    preparation
        ``() -> Preparation``: way from files to training sets, see `training_set.preparation`. By
        default that of declared tables.
    partition_log
        ``(tracker, partition, findings) -> run id``: logs a partition, see `tracking.partitions`.
        By default as declared tables are logged.
    data_tests
        Tests of a training set by the names of their tasks, see `training_set.data_tests`. By
        default those of declared tables.
    slices
        ``(rows) -> dict[str, array]``: parts of the rows by which errors are shown and judged, from
        values that are known beforehand. By default the declared slices, and the time.
    outcome_bands
        ``(actual) -> array``: slices by the outcome, for descriptions alone.
    baselines
        ``(training set) -> rule``: the best rule that needs no model; see `models.baseline`. By
        default the mean by one column, of all, or the median.
    error_tables
        ``(rows, actual, predicted) -> dict[str, DataFrame]``: further tables of the errors on the
        test rows, for charts. By default none.
    judged_rows
        ``(training set, columns, contenders, storage_root, timeout_seconds) -> JudgedRows``: the
        test rows that versions are compared on; see `tracking.judging`. By default those of the
        training set that none of them has learned from.
    computed
        ``(name of a column, columns by name) -> (values, rule)``: values of a column whose default
        is ``computed``, NaN where there is none, and the rule that such a row breaks.
    judged
        ``(settings) -> Judged``: true values that count where versions are compared, see
        `serving.comparison`. By default all of them.
    as_trained
        ``(rows, columns) -> rows``: frames that people give, in the types of training sets. By
        default, they have them already.
    training_set_options
        Class of options that say what a training set is made of, see `options`: fields of forms.
        By default `training_set.options.TableOptions`.
    form_rules
        Class of options whose values are checked together when a run is requested. By default the
        shares of the split alone are.
    compiled
        Compiled forms of encoders in Python, see `serving.compiled.encoders`. By default, those of
        scikit-learn's parts.
    published_labels
        ``(rows, partition) -> values, agreeing``: true values of predicted rows in a published
        partition, and how many of its rows agree with each. By default by the declared keys.
    published_rows
        ``(checked partition, columns) -> rows``: rows of a published partition with the target, as
        training takes them. By default the rows themselves.
    published
        ``(source, variant, partition, timeout_seconds) -> FileVersion``: version of a partition as
        its source has it, None where it has none; see `sources.published`. By default that of the
        declared files.
    newest_known
        ``() -> str``: the partition before the first that is looked for where none is known. By
        default one of some time ago, or all files that a source lists.
    retrained_on
        ``(newest partition, fields of the form) -> {field: partitions}``: partitions that a
        retraining learns from, tunes on and judges by, as fields of the form of preparations. By
        default all up to the newest.
    products
        ``(storage_root) -> products``: further data products, for health; see
        `monitoring.health.types.Product`. By default the partitions that were checked.
    choices
        ``(column) -> {value: label}``: codes of a column with their labels, for forms. By default
        the declared categories.
    summary
        ``(row, answer) -> str``: an answer in one sentence, for people. By default prediction,
        unit and version.
    pages
        ``(settings) -> DatasetPages``: additions to the pages of the dashboard, see
        `dashboard.page_data`; scripts of theirs are in the folder ``static`` beside the module. By
        default none.
    """

    preparation: str = ""
    partition_log: str = ""
    data_tests: str = ""
    slices: str = ""
    outcome_bands: str = ""
    baselines: str = ""
    error_tables: str = ""
    judged_rows: str = ""
    computed: str = ""
    judged: str = ""
    as_trained: str = ""
    compiled: str = ""
    training_set_options: str = ""
    form_rules: str = ""
    published_labels: str = ""
    published_rows: str = ""
    published: str = ""
    newest_known: str = ""
    retrained_on: str = ""
    products: str = ""
    choices: str = ""
    summary: str = ""
    pages: str = ""

    def load(self, name: str) -> Any:  # noqa: ANN401 - a function, or None
        """Return what an extension names; None where there is none."""
        address: str = getattr(self, name)
        if not address:
            return None
        module, _, function = address.partition(":")
        return operator.attrgetter(function)(importlib.import_module(module))


@dataclass(frozen=True)
class Dataset:
    """A table, and what is known of it.

    Parameters
    ----------
    name
        Name that never changes.
    title
        For people.
    target
        The column that is predicted.
    columns
        Columns that a model may be asked with.
    moments
        Moments in their order: a model that is asked at one knows what is known by then.
    recipes
        Recipes, which say what models may know, by name.
    default_recipe
        Name of the recipe where nobody names another.
    variants
        At least one.
    reader
        Reads the rows of requests and files.
    outcomes
        Columns that hold the outcome or are known only together with it: no model may know them.
    time
        Column with the time of a row, in frames; None if the table has none.
    time_zone
        Time zone of the place, whose clocks all times are on.
    partition
        Part of the table that comes as one.
    rows
        Word for several rows, and for one.
    published_after
        Partitions that pass after the end of one until it is published.
    slices
        Columns by which errors are shown and judged.
    group
        Column of the entities that come several times; rows of one are not independent.
    extensions
        Functions in Python.
    declaration
        The file that it was made from; None if it is written in Python.
    logged_in_columns
        Whether the request log has a column for each field, as it had before there were other
        datasets; otherwise what was asked is kept as one object.
    notes
        Notes for callers about rows and moments, in sentences.
    variant_field
        Name and texts of the field that names a variant.
    stored_names
        Names of DAGs and assets, where they do not follow from the name.
    named_sources
        Words for sources of its own, such as ``sample``, which every caller may name.
    """

    name: str
    title: str
    target: Target
    columns: Columns
    moments: tuple[Moment, ...]
    recipes: Mapping[str, Recipe]
    default_recipe: str
    variants: Mapping[str, Variant]
    reader: RowReader
    outcomes: frozenset[str] = frozenset()
    time: str | None = None
    time_zone: str = "UTC"
    partition: Part = "whole"
    rows: tuple[str, str] = ("rows", "row")
    published_after: int = 0
    slices: tuple[str, ...] = ()
    group: str | None = None
    extensions: Extensions = field(default_factory=Extensions)
    declaration: Declaration | None = None
    logged_in_columns: bool = False
    notes: str = ""
    variant_field: VariantField = field(default_factory=VariantField)
    stored_names: StoredNames | None = None
    named_sources: tuple[str, ...] = ()

    @property
    def names(self) -> StoredNames:
        """Names of its DAGs and assets: ``flights__promotion``."""
        prefix = f"{self.name}__"
        return self.stored_names or StoredNames(
            prefix, prefix, f"model-loop://{self.name}", self.name
        )

    @property
    def asked_at(self) -> frozenset[Moment]:
        """Moments at which a recipe is asked, and so a champion may be."""
        return frozenset(recipe.moment for recipe in self.recipes.values())

    @property
    def partition_example(self) -> str:
        """Name of a partition: ``2024-01``."""
        return _EXAMPLES[self.partition][0]

    @property
    def partition_pattern(self) -> str:
        """Pattern of the names of partitions, which forms check."""
        return _EXAMPLES[self.partition][1]

    @property
    def partitions(self) -> tuple[str, str]:
        """Words for several partitions, and for one: ``("months", "month")``."""
        return _PARTITIONS[self.partition]

    @functools.cached_property
    def known_from(self) -> Mapping[str, Moment]:
        """The moment from which each column that a model may know is known."""
        return MappingProxyType({column.name: column.known for column in self.columns})

    @functools.cached_property
    def optional(self) -> frozenset[str]:
        """Columns whose values may be unknown to a model."""
        return frozenset(column.name for column in self.columns if not column.required)

    def now(self) -> dt.datetime:
        """Return the present moment on the clocks of the place, to the second."""
        now = dt.datetime.now(tz=zoneinfo.ZoneInfo(self.time_zone))
        return now.replace(tzinfo=None, microsecond=0)

    def recipe(self, name: str) -> Recipe:
        """Find a recipe by its name.

        Raises
        ------
        InvalidInputError
            If there is no such recipe.
        """
        return look_up("Recipe", name, self.recipes)

    def recipe_label(self, name: str) -> str:
        """Return a recipe in words; a model from elsewhere may have an unknown one."""
        recipe = self.recipes.get(name)
        return recipe.label if recipe else f"recipe {name}"

    def when(self, moment: Moment) -> str:
        """Return a moment in words, as they end a sentence: ``when an order comes in``."""
        words = (recipe.when for recipe in self.recipes.values() if recipe.moment == moment)
        return next((each for each in words if each), f"at the moment {moment}")

    def check_moment(self, name: str) -> Moment:
        """Check the name of a moment.

        Raises
        ------
        InvalidInputError
            If there is no such moment.
        """
        if name not in self.moments:
            raise InvalidInputError(
                f"Moment {name!r}", "is unknown", f"Choose one of: {', '.join(self.moments)}."
            )
        return name

    def moment_of(self, columns: Iterable[str]) -> Moment:
        """Return the earliest moment at which all of these columns are known.

        Columns that are not declared count as known at the last moment: nothing says that they are
        known earlier.
        """
        last = len(self.moments) - 1
        order = [self._place(name, last) for name in columns]
        return self.moments[max(order, default=0)]

    def known_too_late(self, columns: Iterable[str], moment: Moment) -> list[str]:
        """Return the columns that are not known yet at a moment, or hold the outcome, sorted.

        Undeclared columns are among them before the last moment.
        """
        by, last = self.moments.index(moment), len(self.moments) - 1
        return sorted(
            name
            for name in columns
            if name == self.target.name or name in self.outcomes or self._place(name, last) > by
        )

    def _place(self, column: str, default: int) -> int:
        known = self.known_from.get(column)
        return default if known is None else self.moments.index(known)
