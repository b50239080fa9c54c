import socket
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision

from ir_plugins.losses import VGGPerceptualLoss, perceptual
from ir_plugins.losses.perceptual import VGGS, layer_names
from ir_plugins.runtime.errors import UserError


def vgg_features(vgg_type="vgg19"):
    """torchvision's own layers, without the classifier, which has most of the memory."""
    with torch.device("meta"):
        layers = getattr(torchvision.models, vgg_type)(weights=None).features
    return layers.to_empty(device="cpu")


def write_weights(path, layers, deepest):
    """Random weights of the first `deepest` layers, which keep the size of what goes through them."""
    for layer in layers[:deepest]:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.uniform_(layer.bias)
    state = {f"features.{key}": value for key, value in layers[:deepest].state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, path)


@pytest.fixture
def file(tmp_path):
    """VGG19 up to conv3_2, the 13th layer."""
    path = tmp_path / "vgg.pth"
    write_weights(path, vgg_features(), 13)
    return str(path)


def distance(layers, pred, target, weights, criterion):
    """layers: torchvision's, whose ReLU write over what they are given; weights: by number of the layer."""
    normal = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    total = 0.0
    for number, weight in weights.items():
        a, b = (layers[: number + 1](normal(x)) for x in (pred, target))
        total += weight * ((a - b).abs() if criterion == "l1" else (a - b) ** 2).mean().item()
    return total


@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 17, 23)])
def test_it_is_the_distance_of_torchvisions_features(file, shape, criterion):
    layers = vgg_features()[:13].requires_grad_(False)
    state = torch.load(file)
    layers.load_state_dict({k.removeprefix("features."): v for k, v in state.items() if "features" in k})
    pred, target = torch.rand(2, *shape)
    loss = VGGPerceptualLoss(
        {"conv3_2": 0.5, "conv1_1": 1, "conv2_2": 0.1}, loss_weight=3, weights=file, criterion=criterion
    )
    wanted = 3 * distance(layers, pred, target, {12: 0.5, 0: 1, 7: 0.1}, criterion)
    assert loss(pred, target).item() == pytest.approx(wanted, rel=1e-4)


DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2,) * 5, "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


@pytest.mark.parametrize("vgg_type", VGGS)
def test_layers_lie_where_torchvision_has_them(vgg_type):
    depths = DEPTHS[vgg_type]  # convolutions of each block (Simonyan and Zisserman 2014, table 1)
    names = [f"conv{block}_{i + 1}" for block, depth in enumerate(depths, 1) for i in range(depth)]
    layers = perceptual.vgg_features(vgg_type)
    assert [name for name in layer_names(layers) if name.startswith("conv")] == names
    with torch.device("meta"):
        theirs = getattr(torchvision.models, vgg_type)(weights=None).features
        ours = VGGPerceptualLoss({names[-1]: 1.0}, vgg_type=vgg_type).features
    assert len(ours) == len(theirs) - 2  # the last ReLU and pooling come after the last convolution
    assert all(type(a) is type(b) for a, b in zip(ours, theirs, strict=False))
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes


def test_other_vggs(tmp_path):
    layers = vgg_features("vgg11").requires_grad_(False)
    write_weights(tmp_path / "vgg11.pth", layers, 9)
    loss = VGGPerceptualLoss({"conv3_2": 1.0}, vgg_type="vgg11", weights=str(tmp_path / "vgg11.pth"))
    pred, target = torch.rand(2, 1, 3, 9, 11)
    assert loss(pred, target).item() == pytest.approx(
        distance(layers, pred, target, {8: 1.0}, "l1"), rel=1e-4
    )


def test_it_is_frozen_no_deeper_than_needed_and_draws_no_numbers(file):
    before = torch.get_rng_state()
    loss = VGGPerceptualLoss({"conv1_2": 1.0}, weights=file)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(loss.features) == 3 and not loss.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in loss.parameters())


def test_gradients_reach_the_prediction_alone(file):
    pred, target = torch.rand(2, 1, 3, 9, 11).unbind()
    pred.requires_grad_()
    target.requires_grad_()
    VGGPerceptualLoss({"conv2_1": 1.0}, weights=file)(pred, target).backward()
    assert pred.grad.abs().sum() > 0 and target.grad is None


def test_equal_pictures_have_no_distance_and_a_finite_gradient(file):
    target = torch.rand(1, 3, 9, 11)
    pred = target.clone().requires_grad_()
    value = VGGPerceptualLoss({"conv3_1": 1.0}, weights=file)(pred, target)
    value.backward()
    assert value == 0 and (pred.grad == 0).all()


def test_the_gradient_is_the_values(file):
    loss = VGGPerceptualLoss({"conv2_1": 1.0}, weights=file, criterion="l2").double()
    pred, target = torch.rand(2, 1, 3, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), pred.requires_grad_(), nondet_tol=1e-9)


