"""The declaration of a dataset: one TOML file.

Every key is checked: one that is unknown is refused with the nearest that is known, and one that a
later version will read is refused by that name. Names are those of Frictionless (`encoding`,
`missing_values`, `constraints`, `categories`, `primary_key`), of AutoGluon (`time_on`, `group_on`,
`stratify_on`), and two of our own: `unit`, and `known`, the moment from which a value is known.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from model_loop.datasets import times
from model_loop.datasets.addresses import PARTITION, holds_key, mistake_of_key
from model_loop.datasets.classes import HALF, TWO, Label, TaskKind, is_share, text_of_label
from model_loop.datasets.conditions import Condition
from model_loop.errors import InvalidInputError, look_up
from model_loop.masking import mask_logins

Kind = Literal["number", "category", "yes_no", "time", "text", "id", "ignored"]
#: Types of columns that models learn from.
LEARNED_KINDS: tuple[Kind, ...] = ("number", "category", "yes_no", "time")
Part = Literal["month", "week", "day", "whole"]
Action = Literal["set_aside", "refuse", "warn"]
Permission = Literal["read", "edit", "delete", "run"]

#: Moments where a file lists none: when a prediction is asked for, and when the outcome is known.
REQUEST, LATER = "request", "later"
#: A question that is still open.
OPEN = "?"
#: Beginning of the address of a table or query of a database.
DATABASE = "database://"
# Marks of pydantic for the two sorts of sources; no key of a file.
_FILES, _DATABASE = "<files>", "<database>"

#: Keys that later versions read.
RESERVED: Mapping[str, str] = {
    "columns.*.monotone": "the direction in which a prediction may move with a column",
    "lookups": "tables that are joined by a key",
}

#: Rules of pydantic's types, in the words of the file.
_TYPES: Mapping[str, str] = {
    "bool_type": "is neither true nor false",
    "dict_type": "is no table of keys",
    "float_type": "is no number",
    "int_type": "is no whole number",
    "model_type": "is no table of keys",
    "string_type": "is no text",
    "too_short": "is empty",
    "tuple_type": "is no list",
}
#: Words that other tools have for types of columns.
_SYNONYMS: Mapping[str, Kind] = {
    **dict.fromkeys(("integer", "int", "float", "double", "decimal", "numeric"), "number"),
    **dict.fromkeys(("bool", "boolean", "binary"), "yes_no"),
    **dict.fromkeys(("date", "datetime", "timestamp"), "time"),
    **dict.fromkeys(("string", "str", "categorical", "factor", "enum", "object"), "category"),
    **dict.fromkeys(("ignore", "drop", "skip"), "ignored"),
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_NUMBER_OF_UNIT = re.compile(r"(\d+(?:\.\d+)?) (minute|hour|day|week)s?")
_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 7 * 86_400}


def require_name(value: str) -> str:
    """Return the name of a dataset as it is.

    Raises
    ------
    ValueError
        If it is none; the message continues the value.
    """
    if not _NAME.fullmatch(value):
        msg = "is no name: use small letters, digits and _, beginning with a letter, at most 40"
        raise ValueError(msg)
    return value


def require_time_zone(value: str) -> str:
    """Return the name of a time zone as it is.

    Raises
    ------
    ValueError
        If it is none; the message continues the value.
    """
    names = zoneinfo.available_timezones()
    if value not in names:
        near = difflib.get_close_matches(value, names, 1) or ["America/New_York or UTC"]
        raise ValueError(f"is no time zone of the IANA database, such as {near[0]}")
    return value


def _country(value: str) -> str:
    if not _COUNTRY.fullmatch(value):
        msg = "is no code of a country (ISO 3166-1), two capital letters such as US"
        raise ValueError(msg)
    return value


def _duration(value: str) -> str:
    if not _NUMBER_OF_UNIT.fullmatch(value):
        msg = "is no length of time, such as '1 day' or '90 minutes'"
        raise ValueError(msg)
    return value


def _delimiter(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value in '\0"\r\n':
        msg = "is no delimiter: give one character of ASCII, such as ; or \\t"
        raise ValueError(msg)
    return value


def _time_format(value: str) -> str:
    if value not in times.EPOCHS:
        try:
            times.pattern(value)
        except InvalidInputError as error:
            raise ValueError(f"{error.rule}: {error.remedy.rstrip('.')}") from error
    return value


Name = Annotated[str, AfterValidator(require_name)]
TimeZone = Annotated[str, AfterValidator(require_time_zone)]
Country = Annotated[str, AfterValidator(_country)]
Duration = Annotated[str, AfterValidator(_duration)]
Permissions = Annotated[tuple[Permission, ...], Field(min_length=1, strict=False)]


def seconds_of(duration: Duration) -> float:
    """Return how many seconds a length of time has: ``1 day`` is 86,400."""
    number, unit = duration.rstrip("s").split(" ")
    return float(number) * _SECONDS[unit]


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
    format: Annotated[str, AfterValidator(_time_format)] | None = None
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
    return _FILES if isinstance(given, str) else _DATABASE


Source = Annotated[
    Annotated[str, Tag(_FILES)] | Annotated[DatabaseSource, Tag(_DATABASE)],
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


def read_declaration(path: Path) -> Declaration:
    """Read the file of a dataset.

    Raises
    ------
    InvalidInputError
        If it is missing, is no TOML, has a key or a value that a declaration does not take, or
        contradicts itself. The first mistake is named with its key, and how many more there are.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"The dataset {path}", f"cannot be read ({error})", "Give a TOML file in UTF-8."
        ) from error
    return parse_declaration(text, str(path))


