"""A code package: a model's code, with all that is needed to run it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

from model_loop.errors import InvalidInputError

Form = Literal["script", "mlflow"]
ColumnType = Literal["number", "text", "yes/no", "time"]

#: Bounds of a package.
MOST_FILES, MOST_BYTES = 2_000, 2**30
_LONGEST_PATH, _MOST_LEVELS = 400, 20
_MOST_COLUMNS, _MOST_REQUIREMENTS, _MOST_VARIABLES, _MOST_LOCKED = 2_000, 500, 100, 1_000
_LONGEST_NAME = 200

_PYTHON = re.compile(r"3\.[0-9]{1,2}")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Variables that steer the interpreter, the loader, or the service itself.
_RESERVED = re.compile(
    r"(PYTHON|LD_|MODEL_LOOP_|OMP_|OPENBLAS_|MKL_|NUMEXPR_|NUMBA_|XDG_).*|PATH|HOME|TMPDIR|LANG"
)
#: A name of a package, extras, versions and a marker; no option, address or path.
_VERSIONS = r"(===?|[<>!~]=|[<>]) *[A-Za-z0-9.*+!_-]+"
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._, -]*\])? *"
    rf"({_VERSIONS}( *, *{_VERSIONS})*)?( *; *[A-Za-z0-9_.<>=!~'\"() ]+)?"
)
#: As uv writes it in one line.
_LOCKED = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9.!+_-]+( --hash=sha256:[0-9a-f]{64})+"
)


def require_that(holds: object, given: str, rule: str, remedy: str) -> None:
    """Raise an `InvalidInputError` of these parts unless a condition holds."""
    if not holds:
        raise InvalidInputError(given, rule, remedy)


def require_path(path: str) -> None:
    """Check the path of a file of a package.

    Raises
    ------
    InvalidInputError
        If it is absolute, leads elsewhere, or is not plain.
    """
    parts = path.split("/")
    plain = path.isprintable() and "\\" not in path and len(path) <= _LONGEST_PATH
    inside = not {"", ".", ".."} & {*parts} and len(parts) <= _MOST_LEVELS
    require_that(
        plain and inside and str(PurePosixPath(path)) == path,
        f"The file {path!r}",
        "is not a plain path inside the package",
        "Give a relative path with / between its names and without . or ...",
    )


def require_requirement(line: str) -> None:
    """Check a requirement: the name of a package with its versions, as wheels are looked up by.

    Raises
    ------
    InvalidInputError
        If it is an option, an address, a path, or an editable package.
    """
    require_that(
        len(line) <= _LONGEST_NAME and _REQUIREMENT.fullmatch(line),
        f"The requirement {line!r}",
        "is not a package with its version",
        "Write it as name==1.2.3; options, addresses, paths and -e are not allowed.",
    )


def require_locked(lines: tuple[str, ...]) -> None:
    """Check lines that fix packages to versions and digests.

    Raises
    ------
    InvalidInputError
        If one does not, or there are too many.
    """
    _require_few("fixed packages", len(lines), _MOST_LOCKED)
    for line in lines:
        require_that(
            _LOCKED.fullmatch(line),
            f"The fixed package {line[:_LONGEST_NAME]!r}",
            "has no version with digests",
            "Write it as name==1.2.3 --hash=sha256:…, as uv does.",
        )


@dataclass(frozen=True)
class CodeColumn:
    """A column of the input or output of a code package.

    Parameters
    ----------
    name
        Key in a row.
    type
        A finite number, text, true or false, or a time as ISO 8601 text.
    may_be_missing
        Whether its value may be null.
    """

    name: str
    type: ColumnType
    may_be_missing: bool = False

    def __post_init__(self) -> None:
        """Check it."""
        require_that(
            0 < len(self.name) <= _LONGEST_NAME and self.name.isprintable(),
            f"The column {self.name!r}",
            "has no usable name",
            f"Give it a printable name of at most {_LONGEST_NAME} characters.",
        )
        require_that(
            self.type in get_args(ColumnType),
            f"The column {self.name!r}",
            f"has the type {self.type!r}",
            f"Give one of: {', '.join(get_args(ColumnType))}.",
        )


@dataclass(frozen=True)
class CodePackage:
    """A model's code, its further files, and what it needs.

    Parameters
    ----------
    form
        ``script``: a function of a script; ``mlflow``: a folder as MLflow logs a model from code.
    entry
        Path of the script; of the form ``mlflow``, of the folder's file MLmodel.
    function
        Name of the script's function; empty for the form ``mlflow``.
    python
        Version of Python, such as 3.11.
    requirements
        Packages with their versions, a line each.
    inputs, outputs
        Columns of a row that is handed over, and of its answer.
    files
        SHA-256 of each file by its path.
    variables
        Names of the values that the code reads from its environment.
    locked
        Every package of its environment with its version and the digests of its wheels, a line
        each; empty where they were not fixed.

    Raises
    ------
    InvalidInputError
        If any of it breaks a rule.
    """

    form: Form
    entry: str
    function: str
    python: str
    requirements: tuple[str, ...]
    inputs: tuple[CodeColumn, ...]
    outputs: tuple[CodeColumn, ...]
    files: Mapping[str, str]
    variables: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check it."""
        require_that(
            self.form in get_args(Form),
            f"The form {self.form!r}",
            "is unknown",
            f"Give one of: {', '.join(get_args(Form))}.",
        )
        self._require_files()
        named = _FUNCTION.fullmatch(self.function)
        require_that(
            named if self.form == "script" else not self.function,
            f"The function {self.function!r}",
            f"cannot be that of the form {self.form}",
            "Name the function of a script; a model of MLflow has none.",
        )
        require_that(
            _PYTHON.fullmatch(self.python),
            f"Python {self.python!r}",
            "is not a version of Python",
            "Give it as 3.11.",
        )
        _require_few("requirements", len(self.requirements), _MOST_REQUIREMENTS)
        for line in self.requirements:
            require_requirement(line)
        require_locked(self.locked)
        for noun, columns in (("inputs", self.inputs), ("outputs", self.outputs)):
            _require_few(noun, len(columns), _MOST_COLUMNS)
            _require_distinct(noun, [column.name for column in columns])
        require_that(self.outputs, "The outputs", "are empty", "Name at least one column.")
        _require_few("variables", len(self.variables), _MOST_VARIABLES)
        _require_distinct("variables", self.variables)
        for name in self.variables:
            require_that(
                _VARIABLE.fullmatch(name) and not _RESERVED.fullmatch(name),
                f"The variable {name!r}",
                "cannot be set for a code package",
                "Choose a name of capitals, digits and _ that Python, the loader and this product "
                "do not read.",
            )

    def _require_files(self) -> None:
        _require_few("files", len(self.files), MOST_FILES)
        for path, digest in self.files.items():
            require_path(path)
            require_that(
                _SHA256.fullmatch(digest),
                f"The file {path!r}",
                "has no SHA-256",
                "Give 64 digits of 0-9 and a-f.",
            )
        folders = {str(parent) for path in self.files for parent in PurePosixPath(path).parents}
        require_that(
            not folders & {*self.files},
            f"The file {min(folders & {*self.files}, default='')!r}",
            "is a folder too",
            "Rename one of them.",
        )
        require_that(
            self.entry in self.files,
            f"The entry {self.entry!r}",
            "is not among the files",
            "Name a file of the package.",
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, and so of every file."""
        fields = asdict(self) | {"files": dict(self.files)}
        if not self.locked:
            # Packages had no such field, and their digests stay as they were.
            del fields["locked"]
        return _digest(fields)

    @property
    def environment_digest(self) -> str:
        """SHA-256 of the Python version, the requirements, and what they were fixed to."""
        return environment_digest(self.python, self.requirements, self.locked)


def version_digest(token: str, package: CodePackage, values: Mapping[str, str]) -> str:
    """Return what names a package with its values in the runner: an HMAC by the callers' token.

    Other values are another version, and nobody without the token can guess them by it.
    """
    content = _digest({"package": package.digest, "values": dict(values)})
    return hmac.digest(token.strip().encode(), content.encode(), "sha256").hex()


def environment_digest(
    python: str, requirements: tuple[str, ...], locked: tuple[str, ...] = ()
) -> str:
    """Return the SHA-256 of a Python version and requirements, in any order."""
    fixed = {"locked": sorted({*locked})} if locked else {}
    return _digest({"python": python, "requirements": sorted({*requirements}), **fixed})


def _digest(value: object) -> str:
    """Return the SHA-256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _require_few(noun: str, number: int, most: int) -> None:
    require_that(number <= most, f"{number} {noun}", "are too many", f"Give at most {most}.")


def _require_distinct(noun: str, names: tuple[str, ...] | list[str]) -> None:
    require_that(
        len({*names}) == len(names),
        f"The {noun}",
        "hold a name twice",
        "Name each once.",
    )
