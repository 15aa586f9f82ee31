"""Training sets of declared tables: read, checked, split and encoded by the declaration alone."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from upath import UPath

from model_loop.datasets.columns import Column
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.stored import text_of_declaration
from model_loop.errors import ContractError, InvalidInputError
from model_loop.findings import RefusedPartitionError
from model_loop.objects import read_object, write_object
from model_loop.objects.trust import dump_estimator
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files, resolved_source
from model_loop.training_set import request
from model_loop.training_set.build import EXAMPLE_ROWS, require_ready
from model_loop.training_set.data_tests import TABLE_TESTS, run_data_tests
from model_loop.training_set.encoders.tables import feature_columns, table_encoder
from model_loop.training_set.encodings import Layout
from model_loop.training_set.frames import model_frame
from model_loop.training_set.matrices import as_dense
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import (
    FOLDS,
    SHARES,
    SplitRule,
    TableSplit,
    folds_of,
    parts_of,
    resolved,
    split_of,
)
from model_loop.training_set.types import TrainingSet

ROWS = 2_000
DECLARATION = """
name = "rides"
target = "count"
source = "rides.csv"
partition = "month"
[time]
column = "at"
time_zone = "America/New_York"
[columns.number]
type = "id"
"""
OF_COUNTRY = DECLARATION.replace("[time]", '[time]\ncountry = "US"')


def table(rows: int = ROWS, seed: int = 5) -> pd.DataFrame:
    """Return hourly rows of half a year, with missing numbers and categories."""
    rng = np.random.default_rng(seed)
    at = pd.Timestamp("2024-01-01T05:00Z") + pd.to_timedelta(np.arange(rows) * 2, unit="h")
    weather = rng.choice(["dry", "wet", "snow"], rows, p=[0.6, 0.3, 0.1])
    warmth = rng.normal(10, 5, rows).round(2)
    count = (20 + 3 * warmth + 10 * (weather == "dry") + rng.normal(0, 4, rows)).round(1)
    frame = pd.DataFrame(
        {
            "number": np.arange(rows),
            "at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "weather": np.where(rng.random(rows) < 0.05, "", weather),
            "warmth": warmth,
            "open": rng.choice(["yes", "no"], rows),
            "count": count,
        }
    )
    frame.loc[rng.random(rows) < 0.1, "warmth"] = np.nan
    return frame


def build(
    folder: Path,
    frame: pd.DataFrame,
    text: str = DECLARATION,
    shares: tuple[float, ...] = SHARES,
) -> TrainingSet:
    """Build the training set of a table that is written to a folder."""
    frame.to_csv(folder / "rides.csv", index=False)
    return build_again(request_in(folder, text, shares), folder)


def request_in(
    folder: Path, text: str = DECLARATION, shares: tuple[float, ...] = SHARES
) -> TableRequest:
    """Return the request for the table of a folder."""
    declaration = resolved_source(parse_declaration(text, "rides.toml"), folder)
    completed = complete_files(
        declaration, find_files(declaration, declaration.name), declaration.name
    )
    dataset = dataset_of(completed)
    split, recipe = split_of(dataset, shares), dataset.default_recipe
    return TableRequest(text_of_declaration(completed), declaration.name, recipe, split)


def build_again(request: TableRequest, folder: Path) -> TrainingSet:
    """Build a training set of what the folder has now."""
    return build_training_set(request, storage_root=str(folder / "store"))


def test_every_row_is_in_a_part_or_counted(tmp_path: Path) -> None:
    """Rows without a target are set aside by name, and all others are in one part."""
    frame = table()
    frame.loc[[3, 4, 500], "count"] = np.nan
    training_set = build(tmp_path, frame)
    (report,) = training_set.cleaning
    assert report.set_aside == {"no target": 3}
    rows = training_set.rows
    assert training_set.calibration_rows is None
    assert rows["all"] + rows["test"] == ROWS - 3 == report.rows_kept


def test_a_table_is_built_again_from_what_is_stored(tmp_path: Path) -> None:
    """The stored request says all: where the parts begin, and how each column is read."""
    training_set = build(tmp_path, table())
    reference = write_object(training_set, UPath(tmp_path / "store"), "stored")
    stored = read_object(reference)
    assert stored.digest == training_set.digest
    again = build_again(stored.request, tmp_path)
    assert again.digest == training_set.digest


def test_parts_stay_when_a_table_grows(tmp_path: Path) -> None:
    """Rows that come later are judged, and move no boundary."""
    training_set = build(tmp_path, table())
    longer = pd.concat([table(), table().tail(50).assign(at="2025-01-01T00:00:00Z")])
    longer.to_csv(tmp_path / "rides.csv", index=False)
    again = build_again(training_set.request, tmp_path)
    assert np.array_equal(again.train_target, training_set.train_target)
    assert again.rows["test"] == training_set.rows["test"] + 50


def test_partitions_of_one_table_are_cut_by_its_time(tmp_path: Path) -> None:
    """Rows on the clocks of the place: the last hours of January are those of New York."""
    training_set = build(tmp_path, table())
    asked = dataclasses.replace(training_set.request, partitions=("2024-02", "2024-03"))
    asked = dataclasses.replace(asked, split=split_of(training_set.dataset))
    some = build_again(asked, tmp_path)
    at = pd.to_datetime(table()["at"]).dt.tz_convert("America/New_York")
    assert sum(report.rows_read for report in some.cleaning) == at.dt.month.isin([2, 3]).sum()
    assert some.periods["train"].first == "2024-02-01T00:00:00"
    assert some.periods["test"].last < "2024-04"
    assert {key for keys in some.parts.values() for key in keys} == {"2024-02", "2024-03"}


@pytest.mark.parametrize(
    ("partition", "text", "words"),
    [
        ("2023-01", DECLARATION, "has no row of 2023-01"),
        ("2024-01", DECLARATION.replace('"month"', '"whole"'), "is not cut"),
    ],
)
def test_partitions_that_a_table_has_not_are_refused(
    partition: str, text: str, words: str, tmp_path: Path
) -> None:
    """With those that it has."""
    table().to_csv(tmp_path / "rides.csv", index=False)
    asked = dataclasses.replace(request_in(tmp_path, text), partitions=(partition,))
    with pytest.raises(ContractError, match=words) as error:
        build_again(asked, tmp_path)
    if words != "is not cut":
        assert "from 2024-01 to 2024-06" in error.value.remedy


def test_time_decides_and_equal_times_stay_together(tmp_path: Path) -> None:
    """Each part ends before the next begins, also where many rows have one time."""
    frame = table()
    frame["at"] = frame["at"].str[:10] + "T12:00:00Z"
    training_set = build(tmp_path, frame, shares=(0.6, 0.15, 0.1, 0.15))
    periods = training_set.periods
    assert training_set.calibration_rows is not None
    parts = [periods[name] for name in ("train", "validation", "calibration", "test")]
    for earlier, later in itertools.pairwise(parts):
        assert earlier.last < later.first


def test_no_group_is_in_two_parts(tmp_path: Path) -> None:
    """A group that came to two parts would be judged by what was learned of it."""
    frame = table().assign(group=lambda rows: "g" + (rows["number"] % 97).astype(str))
    text = DECLARATION + '[columns.group]\ntype = "category"\n[split]\ngroup_on = "group"\n'
    training_set = build(tmp_path, frame, text)
    test = set(training_set.test_rows["group"])
    learned = training_set.reference_rows
    assert learned is not None
    assert test
    assert not test & set(learned["group"])


@pytest.mark.parametrize("rule", ["time", "group", "identity", "shuffle"])
def test_folds_judge_no_row_by_what_was_learned_of_it(rule: SplitRule) -> None:
    """No group on both sides; by time, what is judged is later than all that is learned."""
    rng = np.random.default_rng(4)
    places = np.sort(rng.integers(0, 60, 300) / 60.0)
    rng.shuffle(places)
    split = resolved(TableSplit(rule, "on"), places)
    parts = parts_of(split, places)
    folds = folds_of(split, places, parts)
    assert len(folds) == FOLDS
    judged_times = np.sum([judged for _, judged in folds], axis=0)
    for learned, judged in folds:
        assert not (learned | judged)[parts["test"]].any()
        assert not set(places[learned]) & set(places[judged])
        if rule == "time":
            assert places[learned].max() < places[judged].min()
    known = parts["train"] | parts["validation"]
    assert judged_times.max() == 1
    share = judged_times[known].mean()
    assert 0.4 < share < 0.6 if rule == "time" else share == 1


def test_a_large_validation_part_chooses_alone(tmp_path: Path) -> None:
    """From two hundred rows on; of a table of one group or time there is nothing to fold."""
    assert build(tmp_path, table()).folds == {}
    small = build(tmp_path, table(900))
    assert {layout: len(folds) for layout, folds in small.folds.items()} == {
        "sparse": FOLDS,
        "dense": FOLDS,
    }
    assert "of the rows before them" in small.chosen_by
    places = np.repeat([0.1, 0.9], 50)
    split = resolved(TableSplit("group", "on"), places)
    assert folds_of(split, places, parts_of(split, places)) == []


def test_identical_rows_are_in_one_part_without_a_time(tmp_path: Path) -> None:
    """A stable hash of the row decides, whatever the order of the file."""
    text = DECLARATION.split("partition", maxsplit=1)[0] + '[columns.number]\ntype = "id"\n'
    frame = table().drop(columns="at")
    doubled = pd.concat([frame, frame]).sample(frac=1, random_state=1)
    training_set = build(tmp_path, doubled, text)
    assert not [each for each in training_set.findings if each.code == "overlap"]
    assert training_set.rows["test"] % 2 == 0


def test_shuffling_is_said_and_overlap_is_counted(tmp_path: Path) -> None:
    """Repetitions that shuffling has put into two parts are counted."""
    text = DECLARATION + "[split]\nshuffle = true\n"
    frame = table().assign(number=0)
    training_set = build(tmp_path, pd.concat([frame, frame]), text)
    (overlap,) = [each for each in training_set.findings if each.code == "overlap"]
    assert "stand in an earlier part" in overlap.message
    assert "by chance" in training_set.request.split.in_words


def test_fewer_than_thirty_rows_are_refused_with_the_number(tmp_path: Path) -> None:
    """Rows without a target do not count."""
    with pytest.raises(ContractError, match=r"has 29 rows .* less than 30") as error:
        build(tmp_path, table(29))
    assert "Give 1 rows more" in error.value.remedy


@pytest.mark.parametrize(("rows", "judged"), [(30, 12), (45, 18), (100, 30), (300, 60)])
def test_few_rows_are_judged_by_more_of_them(rows: int, judged: int, tmp_path: Path) -> None:
    """Thirty judge where that leaves three fifths to learn from; what stays open is said."""
    training_set = build(tmp_path, table(rows))
    assert abs(training_set.rows["test"] - judged) <= 1
    assert sum(training_set.rows[part] for part in ("train", "validation", "test")) == rows
    assert "too_few_rows" in {each.code for each in training_set.findings}


def test_wide_intervals_are_said(tmp_path: Path) -> None:
    """Fifty judged rows leave more than a tenth of the baseline's error open."""
    (finding,) = build(tmp_path, table(340)).findings
    assert finding.code == "too_few_rows"


