"""The code of this package beside a model, so that the model loads where it is not installed.

No package index has this package. MLflow puts the folder ``code`` of a model on Python's path when
it loads the model; there lies one package with all modules in one file, so that logging a model
sends two small files and not hundreds. An installed package that was imported before goes first.
This project's own servers and DAGs never read that folder: see `registry.read_model`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import model_loop

_PACKAGE = model_loop.__name__
_ARCHIVE = "modules.zip"
_SHIPPED = (".py", ".csv")
#: Third parties that the shipped modules import beyond those of every MLflow model.
FURTHER_REQUIREMENTS = ("pyarrow", "requests", "universal-pathlib")

_INIT = f'''"""The modules of {_PACKAGE} that a model was made by, out of the archive beside."""

from pathlib import Path

__path__ = [str(Path(__file__).with_name("{_ARCHIVE}") / "{_PACKAGE}")]
'''


def ship_code(folder: Path) -> Path:
    """Write the package into a new folder; the same modules give the same bytes."""
    root, package = Path(model_loop.__file__).parent, folder / _PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text(_INIT, encoding="utf-8")
    with zipfile.ZipFile(package / _ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            if path.suffix in _SHIPPED and path.is_file():
                name = f"{_PACKAGE}/{path.relative_to(root).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return package
