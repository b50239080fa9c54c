"""Run code in a new interpreter, where nothing is imported yet."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]


def run(code: str, *, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Run a piece of Python; `environment` is added to the variables of this process."""
    return started("-c", dedent(code), cwd=cwd, **environment)


def basicsr(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Run `python -m ir_plugins ARGUMENTS`."""
    return started("-m", "ir_plugins", *arguments, cwd=cwd, **environment)


def started(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Run Python with these arguments."""
    paths = [str(ROOT), *filter(None, [environment.pop("PYTHONPATH", "")])]
    variables = {key: value for key, value in os.environ.items() if key != "BASICSR_PLUGINS"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=variables | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
