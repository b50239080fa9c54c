"""A training state resumes to the bit, or one line says what does not fit; nothing in between."""

import copy
import random
from functools import cache

import pytest
import torch
from small_model import batches, content, small_model, train_on

from ir_plugins.models.interface import OverridingModel
from ir_plugins.models.restoration_model import RestorationModel
from ir_plugins.options import registries
from ir_plugins.runtime.randomness import random_state
from ir_plugins.training import resuming
from ir_plugins.training.resuming import check_fits_model, rehearsed
from ir_plugins.training.soundness import unsound
from ir_plugins.weights.archives import BadArchive, load

OPTIMIZERS = {
    "Adam": {},
    "Adam with amsgrad": {"amsgrad": True},
    "AdamW": {},
    "AdamW, not fused": {"fused": False},
    "Adamax": {},
    "Adagrad": {},
    "Adadelta": {},
    "Adafactor": {},
    "ASGD": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Rprop": {},
    "SGD": {},
    "SGD with momentum": {"momentum": 0.9, "nesterov": True},
}
STEPS = 3


def options(kind):
    name = kind.replace(",", "").split()[0]
    schedule = {
        "type": "MultiStepRestartLR",
        "milestones": [2, 4],
        "restarts": [0, 3],
        "restart_weights": [1, 0.5],
    }
    return {"optim_g": {"type": name, "lr": 1e-3, **OPTIMIZERS[kind]}, "scheduler": schedule}


def trained(kind):
    """A model after some steps, and its state as a run saves it."""
    model = small_model(**options(kind))
    train_on(model, batches(STEPS))
    history = {
        "losses": [{"iter": 1, "lr": 0.1, "l_pix": 0.5}],
        "metrics": [{"iter": 1, "dataset": "v", "psnr": 2.0}],
    }
    state = {
        "place": [0, 6],
        "seed": 3,
        "history": history,
        "random": [random_state()],
        "epoch": 0,
        "iter": STEPS,
        "files": {},
    }
    return model, copy.deepcopy(state | model.training_state())


def resumed(kind, state, weights):
    """What a model ends with that continues from a state; None after one line."""
    model = small_model(seed=2, **options(kind))
    model.net_g.load_state_dict(weights)
    try:
        if unsound(state):
            return None
        check_fits_model(state, rehearsed(model.opt))
        check_fits_model(state, model)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 200
        return None
    model.resume_training(copy.deepcopy(state))
    train_on(model, batches(STEPS + 2)[STEPS:], STEPS + 1)
    return content(model)


def through_a_file(state):
    torch.save(state, "x.state")
    return load("x.state")[0]


def is_same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def check_same(a, b):
    same = a is not None and is_same(a, b)
    assert same  # of a short message


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_resumes_to_the_bit(small, kind):
    model, state = trained(kind)
    weights = copy.deepcopy(model.net_g.state_dict())
    state = through_a_file(state)
    train_on(model, batches(STEPS + 2)[STEPS:], STEPS + 1)
    expected = content(model)
    check_same(resumed(kind, state, weights), expected)
    if kind == "Adafactor":  # newer than these
        return
    # BasicSR's own, of an older torch: fewer keys, and steps that are plain numbers
    own = {key: copy.deepcopy(state[key]) for key in ("epoch", "iter", "optimizers", "schedulers")}
    for optimizer in own["optimizers"]:
        for group in optimizer["param_groups"]:
            for key in (
                "foreach",
                "fused",
                "maximize",
                "capturable",
                "differentiable",
                "decoupled_weight_decay",
            ):
                group.pop(key, None)
        for moments in optimizer["state"].values() if kind.startswith("Adam") and kind != "Adamax" else ():
            if "exp_avg_sq" in moments:
                moments["step"] = int(moments["step"])
    own["schedulers"][0]["verbose"] = False
    check_same(resumed(kind, own, weights), expected)


def first(state):
    return state["optimizers"][0]["state"][0]


def group(state):
    return state["optimizers"][0]["param_groups"][0]


def every(change):
    """Change the moments of every parameter."""

    def change_all(state):
        for moments in state["optimizers"][0]["state"].values():
            change(moments)

    return change_all


def shared(state):
    values = state["optimizers"][0]["state"]
    values[1]["exp_avg"] = values[1]["exp_avg_sq"]


