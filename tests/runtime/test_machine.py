"""What a call costs."""

import time
from pathlib import Path

import pytest
import torch

from ir_plugins.runtime import machine

CPU = torch.device("cpu")
resettable = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")


def test_seconds_are_of_the_call_alone():
    done = []
    seconds, _ = machine.cost(lambda: done.append(time.sleep(0.05)), CPU)
    assert 0.05 <= seconds < 0.5 and len(done) == 1


@resettable
@pytest.mark.parametrize("megabytes", [30, 90])
def test_memory_is_what_the_call_adds_each_time_anew(megabytes):
    kept = torch.ones(50_000_000 // 4)
    found = [machine.cost(lambda: torch.ones(megabytes * 250_000).sum(), CPU)[1] / 1e6 for _ in range(3)]
    assert all(megabytes - 1 < peak < megabytes + 15 for peak in found), found
    assert kept[0] == 1


@resettable
def test_small_pieces_that_the_allocator_keeps_count_too():
    """Each below the size that glibc gives back at once: a second call would seem to need nothing."""

    def work():
        return [torch.ones(10_000) for _ in range(1000)]  # 40 MB

    found = [machine.cost(work, CPU)[1] / 1e6 for _ in range(3)]
    assert all(peak > 30 for peak in found), found


def test_where_the_system_does_not_tell_nothing_is_claimed(monkeypatch):
    def refused(self, text):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refused)
    seconds, peak = machine.cost(lambda: None, CPU)
    assert seconds >= 0 and peak is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_peak_of_the_allocator_is_reported():
    device = torch.device("cuda")
    kept = torch.ones(5_000_000, device=device)  # 20 MB
    for megabytes in (40, 8):
        _, peak = machine.cost(lambda m=megabytes: torch.ones(m * 250_000, device=device).sum(), device)
        assert 20 + megabytes <= peak / 1e6 < 25 + megabytes
    assert kept[0] == 1


def test_versions_are_of_what_runs():
    found = machine.versions()
    assert found["torch"] == torch.__version__ and {"Python", "ir_plugins", "basicsr", "numpy"} <= set(found)
