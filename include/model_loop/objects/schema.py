"""The tree of a skops file, looked at node by node before skops makes anything of it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any, NoReturn

from skops.io._protocol import PROTOCOL

from model_loop.errors import StoredObjectError
from model_loop.objects.allowed import (
    FUNCTION_ATTRIBUTES,
    FUNCTIONS,
    LOADERS,
    STATES,
    TAKES_FUNCTIONS,
)

SCHEMA = "schema.json"
WHAT = "A stored estimator"

#: JSON's brackets and commas in a tree, and its nodes.
_MARKS, _NODES = 10_000_000, 1_000_000
#: Nodes within nodes; a pipeline of pipelines has some dozens.
_DEPTH = 100
#: Kind of a generator, and the size of the value that it is made from.
_RANDOM = ('"PCG64"', "4")


def read_schema(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the tree of a skops file, as JSON.

    Raises
    ------
    StoredObjectError
        If there is none, or one that is too large.
    """
    try:
        text = archive.read(SCHEMA)
        if sum(map(text.count, (b"{", b"[", b","))) > _MARKS:
            _refuse("a tree of too many nodes")
        schema = json.loads(text)
    except (KeyError, ValueError, RecursionError, zipfile.BadZipFile, EOFError) as error:
        raise StoredObjectError(
            WHAT, f"cannot be read ({type(error).__name__}: {error})", "Store it anew."
        ) from error
    if not isinstance(schema, dict) or schema.get("protocol") != PROTOCOL:
        _refuse("another protocol than the installed skops'")
    return schema


def refuse_unknown_classes(stored: bytes) -> None:
    """Refuse a skops file with nodes that no estimator needs.

    Parameters
    ----------
    stored
        The file, within the bounds of `limits`.

    Raises
    ------
    StoredObjectError
        If it names a class that is not allowed where it stands, or has too many nodes, counting
        one that stands in several places as often.
    """
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        schema = read_schema(archive)
    try:
        walk = _Walk()
        walk.look(schema)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StoredObjectError(
            WHAT, f"is incomplete ({type(error).__name__}: {error})", "Store it anew."
        ) from error
    require_none(walk.foreign)


def require_none(foreign: set[str]) -> None:
    """Refuse classes that are not allowed.

    Raises
    ------
    StoredObjectError
        If there are any.
    """
    if foreign:
        raise StoredObjectError(
            WHAT,
            f"holds classes that are not trusted: {', '.join(sorted(foreign))}",
            "Only scikit-learn's estimators and what prepares their columns, and this package's, "
            "can be stored: `objects/allowed.py` names them.",
        )


def nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON
    """Every JSON object of a schema, in the order of the file."""
    if isinstance(tree, dict):
        yield tree
    for child in (
        tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    ):
        yield from nodes(child)


class _Walk:
    """A look at every node of a tree, in which a node that stands twice is there twice."""

    def __init__(self) -> None:
        self.foreign: set[str] = set()
        self._count = 0
        self._known: dict[int, int | None] = {}
        self._readers: dict[str, int] = {}

    def look(self, node: dict[str, Any], depth: int = 0, *, function: bool = False) -> int:
        """Return the digest of a node, without the numbers of nodes.

        Parameters
        ----------
        function
            Whether it may be one.
        """
        self._count += 1
        if depth > _DEPTH or self._count > _NODES:
            _refuse("too many nodes, or nodes too deep within each other")
        number = node.get("__id__")
        if type(number) not in {int, type(None)}:
            _refuse("a node whose number is none")
        if number and number not in self._known:
            self._known[number] = None
        self._require_allowed(node, function=function)
        below = [
            self.look(child, depth + 1, function=takes)
            for child, takes in _children(node, function=function)
        ]
        names = node["content"].keys() if node["__loader__"] == "DictNode" else ()
        about = (node["__loader__"], node["__module__"], node["__class__"], node.get("type"))
        value = node["content"] if node["__loader__"] == "JsonNode" else None
        digest = hash((*about, value, *names, *below))
        # skops takes the first node with a number in the place of all later ones.
        if number and self._known[number] not in {None, digest}:
            _refuse("two nodes with one number")
        if number:
            self._known[number] = digest
        return digest

    def _require_allowed(self, node: dict[str, Any], *, function: bool) -> None:
        loader, name = node["__loader__"], f"{node['__module__']}.{node['__class__']}"
        allowed = FUNCTIONS if loader == "FunctionNode" and function else LOADERS.get(loader, ())
        if name not in allowed:
            self.foreign.add(name if loader in LOADERS else f"{name} ({loader})")
        elif loader == "JsonNode" and str(node["content"]).lstrip()[:1] in {"[", "{"}:
            _refuse("a list or a mapping in place of a plain value")
        elif loader == "RandomGeneratorNode" and _random(node) != _RANDOM:
            _refuse("another generator of random numbers than scikit-learn's")
        elif loader == "TreeNode" and not _has_one_output(node["__reduce__"]["args"]):
            _refuse("a tree of more than one number")
        elif name in STATES and not _has_state(node["content"], STATES[name]):
            _refuse(f"a {node['__class__']} in another state than scikit-learn's")
        number = node.get("__id__")
        if (file := node.get("file")) is not None and (
            not number or self._readers.setdefault(file, number) != number
        ):
            _refuse("a member that is read more than once")


def _has_state(content: Any, kinds: tuple[str, ...]) -> bool:  # noqa: ANN401 - any JSON
    """Return whether a state is a tuple of such nodes."""
    if content is None or content["__loader__"] != "TupleNode":
        return False
    loaders = [one["__loader__"] for one in content["content"]]
    return len(loaders) == len(kinds) and all(
        one in kind.split(" | ") for one, kind in zip(loaders, kinds, strict=True)
    )


def _has_one_output(arguments: Any) -> bool:  # noqa: ANN401 - any JSON
    """Return whether a tree is made with one output: it makes room for each."""
    return (
        _has_state(arguments, ("JsonNode", "NdArrayNode", "JsonNode"))
        and arguments["content"][2]["content"] == "1"
    )


def _random(node: dict[str, Any]) -> tuple[str, str]:
    """Return the kind of a generator, and the size of what it is made from."""
    content = node["content"]
    kind, seeds = content["bit_generator"]["content"], content["seed_seq"]["content"]
    return kind["bit_generator"]["content"], seeds["pool_size"]["content"]


def _children(node: dict[str, Any], *, function: bool) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the nodes below a node, in skops' order, and whether each may be a function."""
    content = node.get("content")
    match node["__loader__"]:
        case "DictNode":
            yield node["key_types"], False
            for name, child in node["content"].items():
                yield child, function and name in FUNCTION_ATTRIBUTES
        case "ListNode" | "TupleNode" | "SetNode":
            yield from ((child, False) for child in node["content"])
        case "NdArrayNode" if node["type"] == "json":
            yield from ((child, False) for child in node["content"])
            yield node["shape"], False
        case "DTypeNode" if content is not None:
            yield content, False
        case "ObjectNode" if content is not None:
            yield content, f"{node['__module__']}.{node['__class__']}" in TAKES_FUNCTIONS
        case "TreeNode" | "LossNode":
            yield node["content"], False
            yield node["__reduce__"]["args"], False
        case "RandomStateNode":
            yield node["content"], False
        case "RandomGeneratorNode":
            yield node["content"]["bit_generator"], False
            yield node["content"]["seed_seq"], False


def _refuse(found: str) -> NoReturn:
    raise StoredObjectError(WHAT, f"has {found}, and is not loaded", "Train or store it anew.")
