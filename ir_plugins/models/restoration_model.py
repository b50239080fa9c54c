"""The model that trains and validates every network here."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from basicsr.utils.registry import MODEL_REGISTRY

from ..inference.restorer import FORMATS
from ..options.problems import Problem
from ..options.reading import Options
from ..options.registries import SCHEDULERS
from ..options.signatures import takes
from ..runtime.distributed import mean_over_ranks
from ..runtime.errors import UserError
from . import restoration_options
from .buffers import BufferBackups
from .mixup import Mixup
from .parameter_groups import parameter_groups
from .validation import ValidatingModel


@MODEL_REGISTRY.register()
class RestorationModel(ValidatingModel):
    """BasicSR's SRModel for every recipe of the three papers, on modern PyTorch.

    `restoration_options.KEYS` lists the option keys that SRModel does not have.  `train:optim_g:type` is any
    class of torch.optim, `train:scheduler:type` any of `basicsr list schedulers`, and every `train:NAME_opt`
    is a loss that is added and logged as l_NAME.

    A step whose loss or gradient is not finite changes neither the weights nor their average.
    """

    option_keys = restoration_options.KEYS

    @staticmethod
    def option_problems(options: Options) -> Iterator[Problem]:
        """Problems of this model's own keys, for `checks.option_file.check`.

        Args:
            options: The whole file's.
        """
        yield from restoration_options.option_problems(options)

    def __init__(self, opt: Options):
        train = opt.get("train") or {}
        self.format = FORMATS.get(train.get("precision", ""))
        self.accumulate: int = train.get("accumulate") or 1
        self.memory = torch.channels_last if train.get("channels_last") else torch.preserve_format
        self.skipped = self.skipped_in_row = 0
        super().__init__(opt)

    def model_to_device(self, net: nn.Module) -> nn.Module:
        net = net.to(self.device)
        net.to(memory_format=self.memory)  # pyright: ignore[reportCallIssue]
        if self.is_train and self.opt["train"].get("compile"):
            net.compile()  # in place: its parameters keep their names
        if self.opt["dist"] and self.device.type == "cpu":
            # BasicSR names a GPU
            unused = self.opt.get("find_unused_parameters", False)
            return DistributedDataParallel(net, find_unused_parameters=unused)
        return super().model_to_device(net)

    def init_training_settings(self) -> None:
        super().init_training_settings()
        train = self.opt["train"]
        self.mixup = None if train.get("mixup") is None else Mixup(**train["mixup"])
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.format is torch.float16)
        usual = {"l_pix": self.cri_pix, "l_percep": self.cri_perceptual}
        self.criteria = {name: criterion for name, criterion in usual.items() if criterion is not None}
        for key, block in train.items():
            if key.endswith("_opt") and key not in ("pixel_opt", "perceptual_opt") and block:
                self.criteria[f"l_{key.removesuffix('_opt')}"] = build_loss(block).to(self.device)
        self.buffer_backups = BufferBackups(self.net_g)
        if hasattr(self, "net_g_ema"):
            self.net_g_ema.to(memory_format=self.memory)

    def setup_optimizers(self) -> None:
        # BasicSR makes one group of all parameters, and takes `type` out of the options
        arguments = dict(self.opt["train"]["optim_g"])
        net = self.get_bare_model(self.net_g)
        groups = parameter_groups(net, arguments.pop("no_decay", None))
        self.optimizer_g = self.get_optimizer(arguments.pop("type"), groups, **arguments)
        self.optimizers.append(self.optimizer_g)

    def get_optimizer(self, optim_type: str, params: list, lr: float, **kwargs) -> torch.optim.Optimizer:
        # BasicSR 1.4.2 knows Adam only
        kind = getattr(torch.optim, optim_type)
        if takes(kind, "fused") and not {"fused", "foreach", "capturable", "differentiable"} & set(kwargs):
            kwargs["fused"] = True
        return kind(params, lr=lr, **kwargs)

    def setup_schedulers(self) -> None:
        arguments = dict(self.opt["train"]["scheduler"])
        kind = SCHEDULERS[arguments.pop("type")]
        self.schedulers += [kind(optimizer, **arguments) for optimizer in self.optimizers]

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        if 1 < current_iter <= warmup_iter:
            # BasicSR's warm-up overwrites the rates that a multiplying schedule continues from
            self._set_lr([scheduler.get_last_lr() for scheduler in self.schedulers])
        super().update_learning_rate(current_iter, warmup_iter)

    @master_only
    def print_network(self, net: nn.Module) -> None:
        # BasicSR prints every layer, hundreds of lines for a transformer
        net = self.get_bare_model(net)
        count = sum(p.numel() for p in net.parameters())
        get_root_logger().info(f"Network: {type(net).__name__}, with parameters: {count:,d}")

    def feed_data(self, data: dict[str, Any]) -> None:
        super().feed_data(data)
        if self.memory is torch.channels_last:
            self.lq = self.lq.contiguous(memory_format=self.memory)

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on `self.lq` and `self.gt`, a micro-batch at a time.

        BasicSR's has one loss of each kind, one batch and one number format, and cannot skip a step.

        Args:
            current_iter: From 1; for messages, and for what a net draws once per step.
        """
        if self.mixup is not None:
            self.lq, self.gt = self.mixup(self.lq, self.gt)
        self.optimizer_g.zero_grad()
        self.buffer_backups.renew()  # the forward pass moves the statistics of norms
        parts = list(zip(self.lq.chunk(self.accumulate), self.gt.chunk(self.accumulate), strict=True))
        sums: dict[str, Tensor] = {}
        for number, (lq, gt) in enumerate(parts, 1):
            with self._ranks_meet(number == len(parts)), self._one_draw(current_iter):
                losses = self._losses(lq, gt)
                self.scaler.scale(torch.stack(list(losses.values())).sum()).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach()
        self.log_dict = self.reduce_loss_dict(OrderedDict(sums))
        if not self._step(current_iter, finite=all(map(math.isfinite, self.log_dict.values()))):
            self.buffer_backups.restore()

    def _losses(self, lq: Tensor, gt: Tensor) -> dict[str, Tensor]:
        """Every loss of a micro-batch, scaled so that the micro-batches' losses add up to the batch's."""
        enabled = self.format is not None
        with torch.autocast(self.device.type, self.format, enabled=enabled):
            self.output = self.net_g(lq)
        losses = {}
        for name, criterion in self.criteria.items():
            value = criterion(self.output.float(), gt)
            # BasicSR's perceptual loss is a pair; None stands for a part that is off
            names = (name, "l_style" if name == "l_percep" else f"{name}_style")
            named = zip(names, value if isinstance(value, tuple) else (value,), strict=False)
            share = 1 if getattr(criterion, "reduction", "mean") == "sum" else len(lq) / len(self.lq)
            losses |= {key: part * share for key, part in named if part is not None}
        return losses

    def _step(self, current_iter: int, *, finite: bool) -> bool:
        """Change the weights unless the loss or the gradient is not finite.  Returns whether they changed."""
        self.scaler.unscale_(self.optimizer_g)
        parameters = [p for group in self.optimizer_g.param_groups for p in group["params"]]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        taken = finite and bool(norm.isfinite())
        if taken:
            if limit := self.opt["train"].get("grad_clip"):
                nn.utils.clip_grads_with_norm_(parameters, limit, norm)
            self.scaler.step(self.optimizer_g)
            self.skipped_in_row = 0
            if self.ema_decay > 0:
                self.model_ema(decay=self.ema_decay)
        else:
            self._skip(current_iter, "loss" if not finite else "gradient")
        self.scaler.update()
        if self.skipped:
            self.log_dict["skipped"] = self.skipped
        return taken

    def _skip(self, current_iter: int, what: str) -> None:
        """Count a step that was not taken.  Raises UserError after too many in a row."""
        self.skipped += 1
        self.skipped_in_row += 1
        limit = self.opt["train"].get("max_nonfinite") or 100
        if self.skipped_in_row == 1:
            get_root_logger().warning(f"Iteration {current_iter}: the {what} is not finite; step skipped")
        if self.skipped_in_row >= limit:
            raise UserError(
                f"iteration {current_iter}: the {what} was not finite for {limit} steps in a row; lower "
                f"train:optim_g:lr, set train:grad_clip or precision: fp32; {self.last_good()}"
            )

    def _ranks_meet(self, meet: bool) -> AbstractContextManager:
        """Let the ranks exchange gradients once per step, after its last micro-batch."""
        if meet or not isinstance(self.net_g, DistributedDataParallel):
            return nullcontext()
        return self.net_g.no_sync()

    def _one_draw(self, current_iter: int) -> AbstractContextManager:
        """Let a net that has `one_draw(*numbers)` draw alike in all micro-batches and on all ranks."""
        one_draw = getattr(self.get_bare_model(self.net_g), "one_draw", None)
        return nullcontext() if one_draw is None else one_draw(self.opt.get("manual_seed") or 0, current_iter)

    def reduce_loss_dict(self, loss_dict: dict[str, Tensor]) -> dict[str, float]:
        # BasicSR's gives the mean to rank 0 only, but all ranks must agree whether to take the step
        values = mean_over_ranks(torch.stack([value.detach() for value in loss_dict.values()]))
        return OrderedDict(zip(loss_dict, values.tolist(), strict=True))

    def model_ema(self, decay: float = 0.999) -> None:
        """Move the average of the weights and copy the buffers, which BasicSR leaves as they began.

        Args:
            decay: The average's share of what it was, 0 to 1.
        """
        net = self.get_bare_model(self.net_g)
        average = get_ema_multi_avg_fn(decay)
        average(list(self.net_g_ema.parameters()), list(net.parameters()), None)
        for mine, theirs in zip(self.net_g_ema.buffers(), net.buffers(), strict=True):
            mine.copy_(theirs)