def test_a_draft_and_an_open_question_are_refused(tmp_path: Path) -> None:
    """Nobody trains on what nobody has answered."""
    for line, words in (('status = "draft"\n', "is a draft"), ("", "open questions")):
        text = line + DECLARATION
        if not line:
            text += '[columns.warmth]\nknown = "?"\n'
        with pytest.raises(InvalidInputError, match=words):
            build(tmp_path, table(), text)


def test_broken_rows_are_set_aside_by_rule_and_too_many_refuse(tmp_path: Path) -> None:
    """A row is counted by the first rule that it breaks."""
    frame = table()
    frame.loc[:9, "warmth"] = 99.0
    frame.loc[5:14, "weather"] = "hail"
    text = DECLARATION + (
        "[columns.warmth]\nconstraints = {maximum = 40}\n"
        '[columns.weather]\ntype = "category"\nconstraints = {enum = ["dry", "wet", "snow"]}\n'
        '[[rules]]\nname = "first rows"\nwhen = "number < 3"\n'
    )
    text = text.replace('type = "id"', 'type = "number"')
    (report,) = build(tmp_path, frame, text).cleaning
    assert report.set_aside == {
        "first rows": 3,
        "warmth above 40": 2,
        "weather is none of its values": 10,
    }
    frame.loc[:200, "warmth"] = 99.0
    with pytest.raises(RefusedPartitionError, match="more than 5%"):
        build(tmp_path, frame, text)


