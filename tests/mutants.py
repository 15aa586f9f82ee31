"""Small faults in the code that the tests have to notice: `make test-mutants`.

Each stands for a mistake that would let a wrong result through without a word. It is put into a
copy of the package, and the tests that are named have to fail there. Names of faults after the
command choose some of them: ``python -m tests.mutants "a token compared in part"``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The packages that are copied; files of faults are named below their folder.
PACKAGES = ("model_loop", "trip_duration")
#: Exit code of pytest where a test has failed.
_FAILED = 1


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Parameters
    ----------
    name
        What is wrong with it.
    file
        Below the package.
    old, new
        Code that stands there once, and what stands there instead.
    tests
        Files or tests of which at least one has to fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, package: Path) -> None:
        """Put the fault into a copy of the package."""
        path = package / self.file
        code = path.read_text(encoding="utf-8")
        assert code.count(self.old) == 1, f"{self.name}: {self.file} holds that not once"
        path.write_text(code.replace(self.old, self.new), encoding="utf-8")


_CANARIES = ("tests/trip_duration/training_set/test_leak_canaries.py",)
_GATE = ("tests/models/test_gate.py",)
_MOVES = ("tests/tracking/test_moves.py",)
_PERFORMANCE = ("tests/monitoring/test_performance.py",)
_SEARCH = ("tests/models/test_time_and_patience.py", "tests/models/test_tuning.py")

MUTANTS = (
    Mutant(
        "validation encoded with knowledge of its own outcomes",
        "trip_duration/training_set/build.py",
        "validation=train_encoder.transform(split.validation),\n"
        "        train_validation=encoder.fit_transform(both",
        "validation=train_encoder.fit(both, _minutes(both)).transform(split.validation),\n"
        "        train_validation=encoder.fit_transform(both",
        _CANARIES,
    ),
    Mutant(
        "a feature that holds the outcome of its own row",
        "trip_duration/training_set/encoders/dense.py",
        "self.durations_.fit_transform(categories, minutes), None",
        "self.durations_.fit(categories, minutes).transform(categories), None",
        _CANARIES,
    ),
    Mutant(
        "an encoder that has learned from the test month",
        "trip_duration/training_set/build.py",
        "both = pd.concat([split.train, split.validation], ignore_index=True)",
        "both = pd.concat([split.train, split.validation, split.test], ignore_index=True)",
        _CANARIES,
    ),
    Mutant(
        "a leak guard that looks at nothing",
        "trip_duration/columns.py",
        "        for name in columns\n        if name in OUTCOME_COLUMNS or",
        "        for name in ()\n        if name in OUTCOME_COLUMNS or",
        ("tests/trip_duration/training_set/test_data_tests.py",),
    ),
    Mutant(
        "a gate that lets leaks pass",
        "model_loop/models/gate.py",
        '        "no leak",\n        not leaks,',
        '        "no leak",\n        True,',
        _GATE,
    ),
    Mutant(
        "a pruned trial that wins",
        "model_loop/models/tuning.py",
        "finished = [trial for trial in self.trials if trial.finished]",
        "finished = [trial for trial in self.trials if trial.metrics]",
        _SEARCH,
    ),
    Mutant(
        "a cohort that is never halved",
        "model_loop/models/tuning.py",
        "reason = self._terminator.compare(one.trial.number, one.trial.outlook[:rung])",
        "reason = None",
        _SEARCH,
    ),
    Mutant(
        "tpe that is random",
        "model_loop/models/proposals.py",
        "hyperopt.tpe.suggest, n_startup_jobs=startup(request.max_evaluations)",
        "hyperopt.tpe.suggest, n_startup_jobs=request.max_evaluations",
        _SEARCH,
    ),
    Mutant(
        "a bootstrap that is not paired",
        "model_loop/models/gate.py",
        "paired=True",
        "paired=False",
        _GATE,
    ),
    Mutant(
        "a bootstrap that is not seeded",
        "model_loop/models/gate.py",
        "rng=np.random.default_rng(random_state)",
        "rng=np.random.default_rng()",
        _GATE,
    ),
    Mutant(
        "a gate that does not look at slices",
        "model_loop/models/gate.py",
        "bool(worse.max() <= rules.slice_share)",
        "True",
        _GATE,
    ),
    Mutant(
        "an interval of the gate with two sides",
        "model_loop/models/gate.py",
        'alternative="greater"',
        'alternative="two-sided"',
        _GATE,
    ),
    Mutant(
        "PSI from which chance is not subtracted",
        "model_loop/monitoring/psi.py",
        "psi(expected, actual) - psi_by_chance(expected, actual)",
        "psi(expected, actual)",
        ("tests/monitoring/test_drift.py",),
    ),
    Mutant(
        "a correction for many comparisons that is dropped",
        "model_loop/monitoring/performance.py",
        "1 - (1 - rules.confidence) / len((RMSE, MAE, BIAS))",
        "rules.confidence",
        _PERFORMANCE,
    ),
    Mutant(
        "a correction for many slices that is dropped",
        "model_loop/monitoring/slices.py",
        "(1 - confidence) / max(len(parts), 1)",
        "(1 - confidence)",
        _PERFORMANCE,
    ),
    Mutant(
        "a token compared in part",
        "model_loop/serving/http/tokens.py",
        "hmac.compare_digest(known, asked)",
        "hmac.compare_digest(known[:-1], asked[:-1])",
        ("tests/serving/test_tokens.py",),
    ),
    Mutant(
        "a token that does not end",
        "model_loop/serving/http/tokens.py",
        'float("inf") if token.expires is None else token.expires',
        'float("inf")',
        ("tests/serving/test_tokens.py",),
    ),
    Mutant(
        "names below the package's own are trusted",
        "model_loop/objects/schema.py",
        "if name not in allowed:",
        'if name not in allowed and not name.startswith("model_loop."):',
        ("tests/objects/test_trust.py",),
    ),
    Mutant(
        "a move that is in the history before it is made",
        "model_loop/tracking/promotion.py",
        "        move(self.versions, self._history.entry(run))\n"
        "        self.tracker.close_run(run.info.run_id)\n",
        "        self.tracker.close_run(run.info.run_id)\n"
        "        move(self.versions, self._history.entry(run))\n",
        _MOVES,
    ),
    Mutant(
        "a move that is made again when its task is",
        "model_loop/tracking/promotion.py",
        "            return self._history.entry(run)\n        if run is None:",
        "            pass\n        run = None\n        if run is None:",
        _MOVES,
    ),
    Mutant(
        "a retired version that stays canary",
        "model_loop/tracking/actions.py",
        '"retire": _without,',
        '"retire": lambda before, *_: before,',
        _MOVES,
    ),
    Mutant(
        "an interrupted move that the next one passes over",
        "model_loop/tracking/interrupted.py",
        "ends = self.later(run) is None and self._has_moved(entry)",
        "ends = False",
        _MOVES,
    ),
    Mutant(
        "a canary that answers the larger share of the next",
        "model_loop/tracking/moves.py",
        "raised = before.challenger not in",
        "raised = False and before.challenger not in",
        _MOVES,
    ),
    Mutant(
        "a rollback to what was gone back from",
        "model_loop/tracking/history.py",
        "[: -1 if back else None]",
        "[:None]",
        _MOVES,
    ),
    Mutant(
        "a moment that is enabled before the other",
        "model_loop/tracking/moves.py",
        "if len(gone) > 1 and",
        "if len(gone) > 2 and",
        _MOVES,
    ),
)


def main(names: Sequence[str]) -> int:
    """Try the faults; return how many no test has noticed."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    with tempfile.TemporaryDirectory() as folder:
        _copy(Path(folder))
        if _run(folder, tests):
            sys.stdout.write("Without a fault, a test fails already.\n")
            return len(chosen)
        survivors = 0
        for mutant in chosen:
            _copy(Path(folder))
            mutant.apply(Path(folder))
            started = time.monotonic()
            noticed = _run(folder, mutant.tests) == _FAILED
            survivors += not noticed
            state = "noticed" if noticed else "SURVIVED"
            sys.stdout.write(f"{state:8} {time.monotonic() - started:5.0f} s  {mutant.name}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - survivors} of {len(chosen)} faults were noticed.\n")
    return survivors


def _copy(folder: Path) -> None:
    # Without what was compiled: a fault in it would not count.
    skipped = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.rmtree(folder / package, ignore_errors=True)
        shutil.copytree(ROOT / "include" / package, folder / package, ignore=skipped)


def _run(folder: str, tests: Sequence[str]) -> int:
    """Run tests with the package of a folder; return what pytest ends with."""
    environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
    for package in PACKAGES:
        where = [sys.executable, "-c", f"import {package}; print({package}.__file__)"]
        found = subprocess.run(where, env=environment, capture_output=True, text=True, check=True)
        assert found.stdout.startswith(folder), found.stdout
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
