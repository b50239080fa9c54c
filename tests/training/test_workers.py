"""Data workers that die, in all the ways they can: one line that says how, and nothing waits."""

import multiprocessing
import os
import signal
import sys
import time

import pytest
import torch.multiprocessing
from torch.utils.data import DataLoader
from torch.utils.data import _utils as loading

from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.interruption import ignore_signals
from ir_plugins.training.workers import batches_of


class Pictures:
    """Items 0, 1, ...; at item 5 `event` happens in the worker."""

    def __init__(self, event):
        self.event = event

    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 5:
            self.event()
        return torch.full((3,), index)


def loader(event, workers=2):
    return DataLoader(Pictures(event), batch_size=1, num_workers=workers, worker_init_fn=ignore_signals)


def sent(number):
    return lambda: os.kill(os.getpid(), number)


def fails():
    raise OverflowError("of the dataset's own")


DEATHS = {
    "out of memory": (sent(signal.SIGKILL), "was killed by SIGKILL, most likely because memory ran out; low"),
    "bus error": (sent(signal.SIGBUS), "by SIGBUS, because a data file was cut short, or shared memory ran"),
    "crash": (sent(signal.SIGSEGV), "by SIGSEGV: a library crashed while it read a picture; find it with "),
    "abort": (sent(signal.SIGABRT), "was killed by SIGABRT: a library crashed"),
    "a signal": (sent(signal.SIGUSR1), "was killed by SIGUSR1, which somebody sent; continue with"),
    "status": (lambda: os._exit(3), "ended with status 3 before the training did; find it with"),
    "no status": (lambda: os._exit(0), "ended with status 0 before the training did; find it with"),
}


def test_a_bus_error_names_the_file_that_was_cut_short():
    cut_off = "x.lmdb/data.mdb is cut off after 7 bytes"
    with (
        pytest.raises(UserError) as caught,
        batches_of(loader(sent(signal.SIGBUS)), lambda: cut_off) as batches,
    ):
        for _ in batches:
            pass
    assert str(caught.value) == f"a data worker was killed: {cut_off}; continue with --auto_resume"


@pytest.mark.parametrize("death", DEATHS)
def test_a_worker_that_dies_is_one_line(death, monkeypatch):
    monkeypatch.setattr(loading, "MP_STATUS_CHECK_INTERVAL", 1)
    monkeypatch.setattr(
        torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (1,)
    )
    event, text = DEATHS[death]
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(UserError) as caught, batches_of(loader(event)) as batches:
        for _ in batches:
            pass
    message = str(caught.value)
    assert message.startswith("a data worker ") and text in message and "\n" not in message
    assert message.endswith("continue with --auto_resume")
    assert not multiprocessing.active_children()
    assert callable(before) is False or signal.getsignal(signal.SIGCHLD) == before


def test_a_death_is_no_error_while_the_main_process_saves():
    killed = pytest.raises(UserError, match="2 of 2 data workers were killed")
    with killed, batches_of(loader(lambda: None)) as batches:
        next(batches)
        for worker in batches._workers:
            worker.kill()
        for _ in range(50):  # torch's handler would raise here
            time.sleep(0.01)
        saved = True
        next(batches)
    assert saved


def test_a_lost_connection_is_the_death_that_follows():
    class Lost:
        def __init__(self):
            self._workers = [multiprocessing.get_context("fork").Process(target=time.sleep, args=(9,))]
            self._workers[0].start()

        def __iter__(self):
            return self

        def __next__(self):
            self._workers[0].kill()
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(UserError, match="a data worker was killed by SIGKILL"), batches_of(Lost()) as batches:
        next(batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_data_stays_what_it_is(workers):
    with (
        pytest.raises(OverflowError, match="of the dataset's own"),
        batches_of(loader(fails, workers)) as all,
    ):
        list(all)


def test_all_batches_arrive():
    with batches_of(loader(lambda: None)) as batches:
        assert [int(batch[0, 0]) for batch in batches] == list(range(40))
    assert not multiprocessing.active_children()


def test_an_error_after_the_last_batch_stays_what_it_is():
    """Then all workers have ended, and nobody is to blame."""
    with pytest.raises(RuntimeError, match="of the last validation"), batches_of(loader(lambda: None)) as all:
        list(all)
        raise RuntimeError("of the last validation")


def test_a_worker_that_is_stuck_does_not_keep_the_process(monkeypatch):
    monkeypatch.setattr(loading, "MP_STATUS_CHECK_INTERVAL", 0.2)
    begin = time.monotonic()
    with batches_of(loader(lambda: time.sleep(60), 1)) as batches:
        for _ in range(4):
            next(batches)
        time.sleep(0.3)
    assert time.monotonic() - begin < 10 and not multiprocessing.active_children()


def test_workers_that_cannot_all_start_end(monkeypatch):
    """As with a low `ulimit -n`: they ignored the end of the process, which waited for them."""
    start, started, dropped = multiprocessing.process.BaseProcess.start, [], []

    def once(self):
        if started:
            raise OSError(24, "Too many open files")
        started.append(self)
        start(self)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", once)
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    with pytest.raises(OSError, match="Too many open files"), batches_of(loader(lambda: None)):
        pass
    started[0].join(5)
    assert started[0].exitcode == -signal.SIGKILL and not dropped
