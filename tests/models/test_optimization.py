"""What stands between a gradient and the weights: losses, optimizers, learning rates, clipping, averages."""

import copy
import math

import pytest
import torch
from small_model import NETWORK, batches, content, largest_difference, small_model, train_on

from ir_plugins.models import restoration_options
from ir_plugins.options.registries import SCHEDULERS, optimizers

from basicsr.models.lr_scheduler import CosineAnnealingRestartLR, MultiStepRestartLR

pytestmark = pytest.mark.usefixtures("small")


PAIR = {"type": "Pair", "first": 0.5, "second": 0.25}
LOSSES = {
    "one": ({}, ["l_pix"]),
    "a pair": ({"perceptual_opt": PAIR}, ["l_pix", "l_percep", "l_style"]),
    "a pair without style": ({"perceptual_opt": PAIR | {"second": None}}, ["l_pix", "l_percep"]),
    "style alone": ({"perceptual_opt": PAIR | {"first": None}}, ["l_pix", "l_style"]),
    "a pair alone": ({"pixel_opt": None, "perceptual_opt": PAIR}, ["l_percep", "l_style"]),
    "named": ({"edges_opt": {"type": "MSELoss"}, "two_words_opt": {"type": "CharbonnierLoss"}}, None),
    "two pairs": (
        {"perceptual_opt": PAIR, "more_opt": PAIR},
        ["l_pix", "l_percep", "l_style", "l_more", "l_more_style"],
    ),
    "off": ({"edges_opt": None}, ["l_pix"]),
}


def value_by_hand(name, output, gt):
    error = output - gt
    if name in ("l_percep", "l_more"):
        return 0.5 * error.square().mean()
    if name in ("l_style", "l_more_style"):
        return 0.25 * error.abs().mean()
    return {
        "l_pix": error.abs(),
        "l_edges": error.square(),
        "l_two_words": torch.sqrt(error.square() + 1e-12),
    }[name].mean()


@pytest.mark.parametrize("case", LOSSES)
def test_losses_are_added_and_logged_by_name(case):
    options, names = LOSSES[case]
    names = names or ["l_pix", "l_edges", "l_two_words"]
    model, (batch,) = small_model(**options), batches(1)
    net = copy.deepcopy(model.net_g)
    output = net(batch["lq"])
    values = {name: value_by_hand(name, output, batch["gt"]) for name in names}
    sum(values.values()).backward()
    log = train_on(model, [batch])[0]
    assert log == {name: pytest.approx(value.item(), rel=1e-6) for name, value in values.items()}
    for (name, ours), theirs in zip(model.net_g.named_parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-7), name


@pytest.mark.parametrize("name", ["pix", "percep", "style"])
def test_no_loss_hides_another_one(name):
    options = {"train": {f"{name}_opt": {"type": "MSELoss"}}}
    problems = list(restoration_options.option_problems(options))
    text = f"would be logged as l_{name}, as another loss is; rename it"
    assert problems == [(("train", f"{name}_opt"), text)]


@pytest.mark.parametrize("name", sorted(set(optimizers()) - {"LBFGS", "SparseAdam", "Muon"}))
def test_a_step_is_that_of_torch(name):
    # the others need a closure, sparse gradients and matrices
    model = small_model(optim_g={"type": name, "lr": 0.01})
    net = copy.deepcopy(model.net_g)
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.01, foreach=False)
    for batch in batches(2):
        optimizer.zero_grad()
        torch.nn.functional.l1_loss(net(batch["lq"]), batch["gt"]).backward()
        optimizer.step()
    train_on(model, batches(2))
    assert largest_difference(model.net_g.state_dict(), net.state_dict()) < 1e-5


@pytest.mark.parametrize(
    "name, given, fused",
    [
        ("Adam", {}, True),
        ("AdamW", {"eps": 1e-7}, True),
        ("SGD", {"momentum": 0.9}, True),
        ("AdamW", {"foreach": True}, None),
        ("AdamW", {"foreach": False}, None),
        ("AdamW", {"fused": False}, False),
        ("NAdam", {}, "no such key"),
    ],
)
def test_the_fused_step_is_taken_where_there_is_one(name, given, fused):
    group = small_model(optim_g={"type": name, "lr": 0.01} | given).optimizer_g.param_groups[0]
    assert group.get("fused", "no such key") == fused
    assert all(group[key] == value for key, value in given.items())


