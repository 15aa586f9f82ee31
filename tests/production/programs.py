"""Programs that judge files, run for their verdict."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.production.compose import ROOT

#: Where the programs of this environment are.
BIN = Path(sys.executable).parent


def run(*command: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """What a command prints, if it ends well."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