# a fused step of some of these wrote beyond its memory, others gave tracebacks
REFUSED = {
    "moments of one element": every(lambda m: m.update(exp_avg=torch.zeros(1))),
    "moments of stride 0": every(lambda m: m.update(exp_avg=torch.zeros(1).expand(m["exp_avg"].shape))),
    "moments that share": shared,
    "a part of a larger tensor": lambda s: first(s).update(exp_avg=torch.zeros(5, 6, 3, 3)[:, :3]),
    "moments of another type": every(lambda m: m.update(exp_avg=m["exp_avg"].double())),
    "sparse moments": lambda s: first(s).update(exp_avg=first(s)["exp_avg"].to_sparse()),
    "a missing moment": lambda s: first(s).pop("exp_avg_sq"),
    "a missing step": lambda s: first(s).pop("step"),
    "a moment that is a number": lambda s: first(s).update(exp_avg=0.0),
    "a step of several": lambda s: first(s).update(step=torch.ones(2)),
    "a step below 0": lambda s: first(s).update(step=torch.tensor(-1.0)),
    "an infinite step": lambda s: first(s).update(step=torch.tensor(float("inf"))),
    "steps of two kinds": lambda s: first(s).update(step=3),
    "a parameter that is not there": lambda s: s["optimizers"][0]["state"].update({99: first(s)}),
    "a parameter that is a text": lambda s: s["optimizers"][0]["state"].update({"a": first(s)}),
    "a parameter twice": lambda s: group(s).update(params=[0] * len(group(s)["params"])),
    "fewer parameters": lambda s: group(s)["params"].pop(),
    "no parameters": lambda s: group(s).pop("params"),
    "another group": lambda s: s["optimizers"][0]["param_groups"].append(group(s)),
    "another optimizer": lambda s: s["optimizers"].append(s["optimizers"][0]),
    "no optimizer": lambda s: s["optimizers"].clear(),
    "lr: a": lambda s: group(s).update(lr="a"),
    "lr: -1": lambda s: group(s).update(lr=-1.0),
    "lr: nan": lambda s: group(s).update(lr=float("nan")),
    "no lr": lambda s: group(s).pop("lr"),
    "no initial_lr": lambda s: group(s).pop("initial_lr"),
    "one beta": lambda s: group(s).update(betas=(0.9,)),
    "a beta of 2": lambda s: group(s).update(betas=(0.9, 2.0)),
    "a beta that is None": lambda s: group(s).update(betas=(0.9, None)),
    "maximize": lambda s: group(s).update(maximize=True),
    "amsgrad": lambda s: group(s).update(amsgrad=True),
    "no moments of one": lambda s: s["optimizers"][0]["state"].pop(0),
    "a schedule without rates": lambda s: s["schedulers"][0].pop("_last_lr"),
    "a schedule of two rates": lambda s: s["schedulers"][0].update(_last_lr=[0.1, 0.1]),
    "a schedule that is ahead": lambda s: s["schedulers"][0].update(last_epoch=10**9),
    "a schedule's method": lambda s: s["schedulers"][0].update(get_lr=3),
    "a schedule's optimizer": lambda s: s["schedulers"][0].update(optimizer=3),
    "other milestones": lambda s: s["schedulers"][0].update(milestones=5),
    "fewer restarts": lambda s: s["schedulers"][0].update(restart_weights=[1]),
    "no schedule": lambda s: s["schedulers"].clear(),
    "python's state": lambda s: s["random"][0].update(python=3),
    "a place beyond numpy's": lambda s: s["random"][0].update(
        numpy=("MT19937", torch.ones(624).long(), 10**6, 0, 0.0)
    ),
    "torch's state cut": lambda s: s["random"][0].update(torch=s["random"][0]["torch"][:-1]),
    "torch's state stretched": lambda s: s["random"][0].update(torch=torch.zeros(1).byte().expand(5056)),
    "the GPU's state": lambda s: s["random"][0].update(cuda=torch.zeros(5000).byte()),
    "a loss that is a text": lambda s: s["history"]["losses"].append({"iter": 2, "l_pix": "x"}),
    "a dataset that is a number": lambda s: s["history"]["metrics"].append({"iter": 2, "dataset": 3}),
    "best of no kind": lambda s: s.update(best={"v": {"psnr": {"better": "up", "val": 1.0, "iter": 1}}}),
    "a best text": lambda s: s.update(best={"v": {"psnr": {"better": "higher", "val": "1", "iter": 1}}}),
    "a scaler without a scale": lambda s: s.update(scaler={"growth_factor": 2.0}),
    "a recipe that is no JSON": lambda s: s.update(recipe="{"),
    "a recipe of lists": lambda s: s.update(recipe="[" * 10**5),
    "a recipe without an optimizer": lambda s: s.update(recipe="{}"),
    "a seed of 2^70": lambda s: s.update(seed=2**70),
}


@cache
def sound():
    """A state of AdamW, the weights that belong to it, and what they become."""
    model, state = trained("AdamW")
    weights = copy.deepcopy(model.net_g.state_dict())
    train_on(model, batches(STEPS + 2)[STEPS:], STEPS + 1)
    return state, weights, content(model)


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(small, case):
    state, weights, _ = copy.deepcopy(sound())
    REFUSED[case](state)
    try:
        state = through_a_file(state)
    except BadArchive:
        return
    refused = resumed("AdamW", state, weights) is None
    assert refused


