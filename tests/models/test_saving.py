"""Checkpoints: what they hold, which are kept, what a full disk leaves."""

import errno
import hashlib
import importlib.util
import io
import multiprocessing
import resource
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from small_model import NETWORK, batches, content, small_model, train_on
from tiny import write_pairs

from ir_plugins.runtime.storage import sha256
from ir_plugins.training.loaders import validation_loaders
from ir_plugins.weights.archives import check

from basicsr.models import base_model
from basicsr.utils import get_root_logger

pytestmark = pytest.mark.usefixtures("small")
MODELS, STATES = Path("experiments/tiny/models"), Path("experiments/tiny/training_states")


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def load(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("ema_decay", [0, 0.5])
def test_a_checkpoint_holds_all_that_the_next_step_needs(ema_decay):
    model = small_model(
        ema_decay=ema_decay,
        precision="fp16",
        optim_g={"type": "AdamW", "lr": 0.01},
        network=NETWORK | {"norm": True},
    )
    train_on(model, batches(3))
    run_state = {"place": [1, 4], "history": {"losses": []}}
    assert model.save(epoch=2, current_iter=3, run_state=run_state) is None
    weights, state = load(MODELS / "net_g_3.pth"), load(STATES / "3.state")
    assert list(weights) == [*(["params", "params_ema"] if ema_decay else ["params"]), "network"]
    saved = {f"net {name}": value for name, value in weights["params"].items()}
    saved |= {f"ema {name}": value for name, value in weights.get("params_ema", {}).items()}
    for number, one in state["optimizers"][0]["state"].items():
        saved |= {f"{name} {number}": value for name, value in one.items()}
    expected = content(model)
    assert saved.keys() == expected.keys() and all(torch.equal(saved[n], expected[n]) for n in saved)
    assert (state["epoch"], state["iter"], state["place"]) == (2, 3, [1, 4])
    assert state["history"] == {"losses": []} and state["skipped"] == [0, 0]
    assert state["scaler"]["_growth_tracker"] == 3
    assert state["schedulers"][0]["last_epoch"] == 2
    assert state["files"] == {
        "net_g_3.pth": hashlib.sha256((MODELS / "net_g_3.pth").read_bytes()).hexdigest()
    }


def test_the_end_saves_weights_alone():
    model = small_model()
    model.save(epoch=-1, current_iter=-1)
    assert names(MODELS) == ["net_g_latest.pth"] and names(STATES) == [] and model.last_saved is None


def test_a_checkpoint_names_its_network():
    network = NETWORK | {"norm": True, "width": 5}
    model = small_model(network=network)
    model.save(0, 1)
    assert load(MODELS / "net_g_1.pth")["network"] == {
        "network_g": network,
        "scale": 2,
        "value_range": [0.0, 1.0],
    }
    assert "norm" in model.opt["network_g"]  # the options stay as they are


def test_the_scale_is_what_the_network_declares_else_that_of_the_options():
    edsr = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 2, "num_block": 1, "upscale": 2}
    for network, scale in ((edsr, 2), (NETWORK, 7)):
        model = small_model(network=network)
        model.opt["scale"] = 7
        model.save_networks("best")
        found = load(MODELS / "net_g_best.pth")["network"]
        assert found["network_g"] == network and found["scale"] == scale


