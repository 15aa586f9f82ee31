"""The declaration of a dataset: one TOML file.

Every key is checked: one that is unknown is refused with the nearest that is known, and one that a
later version will read is refused by that name. Names are those of Frictionless (`encoding`,
`missing_values`, `constraints`, `categories`, `primary_key`), of AutoGluon (`time_on`, `group_on`,
`stratify_on`), and two of our own: `unit`, and `known`, the moment from which a value is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from model_loop.datasets.addresses import holds_key
from model_loop.datasets.classes import HALF, TWO, Label, TaskKind, is_share, text_of_label
from model_loop.datasets.conditions import Condition
from model_loop.datasets.declaration_types import (
    Action,
    Country,
    Duration,
    Kind,
    Name,
    Part,
    Permissions,
    TimeZone,
    check_time_format,
)
from model_loop.errors import look_up

#: Moments where a file lists none: when a prediction is asked for, and when the outcome is known.
REQUEST, LATER = "request", "later"
#: A question that is still open.
OPEN = "?"
#: Beginning of the address of a table or query of a database.
DATABASE = "database://"
# Marks of pydantic for the two sorts of sources; no key of a file.
FILES_TAG, DATABASE_TAG = "<files>", "<database>"


class _Strict(BaseModel):
    """A table of the file, without any key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DialectDeclaration(_Strict):
    """The marks by which lines of text become columns.

    Parameters
    ----------
    delimiter
        A character of ASCII between two cells; found in the rows if left out.
    header
        Whether the first row names the columns; otherwise they are column_1, column_2 …
    """

    delimiter: Annotated[str, Field(pattern=r"^[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x7f]$")] | None = (
        None
    )
    header: bool = True


class Time(_Strict):
    """The time of a row.

    Parameters
    ----------
    column
        Its column.
    stored_in
        Time zone of its values, where they carry none.
    time_zone
        Time zone of the place: months, weekdays and hours are those of its clocks.
    country
        Code (ISO 3166-1) of the country whose public holidays count: whether a day is one becomes a
        feature of each column of times.
    subdivision
        Code of the state or province whose own holidays count too, as the package `holidays` has
        it.
    """

    column: str
    stored_in: TimeZone = "UTC"
    time_zone: TimeZone = "UTC"
    country: Country | None = None
    subdivision: str | None = None

    @model_validator(mode="after")
    def _of_a_country(self) -> Self:
        if self.subdivision is not None and self.country is None:
            msg = "has a subdivision without its country: add country"
            raise ValueError(msg)
        return self


class Cost(_Strict):
    """Costs of the two mistakes that a yes-or-no answer can make, in any common unit.

    Parameters
    ----------
    false_alarm
        Cost of calling a row positive that is not.
    miss
        Cost of not calling a row positive that is.
    """

    false_alarm: float = Field(gt=0, allow_inf_nan=False)
    miss: float = Field(gt=0, allow_inf_nan=False)


class Task(_Strict):
    """The kind of prediction.

    Parameters
    ----------
    kind
        ``regression``: a number; ``binary``: yes or no; ``multiclass``: which of several classes.
    unit
        Unit of the target, as people write it; of numbers alone.
    positive_class
        Label whose probability is predicted where ``kind`` is ``binary``, which has to name it.
    positive_when
        Condition under which a row is of the positive class, where the target itself is no class:
        ``arr_delay > 15``. A row whose target is missing has no class.
    negative_class
        Label of the other rows, beside ``positive_when``.
    classes
        Labels; those of the rows that are learned from, if left out.
    threshold
        Probability from which an answer is the positive class; chosen on the validation rows, or by
        the cost, if left out.
    cost
        Cost of a false alarm and of a miss.
    """

    kind: TaskKind = "regression"
    unit: str = ""
    positive_class: Label | bool | None = None
    positive_when: str | None = None
    negative_class: str | None = None
    classes: tuple[Label, ...] = Field(default=(), strict=False)
    threshold: float | None = None
    cost: Cost | None = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if mistake := _mistake(self):
            raise ValueError(mistake)
        return self


