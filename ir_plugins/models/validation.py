"""Restore and measure whole datasets, shared between the ranks."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from basicsr.utils import get_root_logger, tensor2img

from ..archs.declaration import facts
from ..inference import Restorer
from ..pictures.alpha import with_alpha
from ..pictures.writing import write_picture
from ..runtime.distributed import as_on_first_rank, gathered, on_any_rank
from ..runtime.errors import Stopped
from ..runtime.machine import cost
from ..runtime.randomness import kept_random_state
from .baseline import InputMetrics, input_title
from .results import (
    PictureResult,
    SetResult,
    baseline_means,
    compares,
    first_fault,
    means,
    measure,
    not_finite,
    picture_name,
)
from .samples import Sample, strip
from .saving import SavingModel

SHOWN = 3  # pictures of each dataset that are kept to look at


class ValidatingModel(SavingModel):
    """SavingModel with a validation of its own.

    BasicSR's runs on one rank while the others wait, until a timeout, and on the wrapped network, which ends
    in a deadlock; it cannot measure before rounding, and keeps no picture.
    """

    metric_results: dict[str, float]
    # for subclasses whose `validation` does not take or return what this one does
    validation_settings: tuple[Callable[[], bool] | None, bool] | None = None
    last_result: SetResult | None = None
    known_inputs: dict[str, Any] | None = None  # by dataset, what its InputMetrics remembered; a run keeps it

    def validation(
        self,
        dataloader: DataLoader,
        current_iter: int | str,
        tb_logger: Any,
        save_img: bool = False,
        *,
        interrupted: Callable[[], bool] | None = None,
        chooses_best: bool = True,
    ) -> SetResult:
        """Restore every picture of a dataset, measure it, log the means, and save pictures.

        Each rank takes every `world_size`-th picture.  All ranks return the same result, which equals that of
        a single process to the last digit.

        Args:
            dataloader: Gives the dataset picture by picture.
            current_iter: The iteration; the run's name in a test.
            tb_logger: A SummaryWriter; None: no TensorBoard.
            save_img: Whether the results are written as pictures.
            interrupted: Asked before each picture whether to stop; default: never.
            chooses_best: Whether these weights may become net_g_best.pth.

        Raises:
            Stopped: On all ranks, if one is interrupted.
        """
        if self.validation_settings is not None:
            interrupted, chooses_best = self.validation_settings
        stops = interrupted or (lambda: False)
        dataset = dataloader.dataset.opt["name"]  # pyright: ignore[reportAttributeAccessIssue]
        # the statistics of norms differ between ranks, and rank 0 saves its own
        as_on_first_rank(self._validated().buffers())
        inputs = self._inputs(dataloader.dataset)
        with kept_random_state():
            found = list(self._restored(dataloader, current_iter, save_img, stops, inputs))
        if on_any_rank(stops()):
            raise Stopped(0)
        found = sorted((one for ones in gathered(found) for one in ones), key=itemgetter(0))
        pictures = [picture for _, picture, _ in found]
        samples = [sample for _, _, sample in found if sample is not None]
        if self.known_inputs is not None:
            self.known_inputs[dataset] = inputs.remembered(pictures)
        if self.is_train and (fault := first_fault(pictures)):
            get_root_logger().warning(f"{fault}; training continues")
        found_means = {}
        if self.opt["val"].get("metrics"):
            found_means = self._sum_up(dataset, pictures, current_iter, tb_logger, chooses_best=chooses_best)
        if tb_logger and self.is_train:
            for sample in samples:
                tag = f"{dataset}/{sample.name}"
                tb_logger.add_image(tag, strip(sample), current_iter, dataformats="HWC")
        self.last_result = SetResult(dataset, found_means, pictures, samples)
        return self.last_result

    def _sum_up(
        self, dataset: str, pictures: list[PictureResult], current_iter, tb_logger, *, chooses_best: bool
    ) -> dict[str, float]:
        """Log the means, which become BasicSR's `metric_results`, and keep the best so far."""
        metrics = self.opt["val"]["metrics"]
        found = means(pictures, metrics)
        if self.is_train:
            # weights that fail on a picture must not gain from its being left out
            failing = {name for one in pictures for name, value in one.metrics.items() if math.isnan(value)}
            found |= dict.fromkeys(failing, math.nan)
        self.metric_results = found
        self._initialize_best_metric_results(dataset)
        before = deepcopy(self.best_metric_results[dataset])
        for name, value in found.items():
            self._update_best_metric_result(dataset, name, value, current_iter)
        if self.is_train and chooses_best:
            self._keep_best(dataset, before, current_iter)
        if self.opt["rank"] == 0 and found:
            self._log_validation_metric_values(current_iter, dataset, tb_logger)
            if of_inputs := baseline_means(pictures, metrics):
                values = ", ".join(f"{name} {value:.4f}" for name, value in of_inputs.items())
                get_root_logger().info(f"For comparison, {dataset}'s {input_title(pictures)}: {values}")
            # a test writes these lines below its table
            for note in not_finite(pictures, metrics) if self.is_train else ():
                get_root_logger().info(note)
        return dict(found)

    def _restored(
        self, dataloader, current_iter, save_img, stops: Callable[[], bool], inputs: InputMetrics
    ) -> Iterator[tuple[int, PictureResult, Sample | None]]:
        """For each picture of this rank: its index, its result, and a sample if it is among the first."""
        rank, world_size = self.opt["rank"], self.opt.get("world_size", 1)
        dataset = dataloader.dataset
        if world_size > 1:
            mine = Subset(dataset, range(rank, len(dataset), world_size))
            dataloader = DataLoader(mine, batch_size=1, pin_memory=dataloader.pin_memory)
        bar = tqdm(total=len(dataloader), unit="image", disable=rank > 0 or not self.opt["val"].get("pbar"))
        self._let_go()  # else a set without GT would be compared with the training's GT
        for index, data in zip(range(rank, len(dataset), world_size), dataloader, strict=True):
            if stops():
                break
            title = picture_name(data, dataset.opt)
            self.feed_data(data)
            seconds, peak = self._cost_of_test()
            visuals = self.get_current_visuals()
            self._let_go()  # the next picture may be larger
            if not (finite := bool(visuals["result"].isfinite().all())):
                visuals["result"] = visuals["result"].nan_to_num(0)
            if save_img:
                picture = self.as_picture(visuals["result"])
                if "alpha" in data:
                    picture = with_alpha(picture, data["alpha"][0].numpy())
                self._save_picture(picture, dataset.opt["name"], title, current_iter)
            values, fault = self._measured_values(visuals, finite)
            group = dataset.groups[index] if getattr(dataset, "groups", None) else ""
            size = visuals["result"].shape[-2:]
            of_input, times = inputs.of(index, visuals, self.measured)
            result = PictureResult(
                dataset.opt["name"], group, title, *size, values, seconds, peak, fault, of_input, times
            )
            yield index, result, _sample(result.dataset, title, visuals) if index < SHOWN else None
            bar.set_description(f"Test {title}", refresh=False)
            bar.update()
        bar.close()

    def _cost_of_test(self) -> tuple[float | None, int | None]:
        """Restore `self.lq`.  Returns seconds and bytes; None while training, which has a peak of its own."""
        if self.is_train:
            self.test()
            return None, None
        return cost(self.test, self.device)

    def _measured_values(self, visuals: dict[str, Tensor], finite: bool) -> tuple[dict[str, float], str]:
        """`results.measure` of a picture; all NaN if the output is not finite."""
        blocks = self.opt["val"].get("metrics") or {}
        if finite:
            return measure(self.measured(visuals), blocks)
        names = [name for name, block in blocks.items() if "gt" in visuals or not compares(block)]
        return dict.fromkeys(names, math.nan), "the network's output is not finite"

    def _inputs(self, dataset: Any) -> InputMetrics:
        earlier = (self.known_inputs or {}).get(dataset.opt["name"])
        return InputMetrics(dataset.opt, self.opt["val"], len(dataset), earlier)

    def _let_go(self) -> None:
        """Free what has been restored."""
        for key in {"lq", "gt", "output"} & set(vars(self)):
            delattr(self, key)

    def as_picture(self, output: Tensor) -> np.ndarray:
        """An output as a picture file holds it.

        Args:
            output: (1, C, H, W) in [0, 1].

        Returns:
            (H, W, 3), BGR, or (H, W), rounded to uint8; to uint16 with `val:bits: 16`.
        """
        if self.opt["val"].get("bits") != 16:
            return np.asarray(tensor2img([output], rgb2bgr=self.in_bgr()))
        return np.rint(self.as_exact_picture(output) * 65535).astype(np.uint16)

    def as_exact_picture(self, output: Tensor) -> np.ndarray:
        """The same before rounding: float64 in [0, 1]."""
        exactly: Any = np.float64
        return np.asarray(tensor2img([output], rgb2bgr=self.in_bgr(), out_type=exactly))

    def in_bgr(self) -> bool:
        """Whether the order of channels is reversed for saving and measuring, as OpenCV expects."""
        return True

    def measured(self, visuals: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """The pictures that metrics get, on the scale of 0 to 255, as they would be saved.

        Args:
            visuals: `result` and, if there is one, `gt`, each (1, C, H, W).

        Returns:
            The result as `img` and GT as `img2`.
        """
        kinds = {"img": "result", "img2": "gt"}
        pictures = {key: self.as_picture(visuals[kind]) for key, kind in kinds.items() if kind in visuals}
        return {key: p / 257 if p.dtype == np.uint16 else p for key, p in pictures.items()}  # 65535 / 255

    def test(self) -> None:
        """Restore `self.lq` (B, C, H, W) as `self.output` (B, C, sH, sW), with the EMA weights if it has any.

        Pictures are padded to multiples of `val:window_size`, or of the size multiple that the net declares.
        """
        self.output = self._restorer()(self.lq)

    def _restorer(self) -> Restorer:
        net = self._validated()
        multiple = self.opt["val"].get("window_size") or facts(type(net), self._arguments()).size_multiple
        return Restorer(net, size_multiple=multiple, max_batch=self.max_batch())

    def max_batch(self) -> int | None:
        """The most pictures of a batch that go through the net at once; None: all."""
        return None

    def _validated(self) -> nn.Module:
        """The net that is measured, without DistributedDataParallel, which would wait for the other ranks."""
        return self.net_g_ema if hasattr(self, "net_g_ema") else self.get_bare_model(self.net_g)

    def _save_picture(self, picture: np.ndarray, dataset: str, name: str, current_iter) -> None:
        folder, end = Path(self.opt["path"]["visualization"]), Path(name).name
        if self.is_train:
            path = folder / name / f"{end}_{current_iter}.png"
        else:
            suffix = self.opt["val"].get("suffix")
            end = "" if suffix == "" else f"_{suffix or self.opt['name']}"
            path = folder / dataset / f"{name}{end}.png"
        try:
            write_picture(path, picture)
        except OSError as error:
            if not self.is_train:
                raise
            get_root_logger().warning(f"{path}: not saved: {error.strerror or error}; training continues")

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
