"""Random numbers: seed them, save their state and restore it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """The state of every random generator of this process; torch.load reads it with weights_only=True."""
    name, keys, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Continue every sequence of random numbers where `random_state` left it.

    Args:
        state: As `random_state` returns it; without a GPU's state, the GPU's generator stays as it is.
    """
    python, numpy = _parts(state)
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def check_random_state(state: Any) -> None:
    """Try a state on generators of its own.

    Args:
        state: Perhaps a state as `random_state` returns it.

    Raises:
        ValueError: It is none.
    """
    try:
        python, numpy = _parts(state)
        random.Random().setstate(python)
        # numpy compares no place, and would read beyond its 624 numbers
        if not 0 <= numpy[2] <= 624:
            raise ValueError(f"numpy's generator is at number {numpy[2]} of 624")
        np.random.RandomState().set_state(numpy)
        torch.Generator().set_state(state["torch"])
        gpu = state.get("cuda")
        if gpu is not None and (gpu.dtype != torch.uint8 or gpu.shape != (16,) or not gpu.is_contiguous()):
            raise ValueError("the GPU's generator has 16 bytes")
    except Exception as error:  # each generator raises what it likes
        raise ValueError(f"no state of random numbers: {error}") from error


def _parts(state: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The states of Python's and of numpy's generator, as these take them."""
    version, numbers, gauss = state["python"]
    name, keys, *rest = state["numpy"]
    return (version, tuple(numbers), gauss), (name, keys.numpy().astype(np.uint32), *rest)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the state of all random numbers afterwards."""
    state = random_state()
    try:
        yield
    finally:
        restore_random_state(state)


def drawn(count: int, *numbers: int) -> int:
    """A random whole number below `count` that follows from other numbers and from nothing else.

    Args:
        count: At least 1, far below 2**32.
        numbers: What it follows from: whole numbers of at least 0.
    """
    return _mixed(numbers) % count


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed the random numbers on the CPU inside, and restore their state afterwards.

    Args:
        numbers: The seed: whole numbers of at least 0.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = _mixed(numbers)
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds GPUs too
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _mixed(numbers: tuple[int, ...]) -> int:
    """32 bits that follow from all the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
