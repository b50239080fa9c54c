"""Write what is made from the code: options/schema.json for editors, names.json for `basicsr list`.

python scripts/write_schema.py
"""

import json
from pathlib import Path

from ir_plugins.commands.list import INDEX, index
from ir_plugins.commands.schema import schema_text

FILE = Path(__file__).parent.parent / "options/schema.json"


def written() -> str:
    """What the schema's file should hold."""
    return schema_text()


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
    INDEX.write_text(json.dumps(index(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
