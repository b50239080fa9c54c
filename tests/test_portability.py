"""The package where POSIX is missing, as on Windows: the modules import, and work goes on without its calls.

They are taken away after torch and the like are imported, which have versions of their own for Windows.
"""

import subprocess
import sys

PROGRAM = r'''
import ctypes, importlib, os, pkgutil, signal, sys
from pathlib import Path
import cv2, lmdb, requests, scipy.ndimage, torch, tqdm.contrib.logging, yaml
import torch.distributed.run, torch.utils.data, torch.utils.tensorboard

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None  # to import it is an ImportError
GONE = """
    os: fork register_at_fork getppid getpgid getuid geteuid killpg mkfifo posix_fadvise posix_fallocate pread
    os: sched_getaffinity setsid statvfs sysconf uname O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK
    signal: SIGALRM SIGBUS SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm setitimer
"""
for line in GONE.splitlines():
    module, _, names = line.strip().partition(":")
    for name in names.split():
        delattr(sys.modules[module], name)

exists, write_text, library = Path.exists, Path.write_text, ctypes.CDLL
Path.exists = lambda path: not path.is_relative_to("/proc") and exists(path)

def write(path, *arguments, **options):
    if path.is_relative_to("/proc"):
        raise FileNotFoundError(path)
    return write_text(path, *arguments, **options)

Path.write_text = write

class Library(library):
    def __init__(self, name, *arguments, **options):
        if name is None:
            raise TypeError("a name is needed")
        super().__init__(name, *arguments, **options)

ctypes.CDLL = Library

import ir_plugins
for module in pkgutil.walk_packages(ir_plugins.__path__, "ir_plugins."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from ir_plugins.cli import main
from ir_plugins.runtime.interruption import Interruption
from ir_plugins.runtime.locks import alone
from ir_plugins.runtime.machine import cost, peak_memory
from ir_plugins.runtime.regular import read_regular
from ir_plugins.runtime.storage import written_whole
from ir_plugins.runtime.threads import usable_cores

with alone("lock", "busy"), written_whole("a.txt", durable=True) as file:
    file.write(b"x")
assert read_regular("a.txt") == b"x" and usable_cores() > 0
assert cost(lambda: None, torch.device("cpu"))[0] >= 0
with Interruption():
    pass
assert peak_memory(torch.device("cpu")) == 0
assert main(["list", "archs"]) == 0
'''


def test_it_imports_and_works_without_posix(tmp_path):
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "SemanIRUNet" in done.stdout
