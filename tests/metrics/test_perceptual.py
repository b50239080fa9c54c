"""Stubs stand in for both packages: no network, and no weights."""

import socket
import sys
import warnings
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import numpy as np
import pytest
import torch
import yaml
from tiny import tiny_options
from torch import nn

from ir_plugins.checks import option_file
from ir_plugins.metrics import dists, lpips, perceptual
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.randomness import random_state

PACKAGES = {"lpips": "lpips", "dists": "DISTS_pytorch"}
METRICS = {"lpips": lpips, "dists": dists}


class Stub(nn.Module):
    """The mean absolute difference, weighted R, G, B = 1, 2, 4 and by what training left."""

    built = 0
    alpha: nn.Parameter

    def __init__(self, fault: Exception | None = None, **arguments):
        super().__init__()
        type(self).built += 1
        warnings.warn("deprecated", UserWarning, stacklevel=1)
        if fault:
            raise fault
        self.arguments, self.seen = arguments, []
        self.alpha = nn.Parameter(torch.randn(()))
        self.dropout = nn.Dropout()

    def forward(self, x, y, **arguments):
        self.seen.append((x, y, arguments))
        weights = torch.tensor([1.0, 2.0, 4.0])[:, None, None]
        return (self.dropout(x - y).abs() * weights).mean().reshape(1, 1, 1, 1)


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """Stubs of both; a fault put under "fault" is raised when a net is built."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(Stub, "built", 0)
    chosen = {"fault": None}
    for name, kind in (("lpips", "LPIPS"), ("DISTS_pytorch", "DISTS")):
        package = ModuleType(name)
        package.__file__ = str(tmp_path / "__init__.py")
        setattr(package, kind, lambda **arguments: Stub(chosen["fault"], **arguments))
        monkeypatch.setitem(sys.modules, name, package)
    torch.save({"alpha": torch.tensor(0.25)}, tmp_path / "weights.pt")
    for build in (perceptual._lpips, perceptual._dists):
        build.cache_clear()
    yield chosen
    for build in (perceptual._lpips, perceptual._dists):
        build.cache_clear()


def pair(*shape, dtype=np.uint8):
    return tuple(np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(dtype))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_nets_see_rgb_in_0_to_1(packages, name, dtype):
    result, gt = pair(31, 37, 3, dtype=dtype)
    found = METRICS[name](result, gt)
    difference = np.abs(result / 255.0 - gt / 255.0)[..., ::-1]
    assert type(found) is float
    assert found == pytest.approx((difference * [1, 2, 4]).mean(), rel=1e-5)
    net = getattr(perceptual, f"_{name}")()
    ((x, y, arguments),) = net.seen
    assert x.shape == y.shape == (1, 3, 31, 37) and x.dtype == torch.float32 and x.device.type == "cpu"
    assert arguments == ({"normalize": True} if name == "lpips" else {})  # which makes it -1..1


@pytest.mark.parametrize("name", METRICS)
def test_gray_is_three_equal_channels_and_overshoot_clamped(packages, name):
    result, gt = pair(33, 35, dtype=np.float64)
    result[3, 5] = 999
    METRICS[name](result, gt[..., None])
    ((x, _, _),) = getattr(perceptual, f"_{name}")().seen
    assert torch.equal(x[:, 0], x[:, 1]) and torch.equal(x[:, 0], x[:, 2]) and x.max() == 1


@pytest.mark.parametrize("name", METRICS)
def test_data_range_is_the_value_of_white(packages, name):
    result, gt = pair(31, 37, 3)
    scaled = METRICS[name](result / 255, gt / 255, data_range=1.0)
    assert scaled == pytest.approx(METRICS[name](result, gt), rel=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_nets_are_built_once_in_silence_frozen_and_draw_no_numbers(packages, name):
    before = random_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        METRICS[name](*pair(31, 37, 3))
        METRICS[name](*pair(41, 43, 3))
    assert Stub.built == 1
    after = random_state()
    assert torch.equal(before["torch"], after["torch"]) and before["python"] == after["python"]
    net = getattr(perceptual, f"_{name}")()
    assert not net.training and not net.alpha.requires_grad
    wanted = {"net": "alex", "verbose": False} if name == "lpips" else {"load_weights": False}
    assert net.arguments == wanted
    assert name == "lpips" or net.alpha == 0.25  # from the package's own folder


@pytest.mark.parametrize("name", METRICS)
def test_a_missing_package_is_reported(packages, name, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(UserError) as told:
        METRICS[name](*pair(31, 37, 3))
    line = str(told.value)
    assert line.startswith(f"{name}: package {PACKAGES[name]} cannot be imported (")
    assert line.endswith(f"; pip install {PACKAGES[name]}") and "\n" not in line


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("fault", [URLError("no route\nto host"), RuntimeError("invalid hash"), OSError()])
def test_missing_weights_are_reported_in_one_line(packages, name, fault):
    packages["fault"] = fault
    with pytest.raises(UserError) as told:
        METRICS[name](*pair(31, 37, 3))
    (line,) = str(told.value).splitlines()
    assert line.startswith(f"{name}: its weights cannot be had: ") and "checkpoints" in line
    packages["fault"] = None
    assert METRICS[name](*pair(31, 37, 3)) > 0  # once they are there


@pytest.mark.parametrize("name", METRICS)
def test_a_damaged_weight_file_is_reported(packages, name, tmp_path, monkeypatch):
    """The packages would measure with it."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = (
        tmp_path / "checkpoints" / {"lpips": "alexnet-owt-7be5be79.pth", "dists": "vgg16-397923af.pth"}[name]
    )
    file.parent.mkdir()
    torch.save({"weight": torch.ones(100)}, file)
    METRICS[name](*pair(31, 37, 3))
    getattr(perceptual, f"_{name}").cache_clear()
    whole = file.read_bytes()
    at = whole.index(torch.ones(100).numpy().tobytes())
    file.write_bytes(whole[:at] + b"\1" + whole[at + 1 :])
    with pytest.raises(UserError, match=rf"^{name}: .*{file.name}: cannot be read: damaged"):
        METRICS[name](*pair(31, 37, 3))


def test_pictures_that_cannot_work_are_reported(packages):
    with pytest.raises(UserError, match="lpips: a picture of 30x37 is too small, its least side is 31"):
        lpips(*pair(30, 37, 3))
    with pytest.raises(UserError, match="dists: sees RGB or gray, not 4 channels"):
        dists(*pair(31, 37, 4))


@pytest.mark.parametrize("name", METRICS)
def test_the_check_builds_nothing_but_misses_a_package(packages, name, workplace, monkeypatch):
    options = tiny_options()
    options["val"]["metrics"] = {"far": {"type": name}}
    Path("tiny.yml").write_text(yaml.safe_dump(options))
    option_file.check(options, "tiny.yml", is_train=True)
    assert Stub.built == 0
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(UserError, match=f"val:metrics:far: cannot work: package {PACKAGES[name]} cannot be"):
        option_file.check(options, "tiny.yml", is_train=True)
