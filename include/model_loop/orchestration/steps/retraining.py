"""The steps of the retraining DAG: plain functions that the DAG file wraps as tasks."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError, SourceError
from model_loop.models.search import metric_title
from model_loop.orchestration.alerts.announcements import drift_answered
from model_loop.orchestration.alerts.notifications import announce
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms import (
    preparation_form,
    retraining_form,
    sklearn_form,
    training_form,
)
from model_loop.orchestration.forms.completing import variant_conf
from model_loop.orchestration.forms.sources import source_of
from model_loop.orchestration.names import (
    BLEND,
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
from model_loop.orchestration.schedules.watching import newest_known
from model_loop.orchestration.schedules.watermarks import Watermarks
from model_loop.orchestration.steps.requests import who_asked
from model_loop.orchestration.steps.windows import records_of_windows
from model_loop.partitions.keys import WHOLE, check_key, is_complete
from model_loop.settings import get_settings
from model_loop.sources.origin import is_generated, source_label
from model_loop.sources.publications import Publications
from model_loop.sources.published import PublishedSource
from model_loop.tracking.learned import learned_by

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from model_loop.orchestration.schedules.watermarks import StateStore

logger = logging.getLogger(__name__)

#: Publications of a source that nobody has looked at.
NOTHING = Publications({})

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
#: Forms of the DAGs that a retraining runs with parts of its own form.
_FORMS = MappingProxyType(
    {PREPARATION: preparation_form, SKLEARN: sklearn_form, XGBOOST: training_form}
)


#: Runs whose form says which recipe is trained; of others, events and champions say it.
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
    asked = [(occasion, _recipe(params, occasion, None)) for occasion in occasions[1:]]
    if not occasions and dag_run.run_type.value not in _CHOSEN:
        why = f"by {who_asked(dag_run)}"
        occasions = [Occasion(params["source"], params["service"], (), (why,))]
    asked += [
        (occasion, recipe)
        for occasion in occasions
        if occasion.moment is None
        for recipe in _recipes_of_others(params, occasion)
    ]
    return [
        {
            **{name: params[name] for name in ("promote", "approval", "blend")},
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
    name = _newest_field(dataset)
    return {name: occasion.newest} if name in retraining_form(dataset) else {}


def _newest_field(dataset: Dataset) -> str:
    return f"newest_{dataset.names.partitions.removesuffix('s')}"


def _dataset(form: Mapping[str, Any]) -> Dataset:
    return dataset_of_variant(form["service"])


def _moment(form: Mapping[str, Any]) -> Moment:
    """Return the moment at which the recipe of a form is asked."""
    return _dataset(form).recipe(form["recipe"]).moment


def _moment_of_plan(plan: Mapping[str, Any], form: Mapping[str, Any]) -> Moment:
    """Return the moment at which the recipe that was trained is asked."""
    return _moment({**form, "recipe": plan.get("recipe") or form["recipe"]})


def _recipes_of_others(form: Mapping[str, Any], occasion: Occasion) -> list[str]:
    """Return what to train for the champions of the moments at which the form's is not asked."""
    versions, own = versions_of(occasion.service), _moment(form)
    recipes = []
    for moment, standing in versions.standings().items():
        if moment != own and standing.champion is not None:
            recipe = versions.find(standing.champion).tags.get("recipe")
            recipes.append(_recipe(form, None, {"recipe": recipe, "moment": moment}))
    return recipes


