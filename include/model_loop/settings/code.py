"""Settings of models with code of their own."""

from __future__ import annotations

from pydantic import Field

from model_loop.settings.part import Part


class CodeSettings(Part):
    """Models with code of their own."""

    code: bool = Field(
        default=False,
        title="Code of one's own",
        description="Let models be code of their own. Everybody who may bring code in may run "
        "anything, within the bounds of the runner. Where this is false, none of it is loaded.",
    )
    code_keys: str = Field(
        default="",
        repr=False,
        title="Keys of code",
        description="Fernet keys, separated by commas, the newest first. They sign what was "
        "admitted and encrypt its environment values; `make secrets` and `model-loop code key` "
        "make them.",
    )
    code_roles: str = Field(
        default="",
        title="Roles that bring code in",
        description="Roles of Airflow, separated by commas, that may start the DAG bring_in_code; "
        "empty for those who may start every DAG.",
    )
