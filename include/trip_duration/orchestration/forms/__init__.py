"""The trigger forms: what a person may set before a run, with titles, help, bounds and choices."""

from trip_duration.orchestration.forms.alerts import alerts_form
from trip_duration.orchestration.forms.batch_scoring import batch_scoring_form
from trip_duration.orchestration.forms.data import (
    acceptance_form,
    data_form,
    preparation_form,
    source_form,
    watch_form,
)
from trip_duration.orchestration.forms.fields import Form
from trip_duration.orchestration.forms.maintenance import maintenance_form
from trip_duration.orchestration.forms.monitoring import monitoring_form
from trip_duration.orchestration.forms.prediction import prediction_form
from trip_duration.orchestration.forms.promotion import override_form, promotion_form
from trip_duration.orchestration.forms.retraining import retraining_form
from trip_duration.orchestration.forms.training import search_form, sklearn_form, training_form

__all__ = [
    "Form",
    "acceptance_form",
    "alerts_form",
    "batch_scoring_form",
    "data_form",
    "maintenance_form",
    "monitoring_form",
    "override_form",
    "prediction_form",
    "preparation_form",
    "promotion_form",
    "retraining_form",
    "search_form",
    "sklearn_form",
    "source_form",
    "training_form",
    "watch_form",
]