def _mistake(task: Task) -> str:
    """Return what does not go together in the keys of a task; empty if all does."""
    if task.kind != "regression" and task.unit:
        return f"is {task.kind!r}, and has a unit: leave unit out, a class has none"
    if task.kind == "binary":
        return _binary_mistake(task)
    for key in ("positive_class", "positive_when", "negative_class", "threshold", "cost"):
        if getattr(task, key) is not None:
            return f"is {task.kind!r}, and has {key}: leave it out, or set kind = 'binary'"
    if task.kind == "regression" and task.classes:
        return "is 'regression', and has classes: leave them out, or set kind = 'multiclass'"
    return ""


def _binary_mistake(task: Task) -> str:
    if task.positive_class is None:
        return "is 'binary', and names no positive_class: add the label whose probability you want"
    positive = text_of_label(task.positive_class)
    texts = [text_of_label(each) for each in task.classes]
    threshold = HALF if task.threshold is None else task.threshold
    mistakes = {
        "has one of positive_when and negative_class: give both, or none": (
            (task.positive_when is None) != (task.negative_class is None)
        ),
        f"calls both classes {positive!r}: give each a label of its own": (
            task.negative_class is not None and task.negative_class.strip() == positive
        ),
        f"has the classes {', '.join(texts)}: list two, {positive!r} among them": bool(texts)
        and (len({*texts}) != TWO or positive not in texts),
        f"has the threshold {threshold:g}: give a probability from 0 to 1": not is_share(threshold),
        "has threshold and cost: leave one out, as the cost gives the threshold": (
            task.threshold is not None and task.cost is not None
        ),
    }
    return next((mistake for mistake, there in mistakes.items() if there), "")


class Split(_Strict):
    """The rule by which rows are learned from or judge.

    One of ``time_on``, ``group_on`` and ``shuffle``, or none of them: then time decides where the
    table has one, and a stable hash of the row's identity where it has none.

    Parameters
    ----------
    time_on
        Column of times: later rows judge what earlier ones have taught.
    group_on
        Column whose rows of one value (a patient, a machine) are all in the same part.
    stratify_on
        Column whose values have the same shares in each part.
    shuffle
        Whether chance decides.
    """

    time_on: str | None = None
    group_on: str | None = None
    stratify_on: str | None = None
    shuffle: bool = False

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum((self.time_on is not None, self.group_on is not None, self.shuffle)) > 1:
            msg = "says more than one of time_on, group_on and shuffle: choose one"
            raise ValueError(msg)
        return self


class Constraints(_Strict):
    """Conditions on the values of a column, as in Frictionless.

    Parameters
    ----------
    required
        Whether each row has a value.
    unique
        Whether no value comes twice.
    minimum
        Smallest value of a number.
    maximum
        Largest value of a number.
    enum
        All values that there may be.
    """

    required: bool = False
    unique: bool = False
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str | int | float | bool, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if None not in {self.minimum, self.maximum} and self.minimum > self.maximum:  # type: ignore[operator]  # neither is None
            msg = f"has a minimum ({self.minimum:g}) above its maximum ({self.maximum:g})"
            raise ValueError(msg)
        return self


class ColumnDeclaration(_Strict):
    """One column of the table; what is left out is found in the data, by the same rules each time.

    Parameters
    ----------
    type
        Type of its values. Categories may be whole numbers that are codes; ids are kept and never
        learned from; text is not learned from yet.
    known
        Moment from which its value is known; ``?`` is an open question.
    title
        Name for people, in forms, charts and messages.
    description
        Sentence for the form and the documentation of the server.
    unit
        Unit of its values, as people write it.
    field
        Name in requests, where that of the file is no name.
    aliases
        Further names in requests.
    format
        Of times: ISO8601, as `datetime.strptime` reads them, or epoch_s, epoch_ms, epoch_us.
    decimal_char
        Decimal sign of its numbers, where it is not that of the table.
    missing_values
        Values that stand for a missing one. Numbers are added to the usual words (empty, NA, null,
        ? …); a list with any text replaces them. An empty cell is missing in any case.
    categories
        All values of a category, in the order in which forms offer them.
    constraints
        Conditions on its values.
    example
        Value that forms and documentation show.
    group_report
        Whether a classifier is described for each of its values, see the model card: how often it
        says yes, and how often it is wrong.
    """

    type: Kind | None = None
    known: str | None = None
    title: str | None = None
    description: str | None = None
    unit: str | None = None
    field: Name | None = None
    aliases: tuple[str, ...] = Field(default=(), strict=False)
    format: Annotated[str, AfterValidator(check_time_format)] | None = None
    decimal_char: Literal[".", ","] | None = None
    missing_values: tuple[str | int | float, ...] | None = Field(default=None, strict=False)
    categories: tuple[str | int, ...] | None = Field(default=None, strict=False)
    constraints: Constraints = Constraints()
    example: str | int | float | bool | None = None
    group_report: bool = False