def test_equal_blocks_give_equal_bytes():
    """Whatever objects they are made of: pickles tell one string used twice from two equal ones."""
    model, twin = small_model(network=NETWORK | {"width": 4}), small_model(network=NETWORK | {"width": 4})
    once = "".join(["Small", "Net"])
    model.opt["network_g"] = OrderedDict({"type": once, "width": 4, "a": once, "b": (1, 2)})
    twin.opt["network_g"] = {"type": "SmallNet", "width": 4, "a": "".join(["SmallN", "et"]), "b": [1, 2]}
    files = []
    for one in (model, twin):
        one.save_networks("best")
        files.append((MODELS / "net_g_best.pth").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("param_key", ["params", "params_ema"])
@pytest.mark.parametrize("ema_decay", [0, 0.5])
def test_basicsrs_own_loader_reads_it(ema_decay, param_key):
    """As it is published, without our repairs."""
    specification = importlib.util.spec_from_file_location("published", base_model.__file__)
    published = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(published)
    model, other = small_model(ema_decay=ema_decay), small_model(seed=2)
    train_on(model, batches(1))
    model.save(0, 1)
    loader = object.__new__(published.BaseModel)
    loader.load_network(other.net_g, str(MODELS / "net_g_1.pth"), True, param_key)
    expected = model.net_g_ema if ema_decay and param_key == "params_ema" else model.net_g
    assert all(torch.equal(v, expected.state_dict()[n]) for n, v in other.net_g.state_dict().items())


def test_a_later_step_does_not_reach_what_was_saved():
    model = small_model()
    before = {name: value.clone() for name, value in model.net_g.state_dict().items()}
    model.save(0, 1)
    train_on(model, batches(1))
    saved = load(MODELS / "net_g_1.pth")["params"]
    assert all(torch.equal(saved[name], before[name]) for name in before)


def pairs():
    """The iterations of which there are weights, which must be those of which there are states."""
    numbers = sorted(int(path.stem) for path in STATES.glob("*.state"))
    assert sorted(f"net_g_{number}.pth" for number in numbers) == [
        name for name in names(MODELS) if name not in ("net_g_best.pth", "net_g_latest.pth")
    ]
    return numbers


@pytest.mark.parametrize("keep", [None, 1, 2, 3, 99])
def test_only_the_newest_are_kept(keep):
    model = small_model()
    model.opt["logger"]["keep_last"] = keep
    model.save_networks("best")
    model.save(-1, -1)
    numbers = [2, 9, 10, 11, 100]
    for count, number in enumerate(numbers, 1):
        model.save(0, number)
        assert pairs() == numbers[max(0, count - (keep or 99)) : count]
    assert {"net_g_best.pth", "net_g_latest.pth"} <= set(names(MODELS))


@pytest.mark.parametrize("keep", [1, 2])
def test_who_goes_back_keeps_what_he_writes(keep):
    model = small_model()
    for number in (5, 10, 15):
        model.save(0, number)
    model.opt["logger"]["keep_last"] = keep
    model.save(0, 7)
    assert pairs() == [*([5] if keep == 2 else []), 7, 10, 15]  # those ahead are not this run's


def test_other_files_are_let_be():
    model = small_model()
    model.opt["logger"]["keep_last"] = 1
    model.save(0, 1)
    for path in (STATES / "mine.state", MODELS / "net_g_mine.pth", STATES / "1.state.bak"):
        path.write_bytes(b"x")
    model.save(0, 2)
    assert names(STATES) == ["1.state.bak", "2.state", "mine.state"]
    assert names(MODELS) == ["net_g_2.pth", "net_g_mine.pth"]


def test_an_older_checkpoint_that_cannot_be_removed_is_reported_alone(monkeypatch, messages):
    model = small_model()
    model.opt["logger"]["keep_last"] = 1
    model.save(0, 1)
    unlink = Path.unlink

    def refused(path, *arguments, **keywords):
        if path.name == "1.state":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        unlink(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "unlink", refused)
    assert model.save(0, 2) is None and pairs() == [1, 2] and model.last_saved == 2
    warnings = [text for text in messages if text.startswith(("WARNING", "ERROR"))]
    assert len(warnings) == 1
    assert warnings[0].startswith("WARNING logger:keep_last: an older checkpoint stays: ")
    assert "Permission denied" in warnings[0] and "1.state" in warnings[0]


PSNR = {"type": "calculate_psnr", "crop_border": 0}


@pytest.fixture
def measured(monkeypatch):
    """A model that validates on two sets of one picture, whose measures are what the test says."""
    write_pairs(Path("data/val"), [(5, 4)])
    values = {}
    monkeypatch.setattr(
        "ir_plugins.models.results.calculate_metric", lambda data, block: values[block["called"]]
    )
    model = small_model()
    model.opt["datasets"]["val_2"] = model.opt["datasets"]["val"] | {"name": "second"}
    loaders = validation_loaders(model.opt)

    def validate(iteration, first, second=0.0, other=0.0):
        model.net_g.gain.data.fill_(iteration)  # tells whose weights were saved
        for loader, value in zip(loaders, (first, second), strict=True):
            values.update(main=value, other=other)
            model.validation(loader, iteration, None)
        best = MODELS / "net_g_best.pth"
        return int(load(best)["params"]["gain"].mean()) if best.exists() else None

    model.opt["val"]["metrics"] = {"main": PSNR | {"called": "main"}, "other": PSNR | {"called": "other"}}
    return model, validate


def test_the_best_follows_the_first_metric_of_the_first_set(measured):
    _, validate = measured
    assert validate(1, first=20.0, second=50.0, other=50.0) == 1
    assert validate(2, first=19.0, second=60.0, other=60.0) == 1
    assert validate(3, first=21.0, second=10.0, other=10.0) == 3
    assert validate(4, first=21.0) == 4  # as BasicSR: the later one of two alike
    assert validate(5, first=float("nan")) == 4
    assert validate(6, first=20.9) == 4


def test_the_best_may_be_the_lowest(measured):
    model, validate = measured
    model.opt["val"]["metrics"]["main"]["better"] = "lower"
    assert [validate(i, first=value) for i, value in enumerate([3.0, 4.0, 2.0, 2.0, 2.5], 1)] == [
        1,
        1,
        3,
        4,
        4,
    ]


def test_after_a_resume_the_best_is_still_the_best(measured):
    model, validate = measured
    validate(1, first=20.0)
    state = model.training_state() | {"iter": 1, "epoch": 0}
    del model.best_metric_results
    model.resume_training(state)
    assert validate(2, first=19.0) == 1
    assert validate(3, first=20.5) == 3


def test_after_a_resume_metrics_may_be_others(measured):
    model, validate = measured
    validate(1, first=20.0, other=7.0)
    model.resume_training(model.training_state() | {"iter": 1, "epoch": 0})
    metrics = model.opt["val"]["metrics"]
    metrics["more"] = metrics["main"] | {}
    del metrics["other"]
    assert validate(2, first=19.0) == 1  # what is still measured is still known
    assert {name: row["val"] for name, row in model.best_metric_results["val"].items()} == {
        "main": 20,
        "more": 19,
    }
    metrics["main"]["better"] = "lower"
    assert validate(3, first=30.0) == 3


def test_the_best_holds_the_average_too(measured):
    _, validate = measured
    validate(1, first=20.0)
    assert list(load(MODELS / "net_g_best.pth")) == ["params", "network"]
    model = small_model(ema_decay=0.5)
    model.save_networks("best")
    assert list(load(MODELS / "net_g_best.pth")) == ["params", "params_ema", "network"]


def test_a_test_saves_no_best(measured):
    model, validate = measured
    model.is_train = False
    assert validate(1, first=20.0) is None


class Disk:
    """Files to write to, until there is no room left."""

    def __init__(self, room):
        self.room = room

    def open(self, path, mode="r", *arguments, **keywords):
        return _Full(path, self) if mode == "wb" else io.open(path, mode, *arguments, **keywords)  # noqa: UP020


class _Full(io.FileIO):
    def __init__(self, path, disk):
        super().__init__(path, "w")
        self.disk = disk

    def write(self, data):
        if len(data) > self.disk.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.disk.room -= len(data)
        return super().write(data)


@pytest.fixture
def disk(monkeypatch):
    found = Disk(10**9)
    monkeypatch.setattr("builtins.open", found.open)
    return found


def size_of_a_checkpoint():
    return (MODELS / "net_g_1.pth").stat().st_size, (STATES / "1.state").stat().st_size


@pytest.mark.parametrize("share", [0.0, 0.1, 0.99, 1.0, 1.1, 1.9])
def test_a_full_disk_costs_one_line_and_one_checkpoint(share, disk, messages):
    """share: how much fits; 1 are the weights, 2 the training state too."""
    model = small_model(ema_decay=0.5)
    model.save(0, 1)
    weights, state = size_of_a_checkpoint()
    before = [(MODELS / "net_g_1.pth").read_bytes(), (STATES / "1.state").read_bytes()]
    train_on(model, batches(1))
    disk.room = int(weights * min(share, 1) + state * max(share - 1, 0))
    failure = model.save(0, 2)
    file = (MODELS / "net_g_2.pth" if share < 1 else STATES / "2.state").absolute()
    assert failure == (
        f"The checkpoint of iteration 2 could not be saved: {file}: No space left on device; "
        "earlier ones are intact"
    )
    assert [text for text in messages if "checkpoint" in text] == [f"ERROR {failure}, the run continues"]
    assert pairs() == [1] and model.last_saved == 1
    assert [(MODELS / "net_g_1.pth").read_bytes(), (STATES / "1.state").read_bytes()] == before
    assert len(names(MODELS)) == len(names(STATES)) == 1  # nothing half
    disk.room = 10**9
    train_on(model, batches(1), first=3)
    model.save(0, 3)
    assert pairs() == [1, 3] and model.last_saved == 3
    assert sha256(MODELS / "net_g_3.pth") == load(STATES / "3.state")["files"]["net_g_3.pth"]


def test_at_the_end_a_full_disk_keeps_the_checkpoint_before(disk, messages):
    model = small_model()
    model.save(0, 1)
    disk.room = 100
    model.save(-1, -1)
    file = Path(MODELS, "net_g_latest.pth").absolute()
    assert f"ERROR net_g_latest.pth could not be saved: {file}: No space left on device" in messages[-1]
    assert pairs() == [1] and names(MODELS) == ["net_g_1.pth"]


def test_a_full_disk_keeps_the_best_before(measured, disk, messages):
    _, validate = measured
    assert validate(1, first=20.0) == 1
    disk.room = 100
    assert validate(2, first=21.0) == 1
    file = Path(MODELS, "net_g_best.pth").absolute()
    assert f"ERROR net_g_best.pth could not be saved: {file}: No space left on device" in messages
    disk.room = 10**9
    assert validate(3, first=20.5) == 3  # better than the one that could be saved
    assert names(MODELS) == ["net_g_best.pth"]


def under_a_limit():
    told = []
    logger = get_root_logger()
    logger.error = told.append
    small_model(network={"type": "SmallNet", "width": 3}).save(0, 1)
    model = small_model(network={"type": "SmallNet", "width": 400})
    for limit in (3, 5000, 60_000, 100_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        model.save(0, limit)
        train_on(model, batches(1))
    assert len(told) == 4 and all(".pth: File too large" in text for text in told)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    model.save(0, 2)


def test_a_limit_of_the_system_is_as_a_full_disk():
    process = multiprocessing.get_context("fork").Process(target=under_a_limit)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert pairs() == [1, 2]
    check(MODELS / "net_g_2.pth")
    check(STATES / "1.state")
