"""The model that Restormer's option files name."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from basicsr.utils.registry import MODEL_REGISTRY

from ..options.problems import Problem
from ..options.reading import Options
from . import image_clean_options
from .restoration_model import RestorationModel


@MODEL_REGISTRY.register()
class ImageCleanModel(RestorationModel):
    """RestorationModel with the option keys of Restormer's published files.

    - `datasets:train:iters, gt_sizes, mini_batch_sizes`: `train:progressive`.
    - `train:use_grad_clip`: `train:grad_clip: 0.01`.
    - `train:mixing_augs: {mixup, mixup_beta, use_identity}`: `train:mixup`.
    - `val:use_image`: true, the default, measures what would be saved; false measures before rounding.
    - `val:rgb2bgr`: false leaves the channels in the order of the tensors when saving and measuring.
    - `val:max_minibatch`: the most pictures that go through the network at once.

    Three things differ from the published code on purpose.  Metrics see outputs clamped to [0, 1]: one
    overshooting pixel used to add 48 dB to its picture.  Every picture of a batch has its own window, which
    may reach the last offset.  A stage's batch may be larger than batch_size_per_gpu, which the published
    code ignores.
    """

    option_keys = image_clean_options.KEYS

    @staticmethod
    def option_problems(options: Options) -> Iterator[Problem]:
        """Problems of the option keys, for `checks.option_file.check`.

        Args:
            options: The whole file's.
        """
        yield from image_clean_options.option_problems(options)

    @staticmethod
    def translated(options: Options) -> Options:
        """The options with RestorationModel's keys added to the published ones.

        Args:
            options: The whole file's; they stay as they are.
        """
        return image_clean_options.translated(options)

    def __init__(self, opt: Options):
        super().__init__(self.translated(opt))

    def max_batch(self) -> int | None:
        return self.opt["val"].get("max_minibatch")

    def measured(self, visuals: dict[str, Tensor]) -> dict[str, np.ndarray]:
        if self.opt["val"].get("use_image") is not False:
            return super().measured(visuals)
        kinds = {"img": "result", "img2": "gt"}
        return {
            key: self.as_exact_picture(visuals[kind]) * 255 for key, kind in kinds.items() if kind in visuals
        }

    def in_bgr(self) -> bool:
        return self.opt["val"].get("rgb2bgr") is not False
