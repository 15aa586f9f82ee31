"""The commands ``model-loop datasets``, as a person and as a program use them."""

from __future__ import annotations

import csv
import json
import os
import pty
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.commands import COMMAND, run_command
from tests.drafting.tables import make_case

from model_loop.datasets.declaration_file import read_declaration

FINDING = {"code", "column", "partition", "level", "message", "remedy"}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``model-loop datasets`` in a folder that is its own home."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "MODEL_LOOP_DATASETS_FOLDER": str(folder / "datasets"),
        "MODEL_LOOP_STORAGE_ROOT": str(folder / "storage"),
        "COLUMNS": "120",
    }
    return run_command("datasets", *arguments, folder=folder, environment=environment)


def orders(folder: Path, rows: int = 300) -> Path:
    """A table of which one column is the target in another unit."""
    draw = np.random.default_rng(1)
    path = folder / "orders.csv"
    amount = draw.gamma(3, 20, rows).round(2)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("order", "day", "region", "weight", "cents", "amount"))
        for place in range(rows):
            day = f"2024-{place * 11 // rows + 1:02}-{place % 28 + 1:02}"
            region = draw.choice(["north", "south"])
            weight = round(amount[place] / 9 + draw.gamma(2, 2), 1)
            cents = round(amount[place] * 100)
            writer.writerow((place + 1, day, region, weight, cents, amount[place]))
    return path


def test_json_has_these_keys_and_nothing_else(tmp_path: Path) -> None:
    """A program finds rows, columns, the file and the findings; open questions are no failure."""
    orders(tmp_path)
    done = run("init", "orders.csv", "--target", "amount", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer) == ["rows", "columns", "file", "findings"]
    assert (answer["rows"], answer["columns"], answer["file"]) == (300, 6, "orders.toml")
    # The question about all columns alone has its list as data.
    assert [set(each) - FINDING for each in answer["findings"] if set(each) != FINDING] == [
        {"columns"}
    ]
    raised = {(finding["code"], finding["column"]) for finding in answer["findings"]}
    assert {("target_copy", "cents"), ("id_like", "order")} <= raised
    declaration = read_declaration(tmp_path / "orders.toml")
    assert declaration.open_questions == ("columns.cents.known",)
    assert declaration.status == "draft"


def test_the_next_command_keeps_what_was_answered(tmp_path: Path) -> None:
    """It is typed as it stands, and then no question is open."""
    orders(tmp_path)
    options = ("--unit", "my €", "--known-later", "weight", "--shuffle")
    done = run("init", "orders.csv", "--target", "amount", *options, folder=tmp_path)
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("Next: "))
    words = shlex.split(line.removeprefix("Next: model-loop datasets "))
    assert words[-3:] == ["--known-later", "cents", "--force"]
    done = run(*words, folder=tmp_path)
    assert "Next: model-loop datasets check orders.toml" in done.stdout
    declaration = read_declaration(tmp_path / "orders.toml")
    assert (declaration.status, declaration.task.unit) == ("ready", "my €")
    assert declaration.columns["weight"].known == declaration.columns["cents"].known == "later"
    assert declaration.split.shuffle


def refusals() -> dict[str, tuple[str, str, str]]:
    """Contents of files, their target, and the code of the refusal."""
    rows = [f"{place},{place % 7},{place * 1.5}" for place in range(60)]
    table = "\n".join(["a,b,c", *rows])
    few = "\n".join(["a,b", *(f"{place},{place}" for place in range(20))])
    constant = "\n".join(["a,b", *(f"{place},1" for place in range(50))])
    return {
        "few": (few, "b", "too_few_rows"),
        "absent": (table, "d", "target_absent"),
        "constant": (constant, "b", "target_constant"),
        "conflict": (f"{table}\n<<<<<<< HEAD\n1,2,3\n=======\n", "c", "conflict_markers"),
        "one_column": (table.replace(",", "^"), "c", "one_column_read"),
    }


