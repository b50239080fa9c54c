# ruff: noqa  (as others write it)
from torch import nn

from basicsr.archs.arch_util import make_layer, trunc_normal_
from basicsr.utils.registry import ARCH_REGISTRY


class Layer(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 3, 3, 1, 1), nn.ReLU())


@ARCH_REGISTRY.register()
class StackNet(nn.Module):
    """Convolutions, written as plugins for BasicSR are."""

    def __init__(self, num_block=2, **kwargs):
        super(StackNet, self).__init__()
        self.body = make_layer(Layer, num_block)
        trunc_normal_(self.body[0][0].weight, std=0.02)

    def forward(self, x):
        return x + self.body(x)
