"""Names under which the dataclasses of trips are stored; see `model_loop.objects.formats`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Format, and the path of its class.
FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "checked_month/1": "trip_duration.contract.checked:CheckedMonth",
        "cleaning_report/1": "trip_duration.cleaning:CleaningReport",
        "cleaning_rules/1": "trip_duration.cleaning_rules:CleaningRules",
        "column_profile/1": "trip_duration.profile:ColumnProfile",
        "histogram/1": "trip_duration.profile:Histogram",
        "history_verdict/1": "trip_duration.history:HistoryVerdict",
        "month/1": "trip_duration.months:Month",
        "month_file/1": "trip_duration.source.types:RawMonth",
        "month_profile/1": "trip_duration.profile:MonthProfile",
        "month_report/1": "trip_duration.contract.report:MonthReport",
        "month_split/1": "trip_duration.months:MonthSplit",
        "pair_profile/1": "trip_duration.profile:PairProfile",
        "training_request/1": "trip_duration.training_set.request:TrainingSetRequest",
        "rule_count/1": "trip_duration.contract.report:RuleCount",
        "sample_dirt/1": "trip_duration.sample_options:Corruption",
        "sample_drift/1": "trip_duration.sample_options:Drift",
        "sample_options/1": "trip_duration.sample_options:SampleOptions",
        "zone_profile/1": "trip_duration.profile:ZoneProfile",
    }
)

#: Paths that versions before 0.2 have written, with the format of today.
FORMER_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "trip_duration.trips.cleaning:CleaningReport": "cleaning_report/1",
        "trip_duration.trips.cleaning:CleaningRules": "cleaning_rules/1",
        "trip_duration.trips.cleaning_rules:CleaningRules": "cleaning_rules/1",
        "trip_duration.trips.contract.checked:CheckedMonth": "checked_month/1",
        "trip_duration.trips.contract.report:MonthReport": "month_report/1",
        "trip_duration.trips.contract.report:RuleCount": "rule_count/1",
        "trip_duration.trips.history:HistoryVerdict": "history_verdict/1",
        "trip_duration.trips.history:Verdict": "history_verdict/1",
        "trip_duration.trips.months:Month": "month/1",
        "trip_duration.trips.months:MonthSplit": "month_split/1",
        "trip_duration.trips.profile:ColumnProfile": "column_profile/1",
        "trip_duration.trips.profile:Histogram": "histogram/1",
        "trip_duration.trips.profile:MonthProfile": "month_profile/1",
        "trip_duration.trips.profile:PairProfile": "pair_profile/1",
        "trip_duration.trips.profile:ZoneProfile": "zone_profile/1",
        "trip_duration.trips.sample.options:Dirt": "sample_dirt/1",
        "trip_duration.trips.sample.options:Drift": "sample_drift/1",
        "trip_duration.trips.sample.options:SampleOptions": "sample_options/1",
        "trip_duration.trips.sample_options:Corruption": "sample_dirt/1",
        "trip_duration.trips.sample_options:Drift": "sample_drift/1",
        "trip_duration.trips.sample_options:SampleOptions": "sample_options/1",
        "trip_duration.trips.source.answers:Begun": "download/1",
        "trip_duration.trips.source.kept:FileVersion": "source_version/1",
        "trip_duration.trips.source.kept:KeptFile": "kept_file/1",
        "trip_duration.trips.source.kept:RememberedDigest": "file_digest/1",
        "trip_duration.trips.source.types:RawMonth": "month_file/1",
        "trip_duration.training_set.request:TrainingSetRequest": "training_request/1",
        "trip_duration.training_set.types:TrainingSetRequest": "training_request/1",
        "trip_duration.trips.split:Period": "period/1",
    }
)
