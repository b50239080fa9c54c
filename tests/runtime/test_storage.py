import builtins
import errno
import hashlib
import os
import stat

import pytest
import torch

from ir_plugins.runtime.errors import file_fault
from ir_plugins.runtime.regular import NotRegular
from ir_plugins.runtime.storage import save_whole, written_whole


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_only_when_it_is_whole(tmp_path, durable):
    path = tmp_path / "a"
    path.write_bytes(b"older")
    with written_whole(path, durable=durable) as file:
        file.write(b"newer, ")
        file.flush()
        assert path.read_bytes() == b"older"
        file.write(b"longer")
    assert path.read_bytes() == b"newer, longer" and listed(tmp_path) == ["a"]


@pytest.mark.parametrize("exception", [OSError, KeyboardInterrupt, SystemExit, ValueError])
@pytest.mark.parametrize("existed", [True, False])
def test_an_exception_leaves_what_was_there(tmp_path, exception, existed):
    path = tmp_path / "a"
    if existed:
        path.write_bytes(b"older")
    with pytest.raises(exception), written_whole(path) as file:
        file.write(b"torn" * 5000)
        raise exception
    assert listed(tmp_path) == (["a"] if existed else [])
    assert not existed or path.read_bytes() == b"older"


def test_folders_are_made(tmp_path):
    with written_whole(str(tmp_path / "some" / "where" / "a")) as file:
        file.write(b"x")
    assert (tmp_path / "some/where/a").read_bytes() == b"x"


def test_it_is_on_the_disk_before_it_has_the_name(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("sync") or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("rename") or replace(*paths))
    for durable in (True, False):
        with written_whole(tmp_path / "a", durable=durable) as file:
            file.write(b"x")
    assert done == ["sync", "rename", "sync", "rename"]  # the folder last, as it holds the name


def test_two_processes_do_not_share_a_part(tmp_path, monkeypatch):
    with written_whole(tmp_path / "a") as first:
        monkeypatch.setattr(os, "getpid", lambda: 7)
        with written_whole(tmp_path / "a") as second:
            assert first.name != second.name
            second.write(b"second")
        first.write(b"first")
    assert (tmp_path / "a").read_bytes() == b"first" and listed(tmp_path) == ["a"]


def test_the_digest_is_that_of_the_file(tmp_path):
    path = tmp_path / "a.pth"
    digest = save_whole({"weights": torch.arange(1500.0).reshape(30, 50), "words": ["some", 3]}, path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.equal(torch.load(path, weights_only=True)["weights"][29], torch.arange(1450.0, 1500.0))


@pytest.mark.parametrize("room", [0, 1, 64, 5000])
def test_an_error_of_the_disk_comes_through(tmp_path, monkeypatch, room):
    """With room for so many bytes, and a message of its own: torch's writer would tell of a zip file."""
    save_whole({"older": torch.ones(3)}, tmp_path / "a.pth")
    older = (tmp_path / "a.pth").read_bytes()
    fill_disk(monkeypatch, room)
    with pytest.raises(OSError, match="No space left") as error:
        save_whole({"weights": torch.randn(90, 90)}, tmp_path / "a.pth")
    assert error.value.errno == 28
    assert (tmp_path / "a.pth").read_bytes() == older and listed(tmp_path) == ["a.pth"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_every_error_of_the_disk_names_the_file(tmp_path, monkeypatch, number, call):
    """Not the part, and also where the system names none."""
    path = tmp_path / "a.pth"

    def fails(*arguments, **keywords):
        raise OSError(number, os.strerror(number))

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", fails)
    elif call == "open":
        real = open
        monkeypatch.setattr(builtins, "open", lambda *a: fails() if "w" in a[1:] or "wb" in a else real(*a))
    else:
        fill_disk(monkeypatch, 0, number)
    with pytest.raises(OSError) as error:
        save_whole({"weights": torch.ones(9)}, path)
    assert (error.value.errno, error.value.filename) == (number, str(path)) and listed(tmp_path) == []
    assert file_fault(error.value) == f"{path}: {os.strerror(number)}"


def test_an_error_of_the_block_is_not_this_files(tmp_path):
    with pytest.raises(OSError) as error, written_whole(tmp_path / "a"):
        raise OSError(errno.EIO, "a picture that cannot be read")
    assert error.value.filename is None


def fill_disk(monkeypatch, room, number=errno.ENOSPC):
    """Let files be written until `room` bytes are full; no buffer, so that it is seen at once."""
    real, left = open, [room]

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            self.file.close()

        def write(self, data):
            if (count := len(bytes(data))) > left[0]:
                raise OSError(number, os.strerror(number))
            left[0] -= count
            return self.file.write(data)

    def opened(path, mode="r", *arguments, **keywords):
        file = real(path, mode, *arguments, **keywords)
        return Full(file) if "w" in mode else file

    monkeypatch.setattr(builtins, "open", opened)


def test_what_cannot_be_pickled_is_no_trouble_of_the_disk(tmp_path):
    with pytest.raises(Exception, match="pickle") as error:
        save_whole({"function": lambda: 0}, tmp_path / "a.pth")
    assert not isinstance(error.value, OSError) and listed(tmp_path) == []


def test_the_longest_name_can_be_written(tmp_path):
    with written_whole(tmp_path / ("n" * 255)) as file:
        assert len(listed(tmp_path)) == 1
        file.write(b"new")
    assert listed(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("path", ["/", ".", "..", "pipe", "link"])
def test_only_a_file_is_replaced(tmp_path, monkeypatch, path):
    """As root, os.replace puts a file in the place of /dev/null."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    with pytest.raises(NotRegular), written_whole(path):
        pass
    assert stat.S_ISFIFO(os.stat("link").st_mode) and listed(tmp_path) == ["link", "pipe"]
