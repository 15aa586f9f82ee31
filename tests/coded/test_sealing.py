"""Admissions can be made only with a key, and are valid for one package only."""

from __future__ import annotations

import pytest

from model_loop.coded.sealing import Admission, Seal, new_key, parse_values
from model_loop.errors import InvalidInputError, StoredObjectError

ADMITTED = Admission("d1", "flights", "Ada", "Grace", 1.0, {"API_KEY": "hunter2"})


def test_an_admission_is_of_its_code_and_model_alone() -> None:
    """Values of a package cannot be given to another by writing into the registry."""
    seal = Seal(new_key())
    sealed = seal.close(ADMITTED)
    assert "hunter2" not in sealed
    assert seal.open(sealed, "d1", "flights") == ADMITTED
    for digest, model in (("d2", "flights"), ("d1", "bikes")):
        with pytest.raises(StoredObjectError, match="other code"):
            seal.open(sealed, digest, model)
    for forged in ("", "x", sealed[:-4] + "AAAA"):
        with pytest.raises(StoredObjectError, match="cannot be opened"):
            seal.open(forged, "d1", "flights")


def test_keys_are_rotated() -> None:
    """An old key is needed until what it has sealed is sealed by the new one."""
    old, new = new_key(), new_key()
    sealed = Seal(old).close(ADMITTED)
    with pytest.raises(StoredObjectError):
        Seal(new).rotate(sealed)
    rotated = Seal(f"{new}, {old}").rotate(sealed)
    assert Seal(new).open(rotated, "d1", "flights").values == {"API_KEY": "hunter2"}
    with pytest.raises(StoredObjectError):
        Seal(old).open(rotated, "d1", "flights")


@pytest.mark.parametrize(
    "keys", ["", " , ", "secret-word", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=,secret-word"]
)
def test_a_wrong_key_is_not_shown(keys: str) -> None:
    """The error names its place."""
    with pytest.raises(InvalidInputError) as error:
        Seal(keys)
    assert "MODEL_LOOP_CODE_KEYS" in str(error.value)
    assert "secret-word" not in str(error.value)


def test_values_are_never_shown() -> None:
    """Neither an admission nor an error prints one."""
    assert "hunter2" not in repr(ADMITTED)
    assert parse_values("# a\nA=1\n\nB = x=y \n", ("A", "B")) == {"A": "1", "B": "x=y"}
    for text, wanted in (("hunter2", ()), ("A=hunter2", ("B",)), ("A=hunter2\nA=2", ("A",))):
        with pytest.raises(InvalidInputError) as error:
            parse_values(text, wanted)
        assert "hunter2" not in str(error.value)
    with pytest.raises(InvalidInputError, match=r"hold A besides.*has no variables"):
        parse_values("A=1", ())
    with pytest.raises(InvalidInputError, match=r"lack B.*NAME=value.*--values FILE"):
        parse_values("A=1", ("A", "B"))
    with pytest.raises(InvalidInputError, match="more than"):
        Seal(new_key()).close(Admission("d", "m", "w", "", 0.0, {"A": "x" * 70_000}))
