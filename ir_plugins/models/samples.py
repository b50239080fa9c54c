"""What a validation keeps of a picture, for people to look at."""

from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One picture of a validation set.

    lq (h, w, C), result (H, W, C), gt (H, W, C) or None: uint8; C is 3, in the order RGB, or 1 for gray.
    """

    dataset: str
    name: str
    lq: np.ndarray
    result: np.ndarray
    gt: np.ndarray | None
