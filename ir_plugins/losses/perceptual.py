"""Perceptual loss: it compares features of a classifier."""

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from basicsr.utils.registry import LOSS_REGISTRY

from ..runtime.arguments import check_choice, check_side
from ..runtime.errors import UserError
from ..weights.fetching import Absent, address, cached, fetch
from ..weights.files import read_weights
from .pairs import full_precision

VGGS = ("vgg11", "vgg13", "vgg16", "vgg19")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's R, G and B
WAY_OUT = "put that file there, or name a copy of it in `weights`"
CRITERIA = {"l1": F.l1_loss, "l2": F.mse_loss}


@LOSS_REGISTRY.register()
class VGGPerceptualLoss(nn.Module):
    """Distance of VGG features before their ReLU (Johnson et al. 2016; ESRGAN, section 3.3).

    The sum over layers of weight · mean |φ(pred) - φ(target)|, φ the features of ImageNet's classifier.

    BasicSR's PerceptualLoss fetches VGG19 whenever it is built, cannot build its criterion l2, and returns a
    pair, which BasicSR's models expect of `perceptual_opt`.  This one returns one number, and any block of
    RestorationModel can name it.  VGG is torchvision's, frozen, and ends at the deepest layer.  On the meta
    device no weights are read.

    Args:
        layer_weights: A weight for each layer, {conv5_4: 1.0}; layers are conv1_1 ... conv5_4 (of VGG19).
        loss_weight: A factor.
        vgg_type: Which VGG, without batch norm.
        weights: A file of torchvision's weights; default: torchvision's own, from the cache of torch.hub or
            fetched into it.
        criterion: l1, the mean absolute difference, or l2, the mean square.

    Raises:
        ValueError: An argument names what is not there.
        UserError: The weights cannot be read or fetched, or are not VGG's.
    """

    fetches_weights = True
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        layer_weights: dict,
        loss_weight: float = 1.0,
        vgg_type: Literal["vgg11", "vgg13", "vgg16", "vgg19"] = "vgg19",
        weights: str | None = None,
        criterion: Literal["l1", "l2"] = "l1",
    ):
        super().__init__()
        check_choice("vgg_type", vgg_type, VGGS)
        check_choice("criterion", criterion, CRITERIA)
        layers = vgg_features(vgg_type)
        names = layer_names(layers)
        if not isinstance(layer_weights, dict) or not layer_weights:
            raise ValueError(f"{layer_weights=} must name layers and their weights, as {{conv5_4: 1.0}}")
        for name, weight in layer_weights.items():
            check_choice("a key of layer_weights", name, (n for n in names if n.startswith("conv")))
            if not isinstance(weight, int | float):
                raise ValueError(f"layer_weights: {name} is {weight!r}; expected a number")
        self.loss_weight, self.criterion = loss_weight, CRITERIA[criterion]
        self.layer_weights = {names.index(name): weight for name, weight in layer_weights.items()}
        deepest = max(self.layer_weights)
        self.least_side = 2 ** names[:deepest].count("pool")  # the poolings leave one pixel of it
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.features = layers[: deepest + 1]
        if not self.mean.is_meta:
            state = load_features(vgg_type, weights, self.features)
            self.features.load_state_dict(state, assign=True)
        self.eval().requires_grad_(False)

    @staticmethod
    def find_weights(vgg_type: str = "vgg19", weights: str | None = None, **arguments: Any) -> None:
        """Look whether the weights are there without reading them, for `basicsr check`.

        Args:
            vgg_type: As for the loss.
            weights: As for the loss.
            arguments: The other arguments, without effect.

        Raises:
            Absent: They would have to be fetched.
        """
        if weights is None:
            cached(vgg_type, WAY_OUT)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss, one number; no gradient flows to the target.

        Args:
            pred: (B, 3, H, W), RGB in 0..1.
            target: (B, 3, H, W), RGB in 0..1.

        Raises:
            ValueError: Shapes differ, are not RGB, or are too small for the poolings.
        """
        pred, target = full_precision(pred, target)
        if pred.shape[1] != 3:
            raise ValueError(f"VGG sees RGB, not {pred.shape[1]} channels; take another loss")
        check_side(*pred.shape[-2:], self.least_side, "raise gt_size, or take layers of earlier blocks")
        with torch.no_grad():
            wanted = self._layers(target)
        distances = [
            # autocast makes features half precision, but compares them in float32
            self.layer_weights[i] * self.criterion(feature, wanted[i])
            for i, feature in self._layers(pred).items()
        ]
        return self.loss_weight * torch.stack(distances).sum()

    def _layers(self, x: Tensor) -> dict[int, Tensor]:
        """The features of each layer that has a weight, (B, C', H', W')."""
        x, found = (x - self.mean) / self.deviation, {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.layer_weights:
                found[i] = x
        return found


def vgg_features(vgg_type: str) -> nn.Sequential:
    """The layers of torchvision's VGG before its classifier, without memory for weights.

    Their numbers are the keys of torchvision's weights.

    Args:
        vgg_type: One of VGGS.
    """
    from torchvision import models  # costs a second

    with torch.device("meta"):  # initial weights would cost memory, and draws of the random generator
        layers = getattr(models, vgg_type)(weights=None, init_weights=False).features
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # the feature is the ReLU's input
    return layers


def layer_names(layers: nn.Sequential) -> list[str]:
    """The names of a VGG's layers in papers, in order: conv1_1, relu, ..., pool, conv2_1, ...

    Args:
        layers: As `vgg_features` returns them.
    """
    names, block, number = [], 1, 0
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            number += 1
            names.append(f"conv{block}_{number}")
        elif isinstance(layer, nn.MaxPool2d):
            names.append("pool")
            block, number = block + 1, 0
        else:
            names.append("relu")
    return names


def load_features(vgg_type: str, path: str | Path | None, wanted: nn.Module) -> dict[str, Tensor]:
    """The float32 state dict of a VGG's layers.

    Args:
        vgg_type: One of VGGS.
        path: A file of torchvision's weights of the whole VGG; None for the one in torch.hub's cache, which
            is fetched if it is missing.
        wanted: The layers.

    Raises:
        UserError: The weights cannot be read or fetched, or are not this VGG's.
    """
    if path is None:
        try:
            path = cached(vgg_type, WAY_OUT)
        except Absent as absent:
            path = fetch(absent)
    found, state = read_weights(path), {}
    for key, value in wanted.state_dict().items():
        if (there := found.get(f"features.{key}")) is None or there.shape != value.shape:
            fault = "is missing" if there is None else f"is {list(there.shape)}, not {list(value.shape)}"
            name = Path(address(vgg_type)).name
            raise UserError(f"{path}: holds no {vgg_type}: features.{key} {fault}; take torchvision's {name}")
        state[key] = there.float()
    return state
