"""`alone`, and files that are no locks."""

import errno
import os

import pytest
from odd_files import odd_file, odd_kinds

from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.locks import alone

fcntl = pytest.importorskip("fcntl")


def test_one_at_a_time(tmp_path):
    with alone(tmp_path / "lock", "busy"), pytest.raises(UserError, match="busy"):
        alone(tmp_path / "lock", "busy").__enter__()
    with alone(tmp_path / "lock", "busy"):
        pass


@pytest.mark.parametrize("place", ["folder", "missing/lock", "file/lock"])
def test_a_lock_that_cannot_be_made_is_reported_in_one_line(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as error:
        alone(tmp_path / place, "busy").__enter__()
    assert str(error.value).startswith(f"{tmp_path / place}: ") and "\n" not in str(error.value)


def test_a_disk_without_locks_ends_no_run(tmp_path, monkeypatch):
    """As Lustre often is mounted."""

    def without(*arguments):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.warns(UserWarning, match="this disk has no locks"), alone(tmp_path / "lock", "busy"):
        pass


def test_a_disk_that_fails_does(tmp_path, monkeypatch):
    def fails(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(UserError, match="lock: cannot be locked: Input/output error"):
        alone(tmp_path / "lock", "busy").__enter__()


@odd_kinds
def test_neither_waits_nor_writes_elsewhere(tmp_path, kind):
    with odd_file(tmp_path / "lock", kind) as file:
        says = {"a named pipe": "is a named pipe", "a device": "is a link"}[kind]
        says = f"lock {says}, not a file that can be a lock; remove it"
        with pytest.raises(UserError, match=says), alone(file, "busy"):
            pytest.fail("it is no lock")


def test_a_link_is_not_followed(tmp_path):
    os.symlink("elsewhere", tmp_path / "lock")
    with pytest.raises(UserError, match="is a link"), alone(tmp_path / "lock", "busy"):
        pass
    assert not (tmp_path / "elsewhere").exists()
