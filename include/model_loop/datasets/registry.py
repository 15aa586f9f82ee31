"""The datasets that there are: files in the datasets folder, and objects of installed packages.

A dataset in Python is an entry point of the group `model_loop.datasets` that names a `Dataset`. A
file that is broken takes down no other dataset: the error is raised where its own is looked up.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from model_loop.datasets.dataset import Dataset, Variant
from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.errors import InvalidInputError, ModelLoopError, look_up
from model_loop.settings import get_settings

#: Group of entry points that name datasets in Python.
ENTRY_POINTS = "model_loop.datasets"
#: Folder of the datasets that come with the package: inside a wheel, or beside it in a checkout.
_IN_WHEEL = Path(__file__).parent / "shipped"
_OWN_FOLDER = _IN_WHEEL if _IN_WHEEL.is_dir() else Path(__file__).parents[2] / "datasets"

logger = logging.getLogger(__name__)

#: Datasets that this process has been given; see `use_dataset`.
_given: dict[str, Dataset] = {}


def use_dataset(dataset: Dataset) -> Dataset:
    """Let this process know a dataset that is not in the folder; return it."""
    _given[dataset.name] = dataset
    return dataset


def datasets_folder() -> Path:
    """Return the folder whose ``<name>.toml`` are datasets."""
    given = get_settings().datasets_folder
    return Path(given) if given else _OWN_FOLDER


def is_left_out(name: str) -> bool:
    """Return whether a dataset comes with the package, and the settings name another folder."""
    return name not in dataset_names() and (_OWN_FOLDER / f"{name}.toml").is_file()


def dataset_names() -> tuple[str, ...]:
    """Return the names of all datasets, those in Python first, also of broken files."""
    folder = datasets_folder()
    files = sorted(path.stem for path in folder.glob("*.toml")) if folder.is_dir() else ()
    return tuple(dict.fromkeys((*_in_python(), *files, *_given)))


def get_dataset(name: str) -> Dataset:
    """Find a dataset by its name.

    Raises
    ------
    InvalidInputError
        If there is none, or its file is refused.
    """
    if name in _given:
        return _given[name]
    packaged = _in_python()
    if name in packaged:
        return _loaded(packaged[name])
    path = datasets_folder() / f"{name}.toml"
    # Names come from requests too: never a path to elsewhere.
    if name in dataset_names():
        changed = path.stat()
        return _read(path, changed.st_mtime_ns, changed.st_size)
    known: Mapping[str, None] = dict.fromkeys(dataset_names())
    look_up("Dataset", name, known)
    raise AssertionError(name)


def file_problem(name: str) -> str:
    """Return why a dataset is not declared now, in words; empty if it is."""
    path = datasets_folder() / f"{name}.toml"
    if name in _in_python():
        return ""
    try:
        changed = path.stat()
        _read(path, changed.st_mtime_ns, changed.st_size)
    except OSError:
        return f"{path} is not there"
    except ModelLoopError as error:
        return f"{error.given} {error.rule}"
    return ""


def find_variant(key: str) -> tuple[Dataset, Variant]:
    """Find a variant of any dataset by its key.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    known: list[str] = []
    for dataset in sound_datasets():
        if key in dataset.variants:
            return dataset, dataset.variants[key]
        known.extend(dataset.variants)
    raise InvalidInputError(f"Variant {key!r}", "is unknown", f"Choose one of: {', '.join(known)}.")


def choose_variant(name: str) -> tuple[Dataset, Variant]:
    """Find a variant by its key, or by the name of a dataset that has one variant alone.

    Raises
    ------
    InvalidInputError
        If there is none, or the dataset has several.
    """
    if name not in variants() and name in dataset_names():
        dataset = get_dataset(name)
        if len(dataset.variants) == 1:
            return dataset, next(iter(dataset.variants.values()))
        raise InvalidInputError(
            f"Dataset {name!r}",
            "has several variants",
            f"Name one of: {', '.join(dataset.variants)}.",
        )
    return find_variant(name)


def datasets_in_python() -> tuple[Dataset, ...]:
    """Return the datasets of installed packages."""
    return tuple(_loaded(point) for point in _in_python().values())


def dataset_of_model(name: str) -> Dataset:
    """Find the dataset of a registered model by its name.

    Raises
    ------
    InvalidInputError
        If it is of none.
    """
    known: list[str] = []
    for dataset in sound_datasets():
        models = [variant.model_name for variant in dataset.variants.values()]
        if name in models:
            return dataset
        known.extend(models)
    raise InvalidInputError(
        f"The registered model {name!r}",
        "is of no dataset",
        f"Choose one of: {', '.join(known)}.",
    )


def dataset_of_variant(key: str) -> Dataset:
    """Find the dataset of a variant; see `find_variant`."""
    return find_variant(key)[0]


def variants() -> dict[str, Variant]:
    """Return the variants of all datasets by their keys; broken files have none."""
    return {
        key: variant for dataset in sound_datasets() for key, variant in dataset.variants.items()
    }


def sound_datasets() -> Iterator[Dataset]:
    """Yield every dataset whose declaration can be read; others are named in the log."""
    for name in dataset_names():
        try:
            yield get_dataset(name)
        except ModelLoopError as error:
            _warn_once(name, str(error))


@functools.lru_cache(maxsize=1_000)
def _warn_once(name: str, problem: str) -> None:
    """Name a broken dataset in the log, however often datasets are looked through."""
    logger.warning("The dataset %s is left out: %s", name, problem)


def dataset_packages() -> tuple[str, ...]:
    """Return the installed packages that hold datasets in Python."""
    modules = (point.module for point in _in_python().values())
    return tuple(dict.fromkeys(module.partition(".")[0] for module in modules))


@functools.cache
def _in_python() -> Mapping[str, importlib.metadata.EntryPoint]:
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point for point in points}


@functools.cache
def _loaded(point: importlib.metadata.EntryPoint) -> Dataset:
    dataset: Dataset = point.load()
    return dataset


@functools.lru_cache(maxsize=128)
def _read(path: Path, changed: int, size: int) -> Dataset:  # noqa: ARG001 - they tell versions of the file apart
    dataset = dataset_of(read_declaration(path))
    if dataset.name != path.stem:
        raise InvalidInputError(
            f"{path}: name = {dataset.name!r}",
            "is not the name of the file",
            f"Rename the file to {dataset.name}.toml, or the dataset to {path.stem}.",
        )
    return dataset