def test_encoders_are_of_scikit_learn_alone(tmp_path: Path) -> None:
    """A model of a declared table loads wherever scikit-learn is installed."""
    for splits in build(tmp_path, table(), OF_COUNTRY).layouts.values():
        unknown = skops.io.get_untrusted_types(data=dump_estimator(splits.encoder))
        assert not [name for name in unknown if not name.startswith(("sklearn.", "numpy."))]


def test_features_lead_back_to_their_columns(tmp_path: Path) -> None:
    """Each feature is of one column, whatever the encoder makes of it."""
    for splits in build(tmp_path, table(), OF_COUNTRY).layouts.values():
        found = feature_columns(splits.train_encoder)
        assert len(found) == splits.train.shape[1]
        assert set(found) == {"at", "weather", "warmth", "open"}


def test_times_are_seen_as_clock_and_calendar(tmp_path: Path) -> None:
    """The same hour of another week looks the same; nothing grows with the calendar."""
    training_set = build(tmp_path, table())
    encoder = training_set.layouts["dense"].encoder
    row = training_set.example_rows.head(1)
    later = row.assign(at=row["at"] + 7 * 86_400)
    difference = as_dense(encoder.transform(later)) - as_dense(encoder.transform(row))
    names = list(encoder.get_feature_names_out())
    assert [names[place] for place in np.flatnonzero(np.abs(difference[0]) > 1e-6)] == [
        "time__year__at"
    ]


