"""skops files as an attacker would write them, node by node."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import skops.io
from skops.io._protocol import PROTOCOL

#: A function of this package that runs its arguments as a command.
PROCESS = "model_loop.production.__main__._run"


def node(loader: str, name: str, **more: Any) -> dict[str, Any]:
    """A node of a file's tree that names something by its module and its own name."""
    module, _, own = name.rpartition(".")
    return {"__class__": own, "__module__": module, "__loader__": loader, **more}


def plain(value: object) -> dict[str, Any]:
    """A node that holds plain JSON."""
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def sequence(kind: str, *nodes: dict[str, Any]) -> dict[str, Any]:
    """A node of a list or a tuple."""
    return node(f"{kind.title()}Node", f"builtins.{kind}", content=list(nodes))


def called(name: str, *arguments: object) -> dict[str, Any]:
    """A node that calls what it names when the file is read."""
    content = sequence("tuple", *(_tree(one) for one in arguments))
    return node("ConstructorFromReduceNode", name, content=content)


def file_of(tree: dict[str, Any]) -> bytes:
    """A skops file with a tree and nothing else."""
    schema = {**tree, "protocol": PROTOCOL, "_skops_version": skops.__version__}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


def command(marker: Path) -> bytes:
    """A file that makes another one when it is read, unless it is refused."""
    return file_of(called(PROCESS, "touch", str(marker)))


def _tree(value: object) -> dict[str, Any]:
    return sequence("list", *map(_tree, value)) if isinstance(value, list) else plain(value)
