"""The errors of models with code of their own."""

from __future__ import annotations

from model_loop.errors import ModelLoopError


class RunnerUnavailableError(ModelLoopError):
    """The runner, or the version in it, does not answer now; later it may."""


class RunnerAwayError(RunnerUnavailableError):
    """The runner cannot be reached; the text names its address, which callers need not know."""


class CodeFailedError(ModelLoopError):
    """The code of a version has failed, or its answer breaks a rule.

    Parameters
    ----------
    output
        The end of what it has printed.
    """

    def __init__(self, given: str, rule: str, remedy: str, output: str = "") -> None:
        super().__init__(given, rule, remedy)
        self.output = output

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said}\nThe end of its output:\n{self.output}" if self.output else said
