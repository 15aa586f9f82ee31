"""The file in the folder of DAGs by which Airflow finds the DAGs of a dataset."""

from __future__ import annotations

from pathlib import Path

from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.objects.files import atomic_write
from model_loop.settings import get_settings


def stub_name(dataset: str) -> str:
    """Return the name of the file: ``flights.py``."""
    return f"{dataset}.py"


def is_stub(path: Path) -> bool:
    """Return whether a file is the stub of the dataset that it is called after, as it was written.

    A file that somebody has changed is none, and nothing here may remove it.
    """
    return path.is_file() and path.read_text(encoding="utf-8") == stub_of(path.stem)


def stub_of(dataset: str) -> str:
    """Return the text of the file, which names the dataset and nothing else of it.

    Airflow reads only files that hold the words "airflow" and "dag".
    """
    return (
        f'"""Airflow DAGs of the dataset `{dataset}`, written by `model-loop datasets add`."""\n\n'
        "from model_loop.orchestration.factory import declare_dags\n\n"
        f'declare_dags("{dataset}")\n'
    )


def dags_folder() -> Path | None:
    """Return the folder of the files; None if none is known."""
    settings = get_settings()
    if settings.dags_folder:
        return Path(settings.dags_folder)
    own = Path(__file__).parents[3] / "dags"
    return own if own.is_dir() and not settings.datasets_folder else None


def write_stub(dataset: str) -> Path | None:
    """Write the file of a dataset; return its path, or None if no folder is known.

    Raises
    ------
    InvalidInputError
        If there is another file of this name.
    """
    folder = dags_folder()
    if folder is None:
        return None
    path = folder / stub_name(dataset)
    if path.exists() and not is_stub(path):
        raise InvalidInputError(
            f"The file {path}",
            "is there already, and is not what declares the DAGs of a dataset",
            "Rename it, or choose another name for the dataset.",
        )
    with atomic_write(UPath(path)) as partial:
        partial.write_text(stub_of(dataset), encoding="utf-8")
    return path


def remove_stub(dataset: str) -> Path | None:
    """Remove the file of a dataset; return its path, or None if there is none, or a changed one."""
    folder = dags_folder()
    path = folder / stub_name(dataset) if folder else None
    if path is None or not is_stub(path):
        return None
    path.unlink()
    return path
