"""The model that Restormer's option files name."""

from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from basicsr.utils.registry import MODEL_REGISTRY

from ..options import Options
from . import image_clean_options
from .grad_clip import clip_before_step
from .mixup import Mixup
from .patch_plan import PatchPlan
from .restoration_model import RestorationModel

MAX_NORM = 0.01  # what `use_grad_clip: true` stands for


@MODEL_REGISTRY.register()
class ImageCleanModel(RestorationModel):
    """RestorationModel with the option keys of Restormer's published files.

    - `datasets:train:iters, gt_sizes, mini_batch_sizes`: progressive learning, all three or none; the last
      stage goes on past its end.
    - `train:use_grad_clip`: gradients are clipped to a norm of 0.01.
    - `train:mixing_augs: {mixup, mixup_beta, use_identity}`: see `Mixup`.
    - `val:use_image`: true, the default, measures what would be saved; false measures before rounding.
    - `val:rgb2bgr`: false leaves the channels in the order of the tensors when saving and measuring.
    - `val:max_minibatch`: no more pictures than that go through the network at once.

    On purpose other than published: metrics see outputs clamped to [0, 1], where one overshooting pixel used
    to add 48 dB to its picture; a random window reaches the last offset; and `mini_batch_sizes` beyond
    batch_size_per_gpu, which used to be ignored, are an error.
    """

    metric_results: dict[str, Any]

    @staticmethod
    def option_problems(options: Options) -> Iterator[tuple[tuple[str, ...], str]]:
        """Key path and text of everything that is wrong with those keys, for `schema.check`."""
        yield from RestorationModel.option_problems(options)
        yield from image_clean_options.option_problems(options)

    def init_training_settings(self) -> None:
        self.patch_plan: PatchPlan | None = None
        self.mixup: Mixup | None = None
        train = self.opt["datasets"]["train"]
        if train.get("iters"):
            # without a launcher the loader's batch is that of all GPUs together
            replicas = 1 if self.opt["dist"] else max(1, self.opt["num_gpu"])
            self.patch_plan = PatchPlan(
                patch_sizes=train["gt_sizes"],
                batch_sizes=[size * replicas for size in train["mini_batch_sizes"]],
                iters=train["iters"],
                scale=self.opt.get("scale", 1),
            )
        mixing = self.opt["train"].get("mixing_augs") or {}
        if mixing.get("mixup"):
            self.mixup = Mixup(beta=mixing.get("mixup_beta", 1.2), identity=mixing.get("use_identity", False))
        super().init_training_settings()

    def setup_optimizers(self) -> None:
        super().setup_optimizers()
        if self.opt["train"].get("use_grad_clip"):
            clip_before_step(self.optimizer_g, MAX_NORM)

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on a patch of the stage that the iteration belongs to, blended where mixup is on."""
        if self.patch_plan is not None:
            self.patch_plan.announce(current_iter)
            self.lq, self.gt = self.patch_plan.crop(self.lq, self.gt, current_iter)
        if self.mixup is not None:
            self.lq, self.gt = self.mixup(self.lq, self.gt)
        super().optimize_parameters(current_iter)

    def test(self) -> None:
        """RestorationModel's, a few pictures of the batch at a time."""
        pictures, outputs = self.lq, []
        for part in pictures.split(self.opt["val"].get("max_minibatch") or len(pictures)):
            self.lq = part
            super().test()
            outputs.append(self.output)
        self.lq, self.output = pictures, torch.cat(outputs)

    def nondist_validation(self, dataloader, current_iter, tb_logger, save_img) -> None:
        # BasicSR's loop knows rounded pictures only, so what is measured on others is gathered beside it
        self.unrounded: dict[str, list[float]] = defaultdict(list)
        super().nondist_validation(dataloader, current_iter, tb_logger, save_img)

    def get_current_visuals(self) -> dict[str, Tensor]:
        visuals = super().get_current_visuals()
        val = self.opt["val"]
        pictures = {"img": "result", "img2": "gt"}
        if val.get("rgb2bgr") is False:
            # BasicSR is going to turn them round, whatever this key says
            visuals |= {key: visuals[key].flip(1) for key in pictures.values() if key in visuals}
        if val.get("use_image") is False:
            exactly: Any = np.float32
            exact = {
                name: tensor2img([visuals[key]], out_type=exactly) * 255
                for name, key in pictures.items()
                if key in visuals
            }
            for name, metric in (val.get("metrics") or {}).items():
                self.unrounded[name].append(calculate_metric(exact, metric))
        return visuals

    def _update_best_metric_result(self, dataset_name, metric, val, current_iter) -> None:
        if values := self.unrounded[metric]:
            val = self.metric_results[metric] = fmean(values)
        super()._update_best_metric_result(dataset_name, metric, val, current_iter)
