"""The file of a dataset: what it says, and which words it is refused with."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_loop.datasets.declaration import ColumnDeclaration, DatabaseSource, Declaration
from model_loop.datasets.declaration_file import parse_declaration, read_declaration
from model_loop.datasets.declaration_types import seconds_of
from model_loop.datasets.stored import declaration_of_text, text_of_declaration
from model_loop.errors import InvalidInputError

COST = "cost = {false_alarm = 1, miss = 2}"
SMALLEST = 'name = "flights"\nsource = "flights.csv"\ntarget = "arr_delay"\n'
FLIGHTS = """
name = "flights"                # never changes; the title may
title = "Flights from New York"
target = "arr_delay"
owner = "ops@example.org"
source = "data/flights-{partition}.csv"
partition = "month"
labels_after = "1 day"
moments = ["planned", "departed", "landed"]
primary_key = ["carrier", "flight", "time_hour"]
missing_values = ["", "NA", -999]
[time]
column = "time_hour"
stored_in = "UTC"
time_zone = "America/New_York"
country = "US"
[task]
kind = "regression"
unit = "min"
[split]
time_on = "time_hour"
[columns.dep_delay]
type = "number"
known = "departed"
constraints = {minimum = -120, maximum = 2000.5}
[columns.flight]
type = "category"
aliases = ["flight number"]
[columns."air time"]
type = "ignored"
known = "?"
[recipes.planned]
at = "planned"
[recipes.departed]
at = "departed"
without = ["flight"]
[[rules]]
name = "not flown"
when = "dep_time is missing"
action = "set_aside"
[[accepted]]
code = "leak_suspected"
column = "dep_delay"
reason = "It is known at the gate."
"""


def parse(text: str) -> Declaration:
    """Read a text as the file flights.toml."""
    return parse_declaration(text, "flights.toml")


def test_the_smallest_file_works() -> None:
    """Three keys; the rest has defaults."""
    found = parse(SMALLEST)
    assert (found.name, found.source, found.target) == ("flights", "flights.csv", "arr_delay")
    assert (found.partition, found.status) == ("whole", "ready")
    assert found.moments == ("request", "later")
    assert found.task.kind == "regression"
    assert found.open_questions == ()


def test_a_whole_file_is_read() -> None:
    """Every key means what it says."""
    found = parse(FLIGHTS)
    assert found.moments == ("planned", "departed", "landed")
    assert found.time is not None
    assert found.time.time_zone == "America/New_York"
    assert found.columns["flight"] == ColumnDeclaration(type="category", aliases=("flight number",))
    assert found.columns["dep_delay"].constraints.maximum == 2000.5
    assert found.recipes["departed"].without == ("flight",)
    assert found.rules[0].when == "dep_time is missing"
    assert found.missing_values == ("", "NA", -999)
    assert found.labels_after is not None
    assert seconds_of(found.labels_after) == 86_400
    assert found.open_questions == ("columns.air time.known",)


@pytest.mark.parametrize(
    ("length", "seconds"),
    [("1 day", 86_400), ("90 minutes", 5_400), ("1.5 hours", 5_400), ("2 weeks", 1_209_600)],
)
def test_lengths_of_time(length: str, seconds: float) -> None:
    """In words, as people write them."""
    assert seconds_of(length) == seconds


def test_a_file_is_read_with_its_byte_order_mark(tmp_path: Path) -> None:
    """Editors of Windows put one there."""
    path = tmp_path / "flights.toml"
    path.write_text(SMALLEST, encoding="utf-8-sig")
    assert read_declaration(path).name == "flights"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With its path; and so is one that is no text."""
    with pytest.raises(InvalidInputError, match=r"none\.toml cannot be read"):
        read_declaration(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match=r"binary\.toml cannot be read"):
        read_declaration(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ('tittle = "x"', r"flights.toml: tittle is unknown. Did you mean title\?"),
        ("[taks]\nunit = 's'", r"taks is unknown. Did you mean task\?"),
        ("[task]\nunits = 's'", r"task.units is unknown. Did you mean unit\?"),
        ("[columns.a]\ntyp = 'number'", r"columns.a.typ is unknown. Did you mean type\?"),
        (
            "[columns.a.constraints]\nmin = 3",
            r"columns.a.constraints.min is unknown. Did you mean minimum\?",
        ),
        (
            "[[rules]]\nname = 'a'\nif = 'x'\nwhen = 'x > 1'",
            r"rules.0.if is unknown. Choose one of",
        ),
        ("[[rules]]\nname = 'a'", "rules.0.when is missing. Add it to the file."),
        ("[columns.a]\ntype = 'int'", r"columns.a.type = 'int' is unknown. Did you mean number\?"),
        ("[columns.a]\ntype = 'bool'", r"Did you mean yes_no\?"),
        ("[columns.a]\nformat = 'DD.MM.YYYY HH:mm'", "Write it as %d.%m.%Y %H:%M"),
        ("[columns]\na = 'number'", r"is no table of keys. Write a table: \[columns.a\]"),
        ("[columns.a.constraints]\nminimum = '3'", "minimum = '3' is no number"),
        ("[time]\ncolum = 'a'", r"time.colum is unknown .*. Did you mean column\?"),
        ("[variants.A]\ntitle = 'a'", "variants.A = 'A' is no name"),
        (
            "[columns.a]\nknown = 'latr'",
            r"'latr' is not one of the moments. Did you mean later",
        ),
        ("[recipes.a]\nat = 'soon'", "recipes.a.at = 'soon' is not one of the moments"),
        ("[recipes.a]\nat = 'later'\ncolumns = ['arr_delay']", "holds the target 'arr_delay'"),
        ("partition = 'month'", "cannot be cut: the table has no time"),
        ("partition = 'year'", "partition = 'year' is unknown. Choose one of: month"),
        ("moments = ['a', 'b', 'a']", "names a moment twice"),
        ("moments = []", "moments = .* is empty"),
        ("labels_after = 'soon'", "labels_after = 'soon' is no length of time"),
        ("labels_after = '1 month'", "labels_after = '1 month' is no length of time"),
        ("[time]\ncolumn = 'a'\ntime_zone = 'EST5'", "is not a time zone of the IANA database"),
        ("[time]\ncolumn = 'a'\ncountry = 'USA'", "country = 'USA' is no code of a country"),
        ("[time]\ncolumn = 'a'\nsubdivision = 'NY'", "time = .* has a subdivision without"),
        ("[time]\ncolumn = 'a'\ncontry = 'US'", "time.contry is unknown. Did you mean country"),
        ("[split]\ntime_on = 'a'\nshuffle = true", "says more than one of time_on"),
        ("[split]\nshuffle = 1", "split.shuffle = 1 is neither true nor false"),
        (
            "[columns.a.constraints]\nminimum = 3\nmaximum = 2",
            "has a minimum .3. above",
        ),
        ("[columns.a.constraints]\nmaximum = nan", "maximum = nan is refused"),
        ("[recipes.'A b']\nat = 'later'", "is no name"),
        ("status = 'done'\npartition = 'year'", "and 1 more mistakes"),
        ("name = 'again'", "is not TOML"),
    ],
)
def test_a_mistake_is_named(added: str, words: str) -> None:
    """The key of the file, the rule, and the remedy."""
    with pytest.raises(InvalidInputError, match=words):
        parse(SMALLEST + added)


