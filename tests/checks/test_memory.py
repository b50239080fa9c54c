"""Networks and batches that a machine cannot hold; the machine is a number here."""

import pytest
from broken_options import changed
from tiny import tiny_options

from ir_plugins.checks import memory, option_file
from ir_plugins.runtime.capacity import amount


def problems(options, monkeypatch, free):
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    return [f"{':'.join(keys)}: {text}" for keys, text in option_file._problems(options, "train" in options)]


@pytest.mark.parametrize(
    "change, numbers, what",
    [
        ("num_gpu=0", 5, "its weights and their average, their gradients and what the optimizer keeps"),
        ("train:ema_decay=0", 4, "its weights, their gradients and what the optimizer keeps"),
        ("train:optim_g={type: SGD, lr: 0.1}", 3, "its weights and their average, their gradients"),
        ("-train", 1, "its weights"),
    ],
)
def test_what_training_keeps_is_counted(monkeypatch, change, numbers, what):
    options = changed(tiny_options(), change)
    if change == "-train":
        del options["datasets"]["train"]
    net = option_file._call_problems.__globals__["network_problems"].__globals__["_built"](
        options["network_g"]
    )
    count = sum(p.numel() for p in [*net.parameters(), *net.buffers()])
    needed = 4 * numbers * count
    assert problems(options, monkeypatch, needed) == []
    (line,) = problems(options, monkeypatch, needed - 1)
    assert line.startswith(f"network_g: has {count:,} numbers; {what} take {amount(needed)}, but ")
    assert line.endswith(" of memory are free; make the network smaller")


def test_patches_are_counted(monkeypatch):
    options = changed(tiny_options(), "datasets:train:batch_size_per_gpu=1000")
    needed = 1000 * 14 * 14 * 3 * 4
    monkeypatch.setattr(memory, "free_memory", lambda: needed)
    assert list(memory.batch_problems(options)) == []
    monkeypatch.setattr(memory, "free_memory", lambda: needed - 1)
    ((keys, text),) = memory.batch_problems(options)
    assert keys == ("datasets", "train", "batch_size_per_gpu")
    assert text.startswith(
        "1,000 patches of 14x14 pixels take 2.4 MB before any network sees them, but 2.4 MB"
    )
    plan = "train:progressive={patch_sizes: [8, 14], batch_sizes: [2, 1000], iters: [2, 2]}"
    ((keys, _),) = memory.batch_problems(changed(options, plan))
    assert keys == ("train", "progressive", "batch_sizes")
