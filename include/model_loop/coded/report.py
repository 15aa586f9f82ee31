"""Contents of a folder with code, for people: on the command line, in forms, at an approval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.coded.folder import CodeFolder
from model_loop.runner.package import CodeColumn


def contents_of(folder: CodeFolder) -> dict[str, Any]:
    """Return what is in a folder, as plain JSON."""
    package, described = folder.package, folder.description
    return {
        "title": described.title or folder.path.name,
        "digest": described.digest,
        "form": package.form,
        "entry": package.entry,
        "functions": [
            name
            for name in (
                package.function,
                described.file_function,
                described.explain,
            )
            if name
        ],
        "python": package.python,
        "requirements": list(package.requirements),
        "locked": list(package.locked),
        "variables": list(package.variables),
        "inputs": _columns(package.inputs),
        "outputs": _columns(package.outputs),
        "files": [
            {"file": _printable(name), "bytes": folder.sizes[name], "sha256": digest}
            for name, digest in package.files.items()
        ],
        "left_out": list(map(_printable, folder.left_out)),
    }


def _columns(columns: tuple[CodeColumn, ...]) -> dict[str, str]:
    return {
        one.name: f"{one.type}, may be missing" if one.may_be_missing else one.type
        for one in columns
    }


def in_markdown(contents: Mapping[str, Any], variable: str = "") -> str:
    """Return the same as Markdown, for an approval: every file with its digest.

    Parameters
    ----------
    variable
        Variable of Airflow that gives the environment values; empty if none does.
    """
    source = f", given by the variable {_quoted(variable)} of Airflow" if variable else ""
    names = ("functions", "requirements", "variables", "inputs", "outputs", "left_out")
    packages = [line.partition(" ")[0] for line in contents["locked"]]
    listed = {
        name: ", ".join(map(_quoted, found)) or "none"
        for name, found in {**{it: contents[it] for it in names}, "locked": packages}.items()
    }
    files = [
        f"| {_quoted(it['file'])} | {it['bytes']:,} | `{it['sha256']}` |"
        for it in contents["files"]
    ]
    return f"""\
**This is code.** Whoever approves it lets it run in the runner, with its environment values, on
every row that it is asked about.

- Digest of all of it: `{contents["digest"]}`
- Form: {contents["form"]}, entry {_quoted(contents["entry"])}, functions: {listed["functions"]}
- Python {contents["python"]}, requirements: {listed["requirements"]}
- All packages of its environment, whose wheels the digest fixes: {listed["locked"]}
- Environment values that it reads: {listed["variables"]}{source}
- Inputs: {listed["inputs"]}
- Outputs: {listed["outputs"]}
- Left out of the package: {listed["left_out"]}

| File | Bytes | SHA-256 |
| --- | ---: | --- |
{chr(10).join(files)}"""


def _quoted(text: str) -> str:
    """Return a name in a line of Markdown; it can neither end the quotation nor the cell."""
    plain = _printable(text).replace("`", "'").replace("|", "/")
    return f"`{plain}`"


def _printable(text: str) -> str:
    """Return a name in a line; line ends, and what turns or hides text, are replaced."""
    return "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in text)
