"""Files through a model: the same rows, in any cut, with whatever goes wrong on the way."""

from __future__ import annotations

import dataclasses
import io
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from tests.scoring.conftest import request_for
from upath import UPath

from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.scoring.batch import planning, scoring
from model_loop.scoring.batch.abandoned import find_abandoned, remove_abandoned
from model_loop.scoring.batch.job import Chunk, JobResult, added_names
from model_loop.scoring.batch.planning import by_job, plan_chunks
from model_loop.scoring.batch.scoring import is_scored, join_chunks, score_chunk
from model_loop.scoring.columns import check_rows
from model_loop.scoring.paths import find_inputs, output_of
from model_loop.scoring.predictor import Predictor
from model_loop.training_set.matrices import Targets
from trip_duration.dataset import TRIPS

ADDED = len(added_names(TRIPS.target))
REJECTED = {5, 7, 2_999}


def run(chunks: list[Chunk], predictor: Predictor) -> JobResult:
    """Score all chunks, the last one first, and join them."""
    for chunk in reversed(chunks):
        score_chunk(chunk, predictor)
    ((job, parts),) = by_job(chunks)
    return join_chunks(job, parts)


def expected(predictor: Predictor, month: Path) -> Targets:
    """Predictions of the model itself for the sound rows of a month."""
    rows = pd.read_parquet(month).drop(index=list(REJECTED))
    trips = rows.rename(columns={"lpep_pickup_datetime": "pickup_datetime"})
    return predictor.predict(trips)


@dataclasses.dataclass(frozen=True)
class Counting(Predictor):
    """A predictor that counts the rows that it was given."""

    rows: list[int] = dataclasses.field(default_factory=list)

    def predict(self, trips: pd.DataFrame) -> Targets:
        """Predict, and count."""
        self.rows.append(len(trips))
        return super().predict(trips)


def counting(predictor: Predictor) -> Counting:
    """The same, counting."""
    return Counting(predictor.version, predictor.model, predictor.columns)


def test_parquet(predictor: Predictor, month: Path, tmp_path: Path) -> None:
    """The same rows with minutes, version and id; wrong rows beside them, with reasons."""
    output = tmp_path / "april.parquet"
    chunks = plan_chunks(request_for(predictor, month, output), str(tmp_path))
    result = run(chunks, predictor)
    given, scored = pd.read_parquet(month), pd.read_parquet(output)
    pd.testing.assert_frame_equal(
        scored.drop(columns=list(added_names(TRIPS.target))),
        given.drop(index=list(REJECTED)).reset_index(drop=True),
    )
    assert np.abs(scored.predicted_minutes - expected(predictor, month)).max() < 1e-5
    assert set(scored.model_version) == {7}
    assert scored.prediction_id.nunique() == len(scored)
    rejected = pd.read_parquet(tmp_path / "april.rejected.parquet")
    assert set(rejected["row"]) == REJECTED
    assert "PULocationID = 999 is not a zone from 1 to 265" in set(rejected.reason)
    assert "trip_distance = -1.0 is not a distance from 0 to 1,000,000 miles" in set(
        rejected.reason
    )
    assert set(rejected.PULocationID) >= {999}
    assert result == JobResult(
        input=str(month),
        output=str(output),
        rejected=str(tmp_path / "april.rejected.parquet"),
        rows=len(given),
        predicted_rows=len(given) - 3,
        rejected_rows=3,
        model="trip_duration_green",
        model_version=7,
    )


def test_csv_is_passed_on_byte_for_byte(predictor: Predictor, month: Path, tmp_path: Path) -> None:
    """A row of the output is the row of the input with some fields more."""
    source = tmp_path / "april.csv"
    pd.read_parquet(month).to_csv(source, index=False)
    result = run(
        plan_chunks(request_for(predictor, source, tmp_path / "o.csv"), str(tmp_path)), predictor
    )
    given, found = source.read_text().splitlines(), (tmp_path / "o.csv").read_text().splitlines()
    assert found[0] == f"{given[0]},{','.join(added_names(TRIPS.target))}"
    kept = [line for row, line in enumerate(given[1:]) if row not in REJECTED]
    assert [line.rsplit(",", ADDED)[0] for line in found[1:]] == kept
    minutes = pd.read_csv(tmp_path / "o.csv").predicted_minutes
    assert np.abs(minutes - expected(predictor, month)).max() < 1e-5
    rejected = pd.read_csv(tmp_path / "o.rejected.csv")
    assert set(rejected["row"]) == REJECTED
    assert (result.rows, result.rejected_rows) == (len(given) - 1, 3)


