"""Learning rate schedules that BasicSR does not have."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..options.registries import register_scheduler


@register_scheduler
class CosineAnnealingRestartCyclicLR(LRScheduler):
    """Cosine annealing in cycles, each with its own weight and its own minimum (Restormer).

    After the last cycle the rate stays at that cycle's minimum.

    Args:
        optimizer: The optimizer.
        periods: Iterations of each cycle.
        restart_weights: The share of the base rate at which each cycle starts; default 1 for each.
        eta_mins: The rate at the end of each cycle; default 0 for each.  At the base rate it stays constant.
        last_epoch: The last iteration that is over; -1 at the start.

    Raises:
        ValueError: The lists differ in length, or a period is shorter than one iteration.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        periods: Sequence[int],
        restart_weights: Sequence[float] | None = None,
        eta_mins: Sequence[float] | None = None,
        last_epoch: int = -1,
    ):
        self.periods = list(periods)
        self.restart_weights = [1.0] * len(periods) if restart_weights is None else list(restart_weights)
        self.eta_mins = [0.0] * len(periods) if eta_mins is None else list(eta_mins)
        if not len(self.periods) == len(self.restart_weights) == len(self.eta_mins):
            raise ValueError(f"{periods=}, {restart_weights=} and {eta_mins=} must be of one length")
        if not self.periods or min(self.periods) < 1:
            raise ValueError(f"{periods=} must be whole numbers of at least 1")
        self.ends = list(accumulate(self.periods))
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rate of each parameter group at the current iteration."""
        iteration = min(self.last_epoch, self.ends[-1])
        cycle = bisect_left(self.ends, iteration)  # the iteration at a cycle's end still belongs to it
        period, low = self.periods[cycle], self.eta_mins[cycle]
        progress = (iteration - self.ends[cycle] + period) / period
        swing = self.restart_weights[cycle] * 0.5 * (1 + math.cos(math.pi * progress))
        return [float(low + swing * (base - low)) for base in self.base_lrs]


@register_scheduler
class CosineAnnealingLR(CosineAnnealingRestartCyclicLR):
    """One cosine from the base rate to eta_min, where the rate then stays (SGDR, eq. 5, without restarts).

    torch's class of this name rises again after T_max and is back at the base rate after 2 T_max iterations.

    Args:
        optimizer: The optimizer.
        T_max: Iterations of the cosine.
        eta_min: The rate at its end.
        last_epoch: The last iteration that is over; -1 at the start.

    Raises:
        ValueError: T_max is below 1.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0, last_epoch: int = -1):
        if T_max < 1:
            raise ValueError(f"{T_max=} must be a whole number of at least 1")
        super().__init__(optimizer, [T_max], eta_mins=[eta_min], last_epoch=last_epoch)
