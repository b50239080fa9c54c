"""Write options/schema.json, by which editors complete and check option files.

python scripts/write_schema.py
"""

import json
from pathlib import Path

import ir_plugins  # noqa: F401  (registers everything)
from ir_plugins.checks.editor_schema import editor_schema

FILE = Path(__file__).parent.parent / "options/schema.json"


def written() -> str:
    """What the file should hold."""
    return json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
