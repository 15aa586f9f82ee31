"""Drafts and checks of tables whose target is a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.drafting.test_checks import codes, drafted

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.drafting.analysis import RefusedTableError, analyse, with_answers
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.checking import check_dataset
from model_loop.drafting.questions import questions
from model_loop.errors import InvalidInputError

N = 20_000


def of_target(target: object, rows: int = 600, **columns: object) -> pd.DataFrame:
    """A table with a number that says little, further columns and a target."""
    draw = np.random.default_rng(1)
    return pd.DataFrame({"x": draw.normal(size=rows).round(3), **columns, "y": target})


def rare(rows: int = N) -> np.ndarray:
    """One row in a hundred."""
    return np.random.default_rng(2).permutation(np.arange(rows)) < rows // 100


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (("no", "yes"), "yes"),
        (("0", "1"), 1),
        (("stayed", "churned"), "churned"),
        (("churned", "not churned"), "churned"),
        (("on time", "late"), "late"),
        (("healthy", "hospital"), "hospital"),
        (("legit", "fraud"), "fraud"),
        (("TRUE", "FALSE"), "TRUE"),
    ],
)
def test_the_positive_class_is_the_one_that_is_called_so(
    labels: tuple[str, str], positive: str | int, tmp_path: Path
) -> None:
    """Whichever is rarer; it is written, and shown with its share, as it was guessed."""
    for first, second in (labels, labels[::-1]):
        made, declaration = drafted(of_target([first, first, second] * 200), tmp_path)
        assert (declaration.task.kind, declaration.task.positive_class) == ("binary", positive)
        (said,) = (each for each in made.findings if each.code == "positive_class")
        share = 400 if first == str(positive) else 200
        assert f"y = {positive}, which {share} of 600 rows have ({share / 600:.2%})" in said.message
        assert f"{share} of 600 rows ({share / 600:.2%})" in made.text


def test_of_two_names_that_say_nothing_the_rarer_class_is_positive(tmp_path: Path) -> None:
    """An answer counts before that, and is no guess any more."""
    for labels in (["red", "red", "blue"], ["blue", "red", "red"]):
        frame = of_target(labels * 200)
        assert drafted(frame, tmp_path)[1].task.positive_class == "blue"
    made, declaration = drafted(frame, tmp_path, DraftAnswers(positive_class="Red"))
    assert declaration.task.positive_class == "red"
    assert ("positive_class", "y") not in codes(made)
    with pytest.raises(InvalidInputError, match=r"'reds' does not occur in y.*Did you mean red"):
        drafted(frame, tmp_path, DraftAnswers(positive_class="reds"))


def test_labels_are_those_of_the_file(tmp_path: Path) -> None:
    """Of yes and no too, so that answers are what the file says."""
    _, declaration = drafted(of_target(["Yes", "No"] * 300), tmp_path)
    assert (declaration.columns["y"].type, declaration.task.positive_class) == ("category", "Yes")


def test_a_class_that_is_called_none_is_told(tmp_path: Path) -> None:
    """It is a word for a missing value; with a list of its own, the column has it as a class."""
    frame = of_target(["none", "mild", "severe"] * 200)
    made, _ = drafted(frame, tmp_path)
    (said,) = (each for each in made.findings if each.code == "missing_label")
    assert said.message == "200 rows have 'none' as y, which is read as a missing value."
    text = DECLARED.replace('binary"\npositive_class = "yes"', 'multiclass"')
    text += '[columns.y]\ntype = "category"\nmissing_values = [""]\n'
    assert refusals(frame, text, tmp_path) == []
    listed = text.replace('multiclass"', 'multiclass"\nclasses = ["mild", "severe"]')
    (refused,) = refusals(frame, listed, tmp_path)
    assert refused.startswith("200 rows of y have a class that task.classes does not list")
    made, _ = drafted(of_target(["", "mild", "severe"] * 200), tmp_path)
    assert ("missing_label", "y") not in codes(made)


def test_few_whole_numbers_may_be_classes_and_are_asked_about(tmp_path: Path) -> None:
    """With a default by their number and name; the answer is analysed anew."""
    draw = np.random.default_rng(3)
    cases = {3: ("y", "multiclass"), 9: ("y", "regression"), 4: ("visits", "regression")}
    for values, (name, task) in cases.items():
        frame = of_target(draw.integers(0, values, 600)).rename(columns={"y": name})
        path = tmp_path / "few.csv"
        frame.to_csv(path, index=False)
        read, analysis = analyse([str(path)], name, folder=tmp_path)
        assert analysis.task == task
        asked = {each.field: each for each in questions(read, analysis, DraftAnswers())}
        assert asked["task"].default == task
        assert "unit" not in asked or task == "regression"
        other = "multiclass" if task == "regression" else "regression"
        again = with_answers(analysis, DraftAnswers(task=other))  # type: ignore[arg-type]  # one of three
        assert (again.task, again.classes) == (other, other == "multiclass")
        assert len(again.shares) == (values if again.classes else 0)
    made, declaration = drafted(of_target(draw.integers(0, 3, 600)), tmp_path)
    assert ("task_doubtful", "y") in codes(made)
    assert declaration.columns["y"].type == "category"
    made, declaration = drafted(
        of_target(draw.integers(0, 3, 600)), tmp_path, DraftAnswers(task="regression")
    )
    assert ("task_doubtful", "y") not in codes(made)
    assert declaration.columns["y"].type == "number"


def test_many_numbers_are_no_question(tmp_path: Path) -> None:
    """Also where they are whole."""
    made, declaration = drafted(of_target(np.arange(600) % 40), tmp_path)
    assert declaration.task.kind == "regression"
    assert ("task_doubtful", "y") not in codes(made)


def test_a_task_that_the_target_cannot_have_is_refused(tmp_path: Path) -> None:
    """By name, with the remedy."""
    three = of_target(["a", "b", "c"] * 200)
    for answers, said in (
        (DraftAnswers(task="binary"), "needs two classes, and it has 3 different values"),
        (DraftAnswers(task="regression"), "needs numbers, and its values are"),
        (DraftAnswers(positive_class="a"), "is one of several: y has 3 classes"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            drafted(three, tmp_path, answers)
    number = of_target(np.random.default_rng(0).normal(size=600))
    with pytest.raises(InvalidInputError, match="has no meaning: y is predicted as a number"):
        drafted(number, tmp_path, DraftAnswers(positive_class="1"))


def test_more_classes_than_can_be_learned_are_refused(tmp_path: Path) -> None:
    """With their number, and what to do."""
    labels = [f"c{place % 150}" for place in range(6_000)]
    with pytest.raises(RefusedTableError, match="has 150 classes, and at most 100") as refused:
        drafted(of_target(labels, 6_000), tmp_path)
    assert (refused.value.code, refused.value.column) == ("too_many_classes", "y")


def test_rare_classes_are_named(tmp_path: Path) -> None:
    """Those of fewer rows than can be learned from, and too few positives to judge by."""
    labels = np.repeat(["a", "b", "c"], [500, 80, 20])
    made, _ = drafted(of_target(labels), tmp_path)
    (said,) = (each for each in made.findings if each.code == "rare_class")
    assert said.message == "1 of 3 classes of y have fewer than 30 rows: c (20)."
    made, _ = drafted(of_target(np.where(rare(), "fraud", "ok"), N), tmp_path)
    (said,) = (each for each in made.findings if each.code == "too_few_rows")
    assert "About 30 rows of the class fraud (1.00% of all) will judge" in said.message
    assert "±18%" in said.message
    assert "640 rows of that class in the table, 15% of which judge" in said.remedy
    made, _ = drafted(of_target(np.arange(N) % 2 == 0, N), tmp_path)
    assert not {"rare_class", "too_few_rows"} & {code for code, _ in codes(made)}


def test_a_column_that_gives_a_rare_class_away_is_raised_by_name(tmp_path: Path) -> None:
    """Although bins of equal size mix it with others; sound columns and noise are not."""
    positive, draw = rare(), np.random.default_rng(4)
    frame = of_target(
        np.where(positive, "fraud", "ok"),
        N,
        # Nearly all of the rare class lies between two numbers, where few others are.
        claim=np.where(positive, draw.normal(50, 0.05, N), draw.uniform(0, 100, N)).round(4),
        score=(draw.normal(size=N) + 1.5 * positive).round(3),
        noise=draw.normal(size=N).round(3),
        kind=draw.choice(list("abcd"), N),
        flag=draw.choice(["yes", "no"], N),
    )
    made, declaration = drafted(frame, tmp_path)
    assert made.open_columns == ("claim",)
    assert declaration.status == "draft"
    assert ("leak_suspected", "claim") in codes(made)
    assert made.ranked[:2] == ("claim", "score")
    assert made.scores["noise"] < 0.05


def test_columns_without_a_word_about_a_rare_class_are_no_copies(tmp_path: Path) -> None:
    """Of one row in 250, any column tells nearly all rows right where it is never named."""
    positive = np.arange(N) % 250 == 0
    draw = np.random.default_rng(5)
    flags = {f"flag{place}": np.where(draw.random(N) < 0.05, "yes", "no") for place in range(4)}
    frame = of_target(
        np.where(positive, "yes", "no"),
        N,
        **flags,
        told=np.where(positive, "late", "ontime"),
        shop=draw.choice(list("abcd"), N),
    )
    made, _ = drafted(frame, tmp_path)
    assert made.open_columns == ("told",)
    assert ("target_copy", "told") in codes(made)


DECLARED = """
name = "t"
source = "t.csv"
target = "y"
[task]
kind = "binary"
positive_class = "yes"
"""


def checked(frame: pd.DataFrame, text: str, folder: Path) -> set[tuple[str, str, str]]:
    """Level, code and message of the findings about a table and a declaration."""
    frame.to_csv(folder / "t.csv", index=False)
    found = check_dataset(parse_declaration(text, "t.toml"), [str(folder / "t.csv")])
    return {(each.level, each.code, each.message) for each in found.findings}


def refusals(frame: pd.DataFrame, text: str, folder: Path) -> list[str]:
    """Messages of the findings that refuse a table."""
    return [message for level, _, message in checked(frame, text, folder) if level == "refused"]


def test_a_declaration_whose_classes_are_not_those_of_the_rows_is_refused(tmp_path: Path) -> None:
    """A positive class that does not occur, further classes, and those that are not listed."""
    frame = of_target(["yes", "no"] * 300)
    assert refusals(frame, DECLARED, tmp_path) == []
    said = refusals(frame, DECLARED.replace('"yes"', '"yess"'), tmp_path)
    assert said == ["The positive class yess does not occur in y, which has yes, no."]
    three = of_target(["yes", "no", "perhaps"] * 200)
    said = refusals(three, DECLARED, tmp_path)
    assert said == ["y has 3 classes, and yes or no are two: yes, no, perhaps."]
    listed = DECLARED.replace(
        'kind = "binary"\npositive_class = "yes"', 'kind = "multiclass"\nclasses = ["yes", "no"]'
    )
    said = refusals(three, listed, tmp_path)
    assert said == ["200 rows of y have a class that task.classes does not list, such as perhaps."]
    number = 'name = "t"\nsource = "t.csv"\ntarget = "y"\n[columns.y]\ntype = "category"\n'
    assert refusals(frame, number, tmp_path) == ["y is a category, and task.kind is 'regression'."]


def test_classes_that_a_condition_tells_apart_are_checked_as_yes_and_no(tmp_path: Path) -> None:
    """Columns that the condition reads are the outcome, and give nothing away."""
    draw = np.random.default_rng(6)
    delay = draw.normal(5, 10, N).round(1)
    frame = of_target(delay, N, told=np.where(delay > 30, "A", "B"))
    text = DECLARED.replace('"yes"', '"late"\npositive_when = "y > 30"\nnegative_class = "no"')
    found = checked(frame, text, tmp_path)
    assert ("warning", "target_copy") in {each[:2] for each in found}
    assert not [each for each in found if each[0] == "refused"]
    with pytest.raises(RefusedTableError, match="holds in none of 20,000 rows"):
        checked(frame, text.replace("> 30", "> 300"), tmp_path)
    with pytest.raises(RefusedTableError, match="holds in all of 20,000 rows"):
        checked(frame, text.replace("> 30", "> -300"), tmp_path)


def test_the_positive_class_is_asked_for_with_its_share(tmp_path: Path) -> None:
    """The default is the guess; an empty line takes it, and the other label is analysed anew."""
    path = tmp_path / "asked.csv"
    of_target(["no", "no", "yes"] * 200).to_csv(path, index=False)
    read, analysis = analyse([str(path)], "y", folder=tmp_path)
    asked = {each.field: each for each in questions(read, analysis, DraftAnswers())}
    question = asked["positive_class"]
    assert (question.default, question.option) == ("yes", "--positive-class")
    assert "no (66.7%) or yes (33.3%)" in question.text
    assert question.answered(DraftAnswers(), "").positive_class == "yes"
    given = question.answered(DraftAnswers(), "no")
    again = with_answers(analysis, given)
    assert again.positive is not None
    assert (again.positive.label, again.positive.rows) == ("no", 400)
    assert "positive_class" not in {each.field for each in questions(read, again, given)}


def test_some_patients_that_come_again_stay_together(tmp_path: Path) -> None:
    """Few as they are: an id of patients of which none comes again splits nothing."""
    ids = np.random.default_rng(0).permutation(np.arange(1_000_000, 1_000_600) * 7)
    frame = of_target(["yes", "no"] * 300, PatientID=ids)
    assert drafted(frame, tmp_path)[1].split.group_on is None
    frame.loc[:19, "PatientID"] = frame.loc[20:39, "PatientID"].to_numpy()
    made, declaration = drafted(frame, tmp_path)
    assert declaration.split.group_on == "PatientID"
    assert ("repeated_entities", "PatientID") in codes(made)


def test_a_report_by_group_needs_a_column_that_forms_groups(tmp_path: Path) -> None:
    """One that the files have, of the right type, and not the target."""
    frame = of_target(["yes", "no"] * 300, shop=["a", "b", "c"] * 200, word=range(600))
    marked = "[columns.{}]\ntype = '{}'\ngroup_report = true\n"
    assert refusals(frame, DECLARED + marked.format("shop", "category"), tmp_path) == []
    assert refusals(frame, DECLARED + marked.format("x", "number"), tmp_path) == []
    (said,) = refusals(frame, DECLARED + marked.format("word", "id"), tmp_path)
    assert (
        said == "columns.word.group_report is true, and word is of the type id: it forms no groups."
    )
    (said,) = refusals(frame, DECLARED + marked.format("y", "category"), tmp_path)
    assert said.endswith("y is the target: it forms no groups.")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ('kind = "binary"\npositive_class = "yes"\nthreshold = 1.5', "threshold"),
        ('kind = "multiclass"\ncost = {false_alarm = 1, miss = 5}', "cost"),
        ('kind = "multiclass"\nthreshold = 0.5', "threshold"),
        ('kind = "binary"\npositive_class = "yes"\nunit = "min"', "unit"),
        ('kind = "binary"', "positive_class"),
    ],
)
def test_keys_that_do_not_suit_the_task_are_refused_by_name(task: str, said: str) -> None:
    """With the rule and the remedy."""
    with pytest.raises(InvalidInputError) as refused:
        parse_declaration(f'name = "t"\nsource = "t"\ntarget = "y"\n[task]\n{task}\n', "t.toml")
    assert "t.toml: task" in refused.value.given
    assert said in str(refused.value)
