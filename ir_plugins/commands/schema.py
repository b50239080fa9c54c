"""`basicsr schema`: write the JSON Schema by which editors complete and check option files."""

from argparse import Namespace

from ..checks.editor_schema import schema_text
from ..runtime.plugins import load_plugins
from ..runtime.storage import written_whole


def run(arguments: Namespace) -> None:
    load_plugins(arguments.plugin)
    with written_whole(arguments.output) as file:
        file.write(schema_text().encode())
    print(f"{arguments.output}: written; begin an option file with # yaml-language-server: $schema=FILE")
