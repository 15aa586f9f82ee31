"""Conditions on the rows of a table: a small closed language, as in ``dep_time is missing``.

A condition compares columns with values and with each other. It is read by Python's parser, and
only the operators listed here are taken: nothing is called, and Python evaluates none of it.
Columns whose names are no identifiers stand between backquotes, as in `pandas.DataFrame.query`.
A comparison with a missing value is unknown, as in SQL, and a row meets a condition only where that
is known; ``is missing`` asks for the value itself.
"""

from __future__ import annotations

import ast
import functools
import keyword
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from model_loop.errors import InvalidInputError

if TYPE_CHECKING:
    # Declarations are read where pandas is not loaded: a DAG file is read again and again.
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Mask: TypeAlias = "npt.NDArray[np.bool_]"
#: Yes, no or unknown for each row.
_Answers: TypeAlias = "pd.arrays.BooleanArray"
_Holds: TypeAlias = "Callable[[pd.DataFrame], _Answers]"
_Value: TypeAlias = "Callable[[pd.DataFrame], Any]"

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
    }
)
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
    }
)
_MISSING = "missing"
_QUOTED = re.compile(r"`([^`]+)`")
_GRAMMAR = (
    "Combine comparisons (<, <=, >, >=, ==, !=, in [...], is missing, is not missing) of columns, "
    "numbers, 'text' and sums by and, or, not and brackets."
)
#: Characters of a condition, and levels of its brackets.
_LONGEST, _DEEPEST = 1_000, 50


