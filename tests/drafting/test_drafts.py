"""The draft on generated tables of other people: types, what is raised by name, and the ranking."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest
from tests.drafting.tables import CASES, Case, make_case

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.drafting.analysis import analyse
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.draft import Draft, draft

SEEDS = (0, 1)
#: Share of the types that have to be right without help.
RIGHT = 0.9


@functools.cache
def drafted(name: str, seed: int) -> tuple[Case, Draft, Declaration]:
    """A table of the bench, its draft, and the declaration that the draft reads as."""
    case = make_case(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = case.write(Path(folder) / f"{name}.csv")
        made = draft(*analyse([str(path)], case.target, folder=Path(folder)), DraftAnswers())
    return case, made, parse_declaration(made.text, name)


every_table = pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name in CASES for seed in SEEDS]
)


def wrong_types(name: str, seed: int) -> list[str]:
    """Columns whose type is none that a careful person would take."""
    case, _, declaration = drafted(name, seed)
    types = {column: declaration.columns[column].type or "" for column in case.kinds}
    return [
        f"{column}: {types[column]}, not {right}"
        for column, right in case.kinds.items()
        if types[column] not in right.split("|")
    ]


@every_table
def test_most_types_are_right_without_help(name: str, seed: int) -> None:
    """At least nine tenths of the columns of each table."""
    wrong = wrong_types(name, seed)
    assert len(wrong) <= (1 - RIGHT) * len(make_case(name, seed).kinds), wrong


@every_table
def test_what_is_certain_is_raised_by_name(name: str, seed: int) -> None:
    """Copies, sums, ids and the like have a finding that names their column."""
    case, made, _ = drafted(name, seed)
    raised = {(finding.code, finding.column) for finding in made.findings}
    expected = {(code, column) for code, names in case.raised.items() for column in names}
    assert expected <= raised
    assert {*case.codes} <= {code for code, _ in raised}


@every_table
def test_other_leaks_are_high_in_the_list(name: str, seed: int) -> None:
    """They stand above nearly all columns that nothing gives away."""
    case, made, _ = drafted(name, seed)
    certain = {column for names in case.raised.values() for column in names}
    others = [column for column in made.ranked if column not in certain - {*case.leaks}]
    for leak in case.leaks:
        assert others.index(leak) < max(len(others) / 4, 2)


@every_table
def test_columns_raised_by_name_are_open_questions(name: str, seed: int) -> None:
    """A draft with such columns is not ready, and one without any is."""
    case, made, declaration = drafted(name, seed)
    relations = {
        column
        for code, names in case.raised.items()
        if code.startswith("target_") and code != "target_missing"
        for column in names
    }
    assert relations <= {*made.open_columns}
    assert declaration.status == ("draft" if made.open_columns else "ready")
    assert len(declaration.open_questions) == len(made.open_columns)


@every_table
def test_every_finding_says_what_to_do(name: str, seed: int) -> None:
    """Message and remedy are sentences, and none of them is long but the question about all."""
    _, made, _ = drafted(name, seed)
    for finding in made.findings:
        assert finding.message.rstrip().endswith(".")
        assert finding.remedy.endswith(".")


def test_nothing_else_is_raised_as_a_relation() -> None:
    """No table without a planted equation has one."""
    for name in CASES:
        case, made, _ = drafted(name, 0)
        expected = {column for names in case.raised.values() for column in names}
        for finding in made.findings:
            equation = finding.code.startswith("target_") and finding.code not in {
                "target_missing",
                "target_skewed",
            }
            if equation:
                assert finding.column in expected | {"started"}, (name, finding)
