"""JPEG artifacts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from basicsr.utils.registry import DATASET_REGISTRY

from ...options.problems import Key
from ...pictures.window import Window
from ..compression import GRID, compressed
from .base import COLOUR
from .degraded import DegradedDataset, drawn, level_problems


@DATASET_REGISTRY.register()
class JPEGDataset(DegradedDataset):
    """Pictures compressed to JPEG, whole, and decoded again.

    `quality` is 1 to 100, or the least and the greatest, between which each item draws a whole number.
    `encoder` is opencv, the default, or libjpeg, which is Pillow's; both gave the same pixels in the versions
    tested.  With `color` gray or y, one channel is compressed.
    """

    option_keys: Mapping[str, Key] = {
        **DegradedDataset.option_keys,
        "color": COLOUR,
        "quality": Key(int | Sequence[int], "from 1 to 100, or least and greatest", least=1, below=101),
        "encoder": Key(Literal["opencv", "libjpeg"], "which library compresses; default opencv"),
    }

    @classmethod
    def option_problems(cls, opt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().option_problems(opt)
        yield from level_problems("quality", opt.get("quality"))

    def patches(self, pictures: dict[str, np.ndarray], window: Window) -> list[np.ndarray]:
        quality = drawn(self.opt["quality"], whole=True)
        h, w = pictures["gt"].shape[:2]
        # a block depends on others only through the colour of the pixels next to it
        around = window.around(h, w, grid=GRID, margin=GRID)
        gt = self.coloured(around.cut(pictures["gt"]))
        lq = compressed(gt, quality, self.opt.get("encoder") or "opencv")
        inside = window.inside(around)
        return [inside.cut(lq), inside.cut(gt)]
