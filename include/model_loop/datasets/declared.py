"""From the declaration of a dataset to the dataset itself."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from model_loop.datasets.classes import Classes, in_order, text_of_label, yes_as_number
from model_loop.datasets.columns import Column, Columns, Kind
from model_loop.datasets.dataset import Dataset, Recipe, Target, Variant
from model_loop.datasets.declaration import (
    OPEN,
    ColumnDeclaration,
    Declaration,
    RecipeDeclaration,
    class_condition,
)
from model_loop.datasets.declaration_types import LEARNED_KINDS
from model_loop.datasets.literals import missing_words
from model_loop.datasets.reading import RowReader
from model_loop.datasets.times import FIRST_YEAR, ISO, LAST_YEAR, TimeReader
from model_loop.errors import InvalidInputError

_KINDS: Mapping[str, Kind] = MappingProxyType(
    {"number": "number", "category": "category", "yes_no": "yes_no", "time": "time"}
)
_NOT_OF_NAMES = re.compile(r"[^a-z0-9]+")


def dataset_of(declaration: Declaration) -> Dataset:
    """Return the dataset of a declaration in which the type of each column is known.

    Columns that are not declared, or have no type, are unknown to requests and models:
    `tables.inference` completes a declaration by the data.

    Raises
    ------
    InvalidInputError
        If no column is left to learn from, or a question is open.
    """
    if declaration.open_questions:
        raise InvalidInputError(
            f"The dataset {declaration.name}",
            f"has open questions: {', '.join(declaration.open_questions)}",
            "Answer each in its file: a moment in the place of '?'.",
        )
    columns = Columns(_columns(declaration))
    if not columns:
        raise InvalidInputError(
            f"The dataset {declaration.name}",
            "declares no column that a model can learn from",
            "Declare columns of the types number, category, yes_no or time.",
        )
    time = declaration.time
    time_zone = time.time_zone if time else "UTC"
    title = declaration.title or declaration.name
    recipes = {recipe.name: recipe for recipe in _recipes(declaration, columns)}
    return Dataset(
        name=declaration.name,
        title=title,
        target=Target(
            declaration.target,
            declaration.task.unit,
            _title(declaration.target, declaration.columns.get(declaration.target)),
            kind=declaration.task.kind,
            classes=classes_of(declaration),
        ),
        columns=columns,
        moments=declaration.moments,
        recipes=MappingProxyType(recipes),
        default_recipe=next(iter(recipes)),
        variants=MappingProxyType(
            {variant.key: variant for variant in _variants(declaration, title)}
        ),
        reader=_reader(declaration, columns),
        outcomes=_outcomes(declaration),
        time=time.column if time else None,
        time_zone=time_zone,
        partition=declaration.partition,
        slices=declaration.slices,
        group=declaration.split.group_on,
        declaration=declaration,
    )


def classes_of(declaration: Declaration) -> Classes | None:
    """Return the classes of the target; None of a number, and where no row has named them yet."""
    task = declaration.task
    if task.kind == "regression":
        return None
    positive = positive_label(declaration)
    texts = [text_of_label(each) for each in task.classes]
    if task.negative_class is not None and positive is not None:
        texts = [task.negative_class.strip(), positive]
    if not texts:
        return None
    labels = in_order(texts, positive)
    cost = task.cost
    return Classes(
        labels,
        labels[-1] if positive is not None else None,
        task.threshold,
        cost.false_alarm if cost else None,
        cost.miss if cost else None,
    )


def positive_label(declaration: Declaration) -> str | None:
    """Return the text of the positive class; None of several classes.

    Where the target is declared as yes or no, its values are 1 and 0, whatever the file has.
    """
    positive = declaration.task.positive_class
    if positive is None:
        return None
    text, column = text_of_label(positive), declaration.columns.get(declaration.target)
    answers_yes_no = column is not None and column.type == "yes_no"
    if answers_yes_no and declaration.task.positive_when is None:
        return yes_as_number(text)
    return text


def _outcomes(declaration: Declaration) -> frozenset[str]:
    """Return the columns that hold the outcome: the target, and what its classes are made of."""
    condition = class_condition(declaration)
    return frozenset({declaration.target}) | (condition.columns if condition else frozenset())


def field_name(column: str, taken: Iterable[str] = ()) -> str:
    """Return a name for requests of a column's name, unlike those taken: ``Größe [m]`` is grosse_m.

    Letters that have a form without accents get it, all others are left out.
    """
    folded = unicodedata.normalize("NFKD", column.casefold()).encode("ascii", "ignore").decode()
    name = _NOT_OF_NAMES.sub("_", folded).strip("_")
    if not name or name[0].isdigit():
        name = f"column_{name}".rstrip("_")
    used, number, unique = {*taken}, 2, name
    while unique in used:
        unique, number = f"{name}_{number}", number + 1
    return unique


def _columns(declaration: Declaration) -> Iterator[Column]:
    first = declaration.moments[0]
    fields, outcomes = list[str](), _outcomes(declaration)
    for name, column in declaration.columns.items():
        if column.type not in LEARNED_KINDS or name in outcomes:
            continue
        fields.append(column.field or field_name(name, fields))
        yield _column(name, fields[-1], column, first if column.known is None else column.known)


def _column(name: str, field: str, declared: ColumnDeclaration, known: str) -> Column:
    bounds, kind = declared.constraints, _KINDS[declared.type or OPEN]
    lowest = -math.inf if bounds.minimum is None else bounds.minimum
    highest = math.inf if bounds.maximum is None else bounds.maximum
    if kind == "time":
        lowest, highest = FIRST_YEAR, LAST_YEAR
    categories = declared.categories or bounds.enum if kind == "category" else ()
    return Column(
        name=name,
        field=field,
        kind=kind,
        title=_title(name, declared),
        description=declared.description or "",
        known=known,
        lowest=lowest,
        highest=highest,
        noun={"time": "time", "category": "category", "yes_no": "yes or no"}.get(kind, "number"),
        aliases=declared.aliases,
        unit=declared.unit or "",
        required=bounds.required,
        example="2024-01-15T08:30:00"
        if declared.example is None and kind == "time"
        else declared.example,
        categories=tuple(map(str, categories)),
        text=kind == "category",
    )


def _reader(declaration: Declaration, columns: Columns) -> RowReader:
    """Return a reader by which a row means the same in a request and in a file."""
    learned = {column.name: declaration.columns[column.name] for column in columns}
    stored_in = declaration.time.stored_in if declaration.time else "UTC"
    time_zone = declaration.time.time_zone if declaration.time else "UTC"
    decimals = {
        name: each.decimal_char or declaration.decimal_char or "." for name, each in learned.items()
    }
    return RowReader(
        columns,
        ignored=frozenset(declaration.columns).difference(learned) | {declaration.target},
        read_time=TimeReader(stored_in, time_zone),
        codes={},
        missing=MappingProxyType(
            {
                name: missing_words(
                    declaration.missing_values
                    if each.missing_values is None
                    else each.missing_values
                )
                for name, each in learned.items()
            }
        ),
        decimals=MappingProxyType(decimals),
        units=MappingProxyType({name: each.unit or "" for name, each in learned.items()}),
        times=MappingProxyType(
            {
                name: TimeReader(stored_in, time_zone, each.format or ISO)
                for name, each in learned.items()
                if each.type == "time"
            }
        ),
        first_moment=declaration.moments[0],
    )


def _title(name: str, declared: ColumnDeclaration | None) -> str:
    return (declared.title if declared else None) or name.replace("_", " ").strip()


def _recipes(declaration: Declaration, columns: Columns) -> Iterator[Recipe]:
    declared = declaration.recipes or {
        declaration.moments[0]: RecipeDeclaration(at=declaration.moments[0])
    }
    order = declaration.moments.index
    for name, recipe in declared.items():
        known = [column.name for column in columns if order(column.known) <= order(recipe.at)]
        late = [column for column in recipe.columns or () if column not in known]
        if late:
            raise InvalidInputError(
                f"Recipe {name} of the dataset {declaration.name}",
                f"has columns that are unknown at the moment {recipe.at}: {', '.join(late)}",
                "Leave them out, ask at a later moment, or correct the moment of the columns.",
            )
        chosen = tuple(
            one
            for one in (recipe.columns if recipe.columns is not None else known)
            if one not in recipe.without
        )
        if not chosen:
            raise InvalidInputError(
                f"Recipe {name} of the dataset {declaration.name}",
                "has no column",
                f"Declare columns that are known at the moment {recipe.at}.",
            )
        words = recipe.title or f"what is known at the moment {recipe.at}"
        yield Recipe(name, words, chosen, recipe.at)


def _variants(declaration: Declaration, title: str) -> Iterator[Variant]:
    if not declaration.variants:
        yield Variant(declaration.name, title, declaration.name)
    for name, variant in declaration.variants.items():
        key = f"{declaration.name}.{name}"
        yield Variant(key, variant.title or f"{title}: {name}", f"{declaration.name}_{name}")
