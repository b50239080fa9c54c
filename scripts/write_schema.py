"""Write what is made from the code: options/schema.json for editors, names.json for `basicsr list`.

python scripts/write_schema.py

With classes of your own in it: `basicsr schema --plugin my_design.py --output schema.json`.
"""

import json
from pathlib import Path

import ir_plugins  # noqa: F401  (repairs basicsr)
from ir_plugins.checks.editor_schema import schema_text
from ir_plugins.commands.list import INDEX, index

FILE = Path(__file__).parent.parent / "options/schema.json"

if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
    INDEX.write_text(json.dumps(index(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
