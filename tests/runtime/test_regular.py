import os
import socket
import tracemalloc

import pytest

from ir_plugins.runtime.regular import NotRegular, TooLarge, open_regular, read_regular, real


def test_reads_a_file_and_a_link_to_it(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"seven\n\0")
    (tmp_path / "link").symlink_to("a.txt")
    assert read_regular(tmp_path / "a.txt") == read_regular(tmp_path / "link", most=7) == b"seven\n\0"


@pytest.mark.parametrize("kind", ["a folder", "a named pipe", "a socket", "a device"])
def test_refuses_at_once_what_is_no_file(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    if kind == "a folder":
        os.mkdir("x")
    elif kind == "a named pipe":
        os.mkfifo("x")
    elif kind == "a device":
        os.symlink("/dev/zero", "x")
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind("x")
    with pytest.raises(OSError) as caught:
        open_regular("x")
    assert isinstance(caught.value, NotRegular) and caught.value.strerror == f"it is {kind}, not a file"
    assert caught.value.filename == "x"
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        open_regular("x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_to_itself_ends(tmp_path):
    (tmp_path / "x").symlink_to("x")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "x")
    assert real(tmp_path / "x") == tmp_path / "x"  # Path.resolve raises RuntimeError


def test_reads_no_more_than_allowed(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(TooLarge, match=r"it has 1099511\.6 MB, at most 0\.0 MB are read"):
        read_regular(tmp_path / "x", most=1000)


def test_a_short_file_takes_no_memory_for_the_most(tmp_path):
    (tmp_path / "x").write_bytes(b"seven\n\0")
    tracemalloc.start()
    try:
        assert read_regular(tmp_path / "x", most=1 << 31) == b"seven\n\0"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux lists its processes in files")
def test_reads_a_file_whose_size_the_system_does_not_know():
    content = read_regular("/proc/self/status")
    assert len(content) > 100 and len(read_regular("/proc/self/status", most=1 << 20)) > 100
    with pytest.raises(TooLarge):
        read_regular("/proc/self/status", most=100)