class RecipeDeclaration(_Strict):
    """The columns that a model may know, and the moment at which it is asked.

    Parameters
    ----------
    at
        The moment: only columns that are known by then are learned from.
    title
        Name for people.
    columns
        These alone; all that are known by then, if left out.
    without
        Columns that are known by then, and left out.
    """

    at: str
    title: str | None = None
    columns: tuple[str, ...] | None = Field(default=None, strict=False)
    without: tuple[str, ...] = Field(default=(), strict=False)


class RuleDeclaration(_Strict):
    """A rule of the contract, beyond what the columns say.

    Parameters
    ----------
    name
        Name that reports and quarantined rows bear.
    when
        Condition of the rows that break it: columns are compared with values, as in
        ``loaves == 0 and cakes == 0`` or ``dep_time is missing``.
    action
        ``set_aside`` the rows, ``refuse`` the partition, or ``warn``.
    message
        Sentence for the report.
    """

    name: str
    when: str
    action: Action = "set_aside"
    message: str | None = None


class DatabaseSource(_Strict):
    """A table or a query of a database, in place of the address of files.

    Each partition is read by the time of its rows, from its first moment up to the first of the
    next one; the bounds are parameters, and no text of the query.

    Parameters
    ----------
    connection
        Id of a connection of Airflow, such as that of the variable AIRFLOW_CONN_WAREHOUSE:
        `warehouse`.
    table
        Name of the table, as the database has it: ``public.orders``.
    query
        A SELECT in place of a table. Its rows have to be the same each time.
    changed_on
        Column with the time of the last change of a row; the time of the row, if left out.
    statement_timeout
        Longest time that a statement may take.
    """

    connection: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
    table: str | None = None
    query: str | None = None
    changed_on: str | None = None
    statement_timeout: Duration = "1 hour"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool((self.table or "").strip()) == bool((self.query or "").strip()):
            msg = "has both of table and query, or none: give the one that is read"
            raise ValueError(msg)
        return self

    @property
    def relation(self) -> str:
        """Name of what is read: the table, or the query by its digest."""
        if self.table is not None:
            return self.table
        return f"query-{hashlib.sha256(str(self.query).encode()).hexdigest()[:12]}"

    def __str__(self) -> str:
        """Return the address, which forms and lineages show."""
        return f"{DATABASE}{self.connection}/{self.relation}"


def _tag_of_source(given: object) -> str:
    return FILES_TAG if isinstance(given, str) else DATABASE_TAG


Source = Annotated[
    Annotated[str, Tag(FILES_TAG)] | Annotated[DatabaseSource, Tag(DATABASE_TAG)],
    Discriminator(_tag_of_source),
]


class VariantDeclaration(_Strict):
    """A variant of the table: its own files, and its own names of columns.

    Parameters
    ----------
    title
        Name for people.
    source
        Address of its files, as that of the dataset.
    columns
        Its own names of columns, by those of the dataset.
    """

    title: str | None = None
    source: Source | None = None
    columns: Mapping[str, str] = {}


class AcceptedFinding(_Strict):
    """A finding that a person has judged: it refuses nothing any more, and stands in model cards.

    Parameters
    ----------
    code
        Code of the finding.
    reason
        Why it is right as it is.
    column
        Column of the finding; all, if left out.
    partition
        Partition of the finding; all, if left out.
    """

    code: str
    reason: Annotated[str, Field(min_length=1)]
    column: str | None = None
    partition: str | None = None


