"""What the tests of the repairs share: fresh interpreters, packages made of text, damaged pictures."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import cv2
import numpy as np
import torch

from ir_plugins import compat

from basicsr.utils.file_client import FileClient

PACKAGE = Path(compat.__file__).parents[1]


def fresh(
    code: str, tmp_path: Path, *arguments: str, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess:
    """Run code in a new interpreter, where nothing is repaired yet."""
    return subprocess.run(
        [sys.executable, *flags, "-c", dedent(code), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return folder


def picture(height: int = 23, width: int = 17) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def client(*folders, keys=("lq", "gt")):
    return FileClient("lmdb", db_paths=[str(f) for f in folders], client_keys=list(keys[: len(folders)]))


def in_both_memories(*shape):
    picture = torch.rand(*shape)
    return picture, picture.contiguous(memory_format=torch.channels_last)
