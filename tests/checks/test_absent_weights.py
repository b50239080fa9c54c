"""Losses and metrics that fetch weights: what `check` says of them, and a run that cannot fetch them."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest
import torch
import yaml
from broken_options import changed
from tiny import tiny_options
from tiny_runs import fails

from ir_plugins.cli import main
from ir_plugins.training import preflight
from ir_plugins.weights.fetching import Absent, cached, fetch, offline

LAYERS = "layer_weights: {conv2_1: 1.0}"
NEED = {
    f"train:perceptual_opt={{type: PerceptualLoss, {LAYERS}}}": "vgg19-dcbb9e9d.pth",
    f"train:perceptual_opt={{type: PerceptualLoss, vgg_type: vgg16_bn, {LAYERS}}}": "vgg16_bn-6c64b313.pth",
    f"train:pixel_opt={{type: VGGPerceptualLoss, vgg_type: vgg11, {LAYERS}}}": "vgg11-8a719046.pth",
    "val:metrics:lpips={type: lpips}": "alexnet-owt-7be5be79.pth",
    "val:metrics:dists={type: dists}": "vgg16-397923af.pth",
}
pytestmark = pytest.mark.usefixtures("tiny", "fresh_logger", "no_network")


@pytest.fixture
def no_network(monkeypatch, workplace):
    """An empty cache, a network without names, and empty packages of metrics."""

    def unreachable(*arguments, **options):
        raise URLError("Name or service not known")

    before = torch.hub.get_dir()
    torch.hub.set_dir(str(workplace / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    for name in ("lpips", "DISTS_pytorch"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    yield
    torch.hub.set_dir(before)


def write(change):
    Path("o.yml").write_text(yaml.safe_dump(changed(tiny_options(), change), sort_keys=False))
    return change.partition("=")[0]


@pytest.mark.parametrize("change", NEED)
def test_check_says_which_file_belongs_where(change, capsys):
    key = write(change)
    assert main(["check", "-opt", "o.yml"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    url = f"https://download.pytorch.org/models/{NEED[change]}"
    file = Path("hub/checkpoints", NEED[change]).resolve()
    assert first.startswith(
        f"o.yml: {key}: a run fetches {url}, since {file} is not there; without a network, put"
    )
    assert last == "o.yml: ok (data and weights not checked)" and not Path("hub").exists()


@pytest.mark.parametrize("change", NEED)
def test_a_run_that_cannot_fetch_them_writes_nothing(change, capsys):
    key = write(change)
    Path("hub/checkpoints").mkdir(parents=True)
    error = fails(capsys, "train", "-opt", "o.yml")
    assert f": {key}: " in error and f"{NEED[change]}: no such file, and https://" in error
    assert "cannot be fetched: <urlopen error Name or service not known>; put that file there" in error


def test_damaged_weights_are_found_before_anything_is_written(capsys):
    write("train:perceptual_opt={type: PerceptualLoss, vgg_type: vgg11, layer_weights: {conv1_1: 1.0}}")
    Path("hub/checkpoints").mkdir(parents=True)
    Path("hub/checkpoints/vgg11-8a719046.pth").write_bytes(b"no weights")
    assert ": train:perceptual_opt: " in fails(capsys, "train", "-opt", "o.yml")


def test_a_test_does_not_fetch_what_only_training_needs(monkeypatch):
    write("train:perceptual_opt={type: PerceptualLoss, layer_weights: {conv1_2: 1.0}}")
    from argparse import Namespace

    arguments = Namespace(opt="o.yml", force_yml=None, auto_resume=False, debug=False)
    assert len(preflight._checked_options(arguments, is_train=True)[1]) == 1
    assert preflight._checked_options(arguments, is_train=False)[1] == []


def test_a_module_that_is_imported_while_nothing_is_fetched_can_fetch_afterwards(monkeypatch):
    """BasicSR's takes the function from torch.hub when it is imported."""
    name, usual = "basicsr.utils.download_util", torch.hub.download_url_to_file
    monkeypatch.delitem(sys.modules, name, raising=False)
    with offline():
        assert name not in sys.modules  # it is slow to import
        module = importlib.import_module(name)
        with pytest.raises(Absent):
            module.download_url_to_file("https://example.org/a.pth", "a.pth")
    assert module.download_url_to_file is torch.hub.download_url_to_file is usual


def test_nothing_is_fetched_while_a_file_is_checked():
    with offline(), pytest.raises(Absent) as caught:
        torch.hub.load_state_dict_from_url("https://nowhere.example/a-12345678.pth")
    assert caught.value.path == Path("hub/checkpoints/a-12345678.pth").resolve()
    with pytest.raises(Absent, match=r"vgg19-dcbb9e9d.pth is not there"):
        cached("vgg19")


@pytest.mark.parametrize(
    ("name", "digits"),
    [("vgg19-dcbb9e9d.pth", "dcbb9e9d"), ("net.pth", None), ("maniqa-koniq.pth", None), ("net-v2.pth", None)],
)
def test_only_digits_in_a_name_are_compared(name, digits, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, hash_prefix: seen.append(hash_prefix))
    fetch(Absent(f"https://nowhere.example/{name}", Path("hub", name)))
    assert seen == [digits]
