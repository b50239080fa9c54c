"""The model that trains and validates every network here."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from basicsr.utils.registry import MODEL_REGISTRY

from ..ops.padding import pad_to_multiple
from ..options import Options
from ..problems import count_problems
from .schedulers import CosineAnnealingRestartCyclicLR


@MODEL_REGISTRY.register()
class RestorationModel(SRModel):
    """BasicSR's SRModel with every optimizer of torch.optim and files that are whole or not there.

    Option keys: those of SRModel; `train:optim_g:type` is any class of torch.optim, `train:scheduler:type`
    one of BasicSR's or CosineAnnealingRestartCyclicLR, and `val:window_size` is told at `test`.
    """

    @staticmethod
    def option_problems(options: Options) -> Iterator[tuple[tuple[str, ...], str]]:
        """Key path and text of everything that is wrong with this model's own keys, for `schema.check`."""
        yield from count_problems(options, ("val", "window_size"))

    def get_optimizer(
        self, optim_type: str, params: list[Tensor], lr: float, **kwargs
    ) -> torch.optim.Optimizer:
        # BasicSR 1.4.2 knows Adam only
        return getattr(torch.optim, optim_type)(params, lr=lr, **kwargs)

    def setup_schedulers(self) -> None:
        arguments = dict(self.opt["train"]["scheduler"])
        if arguments.pop("type") != CosineAnnealingRestartCyclicLR.__name__:
            super().setup_schedulers()
            return
        self.schedulers += [CosineAnnealingRestartCyclicLR(o, **arguments) for o in self.optimizers]

    @master_only
    def print_network(self, net: nn.Module) -> None:
        # BasicSR prints every layer, hundreds of lines for a transformer
        net = self.get_bare_model(net)
        count = sum(p.numel() for p in net.parameters())
        get_root_logger().info(f"Network: {type(net).__name__}, with parameters: {count:,d}")

    def test(self) -> None:
        """Restore `self.lq` (B, C, H, W) as `self.output` (B, C, sH, sW), by the EMA weights where there are
        any.

        It is padded by reflection to multiples of `val:window_size`, of which our nets have no need.  Where
        that key is missing, a net of BasicSR that works in windows gets whole ones.
        """
        # the bare net: a wrapped one would wait for the other ranks, which do not validate
        net = self.net_g_ema if hasattr(self, "net_g_ema") else self.get_bare_model(self.net_g)
        was_training = net.training
        net.eval()
        h, w = self.lq.shape[-2:]
        padded = pad_to_multiple(self.lq, self.opt["val"].get("window_size") or _window_of(net))
        with torch.inference_mode():
            output = net(padded)
        scale = output.shape[-1] // padded.shape[-1]
        self.output = output[..., : h * scale, : w * scale]
        net.train(was_training)

    @master_only
    def save_network(self, net, net_label, current_iter, param_key="params") -> None:
        with self._staged("models"):
            super().save_network(net, net_label, current_iter, param_key)

    @master_only
    def save_training_state(self, epoch: int, current_iter: int) -> None:
        with self._staged("training_states"):
            super().save_training_state(epoch, current_iter)

    def nondist_validation(self, dataloader, current_iter, tb_logger, save_img) -> None:
        with self._staged("visualization"):
            super().nondist_validation(dataloader, current_iter, tb_logger, save_img)

    def _log_validation_metric_values(self, current_iter, dataset_name, tb_logger) -> None:
        if self.is_train:
            super()._log_validation_metric_values(current_iter, dataset_name, tb_logger)
            return
        # a test has one result: BasicSR would call it the best, at an iteration that is the run's name
        values = "".join(f"\t # {metric}: {value:.4f}\n" for metric, value in self.metric_results.items())
        get_root_logger().info(f"Test {dataset_name}\n{values}")

    @contextmanager
    def _staged(self, key: str) -> Iterator[None]:
        """Whatever is written to the folder `path:key` appears there only once it is complete.

        BasicSR writes checkpoints and pictures in place: killed meanwhile, it leaves a torn file that a
        resume picks up.
        """
        folder = Path(self.opt["path"][key])
        staging = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        self.opt["path"][key] = str(staging)
        try:
            yield
            for file in sorted(path for path in staging.rglob("*") if path.is_file()):
                target = folder / file.relative_to(staging)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
        finally:
            self.opt["path"][key] = str(folder)
            shutil.rmtree(staging, ignore_errors=True)


def _window_of(net: nn.Module) -> int:
    """The side of the windows of a net of BasicSR, which does not pad by itself; else 1."""
    if not type(net).__module__.startswith("basicsr."):
        return 1
    windows = (getattr(module, "window_size", None) for module in net.modules())
    return next((window for window in windows if isinstance(window, int)), 1)