def test_the_options_stay_as_they_were():
    options = {"type": "AdamW", "lr": 0.01, "no_decay": True}
    model = small_model(optim_g=options)
    assert model.opt["train"]["optim_g"] == {"type": "AdamW", "lr": 0.01, "no_decay": True}
    assert model.opt["train"]["scheduler"]["type"] == "MultiStepLR"


def test_what_is_spared_does_not_decay():
    decay = {"type": "SGD", "lr": 0.1, "weight_decay": 0.5}
    free, spared, all_decay = (
        small_model(optim_g=options)
        for options in (decay | {"weight_decay": 0.0}, decay | {"no_decay": ["*.bias", "gain"]}, decay)
    )
    for model in (free, spared, all_decay):
        train_on(model, batches(1))
    free, spared, all_decay = (model.net_g.state_dict() for model in (free, spared, all_decay))
    for name in free:
        assert torch.equal(spared[name], (free if name == "gain" or "bias" in name else all_decay)[name]), (
            name
        )
        assert not torch.equal(free[name], all_decay[name])


SCHEDULES = {
    "MultiStepLR": ({"milestones": [3, 5], "gamma": 0.5}, MultiStepRestartLR),
    "MultiStepRestartLR": (
        {"milestones": [3], "restarts": [0, 5], "restart_weights": [1, 0.7]},
        MultiStepRestartLR,
    ),
    "CosineAnnealingRestartLR": (
        {"periods": [4, 7], "restart_weights": [1, 0.5], "eta_min": 1e-3},
        CosineAnnealingRestartLR,
    ),
    "CosineAnnealingRestartCyclicLR": (
        {"periods": [4, 7], "restart_weights": [1, 1], "eta_mins": [0.03, 1e-3]},
        SCHEDULERS["CosineAnnealingRestartCyclicLR"],
    ),
}


def rates(model, count=9):
    warmup, found = model.opt["train"].get("warmup_iter", -1), []
    for iteration in range(1, count + 1):
        model.update_learning_rate(iteration, warmup)
        found += model.get_current_learning_rate()
        model.optimizer_g.step()
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_schedule_is_that_of_its_name(name):
    arguments, kind = SCHEDULES[name]
    model = small_model(scheduler={"type": name} | arguments)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler, expected = kind(optimizer, **arguments), []
    for _ in range(9):
        expected += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    found = rates(model)
    assert found == pytest.approx(expected, rel=1e-12) and len(set(found)) > 1


def test_every_group_follows_the_schedule():
    model = small_model(
        optim_g={"type": "SGD", "lr": 0.1, "no_decay": True},
        scheduler={"type": "CosineAnnealingRestartLR", "periods": [9]},
        warmup_iter=3,
    )
    for iteration in range(1, 9):
        model.update_learning_rate(iteration, 3)
        first, second = model.get_current_learning_rate()
        assert first == second
        model.optimizer_g.step()


def test_the_rate_warms_up_linearly_and_then_follows_the_schedule():
    model = small_model(scheduler={"type": "CosineAnnealingRestartLR", "periods": [9]}, warmup_iter=4)
    cosine = [0.05 * (1 + math.cos(math.pi * t / 9)) for t in range(9)]
    assert rates(model) == pytest.approx([0.1 / 4, 0.2 / 4, 0.3 / 4, *cosine[3:]])


def test_after_a_warm_up_a_schedule_that_multiplies_has_its_own_rates():
    """BasicSR's stay at 3/4 of them."""
    model = small_model(scheduler={"type": "MultiStepLR", "milestones": [6], "gamma": 0.5}, warmup_iter=4)
    assert rates(model) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("limit", [0.01, 1e3, None])
def test_gradients_are_clipped_to_their_common_norm(limit):
    model, free = small_model(grad_clip=limit), small_model()
    for one in (model, free):
        train_on(one, batches(1))
    if limit:
        torch.nn.utils.clip_grad_norm_(free.net_g.parameters(), limit)
    for ours, theirs in zip(model.net_g.parameters(), free.net_g.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-6)
    norm = torch.cat([p.grad.flatten() for p in model.net_g.parameters()]).norm()
    assert (norm.item() == pytest.approx(0.01, rel=1e-4)) == (limit == 0.01)


