import pytest
import torch

from ir_plugins.models.grad_clip import clip_before_step


def stepped(gradients, max_norm):
    """How far one SGD step of rate 1 moves two parameters."""
    parameters = [torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(5))]
    optimizer = torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:]}], lr=1.0)
    clip_before_step(optimizer, max_norm)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    optimizer.step()
    return [-parameter.detach() for parameter in parameters]


def test_the_common_norm_is_bounded_and_the_direction_kept():
    gradients = [torch.randn(2, 3), torch.randn(5)]
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    moved = stepped(gradients, 0.01)
    assert torch.cat([m.flatten() for m in moved]).norm() == pytest.approx(0.01, rel=1e-3)
    for step, gradient in zip(moved, gradients, strict=True):
        assert torch.allclose(step, gradient * 0.01 / norm, rtol=1e-3)


def test_small_gradients_pass_as_they_are():
    gradients = [torch.full((2, 3), 1e-4), torch.full((5,), -1e-4)]
    assert all(torch.equal(a, b) for a, b in zip(stepped(gradients, 0.01), gradients, strict=True))


@pytest.mark.parametrize("max_norm", [0, -0.01, float("nan")])
def test_the_bound_must_be_positive(max_norm):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match=f"max_norm={max_norm} must be above 0"):
        clip_before_step(optimizer, max_norm)
