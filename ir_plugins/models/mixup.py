"""Mixup: train on blends of two pairs.

B pictures of a batch, C channels, H x W picture
"""

import random

import torch
from torch import Tensor


class Mixup:
    """Blends each pair of a batch with another one of it, by one random share for the whole batch.

    beta: the share is drawn from Beta(beta, beta).  identity: leave every other batch, by chance, as it is.
    Raises ValueError where beta is not above 0.
    """

    def __init__(self, *, beta: float = 1.2, identity: bool = True):
        if not beta > 0:
            raise ValueError(f"{beta=} must be above 0")
        self.beta, self.identity = beta, identity

    def __call__(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """LQ (B, C, H, W) and GT (B, C, sH, sW) -> the same shapes, blended alike."""
        if self.identity and random.random() < 0.5:
            return lq, gt
        share = random.betavariate(self.beta, self.beta)
        partners = torch.randperm(len(lq), device=lq.device)
        return torch.lerp(lq[partners], lq, share), torch.lerp(gt[partners], gt, share)
