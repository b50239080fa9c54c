"""The user's mistakes before and in a training: one line, exit status 2, nothing written."""

from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_options
from tiny_runs import checkpoint, fails, state

from ir_plugins.cli import main

pytestmark = pytest.mark.usefixtures("fresh_logger")


def shorten(path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def test_missing_option_file(workplace, capsys):
    assert "nowhere.yml: no such option file" in fails(capsys, "train", "-opt", "nowhere.yml")


def test_missing_dataset(tiny, capsys):
    error = fails(
        capsys, "train", "-opt", "tiny.yml", "--force_yml", "datasets:train:dataroot_gt=data/nowhere"
    )
    assert "datasets:train:dataroot_gt" in error and "data/nowhere" in error


def test_empty_dataset(tiny, capsys):
    Path("data/none").mkdir()
    assert "data/none" in fails(
        capsys, "train", "-opt", "tiny.yml", "--force_yml", "datasets:val:dataroot_lq=data/none"
    )


def test_unpaired_dataset(tiny, capsys):
    Path("data/train/lq/3.png").rename("data/train/lq/three.png")
    error = fails(capsys, "train", "-opt", "tiny.yml")
    assert "3.png" in error and "three.png" in error


@pytest.mark.parametrize("phase", ["train", "val"])
def test_truncated_picture(tiny, capsys, phase):
    shorten(f"data/{phase}/lq/2.png")
    error = fails(capsys, "train", "-opt", "tiny.yml")
    assert f"datasets:{phase}:dataroot_lq: " in error and f"data/{phase}/lq" in error and "2.png" in error


def test_file_that_is_no_picture(tiny, capsys):
    for kind in ("gt", "lq"):
        Path(f"data/train/{kind}/notes.txt").write_text("not a picture")
    assert "notes.txt" in fails(capsys, "train", "-opt", "tiny.yml")


def test_fewer_pictures_than_a_batch(tiny, capsys):
    error = fails(capsys, "train", "-opt", "tiny.yml", "--force_yml", "datasets:train:batch_size_per_gpu=6")
    assert "5 images" in error and "batch_size_per_gpu" in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(tiny, capsys):
    error = fails(capsys, "train", "-opt", "tiny.yml", "--force_yml", "num_gpu=1")
    assert "num_gpu: 1, but no GPU is visible; use --force_yml num_gpu=0" in error
    assert "start with torchrun" in fails(capsys, "train", "-opt", "tiny.yml", "--launcher", "pytorch")


def test_weights_that_are_not_there(tiny, capsys):
    weights = "path:pretrain_network_g=nowhere.pth"
    assert "no such file: nowhere.pth" in fails(capsys, "train", "-opt", "tiny.yml", "--force_yml", weights)
    assert "no weights to test" in fails(capsys, "test", "-opt", "tiny.yml")


def test_weights_of_another_network(tiny, capsys):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    weights = "path:pretrain_network_g=experiments/tiny/models/net_g_4.pth"
    capsys.readouterr()
    error = fails(capsys, "test", "-opt", "tiny.yml", "--force_yml", weights, "network_g:embed_dim=8")
    assert "net_g_4.pth: does not fit SemanIR: " in error and "and 1 more" not in error
    assert "conv_first.weight is [6, 3, 3, 3] there and [8, 3, 3, 3] here" in error
    error = fails(
        capsys, "train", "-opt", "tiny.yml", "--auto_resume", "--force_yml", "network_g:embed_dim=8"
    )
    assert "does not fit SemanIR" in error


@pytest.mark.parametrize("content", [b"", b"not weights", "truncated"])
def test_damaged_weights(tiny, capsys, content):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    for iteration in (2, 4):
        file = Path(f"experiments/tiny/models/net_g_{iteration}.pth")
        file.write_bytes(file.read_bytes()[:999] if content == "truncated" else content)
    capsys.readouterr()
    error = fails(capsys, "train", "-opt", "tiny.yml", "--auto_resume")
    assert "nothing to resume from; without --auto_resume a new run begins: " in error
    assert all(f"damaged or of another run: {file.parent.resolve()}/net_g_{n}.pth" in error for n in (2, 4))
    weights = f"path:pretrain_network_g={file}"
    assert f"{file}: cannot be read" in fails(capsys, "test", "-opt", "tiny.yml", "--force_yml", weights)


def test_one_wrong_bit_or_average_in_weights(tiny, capsys):
    """Both were found out by nobody, or after the folder was made."""
    assert main(["train", "-opt", "tiny.yml"]) == 0
    whole = Path("experiments/tiny/models/net_g_4.pth").read_bytes()
    content = checkpoint(4)
    first = next(iter(content["params"]))
    at = whole.index(content["params"][first].numpy().tobytes())
    Path("flipped.pth").write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
    content["params_ema"][first] = torch.ones(5)
    torch.save(content, "average.pth")
    capsys.readouterr()
    for file, commands, reason in (
        ("flipped.pth", ("train", "test"), "cannot be read: damaged"),
        ("average.pth", ("train",), "does not fit SemanIR: conv_first.weight is [5] there"),
    ):
        for command in commands:
            weights = f"path:pretrain_network_g={file}"
            error = fails(capsys, command, "-opt", "tiny.yml", "--force_yml", weights, "name=new")
            assert f"{file}: {reason}" in error


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("block", [("network_g",), ("network_d",), ("train", "own_opt")])
def test_files_that_networks_and_losses_read_themselves(workplace, monkeypatch, block):
    from ir_plugins.training import preflight
    from ir_plugins.training.preflight import _own_file_problems

    torch.save({"params": {"a": torch.ones(99)}}, "flow.pth")
    inner = {"type": "BasicVSR", "spynet_path": "flow.pth", "missing": "no.pth", "count": 3}
    options = {block[0]: inner if len(block) == 1 else {block[1]: inner, "total_iter": 4}}
    assert not list(_own_file_problems(options))
    whole = Path("flow.pth").read_bytes()
    Path("flow.pth").write_bytes(whole.replace(torch.ones(9).numpy().tobytes(), bytes(36), 1))
    (problem,) = _own_file_problems(options)
    assert problem.keys == (*block, "spynet_path") and problem.text.startswith(
        "flow.pth: cannot be read: dam"
    )
    torch.jit.script(torch.nn.ReLU()).save("flow.pth")
    (problem,) = _own_file_problems(options)
    assert problem.text.startswith("flow.pth: holds code (TorchScript)")
    inner["type"] = "Own"  # a plugin's class may read it
    monkeypatch.setattr(preflight, "entries", lambda _: {"Own": type("Own", (), {"__module__": "own"})})
    assert not list(_own_file_problems(options))


def test_a_crafted_state_is_refused_before_anything_is_written(tiny, capsys):
    """A fused step wrote beyond the moments, and the process crashed."""
    assert main(["train", "-opt", "tiny.yml"]) == 0
    content = state(4)
    for moments in content["optimizers"][0]["state"].values():
        moments["exp_avg"] = torch.zeros(1)
    torch.save(content, "experiments/tiny/training_states/4.state")
    capsys.readouterr()
    for overrides in (
        ["--auto_resume"],
        ["--force_yml", "path:resume_state=experiments/tiny/training_states/4.state"],
    ):
        error = fails(capsys, "train", "-opt", "tiny.yml", *overrides)
        assert "4.state: does not fit train:optim_g or train:scheduler: its exp_avg is [1], not [" in error


def test_a_new_run_does_not_archive_the_weights_it_begins_with(tiny, capsys):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    weights = "path:pretrain_network_g=experiments/tiny/models/net_g_4.pth"
    capsys.readouterr()
    error = fails(capsys, "train", "-opt", "tiny.yml", "--force_yml", weights)
    assert "choose another name" in error
    assert main(["train", "-opt", "tiny.yml", "--force_yml", "name=fine_tuned", weights]) == 0


def test_resuming_from_a_named_state_that_is_not_there(tiny, capsys):
    overrides = ["--force_yml", "path:resume_state=nowhere.state"]
    assert "path:resume_state: no such file: nowhere.state" in fails(
        capsys, "train", "-opt", "tiny.yml", *overrides
    )
    assert "nowhere.state: path:resume_state: no such file" in fails(
        capsys, "train", "-opt", "tiny.yml", "--auto_resume", *overrides
    )


def test_another_optimizer_on_resume(tiny, capsys):
    assert main(["train", "-opt", "tiny.yml"]) == 0
    sgd = [
        "--force_yml",
        "train:optim_g={type: SGD, lr: 0.1, momentum: 0.9, nesterov: true}",
        "train:total_iter=6",
    ]
    assert main(["train", "-opt", "tiny.yml", "--auto_resume", *sgd]) == 2
    assert "4.state: does not fit train:optim_g" in capsys.readouterr().err.splitlines()[-1]


def test_two_runs_of_one_name(tiny, capsys):
    from ir_plugins.runtime.locks import alone

    Path("experiments").mkdir()
    with alone(Path("experiments/.tiny.lock"), ""):
        error = fails(capsys, "train", "-opt", "tiny.yml")
    assert "experiments/tiny is being written by another run" in error


def test_a_picture_that_breaks_while_training_is_named(tiny, capsys, monkeypatch):
    """Behind the checks' back: the worker process meets it."""
    monkeypatch.setattr("ir_plugins.training.preflight.check_dataset", lambda *args: 5)
    for index in range(5):
        shorten(f"data/train/gt/{index}.png")
    assert main(["train", "-opt", "tiny.yml"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("basicsr train: error: ") and ".png" in error


def test_debug_shows_the_traceback(tiny):
    from ir_plugins.runtime.errors import UserError

    with pytest.raises(UserError):
        main(["train", "-opt", "nowhere.yml", "--debug"])


def test_weights_of_a_loss_are_missed_before_a_folder_is_made(tiny, capsys):
    loss = {"type": "VGGPerceptualLoss", "layer_weights": {"conv1_2": 1.0}, "weights": "vgg19.pth"}
    options = tiny_options()
    options["train"]["pixel_opt"] = loss
    Path("vgg.yml").write_text(yaml.safe_dump(options))
    assert main(["train", "-opt", "vgg.yml"]) == 2
    assert (
        capsys.readouterr().err
        == "basicsr train: error: vgg.yml:44: train:pixel_opt: no such file: vgg19.pth\n"
    )
    assert not Path("experiments").exists()
    layers = {"0": (64, 3), "2": (64, 64)}
    state = {f"features.{i}.weight": torch.randn(*shape, 3, 3) / 10 for i, shape in layers.items()}
    torch.save(state | {f"features.{i}.bias": torch.zeros(64) for i in layers}, "vgg19.pth")
    assert main(["train", "-opt", "vgg.yml"]) == 0
    assert all(value.isfinite().all() for value in checkpoint(4)["params"].values())