@dataclass(frozen=True)
class Condition:
    """A condition that each row meets or does not.

    Parameters
    ----------
    text
        The condition as it is written.
    columns
        Names of the columns that it reads.
    """

    text: str
    columns: frozenset[str]
    _holds: _Holds = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, columns: Iterable[str]) -> Condition:
        """Read a condition.

        Parameters
        ----------
        columns
            Names of the table's columns.

        Raises
        ------
        InvalidInputError
            If it is not in the language, or names a column that the table does not have.
        """
        if len(text) > _LONGEST:
            raise _refusal(f"{text[:80]}…", f"is longer than {_LONGEST:,} characters")
        quoted_names: dict[str, str] = {}

        def plain(match: re.Match[str]) -> str:
            alias = f"_column_{len(quoted_names)}"
            quoted_names[alias] = match[1]
            return alias

        try:
            tree = ast.parse(_QUOTED.sub(plain, text).strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _refusal(text, "is not in the language of conditions") from error
        compiler = _Compiler(text, frozenset(columns), quoted_names)
        holds = compiler.condition(tree, _DEEPEST)
        return cls(text, frozenset(compiler.columns), holds)

    def answers_of(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return 1 for rows that meet the condition, 0 for others, NaN where it is unknown.

        Raises
        ------
        InvalidInputError
            See `rows_of`.
        """
        try:
            answers = self._holds(frame)
        except TypeError as error:
            raise _refusal(self.text, f"compares values without an order ({error})") from error
        found: npt.NDArray[np.float64] = _rows().numbers_of(answers)
        return found

    def rows_of(self, frame: pd.DataFrame) -> Mask:
        """Return which rows meet the condition, shape (rows,).

        Raises
        ------
        InvalidInputError
            If it compares values that have no order, such as text with numbers.
        """
        # NaN equals nothing.
        met: Mask = self.answers_of(frame) == 1
        return met


def quoted(column: str) -> str:
    """Return the name of a column as a condition has it: between backquotes where it has to be."""
    plain = column.isidentifier() and not keyword.iskeyword(column) and column != _MISSING
    return column if plain else f"`{column}`"


@dataclass
class _Compiler:
    """Turns the parts of an expression into functions of a frame, and refuses all others."""

    text: str
    known: frozenset[str]
    quoted_names: Mapping[str, str]
    columns: set[str] = field(default_factory=set)

    def condition(self, node: ast.expr, levels: int) -> _Holds:
        self._require_flat(levels)
        match node:
            case ast.BoolOp(op=op, values=parts):
                inner = [self.condition(each, levels - 1) for each in parts]
                combine = operator.and_ if isinstance(op, ast.And) else operator.or_
                return lambda frame: functools.reduce(combine, [part(frame) for part in inner])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                negated = self.condition(operand, levels - 1)
                return lambda frame: ~negated(frame)
            case ast.Compare(left=first, ops=[op], comparators=[last]) if (
                type(op) not in _COMPARISONS
            ):
                return self._membership(first, op, last, levels)
            case ast.Compare(left=first, ops=ops, comparators=rest):
                values = [self.value(each, levels - 1) for each in (first, *rest)]
                comparisons = [
                    _COMPARISONS[type(each)] for each in ops if type(each) in _COMPARISONS
                ]
                if len(comparisons) == len(ops):
                    return lambda frame: _chain(frame, values, comparisons)
        raise self._refused(node, "is no condition")

    def value(self, node: ast.expr, levels: int) -> _Value:
        self._require_flat(levels)
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return lambda _frame: value
            case ast.Name(id=name):
                column = self._column(self.quoted_names.get(name, name))
                return lambda frame: frame[column]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                negated = self.value(operand, levels - 1)
                return lambda frame: -_number(negated(frame))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                one, other = self.value(left, levels - 1), self.value(right, levels - 1)
                compute = _ARITHMETIC[type(op)]
                return lambda frame: compute(_number(one(frame)), _number(other(frame)))
        raise self._refused(node, "is neither a column nor a value")

    def _membership(self, first: ast.expr, op: ast.cmpop, last: ast.expr, levels: int) -> _Holds:
        """Compile ``is missing``, ``is not missing``, ``in [...]`` and ``not in [...]``."""
        value = self.value(first, levels - 1)
        match op, last:
            case ast.Is(), ast.Name(id="missing"):
                return lambda frame: _rows().missing(frame, value(frame), there=False)
            case ast.IsNot(), ast.Name(id="missing"):
                return lambda frame: _rows().missing(frame, value(frame), there=True)
            case (ast.In() | ast.NotIn(), ast.List(elts=elements)):
                chosen = [self._constant(each) for each in elements]
                excluded = isinstance(op, ast.NotIn)
                return lambda frame: _rows().members(frame, value(frame), chosen, excluded=excluded)
        raise self._refused(last, "cannot stand there")

    def _constant(self, node: ast.expr) -> Any:  # noqa: ANN401 - number, text or yes/no
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._constant(node.operand)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
            return node.value
        raise self._refused(node, "is no value of a list")

    def _column(self, name: str) -> str:
        if name not in self.known:
            raise InvalidInputError(
                f"The condition {self.text!r}",
                f"names {name!r}, which is no column",
                f"The columns are {', '.join(map(quoted, sorted(self.known)))}.",
            )
        self.columns.add(name)
        return name

    def _require_flat(self, levels: int) -> None:
        if levels <= 0:
            raise _refusal(self.text, f"has more than {_DEEPEST} levels of brackets")

    def _refused(self, node: ast.expr, rule: str) -> InvalidInputError:
        part = ast.unparse(node)
        for alias, name in self.quoted_names.items():
            part = part.replace(alias, f"`{name}`")
        return _refusal(self.text, f"has a part that {rule}: {part[:80]}")


def _chain(
    frame: pd.DataFrame, values: list[_Value], comparisons: list[Callable[[Any, Any], Any]]
) -> _Answers:
    """Compare each value with the next, as in ``0 <= delay < 60``."""
    computed = [value(frame) for value in values]
    pairs = zip(computed[:-1], computed[1:], comparisons, strict=True)
    parts = [_answers(frame, compare(left, right), left, right) for left, right, compare in pairs]
    return functools.reduce(operator.and_, parts)


def _number(value: Any) -> Any:  # noqa: ANN401 - a column or a constant
    """Refuse to calculate with text, which Python would repeat."""
    if _rows().is_text(value):
        msg = "sums are of numbers and times"
        raise TypeError(msg)
    return value


def _rows() -> ModuleType:
    """Return the functions of rows, which need pandas."""
    from model_loop.datasets import condition_values  # noqa: PLC0415 - reading declarations needs no pandas

    return condition_values


def _answers(frame: pd.DataFrame, holds: Any, *compared: Any) -> _Answers:  # noqa: ANN401 - of one value, or of all rows
    """Return one answer for each row: unknown where a compared value is missing."""
    found: _Answers = _rows().answers(frame, holds, *compared)
    return found


def _refusal(text: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"The condition {text!r}", rule, _GRAMMAR)
