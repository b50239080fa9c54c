"""Number formats, and steps whose loss or gradient is not finite."""

import math

import pytest
import torch
from small_model import batches, content, largest_difference, small_model, train_on

from ir_plugins.runtime.errors import UserError

pytestmark = pytest.mark.usefixtures("small")
FORMATS = {None: torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("precision", FORMATS)
def test_the_forward_pass_alone_runs_in_that_format(precision, monkeypatch):
    model, seen = small_model(precision=precision, ema_decay=0.5), []
    model.net_g.last.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    criterion, given = model.criteria["l_pix"], []
    monkeypatch.setitem(model.criteria, "l_pix", lambda *pair: given.extend(pair) or criterion(*pair))
    train_on(model, batches(1))
    assert seen == [FORMATS[precision]]
    assert [tensor.dtype for tensor in given] == [torch.float32] * 2
    assert {value.dtype for value in content(model).values()} == {torch.float32}
    assert {p.grad.dtype for p in model.net_g.parameters()} == {torch.float32}


def test_validation_runs_in_float32():
    model = small_model(precision="bf16")
    model.feed_data(batches(1, batch=1)[0])
    model.test()
    with torch.no_grad():
        assert torch.equal(model.output, model.net_g.eval()(model.lq))


@pytest.mark.parametrize("precision, tolerance", [("bf16", 0.03), ("fp16", 0.01)])
def test_training_is_that_of_float32_but_for_rounding(precision, tolerance):
    exact, half = small_model(), small_model(precision=precision)
    before = exact.net_g.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    train_on(exact, batches(5))
    train_on(half, batches(5))
    moved = largest_difference(before, exact.net_g.state_dict())
    difference = largest_difference(half.net_g.state_dict(), exact.net_g.state_dict())
    assert 0 < difference < tolerance * moved


def test_the_scale_of_fp16_is_kept_and_goes_on():
    model = small_model(precision="fp16")
    train_on(model, batches(3))
    state = model.training_state() | {"iter": 3, "epoch": 0}
    assert state["scaler"]["_growth_tracker"] == 3 and state["scaler"]["scale"] == 65536
    state["scaler"] |= {"scale": 1024.0}
    fresh = small_model(precision="fp16")
    fresh.resume_training(state)
    train_on(fresh, batches(1), first=4)
    assert fresh.scaler.state_dict() == state["scaler"] | {"_growth_tracker": 4}


@pytest.mark.parametrize("before, now", [("bf16", "fp16"), ("fp16", "fp32"), (None, "fp16")])
def test_a_run_goes_on_in_another_format(before, now):
    model, fresh = small_model(precision=before), small_model(precision=now)
    train_on(model, batches(2))
    fresh.resume_training(model.training_state() | {"iter": 2, "epoch": 0})
    assert math.isfinite(train_on(fresh, batches(1), first=3)[0]["l_pix"])
    assert fresh.scaler.is_enabled() == (now == "fp16")


def test_an_overflowing_gradient_lowers_the_scale_and_nothing_else(messages):
    model = small_model(precision="fp16", ema_decay=0.5)
    train_on(model, batches(1))
    model.scaler.load_state_dict(model.scaler.state_dict() | {"scale": 2.0**40})
    before = content(model)
    logs = train_on(model, batches(1), first=2)
    assert math.isfinite(logs[0]["l_pix"]) and logs[0]["skipped"] == 1
    assert same(content(model), before) and model.scaler.get_scale() == 2.0**39
    assert any("Iteration 2: the gradient is not finite; step skipped" in text for text in messages)
    train_on(model, batches(40), first=3)  # until the scale fits again
    assert not same(content(model), before) and model.skipped_in_row == 0


def broken(kind):
    """A batch with one bad number.  The gradient of the L1 loss of an infinite target is finite."""
    (batch,) = batches(1)
    name, value = {"nan input": ("lq", math.nan), "inf target": ("gt", math.inf)}[kind]
    batch[name][3, 1, 2, 4] = value
    return batch


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("kind", ["nan input", "inf target"])
@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_such_a_step_changes_not_a_bit(kind, precision, accumulate, optimizer):
    options = {"optim_g": {"type": optimizer, "lr": 0.01, "weight_decay": 0.1}}
    model = small_model(precision=precision, accumulate=accumulate, ema_decay=0.5, grad_clip=0.1, **options)
    train_on(model, batches(2))
    before = content(model)
    assert [key for key in before if key.startswith("ema")]
    logs = train_on(model, [broken(kind)], first=3)
    assert not math.isfinite(logs[0]["l_pix"]) and logs[0]["skipped"] == 1
    assert same(content(model), before)
    after = train_on(model, batches(1), first=4)
    assert math.isfinite(after[0]["l_pix"]) and after[0]["skipped"] == 1
    assert not same(content(model), before)


def test_the_statistics_of_a_norm_are_not_spoilt():
    model = small_model(network={"type": "SmallNet", "norm": True}, ema_decay=0.5)
    train_on(model, batches(2))
    before = content(model)
    train_on(model, [broken("nan input")], first=3)
    assert same(content(model), before)


def test_a_gradient_alone_may_be_at_fault():
    model = small_model()
    before = content(model)
    model.net_g.gain.register_hook(lambda grad: grad * math.nan)
    logs = train_on(model, batches(1))
    assert math.isfinite(logs[0]["l_pix"]) and model.skipped == 1 and same(content(model), before)


def test_each_series_is_warned_of_once_and_counted(messages):
    model, good, bad = small_model(max_nonfinite=3), batches(1)[0], broken("nan input")
    logs = train_on(model, [good, bad, bad, good, bad, good, bad, bad])
    assert [log.get("skipped") for log in logs] == [None, 1, 2, 2, 3, 3, 4, 5]
    assert [text for text in messages if "finite" in text] == [
        f"WARNING Iteration {n}: the loss is not finite; step skipped" for n in (2, 5, 7)
    ]


def test_too_many_in_a_row_end_the_run():
    model, bad = small_model(max_nonfinite=3), broken("nan input")
    with pytest.raises(
        UserError, match=r"^iteration 3: the loss was not finite for 3 steps in a row; lower "
    ):
        train_on(model, [bad] * 3)
    model = small_model(max_nonfinite=3)
    train_on(model, batches(1))
    with pytest.raises(UserError, match=r"; no checkpoint has been saved yet$"):
        train_on(model, [bad] * 3, first=2)
    model = small_model(max_nonfinite=3)
    model.save(0, 7)
    with pytest.raises(UserError, match=r"; the last checkpoint is .*tiny/training_states/7\.state$"):
        train_on(model, [bad] * 3, first=8)


def test_a_hundred_in_a_row_are_too_many_where_nothing_is_said():
    model, bad = small_model(), broken("nan input")
    train_on(model, [bad] * 99)
    with pytest.raises(UserError, match="for 100 steps in a row"):
        train_on(model, [bad], first=100)


def test_the_count_goes_on_after_a_resume():
    model, bad = small_model(max_nonfinite=3), broken("nan input")
    train_on(model, [bad] * 2)
    fresh = small_model(max_nonfinite=3)
    fresh.resume_training(model.training_state() | {"iter": 2, "epoch": 0})
    with pytest.raises(UserError, match=r"iteration 3: .* 3 steps in a row; .* checkpoint is .*/2.state$"):
        train_on(fresh, [bad], first=3)
    assert fresh.skipped == 3
