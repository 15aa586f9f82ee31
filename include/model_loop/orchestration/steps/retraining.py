"""The steps of the retraining DAG: plain functions that the DAG file wraps as tasks."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError
from model_loop.orchestration.alerts.announcements import drift_answered
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms.completing import variant_conf
from model_loop.orchestration.forms.sources import source_of
from model_loop.orchestration.names import (
    PREPARATION,
    RESULTS,
    SKLEARN,
    TRAININGS,
    XGBOOST,
    dag_id_of,
)
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.schedules.drifts import drift_of, waiting_drifts
from model_loop.orchestration.schedules.occasions import (
    Events,
    Occasion,
    form_of,
    form_of_plan,
    read_occasions,
)
from model_loop.orchestration.schedules.watching import newest_configured
from model_loop.orchestration.schedules.watermarks import Watermarks
from model_loop.orchestration.steps.requests import who_asked
from model_loop.orchestration.steps.windows import records_of_windows
from model_loop.settings import get_settings
from model_loop.sources.origin import is_generated, source_label
from model_loop.tracking.learned import learned_by
from trip_duration.months import Month, MonthSplit
from trip_duration.publications import Publications
from trip_duration.services import get_service
from trip_duration.source.published import look_at_source, look_up_publication

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.orchestration.schedules.watermarks import StateStore
    from trip_duration.months import Month

logger = logging.getLogger(__name__)

#: Fields of the form that are handed to the promotion.
_GATE = (
    "approval",
    "accept_generated_data",
    "margin_share",
    "confidence",
    "slice_share",
    "latency_milliseconds",
    "size_megabytes",
)
#: Fields of the form that are not handed to the trainings.
_OWN = frozenset({"newest_month", "train_months_count", "again", "why", "promote", *_GATE})
_SKLEARN_ONLY = frozenset({"models", "extra_models"})
_DATA = frozenset({"source", "service", "recipe", "encoding"})


#: Runs whose form says which recipe is trained; those that nobody has filled a form for are told it
#: by their events and by what answers.
_CHOSEN = frozenset({"manual", "operator_triggered"})


def other_occasions(
    params: Mapping[str, Any], dag_run: DagRunProtocol, triggering_asset_events: Events
) -> list[dict[str, Any]]:
    """Return the forms of the runs that answer what this one does not.

    A run is about one source, variant and moment. Its events may be about several; and what is
    about no moment, a partition or the hour of the schedule, is about the champion of each.
    """
    dataset = _dataset(params)
    occasions = read_occasions(dataset, triggering_asset_events)
    asked = [(one, _recipe(params, one, None)) for one in occasions[1:]]
    if not occasions and dag_run.run_type.value not in _CHOSEN:
        why = f"by {who_asked(dag_run)}"
        occasions = [Occasion(params["source"], params["service"], (), (why,))]
    asked += [
        (one, recipe)
        for one in occasions
        if one.moment is None
        for recipe in _recipes_of_others(params, one)
    ]
    return [
        {
            **{name: params[name] for name in ("promote", "approval")},
            "source": one.source,
            **variant_conf(dataset, one.service),
            **_newest_conf(dataset, one),
            "why": one.why,
            **({"recipe": recipe} if recipe != params["recipe"] else {}),
        }
        for one, recipe in asked
    ]


def _newest_conf(dataset: Dataset, occasion: Occasion) -> dict[str, str | None]:
    """Return the field of the form that names the newest partition; none of a whole table."""
    if dataset.partition == "whole":
        return {}
    name = f"newest_{dataset.names.partitions.removesuffix('s')}"
    return {name: None if occasion.newest is None else str(occasion.newest)}


def _dataset(form: Mapping[str, Any]) -> Dataset:
    return dataset_of_variant(form["service"])


def _moment(form: Mapping[str, Any]) -> Moment:
    """Return the moment at which the recipe of a form is asked."""
    return _dataset(form).recipe(form["recipe"]).moment


def _recipes_of_others(form: Mapping[str, Any], occasion: Occasion) -> list[str]:
    """Return what to train for the champions of the moments at which the form's is not asked."""
    versions, own = versions_of(occasion.service), _moment(form)
    found = []
    for moment, standing in versions.standings().items():
        if moment != own and standing.champion is not None:
            recipe = versions.find(standing.champion).tags.get("recipe")
            found.append(_recipe(form, None, {"recipe": recipe, "moment": moment}))
    return found