def test_csv_as_people_save_it(predictor: Predictor, tmp_path: Path) -> None:
    """Quotes, line ends within fields, a byte order mark, semicolons, odd bytes, ragged rows."""
    header = (
        "note;pickup_at;PULocationID;DOLocationID;passenger_count;VendorID;trip_type;trip_miles"
    )
    good = "2024-03-04T08:30:00;74;75;1;2;1;1.5"
    lines = [
        f'"says ""hi""; and{chr(10)}goes on";{good}',
        f"caf\N{LATIN SMALL LETTER E WITH ACUTE};{good}",
        "short;2024-03-04T08:30:00",
        "",
        f"Z\u00fcrich;{good}",
        f'"no passenger";{good.replace(";1;2;", ";;NA;")}',
        "zone;2024-03-04T08:30:00;seventy-four;75;1;2;1;1.5",
    ]
    text = "\r\n".join([header, *lines])
    source = tmp_path / "people.csv"
    source.write_bytes(b"\xef\xbb\xbf" + text.encode())
    result = run(
        plan_chunks(request_for(predictor, source, tmp_path / "o.csv"), str(tmp_path)), predictor
    )
    # A line that holds nothing is no row, as for pandas and Python's own reader of tables.
    assert (result.rows, result.rejected_rows) == (6, 2)
    scored = pd.read_csv(tmp_path / "o.csv", sep=";")
    assert scored.predicted_minutes.notna().all()
    assert scored.note[0] == 'says "hi"; and\ngoes on'
    assert (tmp_path / "o.csv").read_bytes().endswith(b"\r\n")
    reasons = (tmp_path / "o.rejected.csv").read_text().splitlines()
    assert reasons[0] == f"row;reason;{header}"
    assert reasons[1].startswith("2;the row has 2 fields, and the header 8;short;")
    assert reasons[2].startswith("5;PULocationID = seventy-four is unknown;")


def test_texts_of_other_encodings(predictor: Predictor, tmp_path: Path) -> None:
    """Single bytes are passed on as they are, UTF-16 comes out in UTF-8, a mix is refused."""
    rows = [
        f"Stra\u00dfe {number} \u20ac,2024-03-04T08:30:00,74,75,1,2,1,1.5" for number in range(9)
    ]
    header = (
        "note,pickup_at,PULocationID,DOLocationID,passenger_count,VendorID,trip_type,trip_miles"
    )
    text = "\n".join(
        [header, *rows[:5], rows[5].replace(",74,", ",nowhere \u20ac,"), *rows[6:], ""]
    )
    for encoding, written in (("cp1252", "cp1252"), ("utf-16", "utf-8")):
        source = tmp_path / f"{encoding}.csv"
        source.write_bytes(text.encode(encoding))
        output = tmp_path / f"{encoding}.o.csv"
        chunks = plan_chunks(request_for(predictor, source, output), str(tmp_path))
        result = run(chunks, predictor)
        assert (result.rows, result.rejected_rows) == (9, 1)
        found = output.read_bytes().decode(written).splitlines()
        assert [line.rsplit(",", ADDED)[0] for line in found[1:]] == [*rows[:5], *rows[6:]]
        reasons = (tmp_path / f"{encoding}.o.rejected.csv").read_bytes().decode(written)
        assert reasons.count("nowhere \u20ac is unknown") == 1
        assert [path.name for path in Path(chunks[0].job.folder).iterdir()] == ["result.json"]
    mixed = tmp_path / "mixed.csv"
    mixed.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\xe9,,,,,,,\n")
    with pytest.raises(InvalidInputError, match=r"is not in utf-8: byte .* \(0xe9, line 11\)"):
        plan_chunks(request_for(predictor, mixed, tmp_path / "m.csv"), str(tmp_path))


