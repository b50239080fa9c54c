"""Find networks and batches that this machine cannot hold, before it tries.

What is counted is the least that a run takes: activations, which may take many times as much, are not.
"""

import os
from collections.abc import Iterator
from itertools import chain

import torch
from torch import nn

from ..archs.building import way_to_lower
from ..options.problems import Problem, value_at
from ..options.reading import Options
from ..options.signatures import Keys
from ..runtime.capacity import amount, free_memory

NUMBER = 4  # bytes of a float32
# numbers per weight in training: itself and its gradient
IN_TRAINING = 2
MOST_WORKERS = 64  # on any machine; on one with many cores eight per core
# what common optimizers keep for each weight; others count as keeping nothing
KEPT = {"Adam": 2, "AdamW": 2, "NAdam": 2, "RAdam": 2, "Adamax": 2}


def network_memory_problems(keys: Keys, net: nn.Module, options: Options) -> Iterator[Problem]:
    """Find a network that does not fit into memory.

    Args:
        keys: Where its block stands.
        net: The network, built anywhere.
        options: The whole file's.
    """
    count = sum(tensor.numel() for tensor in chain(net.parameters(), net.buffers()))
    times, why = 1, "its weights"
    if keys == ("network_g",) and (train := options.get("train")):
        averaged = bool(value_at(train, "ema_decay"))
        times, why = 1 + averaged, "its weights" + (" and their average" if averaged else "")
        if not _on_gpu(options):
            kept = KEPT.get(str(value_at(train, "optim_g", "type")), 0)
            times += IN_TRAINING - 1 + kept
            why += ", their gradients" + (" and what the optimizer keeps" if kept else "")
    if (needed := count * times * NUMBER) > (there := free_memory()):
        text = f"has {count:,} numbers; {why} take {amount(needed)}, but {amount(there)} of memory are free"
        yield Problem(keys, f"{text}; {way_to_lower(options[keys[0]])}")


def batch_problems(options: Options) -> Iterator[Problem]:
    """Find training batches whose pictures alone do not fit into memory, and absurdly many workers.

    Args:
        options: The whole file's; its values are of the right kinds.
    """
    data, train = value_at(options, "datasets", "train"), options.get("train") or {}
    workers, most = value_at(data, "num_worker_per_gpu"), max(MOST_WORKERS, 8 * (os.cpu_count() or 1))
    if isinstance(workers, int) and workers > most:
        keys = ("datasets", "train", "num_worker_per_gpu")
        yield Problem(keys, f"{workers} processes on {os.cpu_count()} CPU cores; take at most {most}")
    plan = value_at(train, "progressive") or {}
    sides = plan.get("patch_sizes") or [value_at(data, "gt_size")]
    batches = plan.get("batch_sizes") or [value_at(data, "batch_size_per_gpu")]
    for side, batch in zip(sides, batches, strict=False):
        if not isinstance(side, int) or not isinstance(batch, int):
            continue
        needed, there = side * side * 3 * NUMBER * batch, free_memory()
        if needed > there:
            text = f"{batch:,} patches of {side}x{side} pixels take {amount(needed)} before any network sees "
            text += f"them, but {amount(there)} of memory are free; lower it or the patch size"
            single = ("datasets", "train", "batch_size_per_gpu")
            yield Problem(("train", "progressive", "batch_sizes") if plan else single, text)
            return


def _on_gpu(options: Options) -> bool:
    return options.get("num_gpu", "auto") != 0 and torch.cuda.device_count() > 0
