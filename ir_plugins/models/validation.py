"""Restoring and measuring whole datasets, shared between the ranks."""

import math
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger, tensor2img

from ..ops.padding import pad_to_multiple
from ..pictures.writing import write_picture
from ..runtime.distributed import as_on_first_rank, gathered, on_any_rank
from ..runtime.errors import Stopped
from ..runtime.machine import cost
from ..runtime.randomness import kept_random_state
from .rows import Row, compares, means, not_finite, picture_name, take_metrics, told_faults
from .samples import Sample, strip

SHOWN = 3  # pictures of each dataset that are kept to look at


class ValidatingModel(SRModel):
    """SRModel with a validation of its own.

    BasicSR's runs on one rank while the others wait, which ends in a timeout, and on the wrapped network,
    which ends in a deadlock; it has no way to measure before rounding, or to keep a picture.
    """

    interrupted: Callable[[], bool] = staticmethod(lambda: False)  # asked before each picture, where given
    metric_results: dict[str, float]
    rows: dict[str, list[Row]]  # by dataset
    best_metric_results: dict[str, dict[str, dict[str, Any]]]

    def validation(self, dataloader, current_iter, tb_logger, save_img=False) -> None:
        """Restore every picture of a dataset, measure it, log the means, and save pictures if asked to.

        Each rank takes every `world_size`-th picture.  All of them end with the same `metric_results`, to the
        last digit what one process finds, and the same `rows` and `samples` of this dataset.  Raises Stopped,
        on all of them, where one is `interrupted`.
        """
        dataset = dataloader.dataset.opt["name"]
        # each rank has gathered statistics of its own pictures; rank 0's are those that are saved
        as_on_first_rank(self._validated().buffers())
        with kept_random_state():
            found = list(self._restored(dataloader, current_iter, save_img))
        if on_any_rank(self.interrupted()):
            raise Stopped(0)
        found = sorted((one for ones in gathered(found) for one in ones), key=itemgetter(0))
        samples = [sample for _, _, sample in found if sample is not None]
        self.samples = {**getattr(self, "samples", {}), dataset: samples}
        rows = [row for _, row, _ in found]
        self.rows = {**getattr(self, "rows", {}), dataset: rows}
        if self.is_train and (faults := told_faults(rows)):
            get_root_logger().warning(f"{faults}; training goes on")
        if self.opt["val"].get("metrics"):
            self._sum_up(dataset, rows, current_iter, tb_logger)
        if tb_logger and self.is_train:
            for sample in self.samples[dataset]:
                tag = f"{dataset}/{sample.name}"
                tb_logger.add_image(tag, strip(sample), current_iter, dataformats="HWC")

    def _sum_up(self, dataset: str, rows: list[Row], current_iter, tb_logger) -> None:
        """Find and log `metric_results`, and the best of them so far."""
        metrics = self.opt["val"]["metrics"]
        self.metric_results = means(rows, metrics)
        if self.is_train:
            # weights that fail on a picture must not seem the better for its absence
            failing = {name for row in rows for name, value in row.metrics.items() if math.isnan(value)}
            self.metric_results |= dict.fromkeys(failing, math.nan)
        self._initialize_best_metric_results(dataset)
        for name, value in self.metric_results.items():
            self._update_best_metric_result(dataset, name, value, current_iter)
        if self.opt["rank"] == 0 and self.metric_results:
            self._log_validation_metric_values(current_iter, dataset, tb_logger)
            # those of a test stand below its table
            for note in not_finite(rows, metrics) if self.is_train else ():
                get_root_logger().info(note)

    def _restored(self, dataloader, current_iter, save_img) -> Iterator[tuple[int, Row, Sample | None]]:
        """Of each of this rank's pictures its place, what is found out, and what is kept to look at."""
        rank, world_size = self.opt["rank"], self.opt.get("world_size", 1)
        dataset = dataloader.dataset
        if world_size > 1:
            mine = Subset(dataset, range(rank, len(dataset), world_size))
            dataloader = DataLoader(mine, batch_size=1, pin_memory=dataloader.pin_memory)
        bar = tqdm(total=len(dataloader), unit="image", disable=rank > 0 or not self.opt["val"].get("pbar"))
        self._let_go()  # of the training's GT, which would pass for that of a set without any
        for index, data in zip(range(rank, len(dataset), world_size), dataloader, strict=True):
            if self.interrupted():
                break
            title = picture_name(data, dataset.opt)
            self.feed_data(data)
            seconds, peak = self._spent_on_test()
            visuals = self.get_current_visuals()
            self._let_go()  # the next picture may be larger
            if not (finite := bool(visuals["result"].isfinite().all())):
                visuals["result"] = visuals["result"].nan_to_num(0)
            if save_img:
                picture = self.as_picture(visuals["result"])
                self._save_picture(picture, dataset.opt["name"], title, current_iter)
            values, fault = self._taken(visuals, finite)
            group = dataset.groups[index] if getattr(dataset, "groups", None) else ""
            height, width = visuals["result"].shape[-2:]
            row = Row(dataset.opt["name"], group, title, height, width, values, seconds, peak, fault)
            yield index, row, _sample(row.dataset, title, visuals) if index < SHOWN else None
            bar.set_description(f"Test {title}", refresh=False)
            bar.update()
        bar.close()

    def _spent_on_test(self) -> tuple[float | None, int | None]:
        """Restore `self.lq`.  Returns seconds and bytes; None while training, which has a peak of its own."""
        if self.is_train:
            self.test()
            return None, None
        return cost(self.test, self.device)

    def _taken(self, visuals: dict[str, Tensor], finite: bool) -> tuple[dict[str, float], str]:
        """`take_metrics` of a picture, which has none where the output was not finite."""
        blocks = self.opt["val"].get("metrics") or {}
        if finite:
            return take_metrics(self.measured(visuals), blocks)
        taken = [name for name, block in blocks.items() if "gt" in visuals or not compares(block)]
        return dict.fromkeys(taken, math.nan), "the network's output is not finite"

    def _let_go(self) -> None:
        """Free what has been restored."""
        for key in {"lq", "gt", "output"} & set(vars(self)):
            delattr(self, key)

    def as_picture(self, output: Tensor) -> np.ndarray:
        """What is saved of an output (1, C, H, W) in [0, 1]: (H, W, C), BGR, or (H, W), rounded to uint8, or
        to uint16 with `val:bits: 16`.
        """
        if self.opt["val"].get("bits") != 16:
            return np.asarray(tensor2img([output], rgb2bgr=self.in_bgr()))
        return np.rint(self.as_exact_picture(output) * 65535).astype(np.uint16)

    def as_exact_picture(self, output: Tensor) -> np.ndarray:
        """The same before rounding: float64 in [0, 1]."""
        exactly: Any = np.float64
        return np.asarray(tensor2img([output], rgb2bgr=self.in_bgr(), out_type=exactly))

    def in_bgr(self) -> bool:
        """Whether channels are turned round for saving and measuring, as OpenCV expects."""
        return True

    def measured(self, visuals: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """What metrics get, on the scale of 0 to 255: the result as `img` and, where there is one, GT as
        `img2`, both as they would be saved.
        """
        kinds = {"img": "result", "img2": "gt"}
        pictures = {key: self.as_picture(visuals[kind]) for key, kind in kinds.items() if kind in visuals}
        return {key: p / 257 if p.dtype == np.uint16 else p for key, p in pictures.items()}  # 65535 / 255

    def test(self) -> None:
        """Restore `self.lq` (B, C, H, W) as `self.output` (B, C, sH, sW), by the EMA weights where there are
        any.

        It is padded by reflection to multiples of `val:window_size`, of which our nets have no need.  Where
        that key is missing, a net of BasicSR that works in windows gets whole ones.
        """
        net = self._validated()
        was_training = net.training
        net.eval()
        h, w = self.lq.shape[-2:]
        padded = pad_to_multiple(self.lq, self.opt["val"].get("window_size") or _window_of(net))
        # not compiled, which would begin anew with every size
        with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
            output = net(padded)
        scale = output.shape[-1] // padded.shape[-1]
        self.output = output[..., : h * scale, : w * scale]
        net.train(was_training)

    def _validated(self) -> nn.Module:
        """The net that is measured: bare, for a wrapped one would wait for the other ranks."""
        return self.net_g_ema if hasattr(self, "net_g_ema") else self.get_bare_model(self.net_g)

    def _save_picture(self, picture: np.ndarray, dataset: str, name: str, current_iter) -> None:
        folder, end = Path(self.opt["path"]["visualization"]), Path(name).name
        if self.is_train:
            path = folder / name / f"{end}_{current_iter}.png"
        else:
            path = folder / dataset / f"{name}_{self.opt['val'].get('suffix') or self.opt['name']}.png"
        try:
            write_picture(path, picture)
        except OSError as error:
            if not self.is_train:
                raise
            get_root_logger().warning(f"{path}: not saved: {error.strerror}; training goes on")

    def _log_validation_metric_values(self, current_iter, dataset_name, tb_logger) -> None:
        if self.is_train:
            super()._log_validation_metric_values(current_iter, dataset_name, tb_logger)
            return
        # a test has one result: BasicSR would call it the best, at an iteration that is the run's name
        values = "".join(f"\t # {metric}: {value:.4f}\n" for metric, value in self.metric_results.items())
        get_root_logger().info(f"Test {dataset_name}\n{values}")


def _sample(dataset: str, name: str, visuals: dict[str, Tensor]) -> Sample:
    def picture(tensor: Tensor) -> np.ndarray:
        pixels = np.asarray(tensor2img([tensor[:, :3]], rgb2bgr=False))  # the first view of a pair
        return pixels if pixels.ndim == 3 else pixels[..., None]

    gt = visuals.get("gt")
    shown = picture(visuals["lq"]), picture(visuals["result"])
    return Sample(dataset, name, *shown, None if gt is None else picture(gt))


def _window_of(net: nn.Module) -> int:
    """The side of the windows of a net of BasicSR, which does not pad by itself; else 1."""
    if not type(net).__module__.startswith("basicsr."):
        return 1
    windows = (getattr(module, "window_size", None) for module in net.modules())
    return next((window for window in windows if isinstance(window, int)), 1)