def test_a_misplaced_quote_spoils_no_other_row(predictor: Predictor, tmp_path: Path) -> None:
    """Each prediction stands in the row of its own trip, whatever quotes are in the rows around."""
    header = ",".join(("note", *predictor.columns))
    good = "2024-03-04T08:30:00,74,75,1,2,1,{}"
    notes = ["plain", '5" wide', "plain", '6" wide', '"closed"', 'a "b" c', "x\ry", '"open']
    lines = [f"{note},{good.format(mile)}" for mile, note in enumerate(notes)]
    source = tmp_path / "quotes.csv"
    source.write_bytes("\n".join([header, *lines, ""]).encode())
    result = run(
        plan_chunks(request_for(predictor, source, tmp_path / "o.csv"), str(tmp_path)), predictor
    )
    assert result.rejected_rows
    scored = (tmp_path / "o.csv").read_bytes().decode().split("\n")[1:-1]
    alone = {}
    for mile in range(len(notes)):
        trip = pd.DataFrame(
            [dict(zip(predictor.columns, good.format(mile).split(","), strict=True))]
        )
        checked = check_rows(TRIPS, trip, predictor.columns)
        (alone[str(mile)],) = predictor.predict(checked.rows)
    assert len(scored) >= 3
    for fields in (line.split(",") for line in scored):
        assert float(fields[-ADDED]) == pytest.approx(alone[fields[-ADDED - 1]], abs=1e-5)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_any_cut_gives_the_same(
    predictor: Predictor, month: Path, tmp_path: Path, kind: str
) -> None:
    """Chunks within row groups, across them, and one for all, hold the same predictions."""
    source = tmp_path / f"april.{kind}"
    rows = pd.read_parquet(month)
    rows.to_parquet(source, row_group_size=1_700) if kind == "parquet" else rows.to_csv(source)
    found = []
    for size in (1_000, 1_300, 1_000_000):
        output = tmp_path / f"{size}.{kind}"
        chunks = plan_chunks(request_for(predictor, source, output, chunk_rows=size), str(tmp_path))
        assert sum(chunk.rows for chunk in chunks) == len(rows)
        assert max(chunk.rows for chunk in chunks) <= size
        run(chunks, predictor)
        read = pd.read_parquet if kind == "parquet" else pd.read_csv
        found.append(read(output).predicted_minutes)
    for other in found[1:]:
        pd.testing.assert_series_equal(found[0], other)


def test_small_row_groups_share_chunks(predictor: Predictor, tmp_path: Path) -> None:
    """No chunk is smaller than it needs to be."""
    source, columns = tmp_path / "small.parquet", list(predictor.columns)
    trips = pd.DataFrame({name: [1] * 5_000 for name in columns})
    trips.to_parquet(source, row_group_size=100)
    chunks = plan_chunks(request_for(predictor, source, tmp_path / "o.parquet"), str(tmp_path))
    assert [chunk.rows for chunk in chunks] == [1_000] * 5


def test_there_are_never_too_many_chunks(
    predictor: Predictor, month: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow maps a task over so many at most; more rows are put into each then."""
    monkeypatch.setattr(planning, "MOST_CHUNKS", 2)
    chunks = plan_chunks(request_for(predictor, month, tmp_path / "o.parquet"), str(tmp_path))
    assert 1 <= len(chunks) <= 2
    assert run(chunks, predictor).rows == len(pd.read_parquet(month))


def test_nothing_is_scored_twice(predictor: Predictor, month: Path, tmp_path: Path) -> None:
    """A continued job scores the remaining chunks; a finished one scores none."""
    request = request_for(predictor, month, tmp_path / "o.parquet")
    watched = counting(predictor)
    first = plan_chunks(request, str(tmp_path))
    score_chunk(first[1], watched)
    assert not (tmp_path / "o.parquet").exists()
    again = plan_chunks(request, str(tmp_path))
    assert again == first
    assert [is_scored(chunk) for chunk in again] == [False, True, *[False] * (len(again) - 2)]
    done = run(again, watched)
    assert sum(watched.rows) == done.predicted_rows
    scored = (tmp_path / "o.parquet").read_bytes()
    last = plan_chunks(request, str(tmp_path))
    assert all(is_scored(chunk) for chunk in last)
    ((job, parts),) = by_job(last)
    assert join_chunks(job, parts) == done
    assert (tmp_path / "o.parquet").read_bytes() == scored
    # Nothing waits any more.
    assert [path.name for path in Path(job.folder).iterdir()] == ["result.json"]


def test_a_killed_join_is_finished(
    predictor: Predictor, month: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its last step there is no output; after it, the next job finds the output."""
    request = request_for(predictor, month, tmp_path / "o.parquet")
    chunks = plan_chunks(request, str(tmp_path))
    for chunk in chunks:
        score_chunk(chunk, predictor)

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    ((job, parts),) = by_job(chunks)
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "keep_result", killed)
        with pytest.raises(KeyboardInterrupt):
            join_chunks(job, parts)
    assert not (tmp_path / "o.parquet").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Chunk, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            join_chunks(job, parts)
    assert (tmp_path / "o.parquet").exists()
    ((job, parts),) = by_job(plan_chunks(request, str(tmp_path)))
    assert join_chunks(job, parts).rows == len(pd.read_parquet(month))


