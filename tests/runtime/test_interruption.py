import os
import signal
import threading
import time

import pytest
from torch.utils.data import DataLoader

from ir_plugins.runtime.errors import Stopped
from ir_plugins.runtime.interruption import Interruption, ignore_signals

BOTH = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(autouse=True)
def handlers():
    """None of these tests may leave a handler behind."""
    before = [signal.getsignal(number) for number in BOTH]
    yield before
    assert [signal.getsignal(number) for number in BOTH] == before


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_is_only_noted(number):
    with Interruption() as interruption:
        assert interruption.received is None
        signal.raise_signal(number)
        assert interruption.received is number


@pytest.mark.parametrize("first", BOTH)
def test_a_second_ctrl_c_ends_the_process(first):
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        signal.raise_signal(first)
        assert interruption.received is first
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("first", BOTH)
def test_a_scheduler_may_say_it_twice(first):
    with Interruption() as interruption:
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)
        assert interruption.received is signal.SIGTERM


@pytest.mark.parametrize("number", BOTH)
def test_at_once_a_signal_raises(number):
    with Interruption() as interruption:
        with pytest.raises(Stopped) as stopped, interruption.at_once():
            signal.raise_signal(number)
            pytest.fail("goes on")
        assert stopped.value.signal == number and interruption.received is number
        if number == signal.SIGTERM:
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
        assert [signal.getsignal(number) for number in BOTH] != handlers
        1 / 0
    assert [signal.getsignal(number) for number in BOTH] == handlers


def test_a_thread_has_no_handlers(handlers):
    seen = []

    def work():
        with Interruption() as interruption, interruption.at_once():
            seen.append([signal.getsignal(number) for number in BOTH])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handlers]


class Slow:
    """Items that signal their own process first, as a terminal's Ctrl-C signals every process of a run."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        for number in BOTH:
            os.kill(os.getpid(), number)
        time.sleep(0.01)
        return index


def test_workers_outlive_a_signal():
    loader = DataLoader(Slow(), num_workers=1, worker_init_fn=ignore_signals)
    assert [int(item) for item in loader] == [0, 1, 2]
