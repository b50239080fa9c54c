"""Try losses, optimizers, schedulers and metrics of an option file on a few numbers.

They check their arguments late, if at all: without this, a run would fail in the middle.
"""

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from basicsr.archs import vgg_arch
from basicsr.losses.basic_loss import PerceptualLoss

from ..options.problems import reason, short, value_at
from ..options.reading import Options
from ..options.signatures import Keys, fits
from ..weights.fetching import Absent, cached

SIDE = 256  # pixels: side of the picture for metrics; NIQE needs two blocks of 96
LOSS_SIDE = 192  # pixels: the largest side of the pictures for losses; MS-SSIM needs 161


def failures(
    options: Options,
    own: Collection[Keys],
    optimizers: dict[str, Callable],
    schedulers: dict[str, Callable],
    losses: dict[str, Callable],
    metrics: dict[str, Callable],
) -> Iterator[tuple[Keys, str | Absent]]:
    """The keys of every block that fails when it is tried, and the reason or the weights that it lacks.

    A loss that fetches weights is built without them and not tried.

    Args:
        options: The whole file.
        own: Keys that the model reads itself, in blocks whose other keys are arguments.
        optimizers: Known types of `train:optim_g`; blocks of other types are skipped.
        schedulers: Known types of `train:scheduler`.
        losses: Known types of `train:NAME_opt`.
        metrics: Known types of metrics.
    """
    train, val = options.get("train") or {}, options.get("val") or {}
    attempts: list[tuple[Keys, Any, dict[str, Callable], Callable]] = [
        (("train", "optim_g"), train.get("optim_g"), optimizers, _try_optimizer),
        (("train", "scheduler"), train.get("scheduler"), schedulers, _try_scheduler),
    ]
    for name, block in train.items():
        if name.endswith("_opt") and name != "gan_opt":
            attempts.append((("train", name), block, losses, partial(_try_loss, side=_side(options))))
    for name, block in (val.get("metrics") or {}).items():
        attempts.append((("val", "metrics", name), block, metrics, _rehearse_metric))
    for keys, block, known, attempt in attempts:
        if not isinstance(block, dict) or str(block.get("type")) not in known:
            continue
        passed = {key for key in block if key not in ("type", "better") and (*keys, key) not in own}
        arguments = {key: value for key, value in block.items() if key in passed}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the run itself shows them
                attempt(known[block["type"]], arguments)
        except Absent as absent:
            yield keys, absent
        except Exception as error:  # whatever a foreign class makes of its arguments
            yield keys, f"cannot work: {reason(error)}"


def _try_optimizer(kind: Callable, arguments: Options) -> None:
    parameters = [nn.Parameter(torch.ones(shape)) for shape in ((3,), (2, 3), (2, 3, 3, 3))]
    with _without_compiler():
        optimizer = kind(parameters, **arguments)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    with torch.set_grad_enabled(bool(optimizer.defaults.get("differentiable"))):
        inspect.unwrap(type(optimizer).step)(optimizer)
    if not all(parameter.isfinite().all() for parameter in parameters):
        raise ValueError("one step makes the weights infinite")


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Undo a decorator of torch.optim that imports torch's compiler, which takes a second."""
    base = torch.optim.Optimizer
    decorated = base.add_param_group
    base.add_param_group = inspect.unwrap(decorated)
    try:
        yield
    finally:
        base.add_param_group = decorated


def _try_scheduler(kind: Callable, arguments: Options) -> None:
    with _without_compiler():
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=1.0)
    scheduler = kind(optimizer, **arguments)
    scheduler.step()
    if not all(np.isfinite(rate) for rate in scheduler.get_last_lr()):
        raise ValueError(f"gives the learning rate {scheduler.get_last_lr()}")


def _side(options: Options) -> int:
    """The side of the smallest training patch, at most LOSS_SIDE."""
    data = value_at(options, "datasets", "train")
    stages = value_at(options, "train", "progressive", "patch_sizes") or value_at(data, "gt_sizes")
    return min([LOSS_SIDE, *(stages or [value_at(data, "gt_size") or LOSS_SIDE])])


def _try_loss(kind: Callable, arguments: Options, side: int) -> None:
    if kind is PerceptualLoss:
        _check_perceptual(**arguments)
    elif getattr(kind, "fetches_weights", False):
        with torch.device("meta"):
            kind(**arguments)
        if find := getattr(kind, "find_weights", None):
            find(**arguments)
    if fetches(kind):
        return
    prediction, target = torch.rand(2, 1, 3, side, side)
    value = kind(**arguments)(prediction.requires_grad_(), target)
    if value.ndim:
        raise ValueError(f"gives {value.numel()} numbers instead of one")
    if not value.isfinite():
        raise ValueError(f"is no finite number but {value.detach()}")
    value.backward()


def _check_perceptual(
    layer_weights: Any, vgg_type: Any = "vgg19", criterion: Any = "l1", **arguments: Any
) -> None:
    """What BasicSR's perceptual loss would find out when it has read 500 MB of weights, or not at all."""
    if str(vgg_type).removesuffix("_bn") not in vgg_arch.NAMES:
        raise ValueError(f"vgg_type is {vgg_type!r}; expected one of {', '.join(vgg_arch.NAMES)}, or one _bn")
    names = vgg_arch.NAMES[vgg_type.removesuffix("_bn")]
    names = vgg_arch.insert_bn(names) if vgg_type.endswith("_bn") else names
    if not isinstance(layer_weights, dict) or not layer_weights:
        raise ValueError("layer_weights must name layers and their weights, as {conv5_4: 1.0}")
    for name, weight in layer_weights.items():
        if name not in names or not fits(weight, float):
            raise ValueError(
                f"layer_weights: {name}: {short(weight)}; expected a layer of {vgg_type} and a number"
            )
    if criterion not in ("l1", "fro"):  # its l2 cannot be built
        raise ValueError(f"criterion is {criterion!r}; expected l1 or fro")
    if not Path(vgg_arch.VGG_PRETRAIN_PATH).exists():
        cached(vgg_type)


def fetches(kind: Any) -> bool:
    """Whether a loss takes weights from a cache or fetches them when it is built.

    Args:
        kind: The class.
    """
    return kind is PerceptualLoss or getattr(kind, "fetches_weights", False)


def _rehearse_metric(kind: Callable, arguments: Options) -> None:
    if rehearse := getattr(kind, "rehearse", None):  # the metric itself would fetch weights
        rehearse(**arguments)
    else:
        try_metric(kind, arguments)


def try_metric(kind: Callable, arguments: Options) -> None:
    """Measure two pictures.

    Args:
        kind: The metric.
        arguments: Those of its block.

    Raises:
        ValueError: The result is no finite number.
        Exception: Any other error of the metric.
    """
    gt = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    value = kind(img=gt ^ 7, img2=gt, **arguments)  # similar, since some metrics align the two first
    if not np.isfinite(float(value)):
        raise ValueError(f"gives {value}")
