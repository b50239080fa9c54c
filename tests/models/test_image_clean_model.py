"""Option files of Restormer's published shape: checked, trained, resumed and tested as they are."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from published_files import PUBLISHED, TASKS, published, write_data, write_options
from torch import nn

from ir_plugins.checks import option_file
from ir_plugins.cli import main
from ir_plugins.models import ImageCleanModel, RestorationModel
from ir_plugins.options.reading import complete, read_options
from ir_plugins.runtime.errors import UserError

from basicsr.utils.logger import initialized_logger

TINY = """
    num_gpu=0 datasets:train:num_worker_per_gpu=0 datasets:train:dataset_enlarge_ratio=30
    datasets:train:batch_size_per_gpu=3
    datasets:train:gt_size=21 datasets:train:gt_sizes=[9,16,21] datasets:train:mini_batch_sizes=[3,2,1]
    datasets:train:iters=[2,2,2] network_g:dim=4 network_g:num_blocks=[1,1,1,1]
    network_g:num_refinement_blocks=1 train:total_iter=6 train:scheduler:periods=[2,3] val:val_freq=3
    val:save_img=true logger:print_freq=1 logger:save_checkpoint_freq=3
""".split()  # noqa: SIM905  (a list would take a page)


@pytest.fixture(autouse=True)
def fresh_logger():
    import logging

    initialized_logger.clear()
    logging.getLogger("basicsr").handlers.clear()


@pytest.mark.parametrize("task", TASKS)
def test_a_published_file_is_valid_as_it_is(workplace, task, capsys):
    if task == "paired":
        Path("o.yml").write_text(PUBLISHED)
    else:
        write_options(published(task))
    assert main(["check", "-opt", "o.yml"]) == 0
    assert capsys.readouterr().out.startswith("o.yml: ok")


@pytest.fixture
def trained_on(monkeypatch):
    """What each iteration trains on: the shapes of LQ and GT."""
    shapes, step = [], RestorationModel.optimize_parameters

    def recorded(self, current_iter):
        shapes.append((current_iter, *self.lq.shape, self.gt.shape[1]))
        step(self, current_iter)

    monkeypatch.setattr(RestorationModel, "optimize_parameters", recorded)
    return shapes


@pytest.mark.parametrize("task", TASKS)
def test_a_published_file_trains_validates_saves_resumes_and_tests(workplace, task, trained_on):
    write_data(task)
    write_options(published(task))
    first = ["train", "-opt", "o.yml", "--force_yml", *TINY]
    assert main([*first, "train:total_iter=3"]) == 0
    assert main([*first, "--auto_resume"]) == 0

    lq, gt = {"paired": (3, 3), "color": (3, 3), "gray": (1, 1), "dual": (6, 3)}[task]
    plan = [(3, 9), (3, 9), (2, 16), (2, 16), (1, 21), (1, 21)]  # resumed after the third
    assert trained_on == [(i, n, lq, side, side, gt) for i, (n, side) in enumerate(plan, 1)]

    root = Path("experiments/Restormer")
    assert {path.name for path in (root / "models").iterdir()} == {
        "net_g_3.pth",
        "net_g_6.pth",
        "net_g_best.pth",
        "net_g_latest.pth",
    }
    state = torch.load(root / "training_states/6.state", weights_only=True)
    assert state["iter"] == 6
    # periods 2 and 3: the cosine has reached its minimum, and stays there
    assert state["optimizers"][0]["param_groups"][0]["lr"] == pytest.approx(1e-6)
    # the resumed run measures anew what its state was saved before
    logs = "".join(path.read_text() for path in sorted(root.glob("train_*.log")))
    assert logs.count("# psnr: ") == 3 and "nan" not in logs.partition("model_type")[2].lower()
    assert "patches of 21x21, batches of 1" in logs
    picture = cv2.imread(str(root / "visualization/0/0_6.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == ((15, 26) if task == "gray" else (15, 26, 3))

    weights = "path:pretrain_network_g=experiments/Restormer/models/net_g_6.pth"
    assert main(["test", "-opt", "o.yml", "--force_yml", *TINY, weights]) == 0
    tested = cv2.imread("results/Restormer/visualization/ValSet/0_Restormer.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(tested, picture)


def test_the_loss_falls(workplace):
    """Deblurring learns something in 60 iterations, with the published clipping and schedule."""
    write_data("paired")
    write_options(published())
    changes = ["train:total_iter=60", "datasets:train:iters=[20,20,20]", "train:scheduler:periods=[60,1]"]
    changes += ["train:optim_g:lr=0.003", "train:scheduler:eta_mins=[0.001,0]", "val:val_freq=60"]
    assert main(["train", "-opt", "o.yml", "--force_yml", *TINY, *changes]) == 0
    log = next(Path("experiments/Restormer").glob("train_*.log")).read_text()
    losses = [float(line.split("l_pix: ")[1].split()[0]) for line in log.splitlines() if "l_pix: " in line]
    assert len(losses) == 60 and np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])


class Blend(nn.Module):
    """A net that tells what it was given, and overshoots."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.full((3, 1, 1), 1.5))
        self.given = []

    def forward(self, x):
        self.given.append(tuple(x.shape))
        return x[:, :3] * self.gain


