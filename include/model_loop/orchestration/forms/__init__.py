"""The trigger forms: what a person may set before a run, with titles, help, bounds and choices."""

from model_loop.orchestration.forms.alerts import alerts_form
from model_loop.orchestration.forms.batch_scoring import batch_scoring_form
from model_loop.orchestration.forms.blending import blend_form
from model_loop.orchestration.forms.data import (
    acceptance_form,
    data_form,
    preparation_form,
    source_form,
    watch_form,
)
from model_loop.orchestration.forms.fields import FormFields
from model_loop.orchestration.forms.labels import labels_form
from model_loop.orchestration.forms.maintenance import maintenance_form
from model_loop.orchestration.forms.monitoring import monitoring_form
from model_loop.orchestration.forms.prediction import prediction_form
from model_loop.orchestration.forms.promotion import override_form, promotion_form
from model_loop.orchestration.forms.retraining import retraining_form
from model_loop.orchestration.forms.training import search_form, sklearn_form, training_form

__all__ = [
    "FormFields",
    "acceptance_form",
    "alerts_form",
    "batch_scoring_form",
    "blend_form",
    "data_form",
    "labels_form",
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
