"""Progressive learning: small patches in large batches first, larger patches in smaller batches later."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple


class PatchStage(NamedTuple):
    """A part of a training with patches and batches of one size.

    Args:
        patch_size: Side of a GT patch, pixels; None: as the dataset's own options say.
        batch_size: Patches per batch.
    """

    patch_size: int | None
    batch_size: int


class PatchPlan:
    """The sizes of patches and batches in each iteration (Restormer, section 3.3).

    Args:
        patch_sizes: Side of a GT patch in each stage, pixels.
        batch_sizes: Patches per batch in each stage.
        iters: How many iterations each stage lasts; the last stage continues past its end.

    Raises:
        ValueError: `plan_problems` finds something.
    """

    def __init__(self, *, patch_sizes: Sequence[int], batch_sizes: Sequence[int], iters: Sequence[int]):
        for name, text in plan_problems(patch_sizes, batch_sizes, iters):
            raise ValueError(f"{name} {text}")
        self.stages = [PatchStage(*sizes) for sizes in zip(patch_sizes, batch_sizes, strict=True)]
        self.ends = list(accumulate(iters))

    def at(self, iteration: int) -> PatchStage:
        """The stage that an iteration belongs to; the first iteration is 1."""
        return self.stages[min(bisect_left(self.ends, iteration), len(self.ends) - 1)]


class OneStage(PatchPlan):
    """Patches and batches of one size from the first iteration to the last.

    Args:
        patch_size: Side of a GT patch, pixels; None: as the dataset's own options say.
        batch_size: Patches per batch.
    """

    def __init__(self, patch_size: int | None, batch_size: int):
        self.stages, self.ends = [PatchStage(patch_size, batch_size)], [1]


def plan_problems(
    patch_sizes: Any, batch_sizes: Any, iters: Any, *, scale: int = 1, total_iter: int | None = None
) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a plan.

    Args:
        patch_sizes: See `PatchPlan`.
        batch_sizes: See `PatchPlan`.
        iters: See `PatchPlan`.
        scale: How many times larger GT is than LQ.
        total_iter: When the training ends; None: not known.

    Yields:
        The argument's name and a text; callers may have another name for the argument.
    """
    lists = {"patch_sizes": patch_sizes, "batch_sizes": batch_sizes, "iters": iters}
    wrong = [name for name, values in lists.items() if not _whole_numbers(values)]
    for name in wrong:
        yield name, f"is {lists[name]!r}; expected a list of whole numbers of at least 1"
    if wrong:
        return
    for name, values in lists.items():
        if len(values) != len(iters):
            yield name, f"has {len(values)} stages, but iters has {len(iters)}; give each stage one"
    last = math.inf if total_iter is None else total_iter
    if late := [stage + 1 for stage, end in enumerate(accumulate(iters[:-1]), 1) if end >= last]:
        stages = f"stage {late[0]} begins" if len(late) == 1 else f"stages {late[0]} to {late[-1]} begin"
        yield "iters", f"{stages} after total_iter {total_iter}; shorten those before, or raise it"
    if uneven := [size for size in patch_sizes if size % scale]:
        yield "patch_sizes", f"has {uneven[0]}, which is no multiple of scale {scale}; take one"


def _whole_numbers(values: Any) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)
    )