def test_holidays_of_the_country_are_a_feature(tmp_path: Path) -> None:
    """On the clocks of the place: in UTC, the fourth of July would begin four hours early."""
    training_set = build(tmp_path, table(), OF_COUNTRY)
    without = build(tmp_path, table())
    times = ["2024-07-03T23:59", "2024-07-04", "2030-12-25T12:00", "2030-12-26"]
    rows = pd.concat([training_set.example_rows.head(1)] * 4, ignore_index=True)
    rows = rows.assign(at=np.array(times, dtype="datetime64[s]").astype(np.float64))
    for layout, splits in training_set.layouts.items():
        names = list(splits.encoder.get_feature_names_out())
        flag = names.index("is_holiday__at")
        assert as_dense(splits.encoder.transform(rows))[:, flag].tolist() == [0, 1, 1, 0]
        local = pd.to_datetime(table()["at"]).dt.tz_convert("America/New_York")[
            : splits.train.shape[0]
        ]
        free = local.dt.strftime("%m-%d").isin(["01-01", "01-15", "02-19"])
        assert as_dense(splits.train)[:, flag].tolist() == free.astype(float).tolist()
        names.remove("is_holiday__at")
        plain = without.layouts[layout]
        assert list(plain.encoder.get_feature_names_out()) == names
        rest = np.delete(as_dense(splits.train), flag, axis=1)
        np.testing.assert_array_equal(rest, as_dense(plain.train))


def test_training_sets_of_a_country_are_told_from_those_without_its_holidays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set that was stored before there was the feature is built again, and no other one."""
    table().to_csv(tmp_path / "rides.csv", index=False)

    def keys(text: str) -> tuple[str, str]:
        made = request_in(tmp_path, text)
        return made.key, made.content_key

    plain, of_country = keys(DECLARATION), keys(OF_COUNTRY)
    monkeypatch.setattr(request, "_HOLIDAYS_VERSION", 2)
    assert keys(DECLARATION) == plain
    assert not {*keys(OF_COUNTRY)} & {*of_country}


def test_an_unknown_country_is_refused_before_a_file_is_read() -> None:
    """Not after an hour of preparation."""
    text = DECLARATION.replace("[time]", '[time]\ncountry = "XU"')
    with pytest.raises(InvalidInputError, match="country = 'XU' is unknown"):
        require_ready(parse_declaration(text, "rides.toml"))


def test_an_example_shows_every_column(tmp_path: Path) -> None:
    """Rows of the example have values, where there are such: a column of none has no type."""
    frame = table()
    may = frame["at"].str.startswith("2024-05-0")
    assert may.any()
    frame.loc[may, "weather"] = np.nan
    example = build(tmp_path, frame).example_rows
    assert len(example) == EXAMPLE_ROWS
    assert not example.isna().any(axis=None)


def test_what_is_new_in_later_parts_is_told(tmp_path: Path) -> None:
    """A target that grows, and categories of single months, are findings; they refuse nothing."""
    frame = table()
    local = pd.to_datetime(frame["at"]).dt.tz_convert("America/New_York")
    lot = "lot " + local.dt.month.map(dict(enumerate("ABCDEF", 1)))
    frame = frame.assign(lot=lot, count=frame["count"] + 0.5 * np.arange(len(frame)))
    found = {finding.code: finding for finding in build(tmp_path, frame).findings}
    assert "train" in found["target_shift"].message
    assert found["unseen_categories"].column == "lot"
    assert {each.level for each in found.values()} == {"warning"}
    codes = {finding.code for finding in build(tmp_path, table()).findings}
    assert not codes & {"target_shift", "unseen_categories"}


def test_times_that_are_no_seconds_are_refused(tmp_path: Path) -> None:
    """Times of pandas' own may be of any unit: they raise an error and give no wrong number."""
    training_set = build(tmp_path, table())
    rows = training_set.example_rows.assign(at=pd.Timestamp("2024-05-01"))
    for splits in training_set.layouts.values():
        with pytest.raises(TypeError):
            splits.encoder.transform(rows)
    seconds = model_frame(training_set.dataset.columns, rows)
    assert len(training_set.layouts["dense"].encoder.transform(seconds)) == len(rows)