def model(val=(), train=(), **changes):
    """An ImageCleanModel around a Blend."""
    options = published()
    options["network_g"] = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 2, "num_block": 1}
    options["train"] |= dict(train)
    options["val"] |= dict(val)
    del options["datasets"]["train"]["iters"]
    options |= {"num_gpu": 0} | changes
    net = ImageCleanModel(complete(options, is_train=True) | {"dist": False, "rank": 0})
    net.net_g = Blend()
    net.optimizers.clear()
    net.opt["train"]["optim_g"] = {"type": "SGD", "lr": 1.0}
    net.setup_optimizers()
    return net


def test_gradients_are_clipped_to_a_hundredth(workplace):
    for clipped in (True, False):
        net = model(train={"use_grad_clip": clipped})
        net.feed_data({"lq": torch.rand(2, 3, 5, 7), "gt": torch.rand(2, 3, 5, 7)})
        net.optimize_parameters(1)
        moved = float((net.net_g.gain.detach() - 1.5).norm())
        assert moved == pytest.approx(0.01, rel=1e-3) if clipped else moved > 0.02


def test_mixup_blends_what_is_trained_on(workplace, trained_on):
    lq, gt = torch.rand(4, 3, 5, 7), torch.rand(4, 3, 5, 7)
    for mixing in ({"mixup": False}, {"mixup": True, "mixup_beta": 1.2, "use_identity": False}, None):
        net = model(train={"mixing_augs": mixing})
        net.feed_data({"lq": lq, "gt": gt})
        net.optimize_parameters(1)
        assert torch.equal(net.lq, lq) != bool(mixing and mixing["mixup"])


@pytest.mark.parametrize("window_size, padded", [(8, (8, 16)), (1, (5, 11)), (None, (5, 11)), (7, (7, 14))])
def test_pictures_are_padded_to_windows_and_cropped(workplace, window_size, padded):
    net = model(val={"window_size": window_size})
    lq = torch.rand(1, 3, 5, 11)
    net.feed_data({"lq": lq})
    net.test()
    assert net.net_g.given == [(1, 3, *padded)]
    assert torch.equal(net.output, 1.5 * lq) and torch.equal(net.lq, lq)


def test_no_more_pictures_at_once_than_max_minibatch(workplace):
    net = model(val={"max_minibatch": 2})
    lq = torch.rand(5, 3, 8, 8)
    net.feed_data({"lq": lq})
    net.test()
    assert [shape[0] for shape in net.net_g.given] == [2, 2, 1]
    assert torch.equal(net.output, 1.5 * lq)


class Pictures:
    """As much of a dataset as validation asks of it."""

    def __init__(self, count):
        self.opt, self.count = {"name": "val"}, count

    def __len__(self):
        return self.count