JUNK = [None, True, -1, 0.5j, float("nan"), 2**70, "a", b"a", [], {}, (), [None], {"a": 1}, {1: 2}, set()]
TENSORS = [
    lambda: torch.zeros(1),
    lambda: torch.zeros(0),
    lambda: torch.zeros(5, 3, 3, 3, dtype=torch.float16),
    lambda: torch.zeros(1).expand(5, 3, 3, 3),
    lambda: torch.eye(3).to_sparse(),
    lambda: torch.zeros(12, 5, 3, 3, dtype=torch.complex64),
    lambda: torch.zeros(5056, dtype=torch.uint8)[::2],
    lambda: torch.tensor(-1),
]
FREE = {"fused", "foreach", "files"}  # not read here
FREE |= {"beta2_decay"}  # which is below 0


def places(value, path=()):
    """The path of everything in a state."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    for key, item in items:
        yield (*path, key)
        if not (isinstance(item, tuple) and len(item) > 9):  # a generator's numbers
            yield from places(item, (*path, key))


def mutate(value, path, chance):
    """Replace, remove, double or swap what stands at a path of a copy."""
    if isinstance(value, tuple):
        return tuple(mutate(list(value), path, chance))
    key, rest = path[0], path[1:]
    if rest:
        value[key] = mutate(value[key], rest, chance)
    elif (kind := chance.randrange(10)) == 0:
        del value[key]
    elif kind == 1 and isinstance(value, list):
        value.append(value[key])
    else:
        value[key] = chance.choice(TENSORS)() if kind < 5 else copy.deepcopy(chance.choice(JUNK))
    return value


@pytest.mark.parametrize("kind", ["AdamW", "SGD with momentum", "Adafactor"])
def test_any_other_value_is_refused_or_changes_nothing(small, kind):
    model, state = trained(kind)
    weights = copy.deepcopy(model.net_g.state_dict())
    train_on(model, batches(STEPS + 2)[STEPS:], STEPS + 1)
    expected, chance = content(model), random.Random(kind)
    where = [path for path in places(state) if not FREE & set(map(str, path))]
    refused = 0
    for _ in range(60):
        path = chance.choice(where)
        changed = mutate(copy.deepcopy(state), path, chance)
        try:
            changed = through_a_file(changed)
        except BadArchive:
            refused += 1
            continue
        found = resumed(kind, changed, weights)
        fine = found is None or is_same(found, expected)
        assert fine, path
        refused += found is None
    assert refused > 30


def test_moments_follow_the_layout_of_their_parameters(small):
    """A fused step pairs numbers by their place in memory, whatever train:channels_last was before."""
    model, state = trained("AdamW")
    other = small_model(seed=2, channels_last=True, **options("AdamW"))
    other.net_g.load_state_dict(model.net_g.state_dict())
    other.resume_training(copy.deepcopy(state))
    for parameter, moments in other.optimizer_g.state.items():
        assert moments["exp_avg"].stride() == parameter.stride()
    for one in (model, other):
        train_on(one, batches(STEPS + 1)[STEPS:], STEPS + 1)
    ours, theirs = content(model), content(other)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_a_new_recipe_counts_for_a_subclass_too(small):
    """It came through the search for states, then its adapter was compared with the old schedule."""
    _, state = trained("AdamW")
    changed = options("AdamW") | {"scheduler": {"type": "CosineAnnealingLR", "T_max": 9}}
    check_fits_model(state, OverridingModel(small_model(**changed)))


class Remembering(torch.optim.lr_scheduler.LRScheduler):
    """A plugin's schedule with lists that grow."""

    def __init__(self, optimizer, last_epoch=-1):
        self.rates, self.places = [], {}
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        self.rates.append(-0.5)
        self.places["last"] = 0.25
        return [group["lr"] for group in self.optimizer.param_groups]


def test_a_plugins_schedule_may_change_its_lists(small, monkeypatch):
    monkeypatch.setitem(registries.SCHEDULERS, "Remembering", Remembering)
    recipe = options("AdamW") | {"scheduler": {"type": "Remembering"}}
    model = small_model(**recipe)
    train_on(model, batches(STEPS))
    state = {"epoch": 0, "iter": STEPS, **model.training_state()}
    check_fits_model(state, small_model(**recipe))
    state["schedulers"][0]["rates"] = 3
    with pytest.raises(ValueError, match="its schedule's rates is 3"):
        check_fits_model(state, small_model(**recipe))


def test_a_model_that_adds_an_optimizer_is_not_rehearsed(small, monkeypatch):
    opt = small_model(**options("AdamW")).opt
    assert rehearsed(opt) is not None

    class Two(RestorationModel):
        def init_training_settings(self):
            super().init_training_settings()
            self.optimizers.append(torch.optim.SGD(self.net_g.parameters(), lr=1.0))

    monkeypatch.setattr(resuming, "registered", lambda *_: Two)
    assert rehearsed(opt) is None