def plan(
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    triggering_asset_events: Events,
    asset_state_store: Mapping[Any, StateStore],
) -> dict[str, Any] | None:
    """Plan the months, the reason and the forms; None if there is nothing new to learn from.

    The newest month judges, the one before is tuned on. An event names it; without one, and where
    the form names none, it is the newest that the source has published.
    """
    occasion = next(iter(read_occasions(_dataset(params), triggering_asset_events)), None)
    form = form_of(params, triggering_asset_events)
    # A source that is not allowed is refused before any request to it.
    source_of(form)
    _require_use(form)
    marks = _watermarks(asset_state_store, form)
    newest, found = _newest(form, marks, occasion)
    split = MonthSplit.ending_at(newest, form["train_months_count"])
    pending = _pending(form, occasion, asset_state_store)
    if dag_run.run_type.value not in _CHOSEN:
        form["recipe"] = _recipe(form, occasion, pending)
    moment = _moment(form)
    why = _why(form, dag_run, occasion, pending)
    published = _look_up_all(found, split.all, form)
    if not form["again"] and _was_trained(marks.trained(moment), published, split.all):
        # The drift waits: what the next month leads to is its answer.
        told = "%s; but the months up to %s were trained on before, for the moment %s."
        logger.warning(told, why, newest, moment)
        return None
    logger.info("%s: retraining on %s", why, ", ".join(map(str, split.all)))
    return {
        "why": why,
        "source": form["source"],
        "service": form["service"],
        "recipe": form["recipe"],
        "newest": str(newest),
        "published": published.to_json(),
        "forms": _forms(form, split),
    }


def _require_use(form: Mapping[str, Any]) -> None:
    """Refuse generated trips where the gate would keep whatever they lead to out.

    Raises
    ------
    InvalidInputError
        If the champion of the moment has learned from published trips, and the form does not
        accept generated ones.
    """
    unasked = form["accept_generated_data"] or not form["promote"]
    if unasked or not is_generated(form["source"]):
        return
    versions, moment = versions_of(form["service"]), _moment(form)
    champion = versions.standings()[moment].champion
    if champion is None:
        return
    learned = learned_by(versions.tracker, versions.name, champion)
    if not learned.generated:
        raise InvalidInputError(
            f"A retraining on {source_label(form['source'])}",
            f"could not take the place of champion version {champion}, which has learned from "
            f"{learned.label}: the gate would refuse it after all the work",
            "Name the source of published months in the form; or set accept_generated_data, or "
            "switch promote off to register models only.",
        )


def _pending(
    form: Mapping[str, Any], occasion: Occasion | None, store: Mapping[Any, StateStore]
) -> dict[str, Any] | None:
    """Return the drift that the run answers; None if there is none.

    That of the moment that the run is about: of the form, or that an event of drift names. Where
    such an event names none, any that waits goes with the run, the earliest moment's first.
    """
    asked: Sequence[Moment] = (_moment(form),)
    if occasion is not None and (occasion.moment or not occasion.months):
        asked = (occasion.moment,) if occasion.moment else _dataset(form).moments
    found = waiting_drifts(store[assets_of(_dataset(form)).drift], form["service"])
    return next((drift_of(found[moment]) for moment in asked if moment in found), None)


def _recipe(
    form: Mapping[str, Any], occasion: Occasion | None, drift: Mapping[str, Any] | None
) -> str:
    """Return the recipe to train: that of the version that has drifted, or else the form's.

    Another recipe may be asked at another moment, and could not replace the version. Of one that
    came from elsewhere, with no recipe of ours, the moment alone is kept.
    """
    named = (drift or {}).get("recipe") or (occasion.recipe if occasion else "")
    recipes = _dataset(form).recipes
    if named in recipes:
        return str(named)
    moment = (drift or {}).get("moment") or (occasion.moment if occasion else None)
    own = recipes.get(form["recipe"])
    if moment is None or (own and own.moment == moment):
        return str(form["recipe"])
    # The last one of a moment knows the most of what is known then.
    return [one.name for one in recipes.values() if one.moment == moment][-1]


def _newest(
    form: Mapping[str, Any], marks: Watermarks, occasion: Occasion | None
) -> tuple[Month, Publications]:
    """The month that judges, and what is known of what the source has."""
    if form["newest_month"]:
        return Month.parse(form["newest_month"]), Publications({})
    if occasion is not None and occasion.newest is not None:
        # When an earlier month is published anew, the months that were trained on since stay.
        return max(occasion.newest, marks.trained().newest or occasion.newest), Publications({})
    settings = get_settings()
    since = newest_configured(settings)
    found = look_at_source(
        source_of(form),
        get_service(form["service"]),
        marks.known(),
        since,
        timeout_seconds=settings.request_timeout_seconds,
    )
    return max(found.newest or since, since), found


def choose_challenger(
    plan: Mapping[str, Any],
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any,  # noqa: ANN401 - Airflow's
) -> dict[str, Any] | None:
    """The form of the promotion, for the best of both trainings; None to leave it out."""
    families = _families(_dataset(params), ti, dag_run)
    best = min(families, key=lambda family: family["loss"])
    version = _version(best)
    logger.info(
        "Best of %d: %s, version %d, validation RMSE %.3f minutes",
        len(families),
        best["family"],
        version,
        best["validation_rmse"],
    )
    if not params["promote"]:
        return None
    return {
        "action": "promote",
        **variant_conf(_dataset(params), form_of_plan(params, plan)["service"]),
        "version": version,
        "why": plan["why"],
        **{name: params[name] for name in _GATE},
    }