def loader(*pairs):
    """A validation loader of pairs (lq, gt), each (3, H, W)."""

    class Loader(list):
        dataset = Pictures(len(pairs))

    keys = [{"lq_path": [f"data/{i}.png"]} for i in range(len(pairs))]
    return Loader({"lq": lq[None], "gt": gt[None], **key} for (lq, gt), key in zip(pairs, keys, strict=True))


def psnr(a, b):
    return float(10 * torch.log10(1 / (a.double() - b.double()).square().mean()))


@pytest.mark.parametrize("use_image", [True, False])
def test_what_is_measured_is_clamped_and_rounded_only_where_asked(workplace, use_image):
    pairs = [(torch.rand(3, 9, 7), torch.rand(3, 9, 7)) for _ in range(2)]
    net = model(val={"use_image": use_image})
    net.validation(loader(*pairs), 1, None, False)

    def seen(picture):
        picture = picture.clamp(0, 1)
        return (picture * 255).round() / 255 if use_image else picture

    expected = np.mean([psnr(seen(1.5 * lq), seen(gt)) for lq, gt in pairs])
    other = np.mean([psnr(1.5 * lq, gt) for lq, gt in pairs])
    assert net.metric_results["psnr"] == pytest.approx(expected, abs=1e-4)
    assert abs(expected - other) > 0.1
    assert net.best_metric_results["val"]["psnr"]["val"] == net.metric_results["psnr"]
    net.validation(loader(pairs[0]), 2, None, False)  # nothing of the first one is left
    lq, gt = pairs[0]
    assert net.metric_results["psnr"] == pytest.approx(psnr(seen(1.5 * lq), seen(gt)), abs=1e-4)


@pytest.mark.parametrize("rgb2bgr", [True, False])
def test_channels_are_turned_round_for_saving_only_where_asked(workplace, rgb2bgr):
    net = model(val={"rgb2bgr": rgb2bgr})
    lq = torch.tensor([0.6, 0.2, 0.4])[:, None, None].expand(3, 9, 7) / 1.5
    net.validation(loader((lq, lq)), 1, None, True)
    saved = cv2.imread("experiments/Restormer/visualization/0/0_1.png")
    values = [153, 51, 102]
    assert saved[0, 0].tolist() == (values[::-1] if rgb2bgr else values)


def test_validation_without_metrics(workplace):
    net = model(val={"metrics": None, "use_image": False})
    net.validation(loader((torch.rand(3, 9, 7), torch.rand(3, 9, 7))), 1, None, False)


def problems(options):
    try:
        option_file.check(read_options(write_options(options)), "o.yml", is_train=True)
    except UserError as error:
        return str(error).splitlines()
    return []


def changed(keys, value, task="paired"):
    options = copy.deepcopy(published(task))
    *blocks, last = keys.split(":")
    block = options
    for key in blocks:
        block = block[key]
    if value is None:
        del block[last]
    else:
        block[last] = value
    return options


