import os
import pty
import signal
import sys
import threading
import time

import fresh
import pytest
from torch.utils.data import DataLoader

from ir_plugins.runtime.errors import Stopped
from ir_plugins.runtime.interruption import Ending, Interrupted, Interruption, deadly_signals, ignore_signals

ALL = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers():
    """None of these tests may leave a handler behind."""
    before = [signal.getsignal(number) for number in ALL]
    yield before
    assert [signal.getsignal(number) for number in ALL] == before


@pytest.mark.parametrize("number", ALL)
def test_the_first_signal_is_only_noted(number):
    with Interruption() as interruption:
        assert interruption.received is None
        signal.raise_signal(number)
        assert interruption.received is number


@pytest.mark.parametrize("first", ALL)
def test_a_second_ctrl_c_ends_the_process(first):
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        signal.raise_signal(first)
        assert interruption.received is first
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("first", ALL)
def test_a_scheduler_may_say_it_twice(first):
    with Interruption() as interruption:
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)
        assert interruption.received is signal.SIGTERM


@pytest.mark.parametrize("number", ALL)
def test_at_once_a_signal_raises(number):
    with Interruption() as interruption:
        with pytest.raises(Stopped) as stopped, interruption.at_once():
            signal.raise_signal(number)
            pytest.fail("goes on")
        assert stopped.value.signal == number and interruption.received is number
        if number != signal.SIGINT:
            signal.raise_signal(number)  # no longer


def test_at_once_one_that_has_come_raises():
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped), interruption.at_once():
            pytest.fail("begins")
        signal.raise_signal(signal.SIGTERM)


def test_nothing_raises_where_nothing_comes():
    with Interruption() as interruption:
        for _ in range(2):
            with interruption.at_once():
                pass
        signal.raise_signal(signal.SIGINT)
    assert interruption.received is signal.SIGINT


def test_handlers_are_put_back_after_an_error(handlers):
    with pytest.raises(ZeroDivisionError), Interruption():
        assert [signal.getsignal(number) for number in ALL] != handlers
        1 / 0
    assert [signal.getsignal(number) for number in ALL] == handlers


def test_a_thread_has_no_handlers(handlers):
    seen = []

    def work():
        with Interruption() as interruption, interruption.at_once():
            seen.append([signal.getsignal(number) for number in ALL])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handlers]


class Slow:
    """Items that signal their own process first, as a terminal's Ctrl-C signals every process of a run."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        for number in ALL:
            os.kill(os.getpid(), number)
        time.sleep(0.01)
        return index


def test_workers_outlive_a_signal():
    loader = DataLoader(Slow(), num_workers=1, worker_init_fn=ignore_signals)
    assert [int(item) for item in loader] == [0, 1, 2]


def test_nohup_stays():
    """A run that was started with nohup outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption, Ending("basicsr x", own=False):
            signal.raise_signal(signal.SIGHUP)
            assert interruption.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def in_child(task):
    """What a forked process writes to its standard error, and its exit code."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.dup2(writing, 2)
            task()
        finally:
            os._exit(7)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    return text, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_worker_says_nothing():
    """Ctrl-C reaches workers that have not come to `ignore_signals` yet: the line appeared twice."""
    with Interruption():
        assert in_child(lambda: signal.raise_signal(signal.SIGINT)) == ("", 7)


@pytest.mark.parametrize("rank, lines", [("0", 1), ("1", 0)])
def test_one_rank_speaks(monkeypatch, rank, lines):
    monkeypatch.setenv("RANK", rank)

    def interrupted():
        with Interruption():
            signal.raise_signal(signal.SIGINT)

    assert in_child(interrupted)[0].count("finishing the current step") == lines


def test_a_terminal_that_is_closed_does_not_keep_a_run_from_saving():
    def task():
        master, slave = pty.openpty()
        os.dup2(slave, 1)
        with Interruption() as interruption:
            os.close(slave), os.close(master)  # writing is an error from now on
            signal.raise_signal(signal.SIGHUP)
            os.write(1, b"saved")
            os._exit(0 if interruption.received is signal.SIGHUP else 1)

    assert in_child(task) == ("", 0)


ENDING = """
    import os, signal, sys
    from ir_plugins.runtime.interruption import Ending, Interrupted

    with Ending("basicsr x", own=True) as ending:
        {body}
"""


@pytest.mark.parametrize(
    "number, word",
    [("SIGINT", "interrupted"), ("SIGTERM", "ended by SIGTERM"), ("SIGHUP", "ended by SIGHUP")],
)
def test_a_command_ends_where_it_is(number, word):
    """No exception reaches a module that is being imported."""
    body = f"try: signal.raise_signal(signal.{number})\n        except BaseException: print('caught')"
    done = fresh.run(ENDING.format(body=body))
    assert (done.stdout, done.stderr) == ("", f"\nbasicsr x: {word}\n")
    assert done.returncode == 128 + getattr(signal, number)


def test_a_second_ctrl_c_ends_the_cleaning_up():
    body = "ending.at_once = False\n        try: signal.raise_signal(2)\n"
    body += "        except Interrupted: signal.raise_signal(15); signal.raise_signal(2); print('goes on')"
    done = fresh.run(ENDING.format(body=body))
    assert (done.stdout, done.stderr, done.returncode) == ("", "\nbasicsr x: interrupted\n", 130)


def test_pythons_own_end_prints_nothing():
    done = fresh.run(ENDING.format(body="pass") + "    signal.raise_signal(signal.SIGINT)")
    assert done.returncode == -signal.SIGINT and done.stderr == ""


def test_a_signal_that_a_destructor_drops_comes_again(handlers):
    class Dropping:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    hook = sys.unraisablehook
    with pytest.raises(Interrupted) as interrupt, Ending("basicsr x", own=False):
        Dropping()
        for _ in range(500):
            time.sleep(0.01)
    assert interrupt.value.signal == signal.SIGTERM and sys.unraisablehook is hook


def test_a_call_into_c_does_not_hold_a_signal_up(handlers):
    def task():
        with Interruption(), deadly_signals():
            signal.raise_signal(signal.SIGTERM)

    assert in_child(task) == ("", -signal.SIGTERM)
