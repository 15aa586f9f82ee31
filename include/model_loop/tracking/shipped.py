"""The code of this package beside a model, so that the model loads where it is not installed.

No package index has this package. MLflow puts the folder ``code`` of a model on Python's path when
it loads the model; there lies one package with all modules in one file, so that logging a model
sends two small files and not hundreds. An installed package that was imported before goes first.
This project's own servers and DAGs never read that folder: see `registry.read_model`.
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

from model_loop.datasets.registry import dataset_packages

_OURS = __name__.partition(".")[0]
_ARCHIVE = "modules.zip"
_SHIPPED = (".py", ".csv")
#: Third parties that the shipped modules import beyond those of every MLflow model.
FURTHER_REQUIREMENTS = ("pyarrow", "requests", "universal-pathlib")

_INIT = '''"""The modules of {package} that a model was made by, out of the archive beside."""

from pathlib import Path

__path__ = [str(Path(__file__).with_name("{archive}") / "{package}")]
'''


def ship_code(folder: Path) -> list[Path]:
    """Write this package, and those of datasets in Python, into a folder; return their folders.

    The same modules give the same bytes.
    """
    return [_ship(package, folder / package) for package in shipped_packages()]


def shipped_packages() -> tuple[str, ...]:
    """Return the names of the packages that are shipped with models which hold their classes."""
    return (_OURS, *dataset_packages())


def _ship(name: str, package: Path) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    root = Path(found.origin).parent
    package.mkdir()
    (package / "__init__.py").write_text(
        _INIT.format(package=name, archive=_ARCHIVE), encoding="utf-8"
    )
    # Readers of resources look for those of the package itself beside it, not in the archive.
    for path in root.glob("*.csv"):
        (package / path.name).write_bytes(path.read_bytes())
    with zipfile.ZipFile(package / _ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            if path.suffix in _SHIPPED and path.is_file():
                member = f"{name}/{path.relative_to(root).as_posix()}"
                archive.writestr(zipfile.ZipInfo(member), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return package