def test_unseen_and_missing_values_are_encoded(tmp_path: Path) -> None:
    """A category that nobody has seen, and any missing value, give finite numbers."""
    training_set = build(tmp_path, table())
    rows = training_set.example_rows.assign(weather="fog", warmth=np.nan, open=np.nan)
    rows = pd.concat([rows, rows.assign(weather=np.nan)])
    for splits in training_set.layouts.values():
        assert np.isfinite(as_dense(splits.encoder.transform(rows))).all()


@pytest.mark.parametrize("layout", ["sparse", "dense"])
@pytest.mark.parametrize(("rows", "fewest"), [(120, 3), (500, 5), (1_000, 10), (5_000, 10)])
def test_rare_categories_are_one_in_a_hundred_of_a_small_table(
    layout: Layout, rows: int, fewest: int
) -> None:
    """Of 1,000 rows and more they are those of less than ten rows."""
    texts = ["rare"] * (fewest - 1) + ["few"] * fewest
    frame = pd.DataFrame({"weather": [*texts, *["usual"] * (rows - len(texts))]})
    columns = [Column("weather", "weather", "category", "", "", "request", -np.inf, np.inf)]
    encoder = table_encoder(columns, layout, rows=rows)
    encoder.fit(frame, np.arange(rows, dtype=float))
    (found,) = encoder.named_transformers_["category"].infrequent_categories_
    assert list(found) == ["rare"]


def changed(training_set: TrainingSet, folder: Path, part: str) -> TrainingSet:
    """Build the training set again with other targets in one part."""
    frame = pd.read_csv(folder / "rides.csv")
    at = pd.to_datetime(frame["at"]).dt.tz_convert("America/New_York").dt.tz_localize(None)
    period = training_set.periods[part]
    inside = (at >= pd.Timestamp(period.first)) & (at <= pd.Timestamp(period.last))
    assert inside.any()
    frame.loc[inside, "count"] = 1_000 - 3 * frame.loc[inside, "count"]
    frame.to_csv(folder / "rides.csv", index=False)
    return build_again(training_set.request, folder)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_no_outcome_that_is_judged_by_is_learned(tmp_path: Path, part: str) -> None:
    """Other outcomes of a part change no number that is made before that part judges."""
    before = build(tmp_path, table())
    after = changed(before, tmp_path, part)
    for layout, splits in before.layouts.items():
        others = after.layouts[layout]
        matrices = ["train", "validation", *(["train_validation"] if part == "test" else [])]
        for name in matrices:
            first, second = (as_dense(getattr(each, name)) for each in (splits, others))
            assert np.array_equal(first, second), (layout, name)


def test_no_row_is_described_by_its_own_outcome(tmp_path: Path) -> None:
    """A single outcome of the train rows changes other rows, and never its own."""
    before = build(tmp_path, table())
    frame = pd.read_csv(tmp_path / "rides.csv")
    frame["count"] = frame["count"].where(frame.index != 7, 1e6)
    frame.to_csv(tmp_path / "rides.csv", index=False)
    first, second = (
        as_dense(each.layouts["dense"].train)
        for each in (before, build_again(before.request, tmp_path))
    )
    differ = (first != second).any(axis=1)
    assert differ.any()
    assert not differ[7]


def test_data_tests_pass_on_a_sound_table(tmp_path: Path) -> None:
    """Every test has looked, and found nothing."""
    outcomes = run_data_tests(build(tmp_path, table()))
    assert [str(each) for each in outcomes if not each.passed] == []
    assert len(outcomes) > len(TABLE_TESTS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rows_are_conserved", "rows kept are in one part"),
        ("nothing_leaks", "every train row is before every validation row"),
        ("matrices_match_targets", "every value is finite"),
        ("distributions_are_sane", "every target is finite"),
    ],
)
def test_each_data_test_notices_its_fault(tmp_path: Path, name: str, words: str) -> None:
    """A fault that a test is there for turns it red."""
    sound = build(tmp_path, table())
    dense = sound.layouts["dense"]
    broken = dense.train.copy()
    broken[3, 0] = np.nan
    faults: dict[str, dict[str, Any]] = {
        "rows_are_conserved": {"strays": 1},
        "nothing_leaks": {"periods": {**sound.periods, "train": sound.periods["test"]}},
        "matrices_match_targets": {"layouts": {"dense": dataclasses.replace(dense, train=broken)}},
        "distributions_are_sane": {"validation_target": sound.validation_target * np.nan},
    }
    training_set = dataclasses.replace(sound, **faults[name])
    failed = [each.name for each in TABLE_TESTS[name](training_set) if not each.passed]
    assert [each for each in failed if words in each]