def plan_retraining(
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    triggering_asset_events: Events,
    asset_state_store: Mapping[Any, StateStore],
) -> dict[str, Any] | None:
    """Plan the partitions, the reason and the forms; None if there is nothing new to learn from.

    An event names the newest partition; without one, and where the form names none, it is the
    newest that the source has published, and whose true values have arrived.
    """
    dataset = _dataset(params)
    occasion = next(iter(read_occasions(dataset, triggering_asset_events)), None)
    form = form_of(params, triggering_asset_events)
    # A source that is not allowed is refused before any request to it.
    source_of(form)
    _require_use(form)
    marks = _watermarks(asset_state_store, form)
    source = _source(form)
    newest, publications = _newest(form, marks, occasion, source)
    fields = _partition_fields(form, newest, publications, marks.trained())
    pending = _pending(form, occasion, asset_state_store)
    if dag_run.run_type.value not in _CHOSEN:
        form["recipe"] = _recipe(form, occasion, pending)
    moment = _moment(form)
    why = _why(form, dag_run, occasion, pending)
    keys = [key for part in fields.values() for key in part] or sorted(publications.known)
    published = _look_up_all(publications, keys, source)
    if not form["again"] and _was_trained(marks.trained(moment), published, keys):
        # The drift waits: what the next partition leads to is its answer.
        message = "%s; but the %s up to %s were trained on before, for the moment %s."
        logger.warning(message, why, dataset.partitions[0], newest, moment)
        return None
    logger.info("%s: retraining on %s", why, ", ".join(keys))
    return {
        "why": why,
        "source": form["source"],
        "service": form["service"],
        "recipe": form["recipe"],
        "newest": newest,
        "published": published.to_json(),
        "forms": _forms(form, fields),
    }


