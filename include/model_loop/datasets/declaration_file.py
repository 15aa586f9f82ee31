"""Reading the file of a dataset: strictly; a mistake is named by its key, with rule and remedy."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from model_loop.datasets.addresses import PARTITION, mistake_of_key
from model_loop.datasets.declaration import (
    DATABASE,
    DATABASE_TAG,
    FILES_TAG,
    OPEN,
    ColumnDeclaration,
    DatabaseSource,
    Declaration,
    class_condition,
)
from model_loop.datasets.declaration_types import Kind
from model_loop.errors import InvalidInputError
from model_loop.masking import mask_logins

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
            f"The dataset {origin}", f"is not TOML: {error}", "Correct it."
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
    unknown = "is not one of the moments"
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
    error: ValidationError, origin: str, kind: type[BaseModel] = Declaration
) -> InvalidInputError:
    """Return the first of pydantic's errors by the key of the file.

    An unknown key comes first: it is often the one that is missing, misspelled.

    Parameters
    ----------
    kind
        The model of the whole file.
    """
    errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    path = [str(part) for part in first["loc"] if part not in {"[key]", FILES_TAG, DATABASE_TAG}]
    key, count = ".".join(path), len(errors)
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1], kind)
        return InvalidInputError(
            f"{origin}: {key}", _counted("is unknown", count), nearest(path[-1], known)
        )
    if first["type"] == "missing":
        return InvalidInputError(
            f"{origin}: {key}", _counted("is missing", count), "Add it to the file."
        )
    # A rule between several keys is of the whole file, and names them itself.
    given = f"{origin}: {key} = {first['input']!r}" if key else origin
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


def nearest(given: str, names: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the nearest of those that are known, or all."""
    names = list(names)
    near = difflib.get_close_matches(given, names, 1, 0.5)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Choose one of: {', '.join(names)}."


def _counted(rule: str, mistakes: int) -> str:
    return rule if mistakes == 1 else f"{rule} (and {mistakes - 1} more mistakes)"
