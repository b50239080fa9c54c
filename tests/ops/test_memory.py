import pytest
import torch

from ir_plugins.ops.memory import LIMITS, Memory, chunks, memory_for

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", ["cpu", "cuda", "meta"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_chunks_save_memory_only_where_nothing_has_to_stay(gradients, compiled, device):
    memory = memory_for(torch.device(device), gradients=gradients, compiled=compiled)
    limits = LIMITS.get(device, LIMITS["cpu"])
    whole = gradients or compiled
    assert (memory.channels, memory.windows) == ((None, None) if whole else (limits.channels, limits.windows))
    assert memory.neighbours == limits.neighbours  # computed again in the backward pass
    assert memory.overwrite is not gradients and memory.eager is not compiled


def test_the_default_is_a_training_step():
    assert memory_for(CPU) == memory_for(CPU, gradients=True, compiled=False)


def test_without_limits_nothing_is_cut_or_overwritten():
    assert Memory() == (None, 1, None, None, False, True)


@pytest.mark.parametrize("first, last, step", [(0, 7, 3), (5, 45, 17), (2, 2, 3), (0, 6, 3)])
def test_chunks_cover_every_number_once(first, last, step):
    found = [number for part in chunks(first, last, step) for number in range(part.start, part.stop)]
    assert found == list(range(first, last))
    assert all(0 < part.stop - part.start <= step for part in chunks(first, last, step))
