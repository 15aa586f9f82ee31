"""Rows of each class in the parts of a training set: whether they are enough, and alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from model_loop.datasets.dataset import Dataset
from model_loop.errors import ContractError
from model_loop.findings import Finding
from model_loop.partitions.keys import WHOLE
from model_loop.training_set.matrices import Targets
from model_loop.training_set.split import PartName

#: Rows of each class that are learned from, tuned on and judged by at least.
FEWEST_OF_CLASS = 5
#: Share of the log loss of constant probabilities above which half its interval is said.
_WIDE = 0.1
_Z = 1.959964
#: Standard errors, and the factor, by which the share of a class differs between parts.
_CERTAIN, _OTHERWISE = 5.0, 1.5


def require_classes(dataset: Dataset, targets: Mapping[PartName, Targets]) -> None:
    """Refuse parts in which a class has too few rows.

    Raises
    ------
    ContractError
        With the part, the class and the number of rows that are needed.
    """
    labels, noun = dataset.target.labels, dataset.rows[0]
    total = sum(map(len, targets.values()))
    parts: tuple[PartName, ...] = ("train", "validation", "test")
    counts = np.array([_counts(targets[name], len(labels.texts)) for name in parts])
    if counts.min() >= FEWEST_OF_CLASS:
        return
    sizes = np.array([len(targets[name]) for name in parts])
    # Shares of a class in all parts: one part may have none of its rows by chance.
    expected = np.outer(sizes / sizes.sum(), counts.sum(axis=0))
    part, label = np.unravel_index(int(np.argmin(counts)), counts.shape)
    needed = int(np.ceil(total * FEWEST_OF_CLASS / max(expected.min(), FEWEST_OF_CLASS / total)))
    remedy = (
        f"Give about {needed:,} {noun} or more in place of {total:,}, or put rare classes together."
    )
    if needed <= total:
        remedy = (
            f"The {counts[:, label].sum():,} {noun} of the class would suffice if they were spread "
            f"evenly: see whether it is still recorded in the {parts[part]} part, or give more "
            f"{noun} that have it there."
        )
    raise ContractError(
        f"The {parts[part]} part of {dataset.name}",
        f"has {counts[part, label]:,} {noun} of the class {labels.texts[label]} of "
        f"{dataset.target.name} among {sizes[part]:,}, and with less than {FEWEST_OF_CLASS} "
        "nothing can be said of it",
        remedy,
    )


def class_findings(dataset: Dataset, targets: Mapping[PartName, Targets]) -> Iterator[Finding]:
    """Yield what is doubtful about the classes of a training set."""
    yield from _vague(dataset, targets)
    yield from _shifted(dataset, targets)


def _vague(dataset: Dataset, targets: Mapping[PartName, Targets]) -> Iterator[Finding]:
    """Tell how far judged rows leave the log loss open."""
    labels, noun, test = dataset.target.labels, dataset.rows[0], targets["test"]
    number = len(labels.texts)
    learned = _counts(np.concatenate([targets["train"], targets["validation"]]), number)
    # Every class has rows that are learned from; see `require_classes`.
    losses = -np.log(learned / learned.sum())[test.astype(np.intp)]
    baseline = float(losses.mean())
    half = _Z * float(losses.std(ddof=1)) / np.sqrt(len(losses))
    if half <= _WIDE * baseline:
        return
    counts = _counts(test, number)
    rare, needed = int(np.argmin(counts)), len(test) * (half / (_WIDE * baseline)) ** 2
    yield Finding(
        "too_few_rows",
        None,
        WHOLE,
        "warning",
        f"{len(test):,} judged {noun}, of which {counts[rare]:,} are of the class "
        f"{labels.texts[rare]}, leave the log loss open by ±{half / baseline:.0%} of that of "
        f"constant probabilities ({baseline:.4g})",
        f"Give {int(np.ceil(needed)):,} {noun} to judge by, or read small differences as none.",
    )


def _shifted(dataset: Dataset, targets: Mapping[PartName, Targets]) -> Iterator[Finding]:
    """Tell of a class whose share is another one in the judged rows."""
    labels = dataset.target.labels
    parts = {name: each for name, each in targets.items() if len(each)}
    shares = {name: _counts(each, len(labels.texts)) / len(each) for name, each in parts.items()}
    before, after = shares["train"], shares["test"]
    sizes = 1 / len(targets["train"]) + 1 / len(targets["test"])
    errors = np.sqrt(np.maximum(before * (1 - before), 1e-9) * sizes)
    factor = np.maximum(before, after) / np.maximum(np.minimum(before, after), 1e-9)
    moved = (np.abs(after - before) > _CERTAIN * errors) & (factor > _OTHERWISE)
    if not moved.any():
        return
    worst = int(np.argmax(np.where(moved, factor, 0)))
    said = ", ".join(f"{name} {share[worst]:.1%}" for name, share in shares.items())
    yield Finding(
        "target_shift",
        dataset.target.name,
        WHOLE,
        "warning",
        f"The share of the class {labels.texts[worst]} differs between the parts: {said}",
        "Probabilities follow the shares that were learned: learn from later rows, or see whether "
        "the class is recorded in the same way.",
    )


def _counts(codes: Targets, number: int) -> np.ndarray:
    return np.bincount(codes.astype(np.intp), minlength=number)
