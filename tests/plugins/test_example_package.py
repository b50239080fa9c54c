"""The example package, really installed: its entry point alone makes every command know what it brings."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import fresh
import pytest
import yaml
from tiny import tiny_options, write_pairs

SOURCE = Path(__file__).with_name("example_package")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder to put on PYTHONPATH, into which pip has installed the package; nothing is fetched."""
    folder = tmp_path_factory.mktemp("installed")
    copy = shutil.copytree(SOURCE, tmp_path_factory.mktemp("source") / "example_package")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(folder)]
    done = subprocess.run([*pip, *options, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def options(workplace) -> dict:
    """Options that name one thing of each kind."""
    write_pairs(workplace / "data/train", [(11, 13), (17, 7), (9, 19), (8, 8)])
    write_pairs(workplace / "data/val", [(7, 9)])
    options = tiny_options("example") | {"network_g": {"type": "DistillationNet", "dim": 8, "blocks": 1}}
    for dataset in options["datasets"].values():
        dataset["type"] = "DarkenedDataset"
    options["train"] |= {"total_iter": 3, "pixel_opt": {"type": "LogCoshLoss", "loss_weight": 2.0}}
    options["val"] |= {"val_freq": 3, "metrics": {"largest": {"type": "largest_error", "crop_border": 1}}}
    options["logger"]["save_checkpoint_freq"] = 3
    return options


def test_it_is_listed_checked_trained_and_tested(installed, options):
    def basicsr(*arguments):
        done = fresh.basicsr(*arguments, PYTHONPATH=str(installed))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert re.search(r"^DistillationNet +example_plugin +Super-resolution by", basicsr("list", "archs"), re.M)
    Path("o.yml").write_text(yaml.safe_dump(options))
    assert "ok" in basicsr("check", "-opt", "o.yml")
    basicsr("train", "-opt", "o.yml")
    assert re.search(
        r"l_pix: \d\.\d+e-0\d", next(Path("experiments/example").glob("train_*.log")).read_text()
    )
    weights = "path:pretrain_network_g=experiments/example/models/net_g_3.pth"
    basicsr("test", "-opt", "o.yml", "--force_yml", weights)
    header, row, *_ = Path("results/example/metrics.csv").read_text().splitlines()
    assert "largest" in header and "val" in row


def test_without_it_the_names_are_unknown(options):
    Path("o.yml").write_text(yaml.safe_dump(options))
    done = fresh.basicsr("check", "-opt", "o.yml")
    assert done.returncode == 2 and "'DistillationNet' is not known" in done.stderr


def test_its_designs_train_in_every_net(installed):
    """Each takes its attention and its feed-forward, and one step changes every weight of both."""
    done = fresh.run(
        """
        import torch
        from ir_plugins import archs, load_plugins
        load_plugins()
        nets = {
            "Restormer": {"dim": 8, "num_blocks": [1] * 4, "heads": [1, 2, 2, 4], "num_refinement_blocks": 1},
            "AST": {"embed_dim": 8, "depths": [1] * 9, "drop_path_rate": 0.0},
            "SemanIR": {"embed_dim": 6, "depths": [2], "num_heads": [2], "num_feat": 5},
            "SemanIRUNet": {"embed_dim": 6, "depths": [1] * 7, "num_heads": [2] * 7},
        }
        for name, arguments in nets.items():
            torch.manual_seed(0)
            net = getattr(archs, name)(**arguments, attention="gate", ffn="pointwise")
            kinds = ("GateAttention", "Pointwise")
            parts = [part for part in net.modules() if type(part).__name__ in kinds]
            held = [p.detach().clone() for part in parts for p in part.parameters()]
            net(torch.rand(2, 3, 7, 11)).square().mean().backward()
            torch.optim.SGD(net.parameters(), lr=10.0).step()
            now = [p for part in parts for p in part.parameters()]
            kinds = {type(part).__name__ for part in parts}
            print(name, len(kinds), all(not torch.equal(a, b) for a, b in zip(held, now)))
    """,
        PYTHONPATH=str(installed),
    )
    names = ["Restormer", "AST", "SemanIR", "SemanIRUNet"]
    assert done.stdout.splitlines() == [f"{name} 2 True" for name in names], done.stdout + done.stderr
