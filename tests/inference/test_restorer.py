"""A net as a function from pictures to pictures."""

import fresh
import pytest
import torch
from torch import nn

from ir_plugins.archs.declaration import Declares, facts
from ir_plugins.inference import Restorer

from basicsr.archs.rrdbnet_arch import RRDBNet
from basicsr.archs.swinir_arch import SwinIR


class Enlarging(nn.Module):
    """Repeats each pixel and remembers the shapes that it got; `norm` has statistics that training moves."""

    def __init__(self, scale=2):
        super().__init__()
        self.scale, self.given = scale, []
        self.norm = nn.BatchNorm2d(3)
        self.frozen = nn.Dropout().eval()

    def forward(self, x):
        self.given.append(tuple(x.shape))
        return self.norm(x).repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


class Declared(Enlarging):
    declares = Declares(size_multiple=6)


def enlarged(x, scale):
    """Without the net: an untrained norm in eval mode divides by sqrt(1 + 1e-5)."""
    return nn.functional.interpolate(x / (1 + 1e-5) ** 0.5, scale_factor=scale, mode="nearest")


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("multiple, padded", [(None, (7, 11)), (1, (7, 11)), (4, (8, 12)), (13, (13, 13))])
def test_pictures_are_padded_and_cropped(scale, multiple, padded):
    net, x = Enlarging(scale), torch.rand(2, 3, 7, 11)
    y = Restorer(net, size_multiple=multiple)(x)
    assert net.given == [(2, 3, *padded)]
    assert torch.allclose(y, enlarged(x, scale), atol=1e-6) and y.shape == (2, 3, 7 * scale, 11 * scale)


def test_padding_is_by_reflection():
    seen = []
    net = Enlarging(1)
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 3, 5, 7)
    Restorer(net, size_multiple=4)(x)
    assert torch.equal(seen[0], nn.functional.pad(x, (0, 1, 0, 3), "reflect"))


@pytest.mark.parametrize("training", [True, False])
def test_the_net_is_left_as_it_was(training):
    net = Enlarging().train(training)
    net.frozen.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    y = Restorer(net)(torch.rand(1, 3, 5, 6))
    assert net.training == net.norm.training == training and not net.frozen.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert y.is_inference() and not y.requires_grad


def test_the_net_is_left_as_it_was_by_an_error_too():
    net = Enlarging()
    net.norm = nn.BatchNorm2d(4)
    with pytest.raises(RuntimeError):
        Restorer(net)(torch.rand(1, 3, 5, 6))
    assert net.training and net.norm.training and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("most, counts", [(None, [5]), (2, [2, 2, 1]), (5, [5]), (9, [5])])
def test_no_more_pictures_at_once_than_max_batch(most, counts):
    net, x = Enlarging(), torch.rand(5, 3, 3, 4)
    y = Restorer(net, max_batch=most)(x)
    assert [shape[0] for shape in net.given] == counts
    assert torch.equal(y, Restorer(net)(x))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision(precision):
    torch.manual_seed(0)
    net, x = nn.Conv2d(3, 3, 3, padding=1), torch.rand(1, 3, 9, 8)
    seen = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    exact, y = Restorer(net)(x), Restorer(net, precision=precision)(x)
    assert seen == [torch.float32, {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]]
    assert y.dtype == torch.float32 and 0 < (y - exact).abs().max() < 0.02


def test_what_is_around_does_not_change_the_precision():
    net, x = nn.Conv2d(3, 3, 3, padding=1), torch.rand(1, 3, 9, 8)
    with torch.autocast("cpu", torch.bfloat16):
        inside = Restorer(net)(x)
    assert torch.equal(inside, Restorer(net)(x))


def test_a_compiled_net_is_not_used():
    def refuse(graph, inputs):
        raise AssertionError("compiled")

    net, x = Enlarging(), torch.rand(1, 3, 5, 6)
    plain = Restorer(net)(x)
    net.compile(backend=refuse)
    assert torch.equal(Restorer(net)(x), plain)


def test_the_device_is_that_of_the_net_and_the_result_comes_back():
    net = nn.Conv2d(3, 3, 1)
    assert Restorer(net, device="cpu")(torch.rand(1, 3, 2, 2)).device.type == "cpu"
    moved = Restorer(net, device="meta")
    assert net.weight.device.type == "meta" and moved.net is net


RRDB = RRDBNet(3, 3, scale=2, num_feat=2, num_block=1, num_grow_ch=2)


def test_the_size_multiple_is_the_declared_one():
    assert Restorer(Enlarging()).size_multiple == 1 and Restorer(Declared()).size_multiple == 6
    assert Restorer(Declared(), size_multiple=3).size_multiple == 3


@pytest.mark.parametrize(
    "net", [RRDB, SwinIR(img_size=10, window_size=5, embed_dim=4, depths=[1], num_heads=[1])]
)
def test_a_size_multiple_that_depends_on_arguments_must_be_given(net):
    with pytest.raises(ValueError, match=r"size multiple of .* depends on how it was built; give size_mult"):
        Restorer(net)


def test_odd_sizes_go_through_nets_that_need_whole_ones():
    multiple = facts(RRDBNet, {"num_in_ch": 3, "num_out_ch": 3, "scale": 2}).size_multiple
    assert Restorer(RRDB, size_multiple=multiple)(torch.rand(1, 3, 7, 5)).shape == (1, 3, 14, 10)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"precision": "half"}, "precision='half'; use one of fp32, bf16, fp16"),
        ({"size_multiple": 0}, "size_multiple=0 must be at least 1"),
        ({"max_batch": 0}, "max_batch=0 must be at least 1"),
    ],
)
def test_what_means_nothing_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        Restorer(Enlarging(), **arguments)


@pytest.mark.parametrize("net", [nn.AvgPool2d(2), nn.Conv2d(3, 3, 3)])
def test_a_net_that_makes_fewer_pixels_is_refused(net):
    with pytest.raises(ValueError, match=r"the net makes .* pixels of 8x9; it must not make fewer"):
        Restorer(net)(torch.rand(1, 3, 8, 9))


class PadsAndKeeps(nn.Module):
    """Fills sides up to multiples of 8, and leaves the rest to the caller."""

    def forward(self, x):
        h, w = x.shape[-2:]
        return nn.functional.pad(x, (0, -w % 8, 0, -h % 8))


def test_padding_that_a_net_leaves_on_is_cropped():
    x = torch.rand(1, 3, 13, 17)
    assert torch.equal(Restorer(PadsAndKeeps())(x), x)


def test_a_net_that_is_not_compiled_needs_no_compiler():
    done = fresh.run("""
        import sys, torch
        from ir_plugins.inference import Restorer
        from ir_plugins.archs import Restormer
        net = Restormer(dim=4, num_blocks=[1] * 4, num_refinement_blocks=1, heads=[1, 1, 2, 2])
        Restorer(net)(torch.rand(1, 3, 7, 11))
        print("torch._dynamo" in sys.modules)
    """)
    assert done.stdout.strip() == "False", done.stderr
