"""Settings of monitoring, and the thresholds of alarms."""

from __future__ import annotations

from pydantic import Field

from model_loop.settings.part import Part, names


class MonitoringSettings(Part):
    """Windows of monitoring, and the thresholds of alarms."""

    monitoring_schedule: str = Field(
        default="",
        title="Schedule of monitoring",
        description="Cron expression (UTC) such as `0 6 * * *`; empty for new partitions and "
        "runs by hand alone. It is for the dataset of `MODEL_LOOP_VARIANT`, and for those that "
        "declare `schedule`.",
    )
    monitoring_days: float = Field(
        default=7.0,
        gt=0,
        title="Days of a window",
        description="Days that a scheduled run of monitoring looks back. Use whole weeks: other "
        "windows hold other weekdays than the training did.",
    )
    monitoring_rows: int = Field(
        default=500,
        ge=2,
        validation_alias=names("monitoring_rows", "monitoring_trips"),
        title="Least rows of a window",
        description="Windows with fewer rows get no findings.",
    )
    monitoring_windows: int = Field(
        default=3,
        ge=1,
        title="Windows that are remembered",
        description="Number of the last windows, with the present one, over which errors are "
        "judged.",
    )
    monitoring_windows_needed: int = Field(
        default=2,
        ge=1,
        title="Windows that are needed",
        description="Number of these windows in which the errors have to reach a threshold before "
        "it counts.",
    )
    cooldown_hours: float = Field(
        default=168.0,
        ge=0,
        title="Hours between two drifts",
        description="Hours after a retraining caused by drift during which no drift of the same "
        "variant and moment starts another one.",
    )
    threshold_psi: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: PSI",
        description="Warn and act; population stability index of one feature.",
    )
    threshold_psi_average: tuple[float, float] = Field(
        default=(0.05, 0.15),
        title="Threshold: average PSI",
        description="Warn and act; of all features.",
    )
    threshold_drift_distance: tuple[float, float] = Field(
        default=(0.1, 0.3),
        title="Threshold: distance",
        description="Warn and act; Wasserstein distance of a number, in its standard deviations "
        "at training.",
    )
    threshold_unseen_share: tuple[float, float] = Field(
        default=(0.01, 0.03),
        title="Threshold: unseen categories",
        description="Warn and act; share of the rows with a category that training never saw.",
    )
    threshold_missing_change: tuple[float, float] = Field(
        default=(0.05, 0.2),
        title="Threshold: missing values",
        description="Warn and act; change of the share of a feature that is missing.",
    )
    threshold_shap_drift: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: SHAP drift",
        description="Warn and act; change of a feature's contribution to predictions, as a share "
        "of all contributions.",
    )
    threshold_prediction_drift: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: predictions",
        description="Warn and act; PSI of the predicted values.",
    )
    threshold_class_drift: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: predicted classes",
        description="Warn and act; PSI of the shares of predicted classes, of classifiers.",
    )
    threshold_mean_probability: tuple[float, float] = Field(
        default=(0.25, 0.5),
        title="Threshold: mean probability",
        description="Warn and act; change of the mean probability of a class beyond chance, as a "
        "share of that of training.",
    )
    threshold_label_shift: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: label shift",
        description="Warn and act; PSI of the shares of true classes.",
    )
    threshold_log_loss: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: log loss",
        description="Warn and act; increase of the log loss, as a share of that of the test rows.",
    )
    threshold_calibration: tuple[float, float] = Field(
        default=(0.03, 0.06),
        title="Threshold: calibration",
        description="Warn and act; calibration error beyond that of perfect probabilities.",
    )
    threshold_precision: tuple[float, float] = Field(
        default=(0.1, 0.2),
        title="Threshold: precision",
        description="Warn and act; decrease of the precision at the threshold of the version, "
        "from that of the test rows.",
    )
    threshold_recall: tuple[float, float] = Field(
        default=(0.1, 0.2),
        title="Threshold: recall",
        description="Warn and act; decrease of the recall at the threshold of the version, from "
        "that of the test rows.",
    )
    threshold_slice_log_loss: tuple[float, float] = Field(
        default=(0.25, 0.5),
        title="Threshold: worst slice of classes",
        description="Warn and act; as for the log loss, of the slice whose log loss has increased "
        "the most. Never more than a warning.",
    )
    threshold_rmse: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: RMSE",
        description="Warn and act; increase of the RMSE, as a share of that of the test rows.",
    )
    threshold_mae: tuple[float, float] = Field(
        default=(0.1, 0.25),
        title="Threshold: MAE",
        description="Warn and act; increase of the MAE, as a share of that of the test rows.",
    )
    threshold_bias: tuple[float, float] = Field(
        default=(0.25, 0.5),
        title="Threshold: bias",
        description="Warn and act; absolute mean error, as a share of the MAE of the test rows.",
    )
    threshold_slice_rmse: tuple[float, float] = Field(
        default=(0.25, 0.5),
        title="Threshold: worst slice",
        description="Warn and act; as for the RMSE, of the slice whose errors have increased the "
        "most. Never more than a warning.",
    )
    threshold_interval_evidence: tuple[float, float] = Field(
        default=(20.0, 20.0),
        title="Threshold: intervals",
        description="Warn and act; evidence that intervals cover less than their level by more "
        "than two points: 20 means at most one false alarm in twenty versions, however often it is "
        "read. Never more than a warning.",
    )