def _require_use(form: Mapping[str, Any]) -> None:
    """Refuse generated rows where the gate would keep whatever they lead to out.

    Raises
    ------
    InvalidInputError
        If the champion of the moment has learned from published rows, and the form does not
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
            f"Name the source of published {_dataset(form).partitions[0]} in the form; or set "
            "accept_generated_data, or switch promote off to register models only.",
        )


def _pending(
    form: Mapping[str, Any], occasion: Occasion | None, store: Mapping[Any, StateStore]
) -> dict[str, Any] | None:
    """Return the drift that the run answers; None if there is none.

    That of the moment that the run is about: of the form, or that an event of drift names. Where
    such an event names none, any that waits goes with the run, the earliest moment's first.
    """
    asked: Sequence[Moment] = (_moment(form),)
    if occasion is not None and (occasion.moment or not occasion.partitions):
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
    return [recipe.name for recipe in recipes.values() if recipe.moment == moment][-1]


def _newest(
    form: Mapping[str, Any], marks: Watermarks, occasion: Occasion | None, source: PublishedSource
) -> tuple[str, Publications]:
    """Return the newest partition, and what is known of what the source has.

    Raises
    ------
    SourceError
        If the source has no partition.
    """
    dataset = source.dataset
    if source.is_one_table:
        return WHOLE, source.look(NOTHING)
    now = dt.datetime.now(tz=dt.UTC)
    if named := form.get(_newest_field(dataset)):
        return _require_complete(check_key(named, dataset.partition), dataset, now), NOTHING
    if (
        occasion is not None
        and occasion.newest is not None
        and is_complete(occasion.newest, dataset, now)
    ):
        # When an earlier partition is published anew, those that were trained on since stay.
        return max(occasion.newest, marks.trained().newest or ""), NOTHING
    since = newest_known(dataset)
    publications = source.look(marks.known(), since)
    newest = max(publications.newest or since, since)
    if not newest:
        noun = dataset.partitions[1]
        raise SourceError(
            f"The source {source.source}",
            f"has no {noun} whose true values have arrived",
            f"Wait for the first {noun}, or name another source.",
        )
    return newest, publications


def _require_complete(key: str, dataset: Dataset, now: dt.datetime) -> str:
    """Refuse a partition to judge by whose true values cannot all have arrived yet.

    Raises
    ------
    InvalidInputError
        If they cannot.
    """
    if not is_complete(key, dataset, now):
        noun = dataset.partitions[1]
        raise InvalidInputError(
            f"The {noun} {key}",
            "has not ended, or its true values have not arrived yet",
            f"Name an earlier {noun}, or leave the field empty.",
        )
    return key


def _partition_fields(
    form: Mapping[str, Any], newest: str, publications: Publications, trained: Publications
) -> dict[str, list[str]]:
    """Return the fields of the form of preparations that say which partitions are taken.

    All that are known up to the newest, unless the dataset has a rule of its own; of a table that
    comes as one, its split says it.
    """
    own: Callable[..., dict[str, list[str]]] | None = _dataset(form).extensions.load("retrained_on")
    if own is not None:
        return own(newest, form)
    if newest == WHOLE:
        return {}
    known = publications.known or _source(form).look(trained, newest_known(_dataset(form))).known
    return {"partitions": sorted(key for key in {*known, *trained.known, newest} if key <= newest)}


def ask_for_blend(
    plan: Mapping[str, Any],
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any,  # noqa: ANN401 - Airflow's
) -> dict[str, Any] | None:
    """The form of the DAG that blends the families of both trainings; None to leave it out."""
    if not params["blend"]:
        logger.info("No blend is asked for.")
        return None
    form, dataset = form_of_plan(params, plan), _dataset(params)
    families = _trained(dataset, ti, dag_run)
    return {
        **variant_conf(dataset, form["service"]),
        "versions": sorted(_version(family) for family in families),
    }


def choose_challenger(
    plan: Mapping[str, Any],
    params: Mapping[str, Any],
    dag_run: DagRunProtocol,
    ti: Any,  # noqa: ANN401 - Airflow's
) -> dict[str, Any] | None:
    """The form of the promotion, for the best of all families; None to leave it out.

    Where nothing answers yet, it names no version: the next best follows one that is refused.
    """
    families = _ranked(_dataset(params), ti, dag_run)
    best, target = families[0], _dataset(params).target
    version, metric = _version(best), target.main_metric
    logger.info(
        "Best of %d: %s, version %d, validation %s %s",
        len(families),
        best["family"],
        version,
        metric_title(metric),
        target.with_unit(f"{best[f'validation_{metric}']:.3f}"),
    )
    if not params["promote"]:
        return None
    form = form_of_plan(params, plan)
    champion = _champion(form, _moment_of_plan(plan, form))
    return {
        "action": "promote",
        **variant_conf(_dataset(params), form["service"]),
        "version": None if champion is None else version,
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
    moment = _moment_of_plan(plan, form)
    marks.train(Publications.from_json(plan["published"]), moment)
    champion = _champion(form, moment)
    version = challenger["version"] if challenger else None
    if challenger and version is None:
        tried = [_version(family) for family in _ranked(_dataset(form), ti, dag_run)]
        version = champion if champion in tried else tried[0]
    promoted = version is not None and champion == version
    logger.info("%s: champion is version %s", plan["why"], champion)
    drifts = asset_state_store[assets_of(_dataset(form)).drift]
    memory = waiting_drifts(drifts, form["service"]).get(moment)
    if memory is not None and (drift := drift_of(memory)) is not None:
        outcome = _outcome(drift, _ranked(_dataset(form), ti, dag_run), version, promoted=promoted)
        _answer(form["service"], drift, outcome, dag_run)
        memory.answer()
    return {
        "why": plan["why"],
        "newest": plan["newest"],
        "challenger": version,
        "champion": champion,
        "promoted": promoted,
    }


def _champion(form: Mapping[str, Any], moment: Moment) -> int | None:
    """Return the version that answers at a moment."""
    return versions_of(form["service"]).standings()[moment].champion


def _ranked(
    dataset: Dataset,
    ti: Any,  # noqa: ANN401 - Airflow's
    dag_run: DagRunProtocol,
) -> list[dict[str, Any]]:
    """Return the results of trainings and blend, best first, with the errors of those compared."""
    families = _trained(dataset, ti, dag_run)
    blend = _results(dataset, BLEND, ti, dag_run)
    if blend is not None:
        families += [one for one in _families(blend) if one["family"] == BLEND]
    return sorted(families, key=lambda family: family["loss"])


def _trained(
    dataset: Dataset,
    ti: Any,  # noqa: ANN401 - Airflow's
    dag_run: DagRunProtocol,
) -> list[dict[str, Any]]:
    """Return the results of both trainings."""
    return [
        family for job in TRAININGS for family in _families(_results(dataset, job, ti, dag_run))
    ]


def _families(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    compared = results["compared_with"]
    return [{**family, "compared_with": compared} for family in results["families"]]


def _results(
    dataset: Dataset,
    job: str,
    ti: Any,  # noqa: ANN401 - Airflow's
    dag_run: DagRunProtocol,
) -> Any:  # noqa: ANN401 - JSON
    """Return the results of a job, which has run under the id that `run_dag` gives."""
    run_id = f"{dag_run.dag_id}.{dag_run.run_id}"
    return ti.xcom_pull(dag_id=dag_id_of(dataset, job), run_id=run_id, task_ids=RESULTS)


def _outcome(
    drift: Mapping[str, Any],
    families: Sequence[Mapping[str, Any]],
    version: int | None,
    *,
    promoted: bool,
) -> str:
    """One line: why there was a retraining, and what it has changed.

    The errors are those of the version that had drifted, and of the new one, on the same test rows.
    """
    new = next((it for it in families if _version(it) == version), None)
    compared = f"champion (version {drift['version']})"
    before = new["compared_with"].get(compared) if new else None
    because = f"retrained because {drift['why']}"
    if new is None:
        return f"{because}; nothing was to be promoted"
    metric = "rmse" if "test_rmse" in new else "log_loss"
    key, decimals = f"test_{metric}", 2 if metric == "rmse" else 3
    errors = f"{metric_title(metric)} {new[key]:.{decimals}f}"
    if before is not None:
        errors = f"{metric_title(metric)} {before[key]:.{decimals}f} → {new[key]:.{decimals}f}"
    return f"{because}; {errors}" if promoted else f"{because}; not promoted ({errors})"


def _version(family: Mapping[str, Any]) -> int:
    return int(family["model_uri"].rpartition("/")[2])


def _answer(service: str, drift: Mapping[str, Any], outcome: str, dag_run: DagRunProtocol) -> None:
    """Write the outcome beside the window that had drifted, and tell it."""
    records_of_windows(service).note(drift["run_id"], outcome)
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


def _source(form: Mapping[str, Any]) -> PublishedSource:
    settings = get_settings()
    return PublishedSource(
        form["service"],
        source_of(form),
        settings.storage_root,
        settings.request_timeout_seconds,
    )


def _look_up_all(
    publications: Publications, keys: Sequence[str], source: PublishedSource
) -> Publications:
    """Return the publications of some partitions; `data_preparation` reports missing ones."""
    known = dict(publications.of(keys).known)
    for key in keys:
        if key not in known and (publication := source.find(key)) is not None:
            known[key] = publication
    return Publications(known)


def _was_trained(trained: Publications, published: Publications, keys: Sequence[str]) -> bool:
    return len(published.known) == len(keys) and not trained.news(published)


def _forms(
    params: Mapping[str, Any], partitions: Mapping[str, list[str]]
) -> dict[str, dict[str, Any]]:
    """Return the form that each DAG is triggered with: the fields that it has of these."""
    dataset = _dataset(params)
    given = {**params, **variant_conf(dataset, params["service"]), **partitions}
    return {
        job: {name: given[name] for name in form(dataset) if name in given}
        for job, form in _FORMS.items()
    }


def _watermarks(store: Mapping[Any, StateStore], params: Mapping[str, Any]) -> Watermarks:
    return Watermarks(
        store[assets_of(_dataset(params)).published],
        params["service"],
        params["source"],
        dt.timedelta(hours=get_settings().watch_again_hours),
    )
