"""Progressive learning: small patches in large batches first, larger patches in smaller batches later.

B pictures of a batch, C channels, H x W picture
"""

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from torch import Tensor

from basicsr.data.transforms import paired_random_crop
from basicsr.utils import get_root_logger


class PatchPlan:
    """How large the patches and batches of each iteration are.

    patch_sizes: the side of a GT patch in each stage, in pixels.  batch_sizes: the pictures of a batch in
    each stage.  iters: how many iterations each stage lasts; the last one goes on past its end.  scale: GT
    is that many times larger than LQ.

    Raises ValueError on what `plan_problems` finds.
    """

    def __init__(
        self, *, patch_sizes: Sequence[int], batch_sizes: Sequence[int], iters: Sequence[int], scale: int = 1
    ):
        for name, text in plan_problems(patch_sizes, batch_sizes, iters, scale=scale):
            raise ValueError(f"{name} {text}")
        self.patch_sizes, self.batch_sizes, self.scale = list(patch_sizes), list(batch_sizes), scale
        self.ends = list(accumulate(iters))
        self.announced = -1

    def stage(self, iteration: int) -> int:
        """The stage, from 0, that an iteration, from 1, belongs to: a resumed run needs no more."""
        return min(bisect_left(self.ends, iteration), len(self.ends) - 1)

    def announce(self, iteration: int) -> None:
        """Tell BasicSR's log at the first iteration of each stage that a run meets."""
        stage = self.stage(iteration)
        if stage != self.announced:
            side, count = self.patch_sizes[stage], self.batch_sizes[stage]
            get_root_logger().info(
                f"From iteration {iteration} on: patches of {side}x{side}, batches of {count}"
            )
            self.announced = stage

    def crop(self, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Tensor]:
        """Of LQ (B, C, H, W) and GT (B, C, sH, sW) a stage's number of random pictures, and of all of them
        one random window of a stage's size, as both come.

        A batch or picture that is smaller than the stage asks for is taken as it is.
        """
        stage = self.stage(iteration)
        side, count = self.patch_sizes[stage], self.batch_sizes[stage]
        if count < len(lq):
            chosen = random.sample(range(len(lq)), count)
            lq, gt = lq[chosen], gt[chosen]
        if side < min(gt.shape[-2:]):
            cropped: tuple[Any, Any] = paired_random_crop(gt, lq, side, self.scale)
            gt, lq = cropped
        return lq, gt


def plan_problems(
    patch_sizes: Any,
    batch_sizes: Any,
    iters: Any,
    *,
    scale: int = 1,
    largest_patch: int | None = None,
    largest_batch: int | None = None,
) -> Iterator[tuple[str, str]]:
    """What is wrong with a plan, as the argument's name and a text; the caller may know it by another name.

    largest_patch, largest_batch: the side and the number of the patches that the loader gives, where known.
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
    if uneven := [size for size in patch_sizes if size % scale]:
        yield "patch_sizes", f"has {uneven[0]}, which is no multiple of scale {scale}; take one"
    if largest_patch and max(patch_sizes) > largest_patch:
        yield "patch_sizes", f"has {max(patch_sizes)}, but gt_size is {largest_patch}; raise gt_size"
    if largest_batch and max(batch_sizes) > largest_batch:
        text = f"has {max(batch_sizes)}, but batch_size_per_gpu is {largest_batch}; raise batch_size_per_gpu"
        yield "batch_sizes", text


def _whole_numbers(values: Any) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)
    )