def parse_declaration(text: str, origin: str) -> Declaration:
    """Read a declaration from the text of a file.

    Parameters
    ----------
    origin
        Name of the file, for errors.

    Raises
    ------
    InvalidInputError
        See `read_declaration`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(
            f"The dataset {origin}", f"is no TOML: {error}", "Correct it."
        ) from error
    _refuse_reserved(content, origin)
    try:
        declaration = Declaration.model_validate(content)
    except ValidationError as error:
        raise refusal_of(error, origin) from None
    declaration = _with_class_type(declaration)
    mistakes = [*_contradictions(declaration)]
    if mistakes:
        key, rule, remedy = mistakes[0]
        raise InvalidInputError(f"{origin}: {key}", _counted(rule, len(mistakes)), remedy)
    return declaration


def _with_class_type(declaration: Declaration) -> Declaration:
    """Return a declaration whose classes are read as the texts that files have for them."""
    task, target = declaration.task, declaration.target
    if task.kind == "regression" or task.positive_when is not None:
        return declaration
    column = declaration.columns.get(target, ColumnDeclaration())
    if column.type is not None:
        return declaration
    typed = column.model_copy(update={"type": "category"})
    return declaration.model_copy(update={"columns": {**declaration.columns, target: typed}})


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


def _refuse_reserved(content: Mapping[str, Any], origin: str) -> None:
    for pattern, meaning in RESERVED.items():
        for key in _matching(content, pattern.split("."), ()):
            raise InvalidInputError(
                f"{origin}: {key}",
                f"is reserved: a later version will read it as {meaning}",
                "Leave it out.",
            )


def _matching(content: Any, parts: list[str], before: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401 - any TOML
    if not parts:
        yield ".".join(before)
        return
    if isinstance(content, Mapping):
        first, *rest = parts
        for key in content if first == "*" else [first] if first in content else []:
            yield from _matching(content[key], rest, (*before, key))


def _contradictions(found: Declaration) -> Iterator[tuple[str, str, str]]:
    """Yield the statements that contradict each other: key, rule, remedy."""
    yield from _mistakes_of_sources(found)
    unknown = "is none of the moments"
    for name, column in found.columns.items():
        if column.known not in {None, OPEN, *found.moments}:
            key = f"columns.{name}.known = {column.known!r}"
            yield key, unknown, nearest(str(column.known), found.moments)
    for name, recipe in found.recipes.items():
        if recipe.at not in found.moments:
            key = f"recipes.{name}.at = {recipe.at!r}"
            yield key, unknown, nearest(recipe.at, found.moments)
        if found.target in (recipe.columns or ()):
            key = f"recipes.{name}.columns"
            yield key, f"holds the target {found.target!r}", "Leave it out: it is predicted."
    yield from _mistakes_of_classes(found)


def _mistakes_of_sources(found: Declaration) -> Iterator[tuple[str, str, str]]:
    of_files = isinstance(found.source, str)
    sources = [found.source, *(each.source for each in found.variants.values() if each.source)]
    for source in (each for each in sources if isinstance(each, str)):
        if source.startswith(DATABASE):
            yield (
                f"source = {source!r}",
                "is the name of a table of a database, and no address",
                "Write a table instead: [source] with connection, and table or query.",
            )
        if rule := mistake_of_key(source, found.partition):
            yield f"source = {source!r}", rule, f"Name all of them, or {PARTITION} alone."
        if "://" in source and (masked := mask_logins(source)) != source:
            yield (
                f"source = {masked!r}",
                "carries a login, which everybody who sees a run could read",
                "Put it into ~/.netrc for https://, and into the environment for s3://.",
            )
    if any(isinstance(each, str) != of_files for each in sources):
        rule = "have files, and tables of a database"
        yield "variants", rule, "Let all be files, or all be of a database."
    cut = not of_files or not found.comes_in_partitions
    if found.partition != "whole" and found.time is None and cut:
        yield (
            f"partition = {found.partition!r}",
            f"cannot be cut: the table has no time, and its source no {PARTITION}",
            f"Add [time] with its column{f', or {PARTITION} to the source' * of_files}.",
        )


def _mistakes_of_classes(found: Declaration) -> Iterator[tuple[str, str, str]]:
    if found.task.positive_when is not None:
        try:
            class_condition(found)
        except InvalidInputError as error:
            yield "task.positive_when", f"cannot be read: {error.given} {error.rule}", error.remedy
    if found.task.kind == "regression":
        for name, column in found.columns.items():
            if column.group_report:
                rule = "is of classifiers: the target of this table is a number"
                yield f"columns.{name}.group_report", rule, "Leave it out."


def refusal_of(
    error: ValidationError, origin: str, kind: type[BaseModel] | None = None
) -> InvalidInputError:
    """Return the first of pydantic's errors by the key of the file.

    An unknown key comes first: it is often the one that is missing, misspelled.

    Parameters
    ----------
    kind
        The model of the whole file; that of a dataset by default.
    """
    errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    path = [str(part) for part in first["loc"] if part not in {"[key]", _FILES, _DATABASE}]
    key, count = ".".join(path), len(errors)
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1], kind or Declaration)
        return InvalidInputError(
            f"{origin}: {key}", _counted("is unknown", count), nearest(path[-1], known)
        )
    if first["type"] == "missing":
        return InvalidInputError(
            f"{origin}: {key}", _counted("is missing", count), "Add it to the file."
        )
    given = f"{origin}: {key} = {first['input']!r}"
    if first["type"] == "literal_error":
        options = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
        wanted = _SYNONYMS.get(str(first["input"]).lower(), str(first["input"]))
        return InvalidInputError(given, _counted("is unknown", count), nearest(wanted, options))
    said = first["msg"].removeprefix("Value error, ")
    rule = said if said.startswith(("is ", "has ", "says ", "names ")) else f"is refused: {said}"
    rule = _TYPES.get(first["type"], rule)
    remedy = "Correct the value."
    if first["type"] == "model_type":
        remedy = f"Write a table: [{key}], and below it its keys."
    return InvalidInputError(given, _counted(rule, count), remedy)


def _known_keys(path: Iterable[str], kind: Any) -> list[str]:  # noqa: ANN401 - a model or a type
    """Return the keys that the table of the file at a path may have."""
    for part in path:
        if part == "source":
            kind = DatabaseSource
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation
        else:
            # A key of a mapping, or a place in a list: the last argument is what they hold.
            kind = next(each for each in reversed(get_args(kind)) if each is not Ellipsis)
        while get_args(kind) and type(None) in get_args(kind):
            kind = next(each for each in get_args(kind) if each is not type(None))
    return list(kind.model_fields)


def nearest(given: str, known: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the nearest of those that are known, or all."""
    known = list(known)
    near = difflib.get_close_matches(given, known, 1, 0.5)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Choose one of: {', '.join(known)}."


def _counted(rule: str, mistakes: int) -> str:
    return rule if mistakes == 1 else f"{rule} (and {mistakes - 1} more mistakes)"
