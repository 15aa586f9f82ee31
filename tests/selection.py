"""Which tests a command runs, and what a run has not tested.

`make test` runs every test that is not listed here, `make test-rest` and `make test-stacks` those
that are. Tests that break parts, start the production services or run the whole loop have commands
of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

_LEFT: pytest.StashKey[Counter[str]] = pytest.StashKey()

#: Files and tests that `make test` leaves to `make test-rest`, and why.
REST = {
    "tests/cli/test_bikes_commands.py": "every command of the loop, on bikes",
    "tests/cli/test_killed_runs.py": "runs that are killed at twelve moments",
    "tests/coded/test_served.py": "a server, a runner and a registry, under load of bad versions",
    "tests/dags/test_policy.py::test_parsing_needs_neither_libraries_nor_network_nor_database": (
        "every DAG file once more, in a process of its own"
    ),
    "tests/docs/test_commands.py": "every command of the pages, as a reader runs it",
    "tests/docs/test_own_code.py": "code of one's own, brought in by the page, in a runner",
    "tests/docs/test_examples.py": "trainings of the README and of the notebook",
    "tests/local/test_local.py::test_no_password_stands_in_a_log": "a second stack, started alone",
    "tests/models/test_resuming.py": "searches that are killed ten times",
    "tests/orchestration/test_comparing.py": "trainings that are compared on MLflow",
    "tests/orchestration/test_light.py": "an api-server that counts its imports",
    "tests/orchestration/test_promotion.py": "every move once more, as tasks on MLflow",
    "tests/orchestration/test_roles.py": "every role asks for every DAG and route",
    "tests/scoring/test_damaged_files.py": "dozens of files, scored to their end",
    "tests/scoring/test_four_entrances.py": "two hundred odd rows, through every entrance",
    "tests/scoring/test_score_command.py": "batches of the command, killed and gone on with",
    "tests/serving/test_losses.py": "servers that are killed at many moments",
    "tests/serving/test_registry.py::test_a_damaged_file_is_fetched_again": "loads many times",
    "tests/serving/test_registry.py::test_an_upgrade_of_a_library_stops_no_prediction": (
        "loads many times"
    ),
    "tests/serving/test_server.py": "servers under load, killed and cut off",
    "tests/serving/test_stray_versions.py": "servers over registries that others have written to",
    "tests/serving/test_stuck_log.py": "servers that wait for a log which is stuck",
    "tests/tracking/test_judging.py": "every pair of sources, trained and judged on MLflow",
    "tests/tracking/test_moves.py": "hundreds of moves on MLflow",
    "tests/tracking/test_two_champions.py": "drift of two champions, each monitored",
    "tests/tracking/test_upgrades.py": "versions of other libraries are loaded and judged",
    "tests/upgrade/test_serving.py": "servers that start over the files of an older version",
}

#: Files and tests that both leave to `make test-stacks`, and why: Airflow with all its parts is
#: waited for. `make test` has one such stack, with a training of every family over REST.
STACKS = {
    "tests/integration/test_alerts.py": "failures and mails",
    "tests/integration/test_dashboard.py::test_a_viewer_cannot_promote_and_an_operator_can": (
        "promotions by two roles"
    ),
    "tests/integration/test_dashboard.py::test_it_is_usable_on_a_phone": "all pages once more",
    "tests/integration/test_dashboard.py::test_the_api_server_stays_small": "a second api-server",
    "tests/integration/test_declared_loop.py": "retrainings of a table, on a stack of its own",
    "tests/integration/test_maintenance.py": "a run of a minute",
    "tests/integration/test_monitoring.py": "a retraining on drift, on a stack of its own",
    "tests/integration/test_months.py": "backfills",
    "tests/integration/test_patients.py": "the loop of a table of classes",
    "tests/integration/test_promotion.py": "approvals that are waited for",
    "tests/integration/test_retraining.py": "five retrainings on a stack of its own",
    "tests/integration/test_scoring.py": "batches",
    "tests/integration/test_tables.py": "the loop of a declared table",
    "tests/integration/test_training.py": "trainings of further kinds",
    "tests/integration/test_upgrade.py": "a stack that goes on where an older version has stopped",
}

#: Markers of tests that have a command of their own, and the command.
OWN_COMMANDS = {
    "faults": "make test-faults",
    "production": "make test-production",
    "whole_loop": "make test-loop",
    "rest": "make test-rest",
    "stacks": "make test-stacks",
}

#: Reasons for which tests may be skipped, and what they need.
SKIPS = {
    "needs whole published months": "tests of the figures of whole months need their folder in "
    "MODEL_LOOP_TLC_FOLDER",
    "needs the programs of Postgres": "tests of the request log and of tables in Postgres need its "
    "programs",
    "Helm is not installed": "tests of the chart need Helm, which is made for Linux on x86-64",
    "Chromium is not installed": "tests of the pages in a browser need Chromium",
    "mounts a small disk": "a test of a full disk needs root",
    "code cannot be kept apart": "tests of models with code of their own need root, or bubblewrap "
    "where users may make namespaces",
    "needs node": "a test of the client code in JavaScript needs Node.js",
    "needs curl": "a test of the client code for curl needs curl",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that make a run of too few tests fail, and that spare it imports."""
    parser.addoption(
        "--group",
        choices=("rest", "stacks"),
        help="import no other files than those with tests that have this marker",
    )
    parser.addoption(
        "--at-least",
        type=int,
        default=0,
        help="fail if fewer tests were found, or one was skipped for a reason that is not listed",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over files without tests of the group: to import all of them takes a minute."""
    group = config.getoption("--group")
    if not group or not collection_path.match("test_*.py"):
        return None
    name = collection_path.relative_to(config.rootpath).as_posix()
    listed = {file.partition("::")[0] for file in (REST if group == "rest" else STACKS)}
    marked = group == "rest" and "mark.whole_months" in collection_path.read_text(encoding="utf-8")
    return None if name in listed or marked else True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is left to other commands, before markers are selected by."""
    for item in items:
        if _is_listed(item, STACKS):
            item.add_marker("stacks")
        # Whole months take whole minutes; few have them at hand.
        elif _is_listed(item, REST) or item.get_closest_marker("whole_months"):
            item.add_marker("rest")


def _is_listed(item: pytest.Item, listed: Iterable[str]) -> bool:
    return any(
        item.nodeid == name or item.nodeid.startswith((f"{name}::", f"{name}[")) for name in listed
    )


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count what is left to other commands."""
    for item in items:
        left = [
            command for marker, command in OWN_COMMANDS.items() if item.get_closest_marker(marker)
        ]
        _left(item.config)[left[0] if left else "make test"] += 1


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controlling process what was left; fail where too little was tested."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left"] = dict(_left(session.config))
    elif session.config.getoption("--at-least") and _too_little(session.config):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of xdist has counted; each has seen the same tests."""
    node.config.stash[_LEFT] = Counter(getattr(node, "workeroutput", {}).get("left", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was not tested, and why."""
    skipped = [_reason(report) for report in terminalreporter.stats.get("skipped", [])]
    terminalreporter.section("not tested")
    terminalreporter.write_line(not_tested(skipped, _left(config)))
    for line in _too_little(config) if config.getoption("--at-least") else ():
        terminalreporter.write_line(line, red=True)


def not_tested(skipped: Iterable[str], left: Mapping[str, int]) -> str:
    """Write the paragraph that says what a run has not tested and why.

    Parameters
    ----------
    skipped
        Reasons for which tests were skipped, one for each test.
    left
        How many tests were left to each command.
    """
    needs = Counter(
        need for reason in skipped for listed, need in SKIPS.items() if listed in reason
    )
    said = [f"{number} left to `{command}`" for command, number in sorted(left.items())]
    said += [f"{number} skipped: {need}" for need, number in sorted(needs.items())]
    return f"Not tested: {'; '.join(said)}." if said else "Everything was tested."


def _too_little(config: pytest.Config) -> list[str]:
    """Return what makes a run count for less than it looks like."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    outcomes = ("passed", "failed", "error", "skipped")
    run = sum(len(stats.get(outcome, ())) for outcome in outcomes)
    least: int = config.getoption("--at-least")
    found = [f"{run} tests were found where at least {least} are known."] if run < least else []
    reasons = {_reason(report) for report in stats.get("skipped", ())}
    return found + [
        f"Skipped for a reason that is not listed: {reason}"
        for reason in sorted(reasons)
        if not any(listed in reason for listed in SKIPS)
    ]


def _left(config: pytest.Config) -> Counter[str]:
    return config.stash.setdefault(_LEFT, Counter())


def _reason(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
