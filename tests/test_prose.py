"""Docstrings begin with a verb or a noun, so that a reader need not turn them round first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import model_loop

PACKAGE = Path(model_loop.__file__).parent

#: Beginnings of a sentence whose verb comes last, or that has none.
_INVERTED = re.compile(
    r"(As|How|If|In|Of|On|By|So|That|The same|Whatever|What|When|Where|Whether|Which|Whoever|Whose"
    r"|Who|Why)\b"
)


def _docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _is_inverted(source: str) -> bool:
    return any(_INVERTED.match(text) for text in _docstrings(source))


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    """No file of the package has another beginning."""
    files = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    assert [str(path) for path, text in files.items() if _is_inverted(text)] == []


def test_every_kind_of_definition_is_looked_at() -> None:
    """Modules, classes, methods and coroutines; a longer word that begins alike is another one."""
    for source in (
        '"""What it is."""',
        'class A:\n    """Which one."""',
        'class A:\n    def b(self):\n        """Whether so."""',
        'async def b():\n    """The same."""',
    ):
        assert _is_inverted(source)
    assert not _is_inverted('"""Assets and offers, Inside."""\ndef a():\n    """Return how."""')