@pytest.mark.parametrize("name", refusals())
def test_a_refusal_says_what_is_wrong_to_programs_too(tmp_path: Path, name: str) -> None:
    """Exit code 2, a message on stderr, a finding on stdout, and no file."""
    text, target, code = refusals()[name]
    (tmp_path / "table.csv").write_text(text)
    done = run("init", "table.csv", "--target", target, "--json", folder=tmp_path)
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert list(answer) == ["rows", "columns", "file", "findings"]
    (finding,) = answer["findings"]
    assert (finding["code"], finding["level"], set(finding)) == (code, "refused", FINDING)
    assert "Error:" in done.stderr
    assert not list(tmp_path.glob("*.toml"))
    if code != "target_absent":
        declared = f'name = "t"\nsource = "table.csv"\ntarget = "{target}"\n'
        (tmp_path / "t.toml").write_text(declared)
        done = run("check", "t.toml", "--json", folder=tmp_path)
        assert code in {each["code"] for each in json.loads(done.stdout)["findings"]}


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    """One table has one set of columns."""
    for name, header in (("2024-01", "a,b"), ("2024-02", "a,c")):
        rows = "\n".join(f"{place},{place}" for place in range(40))
        (tmp_path / f"t-{name}.csv").write_text(f"{header}\n{rows}")
    files = ("t-2024-01.csv", "t-2024-02.csv")
    done = run("init", *files, "--target", "a", "--json", folder=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["findings"][0]["code"] == "different_columns"


def test_a_target_that_is_misspelt_gets_the_nearest_name(tmp_path: Path) -> None:
    """The remedy names it."""
    orders(tmp_path)
    done = run("init", "orders.csv", "--target", "amuont", folder=tmp_path)
    assert done.returncode == 2
    assert "Did you mean amount?" in done.stderr


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    """Answers that were written into the file by hand are kept."""
    orders(tmp_path)
    first = ("init", "orders.csv", "--target", "amount")
    assert run(*first, folder=tmp_path).returncode == 0
    path = tmp_path / "orders.toml"
    path.write_text("mine")
    again = run(*first, folder=tmp_path)
    assert (again.returncode, path.read_text()) == (2, "mine")
    assert "--force" in again.stderr
    assert run(*first, "--force", folder=tmp_path).returncode == 0
    assert path.read_text() != "mine"


def test_options_answer_the_questions(tmp_path: Path) -> None:
    """Name, unit, moments and split come from them, and nothing is open any more."""
    orders(tmp_path)
    done = run(
        *("init", "orders.csv", "--target", "amount", "--output", "made", "--name", "sales"),
        *("--unit", "EUR", "--known-later", "cents", "--known-at-request", "weight"),
        *("--time-column", "none", "--shuffle", "--owner", "ops@example.org"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    declaration = read_declaration(tmp_path / "made" / "sales.toml")
    assert declaration.status == "ready"
    assert (declaration.task.unit, declaration.owner) == ("EUR", "ops@example.org")
    assert (declaration.time, declaration.split.shuffle) == (None, True)
    assert declaration.columns["cents"].known == "later"
    # A relative source begins at the folder of the declaration.
    assert declaration.source == "../orders.csv"


def test_an_option_that_names_no_column_is_refused(tmp_path: Path) -> None:
    """With the nearest name."""
    orders(tmp_path)
    options = ("--known-later", "cent")
    done = run("init", "orders.csv", "--target", "amount", *options, folder=tmp_path)
    assert done.returncode == 2
    assert "Did you mean cents?" in done.stderr


def on_terminal(*arguments: str, folder: Path, answers: str) -> tuple[int, str]:
    """Run ``model-loop datasets`` on a terminal, and type answers."""
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "datasets", *arguments],
        cwd=folder,
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "MODEL_LOOP_STORAGE_ROOT": str(folder / "storage")},
    )
    os.close(terminal)
    os.write(main, answers.encode())
    _, said = process.communicate(timeout=120)
    os.close(main)
    return process.returncode, said


def test_questions_are_asked_on_a_terminal(tmp_path: Path) -> None:
    """Each has a default, which an empty line takes, and says the option that answers it."""
    orders(tmp_path)
    init = ("init", "orders.csv", "--target", "amount")
    code, said = on_terminal(*init, folder=tmp_path, answers="sales\nEUR\n" + "\n" * 8)
    assert code == 0, said
    assert all(option in said for option in ("--name", "--unit", "--known-later"))
    assert "[orders] >" in said
    assert "[cents] >" in said
    declaration = read_declaration(tmp_path / "sales.toml")
    assert declaration.task.unit == "EUR"
    assert declaration.columns["cents"].known == "later"


def test_the_order_of_dates_is_asked_on_a_terminal(tmp_path: Path) -> None:
    """An answer that is none comes again; without one, the last screen says that it is open."""
    draw = np.random.default_rng(1)
    days = [f"{draw.integers(1, 13):02}/{draw.integers(1, 13):02}/2023" for _ in range(200)]
    frame = pd.DataFrame({"day": days, "x": draw.normal(size=200), "y": draw.normal(size=200)})
    frame.to_csv(tmp_path / "sales.csv", index=False)
    init = ("init", "sales.csv", "--target", "y")
    done = run(*init, folder=tmp_path)
    assert "Open: how the values of day are read" in done.stdout
    assert "The draft takes all columns for known at the request" in done.stdout
    code, said = on_terminal(
        *init, "--force", folder=tmp_path, answers="\nsometimes\nmonth_first\n" + "\n" * 8
    )
    assert code == 0, said
    assert "is no order of day and month: give day_first or month_first" in said
    declaration = read_declaration(tmp_path / "sales.toml")
    assert (declaration.columns["day"].format, declaration.status) == ("%m/%d/%Y", "ready")