class Declaration(_Strict):
    """A dataset, as its file declares it.

    Parameters
    ----------
    name
        Name that never changes: what is stored bears it.
    source
        Path, s3:// or https:// address of the files; a relative path begins at the folder of the
        declaration. With ``{partition}``, one file for each, or several with a ``*`` as well; with
        ``year={year}/month={month}/*.parquet``, folders of Hive; with ``*`` alone, one table
        that is cut by its time. A table or query of a database is a table [source] instead.
    target
        Column that is predicted.
    title
        Name for people.
    description
        Sentences for the dashboard and the documentation of the server.
    status
        ``draft`` until every question is answered; nobody trains on a draft.
    owner
        Address that is mailed about its DAGs, in place of that of the settings.
    schedule
        Cron expression (UTC) by which it is trained again.
    access
        Permissions on its DAGs by the name of a role of Airflow (FAB): ``read`` shows them and
        their runs, ``run`` starts runs, and pauses, as Airflow does not tell the two apart.
    partition
        Part of the table that comes as one, cut in the dataset's time zone.
    labels_after
        How long after the time of a row its true value arrives, such as ``1 day``.
    moments
        Moments at which something becomes known, in their order.
    primary_key
        Columns whose values together are those of one row alone.
    label_keys
        Columns by which true values are matched with predictions; the primary key, if left out.
    slices
        Columns by whose values errors are reported.
    encoding
        Encoding of the files; UTF-8, else cp1252, if left out.
    decimal_char
        Decimal sign of numbers; found in each column if left out.
    missing_values
        Values that stand for a missing one, in all columns.
    dialect
        Marks by which lines become columns.
    time
        Time of a row.
    task
        Kind of prediction.
    split
        Rule by which rows are learned from or judge.
    columns
        Columns by their names in the files.
    recipes
        Recipes by their names; one at the first moment with all that is known then, if left out.
    rules
        Rules beyond what the columns say.
    variants
        Variants by their names, such as the branches of a shop.
    accepted
        Findings that a person has judged.
    """

    name: Name
    source: Source
    target: str
    title: str | None = None
    description: str | None = None
    status: Literal["draft", "ready"] = "ready"
    owner: str | None = None
    schedule: str | None = None
    access: Mapping[str, Permissions] = {}
    partition: Part = "whole"
    labels_after: Duration | None = None
    moments: tuple[Name, ...] = Field(default=(REQUEST, LATER), min_length=1, strict=False)
    primary_key: tuple[str, ...] = Field(default=(), strict=False)
    label_keys: tuple[str, ...] = Field(default=(), strict=False)
    slices: tuple[str, ...] = Field(default=(), strict=False)
    encoding: str | None = None
    decimal_char: Literal[".", ","] | None = None
    missing_values: tuple[str | int | float, ...] | None = Field(default=None, strict=False)
    dialect: DialectDeclaration = DialectDeclaration()
    time: Time | None = None
    task: Task = Task()
    split: Split = Split()
    columns: Mapping[str, ColumnDeclaration] = {}
    recipes: Mapping[Name, RecipeDeclaration] = {}
    rules: tuple[RuleDeclaration, ...] = Field(default=(), strict=False)
    variants: Mapping[Name, VariantDeclaration] = {}
    accepted: tuple[AcceptedFinding, ...] = Field(default=(), strict=False)

    @field_validator("moments")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            msg = "names a moment twice: name each once, in the order of time"
            raise ValueError(msg)
        return value

    def source_of(self, variant: str | None) -> str | DatabaseSource:
        """Return the source of a variant, by its name in the file: its own, or that of all.

        Raises
        ------
        InvalidInputError
            If there is no such variant.
        """
        own = None if variant is None else look_up("Variant", variant, self.variants).source
        return self.source if own is None else own

    @property
    def comes_in_partitions(self) -> bool:
        """Say whether each partition is read by itself, and not cut out of one table."""
        if isinstance(self.source, str):
            return holds_key(self.source)
        return self.partition != "whole"

    @property
    def open_questions(self) -> tuple[str, ...]:
        """Keys whose value is still ``?``."""
        return tuple(
            f"columns.{name}.known" for name, each in self.columns.items() if each.known == OPEN
        )


def source_in(source: str, folder: Path) -> str:
    """Return the whole address of files, of a declaration in some folder."""
    if "://" in source:
        return source
    return str(folder.absolute() / Path(source).expanduser())


def class_condition(declaration: Declaration) -> Condition | None:
    """Return the condition under which a row is of the positive class; None if labels say it.

    Raises
    ------
    InvalidInputError
        If it is not in the language of conditions, or names a column that is not declared.
    """
    text = declaration.task.positive_when
    if text is None:
        return None
    return Condition.parse(text, {*declaration.columns, declaration.target})
