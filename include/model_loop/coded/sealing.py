"""Admissions of code: who has let which code answer for which model, with its values, encrypted.

Fernet encrypts and signs. So an admission cannot be made without the operator's key: whoever may
write into the registry can neither let in other code, nor hand the values of one package to
another, since an admission names the digest of its code and the model that it answers for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.settings import split_list

_SETTING = "MODEL_LOOP_CODE_KEYS"
#: Bytes of all values of a package.
MOST_BYTES = 64_000


@dataclass(frozen=True)
class Admission:
    """Permission for code to answer.

    Parameters
    ----------
    digest
        Digest of the description of the code, every file's digest among it.
    model
        Name of the registered model.
    who, approver
        Users who have asked for it, and who have approved it.
    at
        Time, in seconds since 1970.
    values
        Environment values, by name.
    """

    digest: str
    model: str
    who: str
    approver: str
    at: float
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


class Seal:
    """Encrypts admissions by the newest of some keys, and reads them by any of these.

    Parameters
    ----------
    keys
        Fernet keys, separated by commas, the newest first.

    Raises
    ------
    InvalidInputError
        If there is none, or one is no Fernet key; it is not shown.
    """

    def __init__(self, keys: str) -> None:
        listed = split_list(keys)
        if not listed:
            raise InvalidInputError(
                _SETTING,
                "is empty, so that no code can be admitted and no value encrypted",
                "Make a key with `model-loop code key`, and set it for servers and workers alike.",
            )
        fernets = []
        for place, key in enumerate(listed, 1):
            try:
                fernets.append(Fernet(key))
            except ValueError:
                # The cause would show the key.
                raise InvalidInputError(
                    f"Key {place} of {_SETTING}",
                    "is not a Fernet key: 32 bytes, as URL-safe base64",
                    "Make one with `model-loop code key`.",
                ) from None
        self._fernet = MultiFernet(fernets)

    def close(self, admission: Admission) -> str:
        """Return an admission as a sealed text.

        Raises
        ------
        InvalidInputError
            If its values are too large.
        """
        content = json.dumps(asdict(admission)).encode()
        if len(content) > MOST_BYTES:
            raise InvalidInputError(
                "The values of a code package",
                f"have {len(content):,} bytes, more than {MOST_BYTES:,}",
                "Put large texts into files of the package.",
            )
        return self._fernet.encrypt(content).decode()

    def open(self, sealed: str, digest: str, model: str) -> Admission:
        """Read an admission.

        Parameters
        ----------
        digest, model
            The code and the model that are to be admitted.

        Raises
        ------
        StoredObjectError
            If no key opens it, or it is that of other code or of another model.
        """
        try:
            content = json.loads(self._fernet.decrypt(sealed))
            admission = Admission(**content)
        except (InvalidToken, ValueError, TypeError) as error:
            raise StoredObjectError(
                f"The admission of code for {model}",
                f"cannot be opened by any key of {_SETTING}",
                "Give the key that has sealed it as a further one, or bring the code in again.",
            ) from error
        if (admission.digest, admission.model) != (digest, model):
            raise StoredObjectError(
                f"The admission of code for {model}",
                f"is that of other code ({admission.digest[:16]} for {admission.model}, and this "
                f"is {digest[:16]})",
                "Bring the code in again: what was changed since is not run.",
            )
        return admission

    def rotate(self, sealed: str) -> str:
        """Return the same, sealed by the newest key.

        Raises
        ------
        StoredObjectError
            If no key opens it.
        """
        try:
            return self._fernet.rotate(sealed).decode()
        except InvalidToken as error:
            raise StoredObjectError(
                "A sealed admission",
                f"cannot be opened by any key of {_SETTING}",
                "Give the key that has sealed it as a further one.",
            ) from error


def new_key() -> str:
    """Return a fresh key."""
    return Fernet.generate_key().decode()


def parse_values(text: str, wanted: tuple[str, ...]) -> dict[str, str]:
    """Read environment values, a line ``NAME=value`` each; lines with # are comments.

    Parameters
    ----------
    wanted
        The names that the manifest lists.

    Raises
    ------
    InvalidInputError
        If a line is invalid, or names are missing or unknown. No value is shown.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or name.strip() in values:
            raise InvalidInputError(
                f"Line {number} of the values",
                "is given twice" if equals else "is not NAME=value",
                "Give each name once, with its value after =.",
            )
        values[name.strip()] = value.strip().removeprefix('"').removesuffix('"')
    return require_values(values, wanted)


def require_values(values: Mapping[str, str], wanted: tuple[str, ...]) -> dict[str, str]:
    """Return values that are those of a manifest.

    Raises
    ------
    InvalidInputError
        If names are missing or not wanted.
    """
    missing, further = sorted({*wanted} - {*values}), sorted({*values} - {*wanted})
    if missing or further:
        rule = f"lack {', '.join(missing)}" if missing else f"hold {', '.join(further)} besides"
        remedy = (
            f"Give a line NAME=value each for {', '.join(wanted)}: by --values FILE, or by the "
            "variable of Airflow that the form names."
            if wanted
            else "Leave the values out: the package has no variables."
        )
        raise InvalidInputError("The values of the code package", rule, remedy)
    return dict(values)
