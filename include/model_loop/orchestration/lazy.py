"""Functions that are imported when they are called, so that a DAG is read without their libraries.

The DAG processor reads every DAG again and again, and a step's module imports pandas, MLflow or
scikit-learn. Airflow needs no more of a step than its name, its parameters, the annotation of its
result and its docstring, which stand in the source.
"""

from __future__ import annotations

import ast
import copy
import difflib
import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from model_loop.errors import InvalidInputError

Function = ast.FunctionDef | ast.AsyncFunctionDef

_FUTURE = ast.parse("from __future__ import annotations").body


def lazy_function(module: str, name: str) -> Callable[..., Any]:
    """Return a function that imports another one when it is called, and has its signature.

    Parameters
    ----------
    module
        Whole name of the module. Its parent packages are imported, and have to be light.
    name
        Name of a function of the module.

    Raises
    ------
    InvalidInputError
        If there is no such module or function: a misspelt name fails where the DAG is read, not
        where its task runs.
    """
    functions = _functions(module)
    if name not in functions:
        near = difflib.get_close_matches(name, functions, 1)
        raise InvalidInputError(
            f"{module}:{name}",
            "names no function of this module",
            f"Did you mean {near[0]}?" if near else f"It has: {', '.join(sorted(functions))}.",
        )
    stub = _without_body(functions[name], module)

    # Airflow reads the signature of what a function wraps, and Python finds its source.
    @functools.wraps(stub)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call


def _without_body(node: Function, module: str) -> Callable[..., Any]:
    """Return a function of the same lines that has a docstring and does nothing."""
    stub = copy.copy(node)
    docstring = [] if ast.get_docstring(node) is None else node.body[:1]
    stub.body = [*docstring, ast.copy_location(ast.Pass(), node.body[-1])]
    stub.decorator_list = []
    names: dict[str, Any] = {"__name__": module}
    try:
        # A signature of this package's own source.
        exec(compile(ast.Module([*_FUTURE, stub], []), _source(module)[1], "exec"), names)  # noqa: S102
    except NameError as error:
        raise InvalidInputError(
            f"{module}:{node.name}",
            f"has a default that is not a literal ({error})",
            "Give it a literal, or None.",
        ) from error
    found: Callable[..., Any] = names[node.name]
    return found


@functools.cache
def _functions(module: str) -> Mapping[str, Function]:
    tree = ast.parse(_source(module)[0])
    return {node.name: node for node in tree.body if isinstance(node, Function)}


@functools.cache
def _source(module: str) -> tuple[str, str]:
    """Return the source of a module, and the path of its file."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    source = getattr(spec and spec.loader, "get_source", lambda _: None)(module)
    if spec is None or spec.origin is None or source is None:
        raise InvalidInputError(
            f"The module {module}",
            "is not there, or has no source",
            "Name a module of this package, as `module:function`.",
        )
    return source, spec.origin
