"""Options of the training set of a declared table.

Forms ask for exactly these, and the request is made of them. Nothing here needs NumPy or pandas:
forms are built when DAG files are read.
"""

from __future__ import annotations

from dataclasses import field
from typing import cast

from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError
from model_loop.findings import Acceptance
from model_loop.options import Lines, option, options

#: Fits of scikit-learn take no larger one.
LARGEST_SEED = 2**32 - 1
_ROUNDING = 1e-6


@options
class SplitShares:
    """Shares of the rows that are learned from, tuned on and judged by.

    Raises
    ------
    InvalidInputError
        If they do not add up to 1.
    """

    train: float = option(
        0.7, "Train share", "Share of the rows to learn from.", name="train_share", gt=0, lt=1
    )
    validation: float = option(
        0.15,
        "Validation share",
        "Share of the rows to tune on.",
        name="validation_share",
        gt=0,
        lt=1,
    )
    test: float = option(
        0.15,
        "Test share",
        "Share of the rows to judge by. The three add up to 1; left as they are, more rows of a "
        "small table judge.",
        name="test_share",
        ge=0,
        lt=1,
    )

    def __post_init__(self) -> None:
        """Check the sum."""
        if abs(self.train + self.validation + self.test - 1) > _ROUNDING:
            raise InvalidInputError(
                f"The shares {self.train:g}, {self.validation:g} and {self.test:g} of train, "
                "validation and test",
                "do not add up to 1",
                "Give e.g. 0.7, 0.15 and 0.15.",
            )

    @property
    def of_parts(self) -> tuple[float, float, float, float]:
        """Shares of train, validation, calibration and test.

        None are held back for calibration: residuals on validation cover later rows better
        (docs/decisions/0030).
        """
        return (self.train, self.validation, 0.0, self.test)


@options
class TableOptions:
    """Partitions, split and seed of a training set.

    Raises
    ------
    InvalidInputError
        If the shares do not add up to 1, or an accepted finding names no partition and code.
    """

    partitions: Lines = option(
        (),
        "Partitions",
        "Partitions to read, one a line. Left empty, all that the source has.",
    )
    shares: SplitShares = field(default_factory=SplitShares)
    random_state: int = option(
        42,
        "Random state",
        "Seed of the encodings, of the search and of every fit, and of a split by chance: same "
        "seed, same result.",
        ge=0,
        le=LARGEST_SEED,
    )
    accepted_findings: Lines = option(
        (),
        "Accepted findings",
        "Findings that would refuse correct data: the partition and the code, such as "
        "2024-02 another_unit. They are recorded with everything that is made of them.",
    )

    def __post_init__(self) -> None:
        """Check the accepted findings."""
        for text in self.accepted_findings:
            Acceptance.parse(text)


def training_set_options(dataset: Dataset) -> type:
    """Return the class of options that the forms of a dataset ask for."""
    return cast("type", dataset.extensions.load("training_set_options") or TableOptions)