@pytest.mark.parametrize("name", ["Flights", "1flights", "fl-ights", "a" * 41, "", "../x", "a b"])
def test_a_name_is_plain(name: str) -> None:
    """It becomes ids of DAGs, models, folders and paths of requests."""
    with pytest.raises(InvalidInputError, match="is no name"):
        parse(SMALLEST.replace('"flights"', f'"{name}"'))


@pytest.mark.parametrize(
    ("added", "key"),
    [
        ("[columns.a]\nmonotone = 1", "columns.a.monotone"),
        ("[[lookups]]\nkey = 'a'", "lookups"),
    ],
)
def test_words_of_later_versions_are_refused_as_such(added: str, key: str) -> None:
    """A file of a newer version is told from a misspelt one."""
    with pytest.raises(InvalidInputError, match=f"{key} is reserved: a later version"):
        parse(SMALLEST + added)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("kind = 'binary'", "names no positive_class"),
        ("kind = 'binary'\npositive_class = 1\npositive_when = 'a > 1'", "give both, or none"),
        (
            "kind = 'binary'\npositive_class = 'x'\nnegative_class = 'x'\npositive_when = 'a > 1'",
            "calls both classes 'x'",
        ),
        ("kind = 'binary'\npositive_class = 1\nclasses = [0, 2]", "list two, '1' among them"),
        ("kind = 'binary'\npositive_class = 1\nthreshold = 1.5", "has the threshold 1.5"),
        (
            "kind = 'binary'\npositive_class = 1\nthreshold = nan",
            "is refused: Input should be a finite number",
        ),
        (
            f"kind = 'binary'\npositive_class = 1\nthreshold = 0.5\n{COST}",
            "has threshold and cost",
        ),
        ("kind = 'binary'\npositive_class = 1\nunit = 'min'", "has a unit"),
        ("kind = 'multiclass'\nthreshold = 0.5", "has threshold"),
        ("kind = 'multiclass'\ncost = {false_alarm = 1, miss = 2}", "has cost"),
        ("positive_class = 1", "is 'regression', and has positive_class"),
        ("classes = [1, 2]", "is 'regression', and has classes"),
    ],
)
def test_keys_of_a_task_that_do_not_go_together_are_refused(task: str, said: str) -> None:
    """Each is named with what to do instead."""
    with pytest.raises(InvalidInputError, match=said):
        parse(f"{SMALLEST}[task]\n{task}\n")


