"""The commands ``model-loop products``: what is kept, what it is made of, and what may go."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich import box
from rich.table import Table

from model_loop.cli.console import console
from model_loop.cli.options import AsJson, arguments_of
from model_loop.options import build
from model_loop.settings import get_settings
from model_loop.sources.origin import source_label
from model_loop.training_set.retention_rules import Retention

if TYPE_CHECKING:
    from model_loop.training_set.products import TrainingSetProduct
    from model_loop.training_set.retention import Pruning

products = App(name="products", help="Finished training sets: list, show their lineage, prune.")

Storage = Annotated[str, Parameter(show_default=False)]

_settings = get_settings()
_STORAGE = _settings.storage_root

_SHOWN = (
    "key",
    "digest",
    "made",
    "verified",
    "service",
    "source",
    "recipe",
    "moment",
    "encoding",
    "uri",
)
_KEY_SHOWN = 12
_MEGABYTE = 1_000_000


@products.command(name="list")
def list_products(*, storage: Storage = _STORAGE, as_json: AsJson = False) -> None:
    """List the finished training sets, the newest first.

    Parameters
    ----------
    storage
        Folder of the products.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.training_set.products import TrainingSetStore

    store = TrainingSetStore(storage)
    found, verified = store.products(), store.last_verified()
    if as_json:
        _print_json({"products": [_described(product, verified) for product in found]})
        return
    if not found:
        console().print(f"No training set is kept under {storage}.")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for heading in ("key", "what", "partitions", "source"):
        # A narrow terminal folds this column alone, and cuts none.
        table.add_column(heading, no_wrap=heading != "what")
    for heading in ("rows", "MB", "age"):
        table.add_column(heading, no_wrap=True, justify="right")
    for product in found:
        table.add_row(*_row(product), _age(verified.get(product.key)))
    console().print(table)


@products.command
def show(key: str, *, storage: Storage = _STORAGE, as_json: AsJson = False) -> None:
    """Show what a training set is made of, down to the addresses of its files.

    Parameters
    ----------
    key
        Key of the training set, or its digest, which is the tag `training_set` of models and runs;
        the beginning is enough.
    storage
        Folder of the product.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.training_set.products import TrainingSetStore

    store = TrainingSetStore(storage)
    product = store.resolve(key)
    described = _described(product, store.last_verified())
    if as_json:
        _print_json(described)
        return
    out = console()
    for name in _SHOWN:
        out.print(f"{name:<9} {described[name]}")
    for file in described["months"]:
        out.print(_partition_line(file))


@Parameter(name="*")
@dataclass(frozen=True)
class RetentionOptions(arguments_of(Retention)):  # type: ignore[misc]  # made of options
    """Options of retention."""


_RETENTION = RetentionOptions()


@products.command(name="prune")
def prune_products(
    *,
    keep: RetentionOptions = _RETENTION,
    remove: Annotated[bool, Parameter(negative=())] = False,
    storage: Storage = _STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show what is no longer needed; with `--remove`, remove it.

    Parameters
    ----------
    remove
        Remove what is shown. There is no way back, but everything can be built again.
    storage
        Folder of the products.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.training_set.retention import plan_pruning, prune

    pruning = plan_pruning(storage, build(Retention, vars(keep)))
    if remove:
        prune(storage, pruning)
    if as_json:
        _print_json(_pruned(pruning) | {"removed": remove})
        return
    out = console()
    for product in pruning.products:
        out.print(f"training set {' · '.join(_row(product))}")
    for file in pruning.files:
        out.print(f"file {file}")
    out.print(f"{'Removed' if remove else 'To be removed with --remove'}: {pruning}")


def _row(product: TrainingSetProduct) -> Sequence[str]:
    request = product.request
    return (
        product.key[:_KEY_SHOWN],
        f"{request.service} {request.recipe} {request.encoding}",
        product.span,
        source_label(product.data_source),
        f"{product.rows['all'] + product.rows['test']:,}",
        f"{product.reference.size / _MEGABYTE:,.1f}",
    )


def _partition_line(file: dict[str, Any]) -> str:
    """A partition, what it is for, its digest, and where it comes from."""
    headers = [f"ETag {file['etag']}"] if file["etag"] else []
    headers += [f"of {file['last_modified']}"] if file["last_modified"] else []
    return "  ".join(
        (file["month"], f"{file['use']:<10}", file["digest"][:_KEY_SHOWN], file["url"], *headers)
    )


def _age(verified: float | None) -> str:
    """Format the time since the source was checked."""
    if verified is None:
        return "never"
    minutes = (time.time() - verified) / 60
    for limit, size, unit in ((90, 1, "min"), (36 * 60, 60, "h")):
        if minutes < limit:
            return f"{minutes / size:.0f} {unit}"
    return f"{minutes / (24 * 60):.0f} days"


def _described(product: TrainingSetProduct, verified: dict[str, float]) -> dict[str, Any]:
    request, uses = product.request, product.uses()
    rules = getattr(request, "rules", None)
    return {
        "key": product.key,
        "digest": product.digest,
        "made": _moment(product.created),
        "verified": _moment(verified.get(product.key)),
        "service": request.service,
        "data_source": product.data_source,
        "source": source_label(product.data_source),
        "recipe": request.recipe,
        "moment": product.moment,
        "encoding": request.encoding,
        **(asdict(rules) if rules else {}),
        "rows": dict(product.rows),
        "bytes": product.reference.size,
        "uri": product.reference.uri,
        "months": [
            {
                "month": file.partition,
                "use": uses.get(file.partition, "all"),
                "digest": file.digest,
                "bytes": file.size,
                "data_source": file.data_source,
                "url": file.url,
                "etag": file.etag,
                "last_modified": file.last_modified,
            }
            for file in product.files
        ],
    }


def _pruned(pruning: Pruning) -> dict[str, Any]:
    return {
        "training_sets": [product.key for product in pruning.products],
        "files": list(pruning.files),
        "bytes": pruning.size,
    }


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return dt.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes")


def _print_json(value: object) -> None:
    print(json.dumps(value))  # noqa: T201 - the command's answer, unwrapped