def test_under_fp16_the_gradients_themselves_are_clipped():
    model = small_model(precision="fp16", grad_clip=0.01)
    train_on(model, batches(1))
    norm = torch.cat([p.grad.flatten() for p in model.net_g.parameters()]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("decay", [0.9, 0.3])
def test_the_average_follows_weights_and_buffers(decay):
    model = small_model(network=NETWORK | {"norm": True}, ema_decay=decay)
    average = {name: value.clone() for name, value in model.net_g.state_dict().items()}
    assert largest_difference(model.net_g_ema.state_dict(), average) == 0
    parameters = {name for name, _ in model.net_g.named_parameters()}
    for iteration, batch in enumerate(batches(4), 1):
        train_on(model, [batch], first=iteration)
        for name, value in model.net_g.state_dict().items():
            moved = decay * average[name] + (1 - decay) * value
            average[name] = moved if name in parameters else value.clone()
    assert not torch.equal(average["norm.running_mean"], torch.zeros(5))
    assert largest_difference(model.net_g_ema.state_dict(), average) < 1e-6
    assert not any(p.requires_grad and p.grad is not None for p in model.net_g_ema.parameters())


def test_without_decay_the_average_is_a_copy():
    model = small_model(network=NETWORK | {"norm": True}, ema_decay=0.9)
    train_on(model, batches(2))
    assert largest_difference(model.net_g_ema.state_dict(), model.net_g.state_dict()) > 0
    model.model_ema(0)
    assert largest_difference(model.net_g_ema.state_dict(), model.net_g.state_dict()) == 0


def test_mixup_blends_what_the_network_sees(monkeypatch):
    model, (batch,) = small_model(mixup={"beta": 1.2, "identity": False}), batches(1)
    train_on(model, [batch])
    assert model.lq.shape == batch["lq"].shape and not torch.equal(model.lq, batch["lq"])
    # pictures change as the network sees them: the errors of LQ and GT are of one blend
    blend = torch.linalg.lstsq(batch["lq"].flatten(1).T, model.lq.flatten(1).T).solution.T
    assert torch.allclose(blend @ batch["gt"].flatten(1), model.gt.flatten(1), atol=1e-4)
    assert torch.allclose(blend.sum(1), torch.ones(6), atol=1e-4) and (blend > 0.01).sum() > 6
    assert small_model().mixup is None


def test_channels_last_changes_the_memory_and_nothing_else():
    plain, last = small_model(ema_decay=0.5), small_model(ema_decay=0.5, channels_last=True)
    weights = [last.net_g.first.weight, last.net_g_ema.first.weight, last.net_g.last.weight]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert not any(weight.is_contiguous() for weight in weights)
    seen = []
    last.net_g.register_forward_hook(lambda module, inputs, output: seen.extend(inputs))
    last.net_g.last.register_forward_hook(lambda module, inputs, output: seen.extend([*inputs, output]))
    logs = [train_on(model, batches(3)) for model in (plain, last)]
    assert [log["l_pix"] for log in logs[0]] == pytest.approx([log["l_pix"] for log in logs[1]], rel=1e-6)
    assert len(seen) == 9 and not any(tensor.is_contiguous() for tensor in seen)
    assert largest_difference(content(plain), content(last)) < 1e-6


@pytest.fixture
def compiled_calls(monkeypatch):
    """Grows by the picture's size at each call of a compiled network; the backend needs no compiler."""
    calls, compile_by = [], torch.nn.Module.compile

    def backend(graph, examples):
        def run(*inputs):
            calls.append(next(tuple(i.shape) for i in inputs if not isinstance(i, torch.nn.Parameter)))
            return graph(*inputs)

        return run

    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda net: compile_by(net, backend=backend, dynamic=False)
    )
    yield calls
    torch.compiler.reset()


@pytest.mark.parametrize("ema_decay", [0, 0.5])
def test_compile_serves_training_and_keeps_the_names(ema_decay, compiled_calls):
    plain, model = small_model(ema_decay=ema_decay), small_model(ema_decay=ema_decay, compile=True)
    logs = [train_on(one, batches(2)) for one in (plain, model)]
    assert [log["l_pix"] for log in logs[0]] == pytest.approx([log["l_pix"] for log in logs[1]], rel=1e-6)
    assert compiled_calls == [(6, 3, 7, 5)] * 2
    for one in (plain, model):
        one.save(0, 2)
    first, saved = small_model(), torch.load("experiments/tiny/models/net_g_2.pth", weights_only=True)
    assert saved["params"].keys() == first.net_g.state_dict().keys()
    for size in (3, 4):
        model.feed_data({"lq": torch.rand(1, 3, size, 5)})
        model.test()
    train_on(model, batches(1), first=3)
    assert compiled_calls == [(6, 3, 7, 5)] * 3  # validation never