def test_an_input_that_changes(predictor: Predictor, month: Path, tmp_path: Path) -> None:
    """Neither chunks of two contents are mixed, nor is the old content taken for the new one."""
    source = tmp_path / "in.parquet"
    rows = pd.read_parquet(month)
    rows.to_parquet(source)
    request = request_for(predictor, source, tmp_path / "o.parquet")
    first = plan_chunks(request, str(tmp_path))
    score_chunk(first[0], predictor)
    rows.assign(trip_distance=5.0).to_parquet(source)
    with pytest.raises(InvalidInputError, match="has changed since its chunks were planned"):
        score_chunk(first[1], predictor)
    with pytest.raises(InvalidInputError, match="has changed"):
        join_chunks(first[0].job, first)
    assert not any(is_scored(chunk) for chunk in plan_chunks(request, str(tmp_path)))


def test_a_chunk_that_is_gone(predictor: Predictor, month: Path, tmp_path: Path) -> None:
    """The output does not appear with rows missing."""
    chunks = plan_chunks(request_for(predictor, month, tmp_path / "o.parquet"), str(tmp_path))
    score_chunk(chunks[0], predictor)
    with pytest.raises(StoredObjectError, match="are gone"):
        join_chunks(chunks[0].job, chunks)
    assert not (tmp_path / "o.parquet").exists()


