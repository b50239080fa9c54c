"""`alone` on files that are no locks.  That it keeps others out is tested with what it guards."""

import os

import pytest
from odd_files import odd_file, odd_kinds

from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.locks import alone


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


def test_holds_and_lets_go(tmp_path):
    for _ in range(2):
        held = alone(tmp_path / "lock", "busy")
        with held, pytest.raises(UserError, match=r"^busy$"), alone(tmp_path / "lock", "busy"):
            pass