def test_features_of_autocast_are_compared_in_float32(file):
    loss, (pred, target) = VGGPerceptualLoss({"conv2_1": 1.0}, weights=file), torch.rand(2, 1, 3, 9, 11)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(pred, target)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(loss(pred, target).item(), rel=0.02)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"layer_weights": {}}, r"layer_weights=\{\} must name layers and their weights"),
        ({"layer_weights": "conv5_4"}, r"layer_weights='conv5_4' must name layers"),
        (
            {"layer_weights": {"relu5_4": 1.0}},
            "a key of layer_weights='relu5_4' is not one of conv1_1, .*conv5_4",
        ),
        (
            {"layer_weights": {"conv3_4": 1.0}, "vgg_type": "vgg16"},
            "='conv3_4' is not one of .*conv3_3, conv4_1",
        ),
        ({"layer_weights": {"conv1_1": "1e-1"}}, "layer_weights: conv1_1 is '1e-1'; expected a number"),
        (
            {"layer_weights": {"conv1_1": 1}, "vgg_type": "vgg19_bn"},
            "vgg_type='vgg19_bn' is not one of vgg11,",
        ),
        ({"layer_weights": {"conv1_1": 1}, "criterion": "fro"}, "criterion='fro' is not one of l1, l2"),
    ],
)
def test_what_cannot_work_is_reported(arguments, says):
    with pytest.raises(ValueError, match=says):
        VGGPerceptualLoss(**arguments)


def test_pictures_that_cannot_work_are_reported(file):
    loss = VGGPerceptualLoss({"conv3_1": 1.0}, weights=file)
    with pytest.raises(ValueError, match="VGG sees RGB, not 1 channels; take another loss"):
        loss(*torch.rand(2, 1, 1, 9, 9))
    assert loss(*torch.rand(2, 1, 3, 4, 4)).isfinite()
    with pytest.raises(
        ValueError, match=r"a picture of 9x3 is too small, its least side is 4; raise gt_size"
    ):
        loss(*torch.rand(2, 1, 3, 9, 3))


def test_files_that_cannot_work_are_reported(file, tmp_path):
    missing = tmp_path / "missing.pth"
    with pytest.raises(UserError, match=f"no such file: {missing}"):
        VGGPerceptualLoss({"conv1_1": 1.0}, weights=str(missing))
    told = (
        r"vgg\.pth: holds no vgg19: features\.14\.weight is missing; take torchvision's vgg19-dcbb9e9d\.pth"
    )
    with pytest.raises(UserError, match=told):
        VGGPerceptualLoss({"conv3_3": 1.0}, weights=file)
    with pytest.raises(UserError, match=r"holds no vgg16: .*take torchvision's vgg16-397923af\.pth"):
        VGGPerceptualLoss({"conv5_1": 1.0}, vgg_type="vgg16", weights=file)
    state = torch.load(file)
    torch.save(state | {"features.0.weight": torch.zeros(64, 1, 3, 3)}, file)
    with pytest.raises(UserError, match=r"features\.0\.weight is \[64, 1, 3, 3\], not \[64, 3, 3, 3\];"):
        VGGPerceptualLoss({"conv1_1": 1.0}, weights=file)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torch.hub's folder of weights, empty, and no network."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub/checkpoints"
    torch.hub.set_dir(before)


def test_without_a_file_the_cache_of_torch_hub_is_read(file, cache):
    cache.mkdir(parents=True)
    Path(file).rename(cache / "vgg19-dcbb9e9d.pth")
    assert VGGPerceptualLoss({"conv1_1": 1.0})(*torch.rand(2, 1, 3, 5, 7)).isfinite()


def test_what_is_not_in_the_cache_is_fetched_into_it(file, cache, monkeypatch):
    def download(url, path, hash_prefix):
        assert (
            url.startswith("https://") and url.endswith("/vgg19-dcbb9e9d.pth") and hash_prefix == "dcbb9e9d"
        )
        Path(file).rename(path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert VGGPerceptualLoss({"conv1_1": 1.0})(*torch.rand(2, 1, 3, 5, 7)).isfinite()
    assert (cache / "vgg19-dcbb9e9d.pth").is_file()


@pytest.mark.parametrize(
    "error", [URLError("no route\nto host"), RuntimeError("invalid hash value"), OSError()]
)
def test_what_cannot_be_fetched_is_reported_in_one_line(cache, monkeypatch, error):
    def download(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(UserError) as told:
        VGGPerceptualLoss({"conv1_1": 1.0})
    (line,) = str(told.value).splitlines()
    assert line.startswith(f"{cache / 'vgg19-dcbb9e9d.pth'}: no such file, and https://")
    assert line.endswith("put that file there, or name a copy of it in `weights`")


def test_on_the_meta_device_nothing_is_read(cache):
    with torch.device("meta"):
        VGGPerceptualLoss({"conv5_4": 1.0}, weights="missing.pth")
    assert not cache.exists()
