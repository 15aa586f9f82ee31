"""Health of a service, as plain values. Times are seconds since 1970, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Seconds of the past that traffic is counted over.
RECENT_SECONDS = 300.0


@dataclass(frozen=True)
class Traffic:
    """Traffic of the last `RECENT_SECONDS` in the request log, by all servers that write it.

    Parameters
    ----------
    predictions
        Number of predictions.
    latency
        Seconds from request to answer, by quantile; empty where nothing was predicted.
    latest
        When the latest prediction was made, however long ago; None if there is none.
    lost
        Predictions that were answered and not logged, of the time that the log keeps.
    """

    predictions: int
    latency: Mapping[float, float]
    latest: float | None
    lost: int


@dataclass(frozen=True)
class Answers:
    """Counts of the queried server since it started.

    Parameters
    ----------
    by_status
        Requests by the HTTP status of the answer.
    waiting
        Predictions that are not written to the log yet.
    """

    by_status: Mapping[int, int]
    waiting: int


@dataclass(frozen=True)
class Champion:
    """The version that answers; of several moments, the champion of the earliest.

    Parameters
    ----------
    version
        Number in the registry; None where there is no champion.
    enabled
        Whether anything answers.
    registered
        When it was registered, at the end of its training.
    promoted
        When it became champion; None if the history lacks it.
    newest_month
        The newest partition that it has learned from, whatever its length; None where that is not
        known.
    learned_until
        The end of that partition.
    by_moment
        The champion of each moment that has one.
    """

    version: int | None
    enabled: bool
    registered: float | None = None
    promoted: float | None = None
    newest_month: str | None = None
    learned_until: float | None = None
    by_moment: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """A data product.

    Parameters
    ----------
    name
        ``training_set``, or a name of the dataset's own.
    variant
        Key of the variant, with recipe and encoding of a training set.
    newest_month
        The newest partition in it, whatever its length.
    made
        When it was made.
    checked
        When its source was last looked at; None where that is not kept.
    """

    name: str
    variant: str
    newest_month: str
    made: float
    checked: float | None = None


@dataclass(frozen=True)
class DagHealth:
    """State of a DAG and its latest runs.

    Parameters
    ----------
    dag_id
        Its name.
    paused
        Whether it does not run by itself.
    last_success
        When its last successful run ended; None if none has.
    failed_since
        Runs that have failed since.
    """

    dag_id: str
    paused: bool
    last_success: float | None
    failed_since: int


@dataclass(frozen=True)
class ServiceHealth:
    """Health of a service.

    Parameters
    ----------
    service
        Its name.
    at
        When this was put together.
    traffic, answers, champion, products, dags
        The parts; None where a part cannot be had.
    problems
        Why, by the part's name.
    """

    service: str
    at: float
    traffic: Traffic | None = None
    answers: Answers | None = None
    champion: Champion | None = None
    products: tuple[Product, ...] | None = None
    dags: tuple[DagHealth, ...] | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
