"""A network that can be followed by hand, and the model that trains it."""

import torch
from tiny import tiny_options
from torch import Tensor, nn

from ir_plugins.models import RestorationModel
from ir_plugins.options.reading import complete

NETWORK = {"type": "SmallNet"}
FOLDERS = ("models", "training_states", "visualization")


class SmallNet(nn.Module):
    """x2, of 3 channels; `norm` adds a layer with buffers."""

    def __init__(self, *, width: int = 5, norm: bool = False):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.last = nn.Conv2d(width, 12, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, 2H, 2W)"""
        return nn.functional.pixel_shuffle(self.last(torch.tanh(self.norm(self.first(x)) * self.gain)), 2)


class Pair(nn.Module):
    """A loss of two halves, as BasicSR's perceptual one is; a half without a weight is None."""

    def __init__(self, *, first: float | None = 0.5, second: float | None = 0.25):
        super().__init__()
        self.weights = first, second

    def forward(self, output: Tensor, gt: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """(B, C, H, W), (B, C, H, W) -> the weighted means of squared and of absolute errors"""
        errors = (output - gt).square().mean(), (output - gt).abs().mean()
        found = [None if w is None else w * error for w, error in zip(self.weights, errors, strict=True)]
        return found[0], found[1]


def small_options(*, network: dict | None = None, **train) -> dict:
    """Complete options of a run that trains SmallNet with plain SGD; None removes a key of `train`."""
    options = tiny_options()
    options["network_g"] = network or NETWORK
    options["train"] |= {"optim_g": {"type": "SGD", "lr": 0.1, "momentum": 0.5}, "ema_decay": 0} | train
    options["train"] = {key: value for key, value in options["train"].items() if value is not None}
    return complete(options, is_train=True) | {"dist": False, "rank": 0, "world_size": 1}


def small_model(
    *, seed: int = 1, kind: type[RestorationModel] = RestorationModel, **options
) -> RestorationModel:
    """A model with these options, which are those of `small_options`; one seed gives one set of weights."""
    torch.manual_seed(seed)
    return kind(small_options(**options))


def batches(count: int, batch: int = 6) -> list[dict[str, Tensor]]:
    """Random pairs, the same ones each time; LQ (batch, 3, 7, 5)."""
    generator = torch.Generator().manual_seed(3)

    def picture(scale: int) -> Tensor:
        return torch.rand(batch, 3, 7 * scale, 5 * scale, generator=generator)

    return [{"lq": picture(1), "gt": picture(2)} for _ in range(count)]


def train_on(
    model: RestorationModel, data: list[dict[str, Tensor]], first: int = 1
) -> list[dict[str, float]]:
    """One iteration for each batch, as a run does it.  Returns the log of each."""
    logs = []
    for iteration, batch in enumerate(data, first):
        model.update_learning_rate(iteration, model.opt["train"].get("warmup_iter", -1))
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        logs.append(dict(model.get_current_log()))
    return logs


def content(model: RestorationModel) -> dict[str, Tensor]:
    """Copies of everything that a step changes: weights, buffers, their average, the optimizer's state."""
    found = {f"net {name}": value for name, value in model.net_g.state_dict().items()}
    if hasattr(model, "net_g_ema"):
        found |= {f"ema {name}": value for name, value in model.net_g_ema.state_dict().items()}
    for number, state in model.optimizer_g.state_dict()["state"].items():
        found |= {f"{name} {number}": torch.as_tensor(v) for name, v in state.items() if v is not None}
    return {name: value.clone() for name, value in found.items()}


def largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Between two `content`s, which must hold the same."""
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)
