"""What a run asks of a model: ours and BasicSR's own answer alike."""

import copy
import inspect
from pathlib import Path

import pytest
import torch
from small_model import batches, small_model, small_options, train_on
from tiny import write_pairs

from ir_plugins.models.interface import TrainableModel, trainable
from ir_plugins.models.restoration_model import RestorationModel
from ir_plugins.runtime.errors import Stopped
from ir_plugins.training.loaders import validation_loaders

from basicsr.models.sr_model import SRModel

pytestmark = pytest.mark.usefixtures("small")
STATES = Path("experiments/tiny/training_states")


@pytest.fixture
def loader(small):
    write_pairs(small / "data/val", [(9, 11), (13, 8)])
    return validation_loaders(small_options())[0]


def basicsrs(**options):
    torch.manual_seed(1)
    return SRModel(copy.deepcopy(small_options(optim_g={"type": "Adam", "lr": 0.01}, **options)))


def test_ours_need_no_adapter_and_theirs_get_one():
    ours, theirs = small_model(), basicsrs()
    assert trainable(ours) is ours
    assert trainable(theirs) is not theirs and trainable(theirs).optimizers is theirs.optimizers


@pytest.mark.parametrize("name", [n for n in vars(TrainableModel) if not n.startswith("_")])
def test_both_take_what_a_run_gives(name):
    asked = inspect.signature(getattr(TrainableModel, name)).parameters.values()
    for kind in (RestorationModel, type(trainable(basicsrs()))):
        taken = inspect.signature(getattr(kind, name, None) or getattr(SRModel, name)).parameters.values()
        assert [(p.name, p.kind) for p in taken] == [(p.name, p.kind) for p in asked]


def test_theirs_train_save_and_validate(loader):
    model = trainable(basicsrs())
    losses = train_on(model, batches(2))
    assert all(log["l_pix"] > 0 for log in losses)
    for folder in (STATES, Path("experiments/tiny/models")):
        folder.mkdir(parents=True)
    assert model.save(0, 2, {"place": [0, 4]}) is None
    assert set(torch.load(STATES / "2.state", weights_only=True)) == {
        "epoch",
        "iter",
        "optimizers",
        "schedulers",
    }
    found = model.validation(loader, 2, None, interrupted=lambda: True, chooses_best=False)
    assert found.dataset == "val" and found.pictures is None and found.samples == []
    assert found.means == model.metric_results and found.means["psnr"] > 0
    before = dict(found.means)
    model.net_g.gain.data.zero_()
    assert model.validation(loader, 2, None).means != before == found.means  # nobody writes into a result


def test_theirs_without_metrics(loader):
    model = basicsrs()
    model.opt["val"]["metrics"] = None
    assert trainable(model).validation(loader, 1, None).means == {}


def test_a_validation_that_is_interrupted(loader):
    model, asked = small_model(), []
    with pytest.raises(Stopped):
        model.validation(loader, 1, None, interrupted=lambda: asked.append(None) or len(asked) > 1)
    assert len(asked) == 3 and not hasattr(model, "metric_results")  # before each picture and at the end


@pytest.mark.parametrize("chooses_best", [True, False])
def test_a_validation_that_does_not_choose_the_best(loader, chooses_best):
    model = small_model()
    model.validation(loader, 3, None, chooses_best=chooses_best)
    assert Path("experiments/tiny/models/net_g_best.pth").exists() == chooses_best
    assert model.best_metric_results["val"]["psnr"]["iter"] == 3


class Old(RestorationModel):
    """A subclass written for BasicSR's arguments."""

    def save(self, epoch, current_iter):
        super().save(epoch, current_iter)

    def validation(self, dataloader, current_iter, tb_logger, save_img=False):
        super().validation(dataloader, current_iter, tb_logger, save_img)


def test_a_subclass_with_basicsrs_arguments_loses_nothing(loader):
    plain = small_model()
    old = Old(plain.opt)
    model = trainable(old)
    assert model is not old and trainable(plain) is plain
    for folder in (STATES, Path("experiments/tiny/models")):
        folder.mkdir(parents=True)
    assert model.save(0, 2, {"place": [0, 4]}) is None
    assert torch.load(STATES / "2.state", weights_only=True)["place"] == [0, 4]
    found = model.validation(loader, 2, None, chooses_best=False)
    assert len(found.pictures) == 2 and found.means["psnr"] > 0
    with pytest.raises(Stopped):
        model.validation(loader, 2, None, interrupted=lambda: True)
