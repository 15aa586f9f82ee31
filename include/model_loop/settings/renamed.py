"""Names of settings before 0.2: refused, so that none is passed over in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from model_loop.errors import InvalidInputError
from model_loop.settings.part import ENVIRONMENT_PREFIX

FORMER_PREFIX = "TRIP_DURATION_"
#: Variables of docker-compose.yaml that bear the prefix and are no settings.
_FURTHER = ("IMAGE",)


def refuse_former_names(environment: Mapping[str, str], settings: Iterable[str]) -> None:
    """Refuse an environment that names a setting as versions before 0.2 did.

    Parameters
    ----------
    environment
        Variables of the process. Empty ones are passed over, as Compose hands them on.
    settings
        Names of all settings, without a prefix.

    Raises
    ------
    InvalidInputError
        If there are old names; it names each with its new one.
    """
    names = [*(name.upper() for name in settings), *_FURTHER]
    old = [name for name in names if environment.get(f"{FORMER_PREFIX}{name}")]
    if old:
        new = ", ".join(f"{FORMER_PREFIX}{it} → {ENVIRONMENT_PREFIX}{it}" for it in sorted(old))
        raise InvalidInputError(
            "An environment variable, or a line of .env,",
            f"has a name of before version 0.2 ({new})",
            "Rename it; docs/renamed.md lists all that has another name.",
        )