def finish(
    plan: Mapping[str, Any],
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any,  # noqa: ANN401 - Airflow's
    asset_state_store: Mapping[Any, StateStore],
    challenger: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Move the watermark; tell what became of it, and whoever has seen the drift."""
    form = form_of_plan(params, plan)
    marks = _watermarks(asset_state_store, form)
    moment = _moment({**form, "recipe": plan.get("recipe") or params["recipe"]})
    marks.train(Publications.from_json(plan["published"]), moment)
    champion = versions_of(form["service"]).standings()[moment].champion
    version = challenger["version"] if challenger else None
    promoted = version is not None and champion == version
    logger.info("%s: champion is version %s", plan["why"], champion)
    drifts = asset_state_store[assets_of(_dataset(form)).drift]
    memory = waiting_drifts(drifts, form["service"]).get(moment)
    if memory is not None and (drift := drift_of(memory)) is not None:
        outcome = _outcome(
            drift, _families(_dataset(form), ti, dag_run), version, promoted=promoted
        )
        _answer(drift, outcome, dag_run)
        memory.answer()
    return {
        "why": plan["why"],
        "newest": plan["newest"],
        "challenger": version,
        "champion": champion,
        "promoted": promoted,
    }


def _families(
    dataset: Dataset,
    ti: Any,  # noqa: ANN401 - Airflow's
    dag_run: DagRunProtocol,
) -> list[dict[str, Any]]:
    """Return the results of both trainings, with the errors of the models compared."""
    families = []
    for job in TRAININGS:
        # Both trainings have run under the id that `run_dag` gives.
        run_id = f"{dag_run.dag_id}.{dag_run.run_id}"
        dag_id = dag_id_of(dataset, job)
        results = ti.xcom_pull(dag_id=dag_id, run_id=run_id, task_ids=RESULTS)
        compared = results["compared_with"]
        families += [{**family, "compared_with": compared} for family in results["families"]]
    return families


def _outcome(
    drift: Mapping[str, Any],
    families: Sequence[Mapping[str, Any]],
    version: int | None,
    *,
    promoted: bool,
) -> str:
    """One line: why there was a retraining, and what it has changed.

    The errors are those of the version that had drifted, and of the new one, on the same test
    months.
    """
    new = next((it for it in families if _version(it) == version), None)
    compared = f"champion (version {drift['version']})"
    before = new["compared_with"].get(compared) if new else None
    because = f"retrained because {drift['why']}"
    if new is None:
        return f"{because}; nothing was to be promoted"
    errors = f"RMSE {new['test_rmse']:.2f}"
    if before is not None:
        errors = f"RMSE {before['test_rmse']:.2f} → {new['test_rmse']:.2f}"
    return f"{because}; {errors}" if promoted else f"{because}; not promoted ({errors})"


def _version(family: Mapping[str, Any]) -> int:
    return int(family["model_uri"].rpartition("/")[2])


def _answer(drift: Mapping[str, Any], outcome: str, dag_run: DagRunProtocol) -> None:
    """Write the outcome beside the window that had drifted, and tell it."""
    records_of_windows().note(drift["run_id"], outcome)
    announce(drift_answered(outcome, drift, dag_run.dag_id, dag_run.run_id))
    logger.info("%s", outcome)


def _why(
    form: Mapping[str, Any],
    dag_run: DagRunProtocol,
    occasion: Occasion | None,
    pending: Mapping[str, Any] | None,
) -> str:
    """One line: what has led to this run."""
    reasons = [form["why"]] if form["why"] else []
    reasons += occasion.reasons if occasion else ()
    reasons += [f"drift: {pending['why']}"] if pending else []
    # The event that waits may be the one that started the run.
    return "; ".join(dict.fromkeys(reasons)) or f"by {who_asked(dag_run)}"


def _look_up_all(
    found: Publications, months: Sequence[Any], params: Mapping[str, Any]
) -> Publications:
    """Return the publications of some months; `data_preparation` reports missing ones."""
    settings = get_settings()
    known = dict(found.of(tuple(months)).known)
    for month in months:
        if month not in known:
            one = look_up_publication(
                source_of(params),
                get_service(params["service"]),
                month,
                timeout_seconds=settings.request_timeout_seconds,
            )
            if one is not None:
                known[month] = one
    return Publications(known)


def _was_trained(trained: Publications, published: Publications, months: Sequence[Any]) -> bool:
    return len(published.known) == len(months) and not trained.news(published)


def _forms(params: Mapping[str, Any], split: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - a MonthSplit, imported late
    """Return the form that each DAG is triggered with."""
    months = {
        "train_months": [str(month) for month in split.train],
        "validation_months": [str(month) for month in split.validation],
        "test_months": [str(month) for month in split.test],
    }
    shared = {name: value for name, value in params.items() if name not in _OWN}
    data = {name: value for name, value in shared.items() if name in _DATA}
    without_models = {name: it for name, it in shared.items() if name not in _SKLEARN_ONLY}
    return {
        PREPARATION: {**data, **months},
        SKLEARN: {**shared, **months},
        XGBOOST: {**without_models, **months},
    }


def _watermarks(store: Mapping[Any, StateStore], params: Mapping[str, Any]) -> Watermarks:
    return Watermarks(
        store[assets_of(_dataset(params)).published],
        params["service"],
        params["source"],
        dt.timedelta(hours=get_settings().watch_again_hours),
    )
