"""Run `scripts/prepare_data.py`, and look at what it wrote."""

from pathlib import Path

import prepare_data

SIZE = (37, 41)


def run(*arguments):
    return prepare_data.main([str(argument) for argument in arguments])


def tree(folder):
    """Every file but the journals, by its path: content and time."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.suffix not in (".jsonl", ".mdb")
    }


def refused(capsys, *arguments):
    capsys.readouterr()
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("prepare_data: error: ")
    return said
