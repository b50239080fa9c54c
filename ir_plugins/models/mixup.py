"""Mixup: train on blends of two pairs.

B pictures of a batch, C channels, H x W picture
"""

import random

import torch
from torch import Tensor


class Mixup:
    """Blends each pair of a batch with another pair, by one random share for the whole batch.

    Args:
        beta: The share is drawn from Beta(beta, beta); above 0, default 1.2.
        identity: Leave half of all batches, chosen by chance, as they are; default true.

    Raises:
        ValueError: beta is not above 0.
    """

    def __init__(self, *, beta: float = 1.2, identity: bool = True):
        if not beta > 0:
            raise ValueError(f"{beta=} must be above 0")
        self.beta, self.identity = beta, identity

    def __call__(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """Blend a batch.

        Args:
            lq: (B, C, H, W).
            gt: (B, C, sH, sW), for a net of scale s.

        Returns:
            Both in the same shapes, blended with the same partners and share.
        """
        if self.identity and random.random() < 0.5:
            return lq, gt
        share = random.betavariate(self.beta, self.beta)
        partners = torch.randperm(len(lq), device=lq.device)
        return torch.lerp(lq[partners], lq, share), torch.lerp(gt[partners], gt, share)