def test_a_terminal_is_not_asked_with_no_input(tmp_path: Path) -> None:
    """Scripts run on terminals, too."""
    orders(tmp_path)
    init = ("init", "orders.csv", "--target", "amount", "--no-input")
    code, said = on_terminal(*init, folder=tmp_path, answers="")
    assert code == 0, said
    assert "--known-later" not in said
    assert (tmp_path / "orders.toml").is_file()


ODD_NAMES = (
    *(
        'the "mass"',
        "a.b",
        "c[d]",
        "Größe (m²)",
        "年齢",
        "#no",
        "x = y",
        "back\\slash",
        "tab\there",
    ),
    *(" spaces ", "'single'", "new\nline", "naïve", "true", "1", "-", "a]b", "\x7f", "emoji 🚲"),
)


def test_any_names_of_columns_read_back(tmp_path: Path) -> None:
    """Quotes, dots, brackets, other scripts, line ends: the draft is TOML all the same."""
    draw = np.random.default_rng(0)
    with (tmp_path / "odd.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*ODD_NAMES, "y"))
        for _ in range(60):
            writer.writerow([*(f"{value:.3f}" for value in draw.normal(size=len(ODD_NAMES) + 1))])
    done = run("init", "odd.csv", "--target", "y", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    declaration = read_declaration(tmp_path / "odd.toml")
    assert len(declaration.columns) == len(ODD_NAMES) + 1
    assert {name.strip() for name in ODD_NAMES} == {
        name.strip() for name in declaration.columns
    } - {"y"}
    assert run("check", "odd.toml", folder=tmp_path).returncode == 0


def test_files_of_months_become_partitions(tmp_path: Path) -> None:
    """Their common name has a place for the partition."""
    frame = make_case("daily_with_gaps").frame
    months = frame["Date"].str[6:] + "-" + frame["Date"].str[:2]
    names = []
    for month in ("2019-01", "2019-02", "2019-03"):
        names.append(f"load-{month}.csv")
        frame[months == month].to_csv(tmp_path / names[-1], index=False)
    done = run("init", *names, "--target", "load_mw", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    declaration = read_declaration(tmp_path / "load.toml")
    assert (declaration.source, declaration.partition) == ("load-{partition}.csv", "month")
    assert run("check", "load.toml", folder=tmp_path).returncode == 0


@pytest.mark.parametrize("command", ["check", "add"])
def test_an_unknown_country_is_refused(tmp_path: Path, command: str) -> None:
    """Before a DAG prepares the table."""
    text = 'name = "a"\nsource = "a.csv"\ntarget = "y"\n[time]\ncolumn = "at"\ncountry = "XU"\n'
    (tmp_path / "a.toml").write_text(text)
    done = run(command, "a.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "time.country = 'XU' is unknown. Did you mean" in " ".join(done.stderr.split())


def checked(folder: Path, name: str = "orders.toml") -> tuple[int, dict[str, Any]]:
    """Exit code and answer of a check."""
    done = run("check", name, "--json", folder=folder)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def edit(path: Path, *pairs: tuple[str, str]) -> None:
    """Replace parts of a file that it has."""
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_check_lists_what_is_open_and_what_the_data_break(tmp_path: Path) -> None:
    """Open questions and drafts are negative; bounds, rules and keys are counted on the rows."""
    orders(tmp_path)
    run("init", "orders.csv", "--target", "amount", folder=tmp_path)
    path = tmp_path / "orders.toml"
    code, answer = checked(tmp_path)
    assert code == 1
    assert answer["open_questions"] == ["columns.cents.known"]
    assert {"open_question", "draft"} <= {each["code"] for each in answer["findings"]}
    edit(
        path,
        ('known = "?"', 'known = "later"'),
        ('status = "draft"', 'status = "ready"\nprimary_key = ["region"]'),
        (
            '[columns.weight]\ntype = "number"',
            '[columns.weight]\ntype = "number"\nconstraints = {maximum = 5}',
        ),
    )
    path.write_text(path.read_text() + '[[rules]]\nname = "odd"\nwhen = "wieght > 3"\n')
    code, answer = checked(tmp_path)
    assert code == 1
    raised = {each["code"]: each for each in answer["findings"]}
    assert raised["constraint_broken"]["column"] == "weight"
    assert raised["key_repeated"]["column"] == "region"
    assert "wieght" in raised["rule"]["message"]
    edit(path, ("wieght > 3", "weight > 3"))
    code, answer = checked(tmp_path)
    assert code == 1
    assert {each["code"] for each in answer["findings"] if each["level"] == "refused"} == {
        "too_few_rows"
    }
    edit(path, ("weight > 3", "weight > 19"))
    path.write_text(
        path.read_text()
        + '[[accepted]]\ncode = "constraint_broken"\ncolumn = "weight"\nreason = "heavy goods"\n'
    )
    code, answer = checked(tmp_path)
    assert code == 0
    assert "constraint_broken" not in {each["code"] for each in answer["findings"]}


def ready(folder: Path) -> Path:
    """A declaration without open questions."""
    orders(folder)
    done = run("init", "orders.csv", "--target", "amount", "--known-later", "cents", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "orders.toml"


def test_a_dataset_is_added_listed_shown_and_removed(tmp_path: Path) -> None:
    """The copy finds the same files; removing undoes it, and adding it again is possible."""
    path = ready(tmp_path)
    assert "Next: model-loop run orders\n" in run("add", "orders.toml", folder=tmp_path).stdout
    listed = json.loads(run("list", "--json", folder=tmp_path).stdout)["datasets"]
    (row,) = [row for row in listed if row["name"] == "orders"]
    assert (row["target"], row["status"]) == ("amount", "ready")
    assert checked(tmp_path, "orders")[0] == 0
    shown = json.loads(run("show", "orders", "--json", folder=tmp_path).stdout)
    assert shown["declaration"]["source"] == str(tmp_path / "orders.csv")
    taken = run("add", "orders.toml", folder=tmp_path)
    assert (taken.returncode, "is there already" in taken.stderr) == (2, True)
    removed = run("remove", "orders", folder=tmp_path)
    assert "stay" in removed.stdout
    assert run("remove", "orders", folder=tmp_path).returncode == 2
    # After a run of the file, the next step is a question.
    (tmp_path / "storage" / "runs" / "orders").mkdir(parents=True)
    added = run("add", str(path), folder=tmp_path)
    assert "Next: model-loop predict orders COLUMN=VALUE" in added.stdout


def test_a_name_is_not_given_to_another_table(tmp_path: Path) -> None:
    """What was trained bears it."""
    path = ready(tmp_path)
    run("add", "orders.toml", folder=tmp_path)
    run("remove", "orders", folder=tmp_path)
    edit(path, ('target = "amount"', 'target = "weight"'))
    done = run("add", "orders.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "another table" in done.stderr


def test_check_says_what_a_change_invalidates(tmp_path: Path) -> None:
    """Compared with the declaration that was last added."""
    ready(tmp_path)
    run("add", "orders.toml", folder=tmp_path)
    path = tmp_path / "datasets" / "orders.toml"
    assert checked(tmp_path, "orders")[1]["changes"] == []
    edit(path, ('title = "Orders"', 'title = "Sales"'))
    assert checked(tmp_path, "orders")[1]["invalidates"] == "nothing"
    edit(path, ("[split]", '[[rules]]\nname = "light"\nwhen = "weight < 0.1"\n[split]'))
    assert checked(tmp_path, "orders")[1]["invalidates"] == "the training set"
    edit(path, ('[columns.region]\ntype = "category"', '[columns.region]\ntype = "ignored"'))
    answer = checked(tmp_path, "orders")[1]
    assert answer["invalidates"] == "the champion's contract"
    assert answer["changes"][0] == {
        "key": "columns.region.type",
        "before": "category",
        "after": "ignored",
        "effect": "the champion's contract",
    }


def test_a_broken_file_is_listed(tmp_path: Path) -> None:
    """And takes down no other."""
    ready(tmp_path)
    run("add", "orders.toml", folder=tmp_path)
    (tmp_path / "datasets" / "broken.toml").write_text("name = ")
    listed = json.loads(run("list", "--json", folder=tmp_path).stdout)["datasets"]
    statuses = {row["name"]: row["status"] for row in listed}
    assert (statuses["broken"], statuses["orders"]) == ("broken", "ready")


def test_a_dataset_goes_out_and_comes_in_as_a_data_package(tmp_path: Path) -> None:
    """The declaration that comes back is checked on the same files."""
    path = ready(tmp_path)
    done = run("export", "orders.toml", "--output", "datapackage.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    path.unlink()
    done = run("import", "datapackage.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert checked(tmp_path)[0] == 0
    printed = run("export", "orders.toml", folder=tmp_path).stdout
    assert json.loads(printed) == json.loads((tmp_path / "datapackage.json").read_text())
