"""Write the JSON Schema by which editors complete and check option files.

python scripts/write_schema.py [--output FILE]

Classes from outside are in it too where BASICSR_PLUGINS names them.
"""

import argparse
from pathlib import Path

import ir_plugins  # noqa: F401  (registers everything)
from ir_plugins.checks.editor_schema import schema_text

FILE = Path(__file__).parent.parent / "options/schema.json"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=FILE, metavar="FILE", help=f"default: {FILE.name}")
    parser.parse_args().output.write_text(schema_text(), encoding="utf-8")
