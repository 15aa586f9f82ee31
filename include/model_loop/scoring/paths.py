"""Files that may be read and written for a caller, and the paths of their predictions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.objects.files import LOCAL_PROTOCOLS, is_below
from model_loop.scoring.opening import without_links
from model_loop.tables.opening import FileKind

#: Endings before the suffix of a file of predictions, and of rejected rows.
PREDICTIONS = ".predictions"
REJECTED = ".rejected"
#: Endings of names, and the format of such files.
_SUFFIXES: Mapping[str, FileKind] = MappingProxyType(
    {
        ".csv": "csv",
        ".tsv": "csv",
        ".parquet": "parquet",
        ".arrow": "arrow",
        ".feather": "arrow",
        ".jsonl": "json_lines",
        ".ndjson": "json_lines",
    }
)
_PACKED = (".gz", ".zip")
#: Names of the formats, for people.
KINDS: Mapping[str, str] = MappingProxyType(
    {"csv": "CSV", "parquet": "Parquet", "arrow": "Arrow", "json_lines": "JSON lines"}
)
_GIVE = "Give a .csv, .jsonl, .parquet or .arrow file; texts may be packed, as .csv.gz or .csv.zip."


def kind_of_name(path: UPath) -> FileKind | None:
    """Return the format that a file's name says; None if it says none."""
    return _SUFFIXES.get(_unpacked(path).suffix.lower())


def _unpacked(path: UPath) -> UPath:
    """Return a path without the ending of a packed file: ``rows.zip`` may hold CSV."""
    if path.suffix.lower() not in _PACKED:
        return path
    inner = path.with_suffix("")
    return inner if inner.suffix.lower() in _SUFFIXES else path.with_suffix(".csv")


def to_path(address: str | os.PathLike[str]) -> UPath:
    """A path or storage address, absolute.

    Raises
    ------
    InvalidInputError
        If it names a kind of storage that is unknown.
    """
    kind, mark, rest = str(address).partition("://")
    try:
        # RFC 3986: FILE:// is file://.
        written = mark and isinstance(address, str)
        path = UPath(f"{kind.lower()}{mark}{rest}" if written else address)
    except ValueError as error:
        raise InvalidInputError(
            f"Path {str(address)!r}",
            f"is not an address of a storage ({error})",
            "Give a path, or an address such as s3://bucket/rows.csv.",
        ) from error
    return UPath(Path(path.path).absolute()) if path.protocol in LOCAL_PROTOCOLS else path


def require_allowed(path: UPath, roots: Iterable[str]) -> UPath:
    """Return the resolved path, if it is under one of the roots.

    Raises
    ------
    InvalidInputError
        If it does not.
    """
    allowed, real = [root for root in roots if root], without_links(path)
    if any(is_below(real, without_links(to_path(root))) for root in allowed):
        return real
    raise InvalidInputError(
        f"Path {path}",
        f"lies outside of the folders that may be scored ({', '.join(allowed)})",
        "Put the file there, or let the operator add its folder to MODEL_LOOP_SCORING_FOLDERS.",
    )


def find_inputs(path: UPath) -> list[UPath]:
    """The file itself, or the files of a folder that hold rows and are not results.

    Raises
    ------
    InvalidInputError
        If there is none, or it is of another kind.
    """
    # Says what no file can be called, and which links lead nowhere.
    without_links(path)
    if path.is_dir():
        found = sorted((one for one in path.iterdir() if _is_input(one)), key=str)
        if inner := [one for one in found if one.is_dir()]:
            raise InvalidInputError(
                f"Folder {inner[0]}",
                "lies among the files to score, and is called like one of them",
                f"Score it by itself, with an output folder of its own, or move it out of {path}.",
            )
        if not found:
            raise InvalidInputError(f"Folder {path}", "holds no file that can be scored", _GIVE)
        return found
    if kind_of_name(path) is None:
        raise InvalidInputError(
            f"Input {path}", f"is none of {', '.join(KINDS.values())}, by its ending", _GIVE
        )
    if not path.exists():
        raise InvalidInputError(f"Input {path}", "is not there", "Check the path.")
    return [path]


def _is_input(path: UPath) -> bool:
    kinds = _unpacked(path).suffixes[-2:-1]
    return (
        kind_of_name(path) is not None
        and not path.name.startswith(".")
        and not {PREDICTIONS, REJECTED} & set(kinds)
    )


def output_of(path: UPath, folder: UPath | None = None) -> UPath:
    """Return the path for the predictions of an input: beside it, or in a folder.

    They are not packed, and those of Arrow are Parquet.
    """
    plain = _unpacked(path)
    suffix = ".parquet" if kind_of_name(path) == "arrow" else plain.suffix
    return (folder or path.parent) / f"{plain.stem}{PREDICTIONS}{suffix}"


def rejected_of(output: UPath) -> UPath:
    """Return the path for the rows that could not be predicted, beside the predictions."""
    return output.with_name(f"{output.stem.removesuffix(PREDICTIONS)}{REJECTED}{output.suffix}")


def choose_outputs(inputs: Sequence[UPath], output: UPath | None) -> list[UPath]:
    """Return the paths for the predictions of each input.

    Parameters
    ----------
    output
        A file where there is one input, a folder where there may be more, or None: beside them.

    Raises
    ------
    InvalidInputError
        If it does not fit the inputs.
    """
    if output is None or kind_of_name(output) is None:
        return _require_apart([output_of(one, output) for one in inputs])
    made = output_of(inputs[0])
    same_kind = output.suffix.lower() == made.suffix.lower()
    # Rejected rows that were mended may be scored, and must not be replaced by those of this run.
    written = map(without_links, (output, rejected_of(output)))
    if len(inputs) == 1 and same_kind and without_links(inputs[0]) not in written:
        return [output]
    raise InvalidInputError(
        f"Output {output}",
        "is one file for several inputs, of another kind, or would replace the input itself",
        f"Give a folder, or another file that ends with {made.suffix}.",
    )


def _require_apart(outputs: list[UPath]) -> list[UPath]:
    """Refuse files of which two would have the same output: ``a.csv`` and ``a.csv.gz``."""
    seen = set[str]()
    for output in outputs:
        if str(output) in seen:
            raise InvalidInputError(
                f"Output {output}",
                "would hold the predictions of two inputs",
                "Score one of them by itself, or give them names of their own.",
            )
        seen.add(str(output))
    return outputs
