"""The pipeline end to end, as `basicsr train` and `basicsr test` run it."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from tiny import tiny_options
from tiny_runs import checkpoint, fails, state, tree

from ir_plugins.cli import main
from ir_plugins.models import results
from ir_plugins.weights.files import read_weights, save_weights

from basicsr.utils.registry import ARCH_REGISTRY

pytestmark = pytest.mark.usefixtures("fresh_logger")


def test_train_writes_checkpoints_logs_and_pictures(tiny):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    root = Path("experiments/tiny")
    assert {path.name for path in (root / "models").iterdir()} == {
        "net_g_2.pth",
        "net_g_4.pth",
        "net_g_best.pth",
        "net_g_latest.pth",
    }
    assert {path.name for path in (root / "training_states").iterdir()} == {"2.state", "4.state"}
    assert set(checkpoint(4)) == {"params", "params_ema", "network"}
    assert any(
        (checkpoint(4)["params"][k] != checkpoint(2)["params"][k]).any() for k in checkpoint(2)["params"]
    )
    pictures = sorted((root / "visualization").rglob("*.png"))
    assert [p.name for p in pictures] == [f"{i}_{n}.png" for i in range(3) for n in (2, 4)]
    assert cv2.imread(str(pictures[0])).shape == (14, 18, 3)
    log = next(root.glob("train_tiny_*.log")).read_text()
    assert "Network: SemanIR, with parameters: " in log and "l_pix" in log and "# psnr: " in log
    assert log.count("Validation val") == 2  # at 2 and 4, and not once more at the end
    assert (root / "tiny.yml").exists() and list(Path("tb_logger/tiny").glob("events.*"))
    assert {path.name for path in Path().iterdir()} == {"data", "tiny.yml", "experiments", "tb_logger"}
    assert not list(root.glob("*.part"))


def test_the_ema_is_an_average_of_the_weights(tiny):
    assert (
        main(
            [
                "train",
                "-opt",
                "tiny.yml",
                "--force_yml",
                "train:total_iter=1",
                "logger:save_checkpoint_freq=1",
            ]
        )
        == 0
    )
    torch.manual_seed(0)
    saved, key = checkpoint(1), "conv_first.weight"
    before = (
        saved["params_ema"][key] - 0.1 * saved["params"][key]
    ) / 0.9  # decay 0.9, started from the same weights
    assert (saved["params"][key] - before).abs().max() == pytest.approx(
        1e-3, rel=0.1
    )  # one Adam step of lr 1e-3


def test_auto_resume_goes_on_where_it_stopped(tiny):
    assert main(["train", "-opt", "tiny.yml", "--force_yml", "train:total_iter=2"]) == 0
    assert main(["train", "-opt", "tiny.yml", "--auto_resume"]) == 0
    resumed = state(4)
    assert resumed["iter"] == 4
    assert all(entry["step"] == 4 for entry in resumed["optimizers"][0]["state"].values())
    assert resumed["optimizers"][0]["param_groups"][0]["lr"] == 5e-4  # the milestone at 3 was met
    assert not [path for path in Path("experiments").iterdir() if "archived" in path.name]


def test_resume_with_the_option_file_that_the_run_copied(tiny):
    assert main(["train", "-opt", "tiny.yml", "--force_yml", "train:total_iter=2"]) == 0
    assert main(["train", "-opt", "experiments/tiny/tiny.yml", "--auto_resume"]) == 0
    assert state(4)["iter"] == 4


def test_resume_under_another_name_keeps_the_first_run(tiny):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    before = tree("experiments/tiny")
    Path("experiments/other/models").mkdir(parents=True)
    os.link("experiments/tiny/models/net_g_2.pth", "experiments/other/models/net_g_2.pth")
    overrides = ["name=other", "path:resume_state=experiments/tiny/training_states/2.state"]
    assert main(["train", "-opt", "tiny.yml", "--force_yml", *overrides]) == 0
    assert state(4, "other")["iter"] == 4 and tree("experiments/tiny") == before


def test_without_auto_resume_an_older_run_is_archived(tiny):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    assert main(["train", "-opt", "tiny.yml"]) == 0
    assert len([path for path in Path("experiments").iterdir() if "tiny_archived" in path.name]) == 1


def test_weights_whose_states_are_gone_are_archived(tiny):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    before = checkpoint(4)
    shutil.rmtree("experiments/tiny/training_states")
    assert main(["train", "-opt", "tiny.yml", "--auto_resume", "--force_yml", "manual_seed=7"]) == 0
    (older,) = Path("experiments").glob("tiny_archived*")
    kept = torch.load(older / "models/net_g_4.pth", weights_only=True)
    assert all(torch.equal(kept["params"][name], value) for name, value in before["params"].items())


def test_lmdb_and_disk_train_alike(tiny):
    for folder in ("data/train/gt", "data/train/lq"):
        assert main(["lmdb", "--input", folder, "--output", f"{folder}.lmdb"]) == 0
    options = tiny_options("from_lmdb")
    options["datasets"]["train"] |= {
        "dataroot_gt": "data/train/gt.lmdb",
        "dataroot_lq": "data/train/lq.lmdb",
        "io_backend": {"type": "lmdb"},
    }
    Path("lmdb.yml").write_text(yaml.safe_dump(options))
    assert main(["train", "-opt", "lmdb.yml"]) == 0
    assert main(["train", "-opt", "tiny.yml"]) == 0
    disk, lmdb = checkpoint(4), checkpoint(4, "from_lmdb")
    assert set(disk["params"]) == set(lmdb["params"])
    # the folder is read in the order the file system gives, so the pictures of a batch differ; their kind
    # does not
    assert all(lmdb["params"][key].isfinite().all() for key in disk["params"])


@pytest.mark.parametrize("net", ["SemanIRUNet", "EDSR"])
def test_other_networks_train_in_the_same_model(tiny, net):
    options = tiny_options(net)
    options["network_g"] = {
        "SemanIRUNet": {
            "type": net,
            "embed_dim": 4,
            "depths": [1] * 7,
            "num_heads": [1] * 7,
            "window_size": 4,
        },
        "EDSR": {"type": net, "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 2},
    }[net]
    if net == "SemanIRUNet":
        options["scale"] = 1
        for dataset in options["datasets"].values():
            dataset["dataroot_lq"] = dataset["dataroot_gt"]
    Path("o.yml").write_text(yaml.safe_dump(options))
    assert main(["train", "-opt", "o.yml"]) == 0


def test_test_restores_and_measures(tiny, capsys):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    weights = "path:pretrain_network_g=experiments/tiny/models/net_g_latest.pth"
    assert main(["test", "-opt", "tiny.yml", "--force_yml", weights, "path:param_key_g=params_ema"]) == 0
    pictures = sorted(Path("results/tiny/visualization/val").iterdir())
    assert [p.name for p in pictures] == ["0_tiny.png", "1_tiny.png", "2_tiny.png"]
    # the last validation of the training measured the same weights on the same pictures
    assert np.array_equal(
        cv2.imread(str(pictures[1])), cv2.imread("experiments/tiny/visualization/1/1_4.png")
    )


def train_until_measured(count, measure=results.calculate_metric):
    """Train, and be killed at that measurement; the first validation measures each input after its result."""
    seen = []

    def killing(*arguments):
        seen.append(arguments)
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return measure(*arguments)

    results.calculate_metric = killing
    os._exit(main(["train", "-opt", "tiny.yml"]))


@pytest.mark.parametrize("measured, count", [(3, 2), (8, 5)])
def test_killed_in_the_middle_of_validation_nothing_is_corrupt(tiny, measured, count):
    """Three pictures are validated at iterations 2 and 4; the second of either validation is the last."""
    process = multiprocessing.get_context("fork").Process(target=train_until_measured, args=(measured,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    iteration = 2 if count == 2 else 4
    assert (
        set(checkpoint(iteration)) == {"params", "params_ema", "network"}
        and state(iteration)["iter"] == iteration
    )
    pictures = list(Path("experiments/tiny/visualization").rglob("*.png"))
    assert len(pictures) == count
    assert all(cv2.imread(str(picture)) is not None for picture in pictures)
    assert main(["train", "-opt", "tiny.yml", "--auto_resume", "--force_yml", "train:total_iter=6"]) == 0
    assert state(6)["iter"] == 6 and not list(Path("experiments/tiny").glob("*.part"))


def test_spawned_workers_meet_a_repaired_basicsr(tiny):
    """A spawned worker of `python -m ir_plugins` unpickles BasicSR's own dataset class."""
    Path("sitecustomize.py").write_text("import multiprocessing\nmultiprocessing.set_start_method('spawn')\n")
    overrides = ["--force_yml", "train:total_iter=1", "datasets:train:num_worker_per_gpu=1"]
    command = [sys.executable, "-m", "ir_plugins", "train", "-opt", "tiny.yml", *overrides]
    path = os.pathsep.join([str(tiny.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path("experiments/tiny/models/net_g_latest.pth").exists()


def test_weights_as_safetensors(tiny, capsys):
    network = dict(tiny_options()["network_g"])
    weights = ARCH_REGISTRY.get(network.pop("type"))(**network).state_dict()
    save_weights("a.safetensors", weights)
    override = ["--force_yml", "path:pretrain_network_g=a.safetensors"]
    assert main(["test", "-opt", "tiny.yml", *override]) == 0
    assert main(["train", "-opt", "tiny.yml", *override, "train:optim_g:lr=0", "train:ema_decay=0"]) == 0
    trained = read_weights("experiments/tiny/models/net_g_latest.pth")
    assert all(torch.equal(trained[name], value) for name, value in weights.items())
    capsys.readouterr()
    Path("a.safetensors").write_bytes(b"")
    assert "a.safetensors: cannot be read: it is empty" in fails(
        capsys, "test", "-opt", "tiny.yml", *override
    )
