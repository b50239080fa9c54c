"""Our nets in BasicSR's models, and BasicSR's nets in ours: each trains, validates, saves and resumes."""

import copy
import logging
import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from tiny import tiny_options

from ir_plugins.archs import Restormer
from ir_plugins.checks import option_file
from ir_plugins.cli import main
from ir_plugins.options.reading import read_options
from ir_plugins.runtime.errors import UserError
from ir_plugins.weights.files import save_weights

from basicsr.utils.logger import initialized_logger

SEMANIR = {"type": "SemanIR", "embed_dim": 6, "depths": [2], "num_heads": [2], "window_size": 4}
SEMANIR |= {"num_feat": 5, "upscale": 2, "top_k": 16}
UNET = {"type": "SemanIRUNet", "embed_dim": 4, "depths": [1] * 7, "num_heads": [1] * 7, "window_size": 4}
RESTORMER = {"type": "Restormer", "dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1}
AST = {"type": "AST", "embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9, "win_size": 4}
OURS = {"SemanIR": SEMANIR, "SemanIRUNet": UNET, "Restormer": RESTORMER, "AST": AST}
THEIRS = {
    "SwinIR": {
        "type": "SwinIR",
        "upscale": 2,
        "img_size": 16,
        "embed_dim": 6,
        "depths": [2],
        "num_heads": [2],
    }
    | {"window_size": 4, "mlp_ratio": 2, "upsampler": "pixelshuffledirect"},
    "RRDBNet": {"type": "RRDBNet", "scale": 2, "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4}
    | {"num_block": 1, "num_grow_ch": 3},
    "EDSR": {"type": "EDSR", "upscale": 2, "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1},
}
UNET_D = {"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 4}
VGG_D = {"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 2, "input_size": 128}
GAN = {"type": "GANLoss", "gan_type": "vanilla", "real_label_val": 1.0, "fake_label_val": 0.0}
ADAM = {"type": "Adam", "lr": 4e-3}


@pytest.fixture(autouse=True)
def fresh_logger():
    initialized_logger.clear()
    logging.getLogger("basicsr").handlers.clear()


def write_data(side=48):
    """Smooth pictures, so that a few iterations learn something: gt, lq half as large, same as large."""
    generator = np.random.default_rng(0)
    for folder, count in (("train", 4), ("val", 2)):
        for kind in ("gt", "lq", "same"):
            Path(f"data/{folder}/{kind}").mkdir(parents=True)
        for index in range(count):
            gt = cv2.resize(generator.random((5, 4, 3)), (side, side + 4), interpolation=cv2.INTER_CUBIC)
            gt = (gt.clip(0, 1) * 255).round().astype(np.uint8)
            half = cv2.resize(gt, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            cv2.imwrite(f"data/{folder}/gt/{index}.png", gt)
            cv2.imwrite(f"data/{folder}/lq/{index}.png", half)
            cv2.imwrite(f"data/{folder}/same/{index}.png", cv2.GaussianBlur(gt, (7, 7), 3))


def options(model, net, *, total=20, **train):
    """A training of a model around a net, with a checkpoint in the middle."""
    found = tiny_options("interop") | {"model_type": model, "network_g": net}
    found["scale"] = net.get("upscale", net.get("scale", 1))
    for phase, dataset in found["datasets"].items():
        dataset["dataroot_lq"] = f"data/{phase}/{'lq' if found['scale'] == 2 else 'same'}"
    found["datasets"]["train"] |= {"gt_size": 16, "num_worker_per_gpu": 0, "dataset_enlarge_ratio": 25}
    found["train"] |= {"total_iter": total, "optim_g": dict(ADAM)} | train
    found["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [15], "gamma": 0.5}
    found["val"] |= {"val_freq": total}
    found["logger"] |= {"save_checkpoint_freq": total // 2, "use_tb_logger": False}
    return found


def runs(found, networks=("g",)):
    """Train, and go on from the newest state; returns the losses of each iteration by name."""
    Path("o.yml").write_text(yaml.safe_dump(found, sort_keys=False))
    total = found["train"]["total_iter"]
    assert main(["train", "-opt", "o.yml"]) == 0
    root = Path("experiments/interop")
    log = next(root.glob("train_*.log")).read_text()
    losses = {}
    for name, value in re.findall(r" ((?:l|out)_\w+): (\S+)", log):
        losses.setdefault(name, []).append(float(value))
    assert losses and all(len(values) == total for values in losses.values())
    assert all(math.isfinite(value) for values in losses.values() for value in values)
    measured = log.partition("# psnr: ")[2].split()[0]
    assert math.isfinite(float(measured))
    assert (
        cv2.imread(str(root / f"visualization/0/0_{total}.png")).shape
        == cv2.imread("data/val/gt/0.png").shape
    )
    for name in networks:
        weights = torch.load(root / f"models/net_{name}_{total}.pth", weights_only=True)["params"]
        before = torch.load(root / f"models/net_{name}_{total // 2}.pth", weights_only=True)["params"]
        assert any((weights[key] != before[key]).any() for key in weights)
    initialized_logger.clear()
    assert (
        main(["train", "-opt", "o.yml", "--auto_resume", "--force_yml", f"train:total_iter={total + 2}"]) == 0
    )
    assert (root / "models/net_g_latest.pth").exists()
    return losses


def falls(losses):
    return np.mean(losses[-5:]) < np.mean(losses[:3])


# SwinIRModel pads to network_g:window_size, which SemanIR has and Restormer has not
@pytest.mark.parametrize(
    "model, net",
    [*[("SRModel", net) for net in OURS], ("SwinIRModel", "SemanIR"), ("SwinIRModel", "Restormer")],
)
def test_our_nets_in_basicsrs_models(workplace, model, net):
    write_data()
    assert falls(runs(options(model, OURS[net]))["l_pix"])


@pytest.mark.parametrize("net", THEIRS)
def test_basicsrs_nets_in_our_model(workplace, net):
    write_data()
    found = options("RestorationModel", THEIRS[net], optim_g={"type": "AdamW", "lr": 4e-3})
    assert falls(runs(found)["l_pix"])


def gan(model, net, discriminator, **changes):
    train = {"gan_opt": GAN | {"loss_weight": 0.01}, "optim_d": dict(ADAM), "net_d_iters": 1}
    train |= {"net_d_init_iters": 0, "ema_decay": 0.9}
    return options(model, net, **train) | {"network_d": discriminator} | changes


@pytest.mark.parametrize("model", ["SRGANModel", "ESRGANModel"])
@pytest.mark.parametrize("net, kind", [("SemanIR", "UNet"), ("SemanIR", "VGG"), ("Restormer", "UNet")])
def test_our_nets_against_a_discriminator(workplace, model, net, kind):
    write_data(side=132 if kind == "VGG" else 48)
    found = gan(model, OURS[net], {"UNet": UNET_D, "VGG": VGG_D}[kind])
    if kind == "VGG":
        found["datasets"]["train"]["gt_size"] = 128
    losses = runs(found, "gd")
    assert set(losses) == {"l_g_pix", "l_g_gan", "l_d_real", "l_d_fake", "out_d_real", "out_d_fake"}
    assert falls(losses["l_g_pix"])


BLUR = {"blur_kernel_size": 21, "kernel_list": ["iso", "aniso"], "kernel_prob": [0.5, 0.5], "sinc_prob": 0.1}
BLUR |= {"blur_sigma": [0.2, 3], "betag_range": [0.5, 4], "betap_range": [1, 2]}
DEGRADE = {"resize_prob": [0.2, 0.7, 0.1], "resize_range": [0.15, 1.5], "gaussian_noise_prob": 0.5}
DEGRADE |= {"noise_range": [1, 30], "poisson_scale_range": [0.05, 3], "gray_noise_prob": 0.4}
DEGRADE |= {"jpeg_range": [30, 95]}


def real_world():
    """A RealESRNetModel, its degradations as published, around a SemanIR."""
    found = options("RealESRNetModel", OURS["SemanIR"], total=6)  # the degradations take their time
    train = found["datasets"]["train"]
    train |= {"type": "RealESRGANDataset", "meta_info": "data/names.txt", "batch_size_per_gpu": 1}
    train |= BLUR | {f"{key}2": value for key, value in BLUR.items()} | {"final_sinc_prob": 0.8}
    for key in ("dataroot_lq", "gt_size"):
        del train[key]
    found |= DEGRADE | {f"{key}2": value for key, value in DEGRADE.items()} | {"second_blur_prob": 0.8}
    return found | {"gt_size": 32, "gt_usm": False, "queue_size": 4}


def test_our_net_with_real_esrgans_degradations(workplace):
    """On the CPU, which BasicSR's model does not know by itself."""
    write_data()
    Path("data/names.txt").write_text("".join(f"{index}.png\n" for index in range(4)))
    assert len(runs(real_world())["l_pix"]) == 6


def test_a_pool_that_is_no_multiple_of_the_batch(workplace, capsys):
    write_data()
    Path("data/names.txt").write_text("".join(f"{index}.png\n" for index in range(4)))
    found = real_world() | {"queue_size": 5}
    found["datasets"]["train"]["batch_size_per_gpu"] = 2
    Path("o.yml").write_text(yaml.safe_dump(found))
    assert main(["train", "-opt", "o.yml"]) == 2
    assert "queue_size: 5 is no multiple of batch_size_per_gpu" in capsys.readouterr().err


# -- the user's mistakes with these models


def problems(found):
    Path("o.yml").write_text(yaml.safe_dump(found, sort_keys=False))
    try:
        option_file.check(read_options("o.yml"), "o.yml", is_train=True)
    except UserError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda o: o.pop("network_d"), "network_d: is missing; SRGANModel needs it"),
        (lambda o: o["train"].pop("optim_d"), "train:optim_d: is missing"),
        (lambda o: o["train"].pop("gan_opt"), "train:gan_opt: is missing"),
        (
            lambda o: o["train"]["optim_d"].update(type="AdamW"),
            "train:optim_d:type: is AdamW, but SRGANModel",
        ),
        (lambda o: o["network_d"].update(type="UNetDiscriminator"), "did you mean 'UNetDiscriminatorSN'?"),
        (
            lambda o: o.update(network_d=VGG_D | {"input_size": 64}),
            "network_d: input size must be 128 or 256",
        ),
        (lambda o: o["train"]["gan_opt"].update(gan_typ="x"), "unknown key; did you mean 'gan_type'?"),
    ],
)
def test_what_cannot_work_gets_one_line(workplace, change, says):
    found = copy.deepcopy(gan("SRGANModel", SEMANIR, dict(UNET_D)))
    assert problems(found) == []
    change(found)
    lines = problems(found)
    assert any(says in line for line in lines), lines


@pytest.mark.parametrize("name", ["UNetDiscriminatorSN", "UNetDiscriminatorSN_basicsr"])
def test_both_names_that_basicsr_knows_are_known(workplace, name):
    assert problems(gan("SRGANModel", SEMANIR, UNET_D | {"type": name})) == []


@pytest.mark.parametrize("form", ["bare.pth", "wrapped.pth", "plain.safetensors"])
def test_basicsrs_models_start_from_every_published_form(workplace, form):
    write_data()
    found = options("SRModel", OURS["Restormer"], total=2)
    arguments = {key: value for key, value in found["network_g"].items() if key != "type"}
    weights = Restormer(**arguments).state_dict()
    if form == "wrapped.pth":
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": t for key, t in weights.items()}}, form)
    elif form == "bare.pth":
        torch.save(weights, form)
    else:
        save_weights(form, weights)
    found["path"] = {"pretrain_network_g": form}
    runs(found)
