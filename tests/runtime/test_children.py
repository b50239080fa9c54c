import os
import signal
import sys

import pytest

from ir_plugins.runtime.children import Crashed, in_child
from ir_plugins.runtime.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")


def test_it_is_another_process_with_this_ones_memory():
    before = [7]
    process, seen = in_child(lambda: (os.getpid(), before.append(11) or before))
    assert process != os.getpid() and seen == [7, 11] and before == [7]


def test_an_exception_comes_back():
    def fails():
        raise UserError("wrong")

    with pytest.raises(UserError, match="wrong"):
        in_child(fails)


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGKILL])
def test_a_crash_is_an_exception(number):
    with pytest.raises(Crashed, match=number.name):
        in_child(lambda: os.kill(os.getpid(), number))


def test_large_results_pass():
    assert len(in_child(lambda: bytes(3_000_017))) == 3_000_017
