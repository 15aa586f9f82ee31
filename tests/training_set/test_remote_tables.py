"""Declared tables on a web server with TLS, and in a bucket."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from tests.training_set.test_declared import MONTHLY, write_months
from tests.training_set.test_tables import DECLARATION, table
from tests.websites import Website, certificate, website_over

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.errors import (
    ContractError,
    InvalidInputError,
    NotPublishedError,
    SourceError,
    TransientSourceError,
)
from model_loop.sources import download
from model_loop.sources.publications import Publications
from model_loop.sources.published import PublishedSource
from model_loop.training_set.declared import TablePreparation
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet

WAIT = 5.0
NAME = "rides.csv"
COLUMNS = """
[columns.weather]
type = "category"
[columns.warmth]
type = "number"
[columns.open]
type = "yes_no"
[columns.count]
type = "number"
"""


class RemoteTable:
    """A declared table at an address, with its steps and a store of its own."""

    def __init__(self, root: Path, text: str) -> None:
        self.root = str(root / "store")
        self.declaration = parse_declaration(text + COLUMNS, "rides.toml")
        self.dataset = use_dataset(dataset_of(self.declaration))
        self.steps = TablePreparation(self.dataset)

    def request(self, *partitions: str) -> TableRequest:
        """Return the request for some partitions; all by default."""
        return TableRequest(
            text_of_declaration(self.declaration),
            "rides",
            self.dataset.default_recipe,
            split_of(self.dataset),
            partitions,
        )

    def build(self, *partitions: str) -> TrainingSet:
        """Plan, fetch, check, compare and encode."""
        request = self.request(*partitions)
        keys = self.steps.plan(request, storage_root=self.root, timeout_seconds=WAIT)
        checked = [
            self.steps.check(
                self.steps.fetch(request, key, storage_root=self.root, timeout_seconds=WAIT),
                storage_root=self.root,
            )
            for key in keys
        ]
        verdicts = self.steps.compare(checked, storage_root=self.root)
        return self.steps.encode(request, verdicts, storage_root=self.root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that a server shows, with the table."""
    shown = tmp_path / "shown"
    shown.mkdir()
    table().to_csv(shown / NAME, index=False)
    return shown


@pytest.fixture
def site(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    """A server whose certificate an authority of its own has signed, which is trusted."""
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.01)
    authority, server = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    with website_over(folder, server) as found:
        yield found


def at(address: str, text: str = DECLARATION) -> str:
    """Return the declaration with an address in front of its file."""
    return text.replace('source = "', f'source = "{address}/')


def test_a_table_over_https_is_fetched_once(site: Website, folder: Path, tmp_path: Path) -> None:
    """It gives the training set of the same file in a folder; a second plan asks for no byte."""
    local = RemoteTable(tmp_path / "local", at(str(folder))).build()
    remote = RemoteTable(tmp_path / "remote", at(site.url))
    built = remote.build()
    assert built.rows_digests == local.rows_digests
    (file,) = built.files
    assert (file.url, file.data_source) == (f"{site.url}/{NAME}", "https")
    remote.build()
    assert site.downloads == 1


def test_a_redirect_is_followed(site: Website, tmp_path: Path) -> None:
    """The address that is declared stays the address of the file."""
    site.moved = ""
    (file,) = RemoteTable(tmp_path, at(f"{site.url}/moved")).build().files
    assert file.url == f"{site.url}/moved/{NAME}"


def test_a_packed_file_of_a_server_without_ranges(
    site: Website, folder: Path, tmp_path: Path
) -> None:
    """What cannot be asked for by parts is read from its copy, whose name keeps its ending."""
    site.ranges = False
    (folder / f"{NAME}.gz").write_bytes(gzip.compress((folder / NAME).read_bytes()))
    built = RemoteTable(tmp_path, at(site.url).replace(NAME, f"{NAME}.gz")).build()
    assert built.files[0].path.endswith(f"{NAME}.gz")


@pytest.mark.parametrize("cut_off", [1, 99])
def test_a_file_that_breaks_off(site: Website, tmp_path: Path, cut_off: int) -> None:
    """The rest is asked for; a server that never sends it is named, and may be tried again."""
    site.cut_off = cut_off
    remote = RemoteTable(tmp_path, at(site.url))
    if cut_off == 1:
        assert remote.build().files[0].size == (tmp_path / "shown" / NAME).stat().st_size
        return
    with pytest.raises(TransientSourceError, match=f"{NAME} broke off while it was downloaded"):
        remote.build()


def test_a_file_that_is_not_there(site: Website, tmp_path: Path) -> None:
    """It is named with its status, and is not tried again."""
    with pytest.raises(NotPublishedError, match=r"none/rides\.csv is not published \(HTTP 404\)"):
        RemoteTable(tmp_path, at(f"{site.url}/none")).build()