def test_a_condition_of_the_positive_class_is_checked() -> None:
    """It is read when the file is, and names declared columns alone."""
    task = "[task]\nkind = 'binary'\npositive_class = 'late'\nnegative_class = 'on time'\n"
    with pytest.raises(InvalidInputError, match="positive_when cannot be read"):
        parse(f"{SMALLEST}{task}positive_when = 'delays > 15'\n")
    found = parse(f"{SMALLEST}{task}positive_when = 'arr_delay > 15'\n")
    assert found.columns == {}, "the target is the number that it was"


def test_classes_are_read_as_texts() -> None:
    """A target of labels is a category where its type is left out."""
    found = parse(f"{SMALLEST}[task]\nkind = 'binary'\npositive_class = 1\n")
    assert found.columns[found.target].type == "category"


def test_a_group_report_is_of_classifiers() -> None:
    """A number has no groups that are called positive."""
    with pytest.raises(InvalidInputError, match=r"columns\.a\.group_report is of classifiers"):
        parse(f"{SMALLEST}[columns.a]\ngroup_report = true\n")


OF_DATABASE = SMALLEST.replace(
    '"flights.csv"', '{connection = "warehouse", table = "public.flights"}'
)


def test_a_source_may_be_a_table_of_a_database() -> None:
    """It is stored and read again as it is, and its address names no login and no query."""
    found = parse(OF_DATABASE)
    assert isinstance(found.source, DatabaseSource)
    assert str(found.source) == "database://warehouse/public.flights"
    assert declaration_of_text(text_of_declaration(found)) == found
    query = parse(OF_DATABASE.replace("table = ", "query = "))
    assert str(query.source).startswith("database://warehouse/query-")
    assert "flights" not in str(query.source)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('table = "', 'tabel = "', r"source\.tabel is unknown.*Did you mean table"),
        (', table = "public.flights"', "", r"has both of table and query, or none"),
        (', table = "', ', query = "SELECT 1", table = "', r"has both of table and query"),
        ('"warehouse"', '"ware house"', r"source\.connection"),
        ("{connection", "5 #{connection", r"source = 5 is no table of keys"),
        ("target", 'partition = "month"\ntarget', r"Add \[time\] with its column\."),
        ("{connection", '"database://a/b" #', r"Write a table instead: \[source\]"),
        ("target", 'variants.a.source = "a.csv"\ntarget', r"variants have files, and tables"),
    ],
)
def test_a_table_of_a_database_that_is_none(before: str, after: str, said: str) -> None:
    """Each mistake is named with its key."""
    assert before in OF_DATABASE
    with pytest.raises(InvalidInputError, match=said):
        parse(OF_DATABASE.replace(before, after, 1))
