"""Going on from a training state: with the recipe of before, with another one, and from BasicSR's own."""

import copy
from pathlib import Path

import pytest
import torch
from small_model import NETWORK, batches, content, small_model, small_options, train_on

from basicsr.models.sr_model import SRModel

pytestmark = pytest.mark.usefixtures("small")
MODELS, STATES = Path("experiments/tiny/models"), Path("experiments/tiny/training_states")
STEPS = {"type": "MultiStepLR", "milestones": [3, 6, 8], "gamma": 0.5}
COSINE = {"type": "CosineAnnealingRestartLR", "periods": [11], "eta_min": 1e-3}
ADAM = {"type": "AdamW", "lr": 0.01}


def resumed(iteration, seed=2, **options):
    """A model with other weights, which then takes up what was saved."""
    model = small_model(seed=seed, **options)
    weights = torch.load(MODELS / f"net_g_{iteration}.pth", weights_only=True)
    model.net_g.load_state_dict(weights["params"])
    if "params_ema" in weights:
        model.net_g_ema.load_state_dict(weights["params_ema"])
    model.resume_training(torch.load(STATES / f"{iteration}.state", weights_only=True))
    return model


def rates(model, first, last):
    found = []
    for iteration in range(first, last + 1):
        model.update_learning_rate(iteration, model.opt["train"].get("warmup_iter", -1))
        found.append(model.get_current_learning_rate())
        model.optimizer_g.step()
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(
    "optimizer", [ADAM, ADAM | {"type": "NAdam"}, {"type": "SGD", "lr": 0.1, "momentum": 0.9}]
)
def test_it_ends_with_the_same_bits(precision, optimizer):
    options = {
        "precision": precision,
        "optim_g": optimizer,
        "scheduler": STEPS,
        "ema_decay": 0.5,
        "warmup_iter": 3,
    }
    options["network"] = NETWORK | {"norm": True}
    whole = small_model(**options)
    train_on(whole, batches(8)[:4])
    whole.save(0, 4)
    again = resumed(4, **options)
    for model in (whole, again):
        train_on(model, batches(8)[4:], first=5)
    expected, found = content(whole), content(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert again.training_state().keys() == whole.training_state().keys()
    assert again.last_saved == 4


RECIPES = {
    "lr": {"optim_g": ADAM | {"lr": 0.003}},
    "scheduler": {"scheduler": COSINE},
    "milestones": {"scheduler": STEPS | {"milestones": [2, 7]}},
    "warm-up": {"warmup_iter": 7},
    "no warm-up": {"warmup_iter": None},
    "all": {"scheduler": COSINE, "warmup_iter": 7, "optim_g": ADAM | {"lr": 0.02}},
}


@pytest.mark.parametrize("at", [1, 4, 7])
@pytest.mark.parametrize("recipe", RECIPES)
def test_another_recipe_holds_as_if_from_the_start(recipe, at):
    before = {"optim_g": ADAM, "scheduler": STEPS, "warmup_iter": 2}
    now = before | RECIPES[recipe]
    model = small_model(**before)
    train_on(model, batches(at))
    model.save(0, at)
    undisturbed = rates(small_model(**now), 1, 11)
    assert rates(resumed(at, **now), at + 1, 11) == undisturbed[at:]
    if "warm-up" not in recipe or at < 6:  # once over, it makes no difference
        unchanged = rates(resumed(at, **before), at + 1, 11)
        assert (unchanged == undisturbed[at:]) == (recipe == "no warm-up")


def test_another_recipe_keeps_what_the_optimizer_knows(messages):
    model = small_model(optim_g=ADAM, scheduler=STEPS)
    train_on(model, batches(4))
    model.save(0, 4)
    again = resumed(
        4, optim_g=ADAM | {"lr": 0.02, "weight_decay": 0.3, "betas": [0.8, 0.99]}, scheduler=STEPS
    )
    expected, found = content(model), content(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    group = again.optimizer_g.param_groups[0]
    assert group["weight_decay"] == 0.3 and tuple(group["betas"]) == (0.8, 0.99)
    assert "hold from now on: learning rate 1.000e-02" in messages[-1]
    train_on(again, batches(1), first=5)


def test_the_same_recipe_is_not_talked_about(messages):
    model = small_model(optim_g=ADAM)
    train_on(model, batches(1))
    model.save(0, 1)
    messages.clear()
    resumed(1, optim_g=dict(reversed(ADAM.items())))
    assert not [text for text in messages if "learning rate" in text]


REFUSED = {
    "type": ({}, {"type": "Adam"}, "train:optim_g:type was AdamW; begin a new run with the weights"),
    "no_decay": ({}, {"no_decay": True}, "train:optim_g:no_decay has changed"),
    "no_decay taken back": ({"no_decay": True}, {}, "train:optim_g:no_decay has changed"),
    "as many others": (
        {"no_decay": ["first.bias"]},
        {"no_decay": ["gain"]},
        "train:optim_g:no_decay has changed",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_moments_go_to_no_other_parameter(case):
    before, now, says = REFUSED[case]
    model = small_model(optim_g=ADAM | before)
    train_on(model, batches(1))
    model.save(0, 1)
    with pytest.raises(ValueError, match=says):
        resumed(1, optim_g=ADAM | now)


def test_another_recipe_does_not_hide_another_network():
    state = small_model(optim_g=ADAM).training_state() | {"iter": 1, "epoch": 0}
    with pytest.raises(ValueError, match="it is of another network"):
        small_model(optim_g=ADAM | {"lr": 0.1}, network=NETWORK | {"norm": True}).resume_training(state)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("ema_decay", [0, 0.5])
def test_basicsr_s_own_state_is_taken_up(ema_decay, precision):
    """Trained by BasicSR, saved by BasicSR; in float32 the next step is BasicSR's, too."""
    options = {"optim_g": ADAM | {"type": "Adam"}, "scheduler": STEPS, "ema_decay": ema_decay}
    torch.manual_seed(1)
    theirs = SRModel(copy.deepcopy(small_options(**options)))
    train_on(theirs, batches(4))
    for folder in (MODELS, STATES):
        folder.mkdir(parents=True)
    theirs.save(0, 4)
    ours = resumed(4, precision=precision, **options)
    assert ours.get_current_learning_rate() == theirs.get_current_learning_rate()
    for model in (theirs, ours):
        train_on(model, batches(6)[4:], first=5)
    assert ours.get_current_learning_rate() == theirs.get_current_learning_rate() == [0.005]
    if precision == "fp32":
        expected, found = content(theirs), content(ours)
        assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-6
    ours.save(0, 6)
    assert "skipped" in torch.load(STATES / "6.state", weights_only=True)


@pytest.mark.parametrize("ema_decay", [0, 0.5])
def test_basicsr_takes_up_ours(ema_decay):
    options = {"optim_g": ADAM | {"type": "Adam"}, "scheduler": STEPS, "ema_decay": ema_decay}
    ours = small_model(**options)
    train_on(ours, batches(2))
    ours.save(0, 2)
    theirs = SRModel(copy.deepcopy(small_options(**options)))
    theirs.load_network(theirs.net_g, str(MODELS / "net_g_2.pth"))
    theirs.resume_training(torch.load(STATES / "2.state", weights_only=True))
    for model in (theirs, ours):
        train_on(model, batches(3)[2:], first=3)
    for name, value in theirs.net_g.state_dict().items():
        assert torch.allclose(ours.net_g.state_dict()[name], value, atol=1e-6)
