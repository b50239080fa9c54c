"""What ran short is said in one line, whatever error says so."""

import errno
import os

import numpy as np
import pytest
import torch
from children import exit_code

from ir_plugins.cli import main
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.regular import TooLarge
from ir_plugins.runtime.shortages import shortage

BATCH = "lower datasets:train:batch_size_per_gpu or gt_size"
WORKERS = "lower datasets:train:num_worker_per_gpu"


def system(number, *file):
    return OSError(number, os.strerror(number), *file)


# the error, and what its line must say, in order
CASES = {
    "Python": (MemoryError(), ["memory ran out; ", BATCH]),
    "NumPy": (
        MemoryError("Unable to allocate 3.00 GiB for an array with shape (5,)"),
        ["memory ran out when 3.2 GB more were asked for", BATCH],
    ),
    "torch": (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 35800000000 bytes. Error code 12"
        ),
        ["memory ran out when 35.8 GB more were asked for", BATCH],
    ),
    "C++": (RuntimeError("std::bad_alloc"), ["memory ran out", BATCH]),
    "system": (system(errno.ENOMEM), ["memory ran out", BATCH]),
    "OpenCV": (
        RuntimeError(
            "OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate "
            "4000000000 bytes in function 'OutOfMemoryError'"
        ),
        ["memory ran out when 4.0 GB more were asked for"],
    ),
    "a worker": (
        MemoryError("Caught MemoryError in DataLoader worker process 0.\nOriginal Traceback:\n  x"),
        ["memory ran out", BATCH],
    ),
    "import": (ImportError("libtorch.so: failed to map segment from shared object"), ["memory ran out"]),
    "size": (RuntimeError("Storage size calculation overflowed with sizes=[9, 9]"), ["memory ran out"]),
    "GPU": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 4 GiB"),
        ["the GPU's memory ran out when 2.1 GB more were asked for", BATCH],
    ),
    "cuBLAS": (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), ["the GPU's memory ran"]),
    "files": (
        system(errno.EMFILE, "a.png"),
        ["too many open files: `ulimit -n` allows ", WORKERS],
    ),
    "files of workers": (RuntimeError("received 0 items of ancdata"), ["too many open files: `ulimit -n`"]),
    "all files": (system(errno.ENFILE), ["too many open files in all processes"]),
    "threads": (RuntimeError("can't start new thread"), ["no further process or thread", WORKERS]),
    "processes": (system(errno.EAGAIN), ["no further process or thread", WORKERS]),
    "shared memory": (
        RuntimeError("unable to write to file </torch_1_2_3>: No space left on device (28)"),
        ["shared memory ran out", "--shm-size", WORKERS],
    ),
    "temporary files": (
        FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"),
        ["is missing, full or not writable; let TMPDIR name a folder"],
    ),
    "disk": (system(errno.ENOSPC, "a.png"), ["a.png: No space left on device", "make room"]),
    "disk without a name": (system(errno.ENOSPC), ["No space left on device", "make room"]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_shortage_has_its_line(case):
    error, parts = CASES[case]
    line = shortage(error, "train")
    assert line is not None and "\n" not in line
    places = [line.find(part) for part in parts]
    assert -1 not in places and places == sorted(places), line


@pytest.mark.parametrize(
    "error",
    [
        ValueError("5 is no size"),
        RuntimeError("could not create a primitive descriptor for the convolution forward propagation"),
        UserError("a mistake"),
        system(errno.ENOENT, "a.png"),
        TooLarge(errno.EFBIG, "it has 9 MB", "a.yml"),
        BlockingIOError(errno.EAGAIN, "write could not complete without blocking", 5),
    ],
)
def test_other_errors_are_none(error):
    assert shortage(error, "train") is None


def test_the_cause_counts_too():
    try:
        try:
            np.empty((1 << 24, 1 << 30))
        except MemoryError as error:
            raise RuntimeError("it failed") from error
    except RuntimeError as error:
        assert "PB" in shortage(error, "x") or "memory ran out when" in shortage(error, "x")


def test_in_a_validation_other_keys_help():
    def validation():
        raise MemoryError

    with pytest.raises(MemoryError) as caught:
        validation()
    assert "lower val:window_size or the size of the pictures" in shortage(caught.value, "train")
    assert "lower val:window_size" in shortage(MemoryError(), "test")


def test_a_limit_is_named():
    code = """
        import errno, os, resource
        from ir_plugins.runtime.shortages import shortage
        resource.setrlimit(resource.RLIMIT_FSIZE, (7000, 7000))
        text = shortage(OSError(errno.EFBIG, "File too large", "a.pth"), "train")
        os._exit(0 if text == "a.pth: File too large: `ulimit -f` allows 7.0 KB; raise it" else 1)
    """
    import textwrap

    assert exit_code(textwrap.dedent(code)) == 0


@pytest.mark.parametrize("debug", [False, True])
def test_the_command_ends_with_the_line(tiny, capsys, monkeypatch, debug):
    def run(arguments):
        raise MemoryError

    monkeypatch.setattr("ir_plugins.commands.train.run", run)
    command = ["train", "-opt", "tiny.yml"]
    if debug:
        with pytest.raises(MemoryError):
            main([*command, "--debug"])
        return
    assert main(command) == 2
    assert capsys.readouterr().err == f"basicsr train: error: memory ran out; {BATCH}\n"
