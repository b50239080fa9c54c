"""`basicsr schema`: what an editor must know to complete and check option files, plugins included."""

import json
from argparse import Namespace
from pathlib import Path

from ..checks.editor_schema import editor_schema
from ..runtime.plugins import load_plugins


def run(arguments: Namespace) -> None:
    load_plugins(arguments.plugin)
    Path(arguments.output).write_text(schema_text(), encoding="utf-8")
    print(f"{arguments.output}: written; begin an option file with # yaml-language-server: $schema=FILE")


def schema_text() -> str:
    """The JSON Schema of option files, for everything that is registered now."""
    return json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n"
