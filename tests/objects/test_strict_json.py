"""JSON in which nothing is lost without a word."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_loop.errors import InvalidInputError
from model_loop.objects.strict_json import decode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@given(VALUES, st.booleans())
def test_json_is_read_as_it_is(value: object, escaped: bool) -> None:  # noqa: FBT001 - of Hypothesis
    """Quotes and escapes in texts and names are no fields."""
    assert decode(json.dumps(value, ensure_ascii=escaped).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        '{"hum": 1, "hum": 2}',
        '{"inputs": [{"temp": 1}, {"hum": 1, "temp": 2, "hum": 1}]}',
        '{"hum": ":", "h\\u0075m": 2}',
        '{"hum": "08:30", "hum" : "08"}',
        '{"hum": "\\"", "hum": 1}',
        '{"hum": 1, "sky": "\\\\", "sea": "\\\\", "hum": 2}',
    ],
)
def test_a_field_that_is_given_twice_is_named(body: str) -> None:
    """Wherever it stands, and however it is written."""
    with pytest.raises(InvalidInputError, match="hum is given twice"):
        decode(body.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_a_number_that_is_not_finite_is_named(number: str) -> None:
    """With its field, in a list as well."""
    for value in (number, f"[1, {number}]"):
        with pytest.raises(InvalidInputError) as refused:
            decode(f'{{"inputs": [{{"hum": {value}}}]}}'.encode())
        assert refused.value.given == f"hum = {number}"
        assert refused.value.rule == "is not a finite number"
        assert "null" in refused.value.remedy


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", b'{"a": nan}', b"[" * 100_000])
def test_other_text_is_not_json(body: bytes) -> None:
    """It is the parser's error."""
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        decode(body)