def test_an_authority_that_is_not_trusted(
    site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy names the setting of the client."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(SourceError, match="certificate that is not trusted") as caught:
        RemoteTable(tmp_path, at(site.url)).build()
    assert not isinstance(caught.value, TransientSourceError)
    assert "REQUESTS_CA_BUNDLE" in caught.value.remedy


def test_a_file_that_changes(site: Website, folder: Path, tmp_path: Path) -> None:
    """A run reads what it has planned; the next one notices the other version by its ETag."""
    site.etag = '"first"'
    remote = RemoteTable(tmp_path, at(site.url))
    built = remote.build()
    store = TrainingSetStore(remote.root)
    product = store.publish(built, remote.request())
    where = {"storage_root": remote.root, "timeout_seconds": WAIT}
    assert remote.steps.is_current(product, **where)  # type: ignore[arg-type]  # two types of values
    table(seed=6).to_csv(folder / NAME, index=False)
    site.etag = '"second"'
    planned = remote.steps.fetch(
        remote.request(), "whole", storage_root=remote.root, timeout_seconds=WAIT
    )
    assert remote.steps.check(planned, storage_root=remote.root).report.rows_read == len(table())
    assert not remote.steps.is_current(product, **where)  # type: ignore[arg-type]  # as above
    assert remote.build().files[0].digest != built.files[0].digest


def test_a_copy_that_another_run_has_replaced(site: Website, folder: Path, tmp_path: Path) -> None:
    """What is checked is what was planned, or nothing."""
    site.etag = '"first"'
    remote = RemoteTable(tmp_path, at(site.url))
    request = remote.request()
    remote.steps.plan(request, storage_root=remote.root, timeout_seconds=WAIT)
    planned = remote.steps.fetch(request, "whole", storage_root=remote.root, timeout_seconds=WAIT)
    table(seed=6).to_csv(folder / NAME, index=False)
    site.etag = '"second"'
    remote.steps.plan(request, storage_root=remote.root, timeout_seconds=WAIT)
    with pytest.raises(ContractError, match="has changed since the run has begun"):
        remote.steps.check(planned, storage_root=remote.root)


def test_partitions_of_a_server_are_named(site: Website, folder: Path, tmp_path: Path) -> None:
    """It lists none; those that are named are fetched, one that is missing is named."""
    keys = write_months(folder, table())
    remote = RemoteTable(tmp_path, at(site.url, MONTHLY))
    with pytest.raises(SourceError, match="lists no month") as caught:
        remote.build()
    assert caught.value.remedy == "Name each month that is wanted."
    assert [file.partition for file in remote.build(*keys).files] == [*keys]
    with pytest.raises(NotPublishedError, match=r"rides-2031-01\.csv"):
        remote.build(*keys, "2031-01")


@pytest.mark.parametrize(
    "source", ["https://me:hidden@example.org/a.csv", "https://example.org/a.csv?token=hidden"]
)
def test_a_login_in_a_declaration_is_refused(source: str) -> None:
    """It would stand in every lineage; the error does not show it."""
    with pytest.raises(InvalidInputError, match="carries a login") as caught:
        parse_declaration(DECLARATION.replace(NAME, source), "rides.toml")
    assert "hidden" not in str(caught.value)
    assert "netrc" in caught.value.remedy


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], None]]:
    """A bucket; it is called with the name and the content of an object."""
    S3FileSystem.clear_instance_cache()
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="tables")
    yield lambda key, body: client.put_object(Bucket="tables", Key=key, Body=body)
    server.stop()
    # Others find no connection to the server that is gone.
    S3FileSystem.clear_instance_cache()


def test_a_bucket_is_listed_anew_at_each_look(
    bucket: Callable[[str, bytes], None], folder: Path, tmp_path: Path
) -> None:
    """A month that is put there later is found by the same process, which waits for it."""
    first, *later = write_months(folder, table())
    for key in (first, *later[:-1]):
        bucket(f"in/rides-{key}.csv", (folder / f"rides-{key}.csv").read_bytes())
    remote = RemoteTable(tmp_path, at("s3://tables/in", MONTHLY))
    source = PublishedSource("rides", str(remote.declaration.source), remote.root, WAIT)
    seen = source.look(Publications({}))
    assert [*seen.known] == [first, *later[:-1]]
    built = remote.build()
    assert [(file.partition, file.data_source) for file in built.files] == [
        (key, "s3") for key in (first, *later[:-1])
    ]
    bucket(f"in/rides-{later[-1]}.csv", (folder / f"rides-{later[-1]}.csv").read_bytes())
    bucket(f"in/rides-{first}.csv", table(seed=6).to_csv(index=False).encode())
    found = source.look(seen)
    assert [str(one) for one in seen.news(found)] == [
        f"{first} is republished",
        f"{later[-1]} is new",
    ]
    assert remote.build(*later).files[-1].partition == later[-1]


def test_a_pattern_in_a_bucket_is_one_table(
    bucket: Callable[[str, bytes], None], folder: Path, tmp_path: Path
) -> None:
    """As in a folder."""
    for key in write_months(folder, table()):
        bucket(f"in/rides-{key}.csv", (folder / f"rides-{key}.csv").read_bytes())
    built = RemoteTable(tmp_path, at("s3://tables/in").replace(NAME, "rides-*.csv")).build()
    assert sum(report.rows_read for report in built.cleaning) == len(table())


@pytest.mark.parametrize(
    ("address", "without", "kind", "said"),
    [
        ("s3://tables/none", "", SourceError, r"s3://tables/none/rides\.csv"),
        ("s3://absent/in", "", SourceError, r"s3://absent/in/rides\.csv"),
        ("s3://tables/in", "AWS_ACCESS_KEY_ID", SourceError, "may not be read"),
        ("s3://tables/in", "AWS_ENDPOINT_URL", TransientSourceError, "cannot be read"),
    ],
    ids=["no file", "no bucket", "no login", "no server"],
)
def test_what_a_bucket_refuses_names_the_file(
    bucket: Callable[[str, bytes], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    address: str,
    without: str,
    kind: type[SourceError],
    said: str,
) -> None:
    """Neither the client's own errors nor tracebacks are shown."""
    bucket(f"in/{NAME}", table().to_csv(index=False).encode())
    if without == "AWS_ENDPOINT_URL":
        monkeypatch.setenv(without, "http://127.0.0.1:9")
    elif without:
        monkeypatch.delenv(without)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(kind, match=said):
        RemoteTable(tmp_path, at(address)).build()