@pytest.mark.parametrize(
    "keys, value, says",
    [
        ("datasets:train:geometric_aug", True, "unknown key; did you mean 'geometric_augs'?"),
        ("datasets:train:mini_batch_size", [1], "unknown key; did you mean 'mini_batch_sizes'?"),
        ("datasets:train:use_hflip", True, "unknown key"),
        ("datasets:val:iters", [1], "unknown key"),
        ("datasets:train:iters", None, "datasets:train:iters: is missing; gt_sizes needs it"),
        ("datasets:train", [{}], "datasets:train: must be a block of keys"),
        ("scale", "1", "scale: is '1'; expected a whole number of at least 1"),
        ("datasets:train:gt_sizes", None, "datasets:train:gt_sizes: is missing; mini_batch_sizes needs it"),
        ("datasets:train:iters", [92000, 64000], "gt_sizes: has 6 stages, but iters has 2"),
        ("datasets:train:iters", 92000, "iters: is 92000; expected a list of whole numbers"),
        ("datasets:train:gt_size", None, "datasets:train:gt_size: is missing"),
        ("datasets:train:dataroot_lq", None, "datasets:train:dataroot_lq: is missing"),
        ("datasets:train:dataroot_lq", "none", "datasets:train:dataroot_lq: is none, which only"),
        ("datasets:train:geometric_augs", 1, "geometric_augs: is 1; expected true or false"),
        ("network_g:inp_channels", 6, "network_g:inp_channels: is 6, but datasets:train gives 3 channels"),
        ("train:use_grad_clip", 0.01, "train:use_grad_clip: is 0.01; expected true or false"),
        ("train:use_gradclip", True, "unknown key; did you mean 'use_grad_clip'?"),
        ("train:mixing_augs:mix_up", True, "train:mixing_augs:mix_up: unknown key; did you mean 'mixup'?"),
        ("train:mixing_augs:mixup", "yes", "train:mixing_augs:mixup: is 'yes'; expected true or false"),
        ("train:mixing_augs:mixup_beta", 0, "mixup_beta: is 0; expected a number above 0"),
        ("train:mixing_augs", "mixup", "train:mixing_augs: must be a block of keys"),
        ("train:scheduler:eta_mins", [1e-6], "train:scheduler: cannot work: periods=[92000, 208000]"),
        ("train:scheduler:eta_min", 1e-6, "unknown key; did you mean 'eta_mins'?"),
        ("train:scheduler:periods", 92000, "periods: is 92000; expected a list of whole numbers"),
        ("val:window_size", 0, "val:window_size: is 0; expected a whole number from 1 to below 1025"),
        ("val:max_minibatch", 1.5, "val:max_minibatch: is 1.5; expected a whole number"),
        ("val:rgb2bgr", "no", "val:rgb2bgr: is 'no'; expected true or false"),
        ("val:use_image", 1, "val:use_image: is 1; expected true or false"),
        ("val:windows_size", 8, "unknown key; did you mean 'window_size'?"),
        ("model_type", "SRModel", "is CosineAnnealingRestartCyclicLR, which SRModel does not know"),
        ("model_type", "RestorationModel", "datasets:train:iters: unknown key"),
    ],
)
def test_what_cannot_work_gets_one_line(workplace, keys, value, says):
    lines = problems(changed(keys, value))
    assert any(says in line for line in lines), lines


@pytest.mark.parametrize(
    "task, keys, value, says",
    [
        ("dual", "datasets:val:dataroot_lqR", None, "datasets:val:dataroot_lqR: is missing"),
        ("dual", "network_g:inp_channels", None, "inp_channels: is 3, but datasets:train gives 6 channels"),
        ("gray", "datasets:val:in_ch", 3, "inp_channels: is 1, but datasets:val gives 3 channels"),
        ("color", "datasets:train:sigma_range", 50, "sigma_range: is 50; sigma_type random takes the least"),
        ("color", "datasets:val:sigma_test", None, "datasets:val:sigma_test: is missing; expected a number"),
        ("color", "datasets:val:dataroot_lq", "data", "datasets:val:dataroot_lq: must be none"),
        ("color", "datasets:train:sigma_rnge", 50, "unknown key; did you mean 'sigma_range'?"),
        ("color", "scale", 2, "Dataset_GaussianDenoising, which knows scale 1 only"),
    ],
)
def test_what_cannot_work_with_a_task_gets_one_line(workplace, task, keys, value, says):
    lines = problems(changed(keys, value, task))
    assert any(says in line for line in lines), lines


def test_a_schedule_shorter_than_the_training_is_fine(workplace):
    assert problems(changed("train:scheduler:periods", [92000, 1000])) == []


@pytest.mark.parametrize("key, value", [("dataroot_lq", None), ("scale", None), ("mixing_augs", {})])
def test_what_may_be_left_out(workplace, key, value):
    options = published("color")
    if key == "mixing_augs":
        options["train"][key] = value
    else:
        options.pop(key, None)
        for dataset in options["datasets"].values():
            dataset.pop(key, None)
    assert problems(options) == []
