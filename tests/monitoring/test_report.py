"""Evidently's report: written for people, and of the same mind as our own figures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from model_loop.monitoring.levels import Level, thresholds_of
from model_loop.monitoring.profile import PREDICTION, ReferenceProfile
from model_loop.monitoring.report import JSON, write_report
from model_loop.settings import Settings
from model_loop.tracking.names import EVIDENTLY_HTML
from trip_duration.dataset import TRIPS
from trip_duration.services import DISTANCE, PASSENGERS


def test_the_report_names_what_has_changed(reference: ReferenceProfile, tmp_path: Path) -> None:
    """In standard deviations; a column that is all missing is left out; no foreign script."""
    columns = list(reference.profile.columns)
    then = reference.sample[columns]
    now = then.assign(**{DISTANCE: then[DISTANCE] * 1.5}).assign(**{PASSENGERS: np.nan})
    predicted = reference.sample[PREDICTION].dropna().to_numpy()
    found = write_report(
        tmp_path, reference.sample, now, predicted, thresholds_of(Settings()), TRIPS
    )
    by_name = {one.subject: one for one in found}
    assert set(by_name) == {DISTANCE, PREDICTION}
    direct = wasserstein_distance(then[DISTANCE], now[DISTANCE]) / then[DISTANCE].std(ddof=0)
    assert by_name[DISTANCE].value == pytest.approx(direct, rel=0.01)
    assert by_name[DISTANCE].level is Level.ACT
    assert by_name[PREDICTION].level is Level.OK
    assert json.loads((tmp_path / JSON).read_text())
    html = (tmp_path / EVIDENTLY_HTML).read_text()
    assert DISTANCE in html
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=[\"']https?:", html)


def test_evidently_is_imported_by_the_report_alone() -> None:
    """Everything else of monitoring does without its eight seconds."""
    code = (
        "import sys; import model_loop.monitoring.window_drift, model_loop.monitoring.records; "
        "print('evidently' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