def test_only_predictions_are_overwritten(
    predictor: Predictor, month: Path, tmp_path: Path
) -> None:
    """Predictions of another version on demand, and what was not made by scoring never."""
    output = tmp_path / "o.parquet"
    run(plan_chunks(request_for(predictor, month, output), str(tmp_path)), predictor)
    version = dataclasses.replace(predictor.version, number=8)
    newer = dataclasses.replace(predictor, version=version)
    with pytest.raises(InvalidInputError, match=r"exists\. Choose another output, or overwrite"):
        plan_chunks(request_for(newer, month, output), str(tmp_path))
    run(plan_chunks(request_for(newer, month, output, overwrite=True), str(tmp_path)), newer)
    assert set(pd.read_parquet(output).model_version) == {8}
    pd.DataFrame({"a": [1]}).to_parquet(output)
    with pytest.raises(InvalidInputError, match="was not made by batch scoring"):
        plan_chunks(request_for(newer, month, output, overwrite=True), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.parquet", lambda path: path.write_bytes(b"no"), "holds CSV, and its name says Parquet"),
        ("a.csv", lambda path: path.write_bytes(b""), "is empty"),
        (
            "a.parquet",
            lambda path: pq.write_table(pa.Table.from_arrays([[1], [2]], ["a", "a"]), path),
            "has two columns that are called 'a'",
        ),
        ("a.csv", lambda path: path.write_bytes(b"a,\x81\n\xe9,1\n"), "is neither in UTF-8"),
        ("a.csv", lambda path: path.write_text("a,b\n1,2\n"), "lacks pickup_datetime"),
        ("a.csv", lambda path: path.write_text("prediction_id\n1\n"), "has the column prediction"),
        (
            "a.parquet",
            lambda path: pq.write_table(pa.table({"PULocationID": [1]}), path),
            "lacks pickup_datetime",
        ),
    ],
    ids=["no parquet", "empty", "twice", "bytes", "lacks", "again", "parquet lacks"],
)
def test_files_that_cannot_be_scored(
    predictor: Predictor, tmp_path: Path, name: str, write: Callable[[Path], object], message: str
) -> None:
    """They are refused before anything is scored, and nothing is left behind."""
    write(tmp_path / name)
    with pytest.raises(InvalidInputError, match=message):
        plan_chunks(request_for(predictor, tmp_path / name, tmp_path / f"o-{name}"), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_operators_own_step(
    predictor: Predictor, month: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function named in the settings makes rows of a fleet's own what the model wants."""
    module = tmp_path / "fleet.py"
    module.write_text(
        "def rename(rows):\n    return rows.rename(columns={'from': 'PULocationID'})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    source, output = tmp_path / "fleet.parquet", tmp_path / "o.parquet"
    pd.read_parquet(month).rename(columns={"PULocationID": "from"}).to_parquet(source)
    with pytest.raises(InvalidInputError, match="lacks PULocationID"):
        plan_chunks(request_for(predictor, source, output), str(tmp_path))
    request = request_for(predictor, source, output, preprocessing="fleet.rename")
    first = plan_chunks(request, str(tmp_path))
    run(first, predictor)
    scored = pd.read_parquet(output)
    assert np.abs(scored.predicted_minutes - expected(predictor, month)).max() < 1e-5
    assert "from" in scored.columns
    # What an older step has made of the rows is not used again.
    module.write_text("def rename(rows):\n    return rows.head(1)\n")
    os.utime(module, (1, 1))
    monkeypatch.delitem(sys.modules, "fleet")
    newer = plan_chunks(dataclasses.replace(request, overwrite=True), str(tmp_path))
    assert newer[0].job.key != first[0].job.key
    with pytest.raises(InvalidInputError, match="has to return a DataFrame with the same rows"):
        score_chunk(newer[0], predictor)


@pytest.mark.parametrize("name", ["nothing", "no.such.function", "os.path.no_function"])
def test_a_step_that_is_not_there(
    predictor: Predictor, month: Path, tmp_path: Path, name: str
) -> None:
    """The error comes before anything is scored."""
    request = request_for(predictor, month, tmp_path / "o.parquet", preprocessing=name)
    with pytest.raises(InvalidInputError, match="names no function that can be imported"):
        plan_chunks(request, str(tmp_path))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 bucket on a server of this machine."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    # Servers of one process share their buckets.
    name = f"fleet-{uuid.uuid4()}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield f"s3://{name}"
    S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_in_a_store(
    predictor: Predictor, month: Path, bucket: str, tmp_path: Path, kind: str
) -> None:
    """Input, chunks, and output on S3; a file that changes there is noticed."""
    rows, local = pd.read_parquet(month), tmp_path / f"trips.{kind}"
    rows.to_parquet(local) if kind == "parquet" else rows.to_csv(local, index=False)
    source = UPath(f"{bucket}/trips.{kind}")
    source.write_bytes(local.read_bytes())
    (given,) = find_inputs(UPath(bucket))
    request = request_for(predictor, given, output_of(given))
    result = run(plan_chunks(request, f"{bucket}/storage"), predictor)
    assert result.output == f"{bucket}/trips.predictions.{kind}"
    output = UPath(result.output).read_bytes()
    read = pd.read_parquet if kind == "parquet" else pd.read_csv
    minutes = read(io.BytesIO(output)).predicted_minutes
    assert np.abs(minutes - expected(predictor, month)).max() < 1e-5
    assert all(is_scored(chunk) for chunk in plan_chunks(request, f"{bucket}/storage"))
    first = plan_chunks(dataclasses.replace(request, overwrite=True), f"{bucket}/storage")
    source.write_bytes(local.read_bytes() + b" ")
    with pytest.raises(InvalidInputError, match="has changed"):
        first[0].job.require_unchanged()


def test_abandoned_chunks_are_removed(predictor: Predictor, month: Path, tmp_path: Path) -> None:
    """After so many days without a job; not before."""
    assert find_abandoned(str(tmp_path), 1.0) == []
    chunks = plan_chunks(request_for(predictor, month, tmp_path / "o.parquet"), str(tmp_path))
    score_chunk(chunks[0], predictor)
    assert find_abandoned(str(tmp_path), 1.0) == []
    for path in Path(chunks[0].job.folder).iterdir():
        os.utime(path, (1, 1))
    (folder,) = find_abandoned(str(tmp_path), 1.0)
    assert remove_abandoned(folder) > 0
    assert not Path(chunks[0].job.folder).exists()
    assert not is_scored(chunks[0])
