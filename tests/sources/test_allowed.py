"""Which sources a caller may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_loop.errors import InvalidInputError
from model_loop.masking import mask_logins
from model_loop.sources.allowed import require_allowed_source

SITE = "https://months.example.com/trips"
BUCKET = "s3://months/trips"


@pytest.mark.parametrize(
    "source",
    ["sample", "tlc", SITE, f"{SITE}/", f"{SITE}/2024", BUCKET, f"{BUCKET}/2024", "{}", "{}/2024"],
)
def test_what_is_listed_may_be_named(source: str, tmp_path: Path) -> None:
    """Generated trips and TLC's site always, else an entry of the list and what lies below it."""
    named = source.format(tmp_path)
    assert require_allowed_source(named, ["", SITE, f" {BUCKET} ", str(tmp_path)]) == named
    assert require_allowed_source(named, ["*"]) == named
    assert require_allowed_source(f"file://{tmp_path}", [str(tmp_path)])
    assert require_allowed_source(str(tmp_path), [f"file://{tmp_path}"])


@pytest.mark.parametrize(
    "source",
    [
        "/etc",
        "{}-other",
        "{}/../other",
        "file:///etc",
        "file://{}/%2e%2e/other",
        "{}/link",
        "http://months.example.com/trips",
        "https://169.254.169.254/latest",
        "https://months.example.com",
        "https://months.example.com/trips-other",
        "https://months.example.com/trips/../other",
        "https://months.example.com/trips/%2e%2e/other",
        "https://months.example.com/trips/..",
        "https://months.example.com/trips/..;/other",
        "https://months.example.com/trips/.;x/..;y/other",
        "https://months.example.com/trips;/../other",
        "s3://months/trips/..;/other",
        "https://months.example.com@evil.example.com/trips",
        "https://months.example.com\\@evil.example.com/trips",
        "https://months.example.com.evil.example.com/trips",
        "https://months.example.com/trips/?file=",
        "https://months.example.com/trips/#",
        "s3://months",
        "s3://months/trips-other",
        "s3://months/trips/../other",
        "s3://other/trips",
        "gs://months/trips",
        "",
    ],
)
def test_what_is_not_listed_may_not(source: str, tmp_path: Path) -> None:
    """Neither links, steps up, other hosts nor other spellings lead to it."""
    listed = tmp_path / "months"
    listed.mkdir()
    (listed / "link").symlink_to("/etc")
    with pytest.raises(InvalidInputError, match="MODEL_LOOP_ALLOWED_SOURCES") as refused:
        require_allowed_source(source.format(listed), [SITE, BUCKET, str(listed)])
    named = mask_logins(f"Source {source.format(listed)!r}")
    assert str(refused.value).startswith(f"{named} is not in the list of allowed")
