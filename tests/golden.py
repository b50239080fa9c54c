"""What the published Restormer and AST answer, frozen in tests/golden, and the weights they answer with.

A file tests/golden/NAME.npz has `about` (JSON: arch, kwargs, input_shape, input_seed, probe_seed, stride, and
state_dict, which maps each name to its shape, in order), and every `stride`-th number of the flattened
`output` and `input_gradient`; strides share no factor with a width, so all rows and columns are met.  There
are no weights: `fill` draws them.  The figures come from the published implementations; never renew them
from ours.
"""

import json
import math
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CASES = sorted((Path(__file__).parent / "golden").glob("*.npz"))


def fill(net: nn.Module) -> nn.Module:
    """Every floating-point entry of the state dict drawn from PCG64, seeded by the CRC-32 of its name."""
    weights = {}
    for name, old in net.state_dict().items():
        if not old.is_floating_point():
            continue
        noise = np.random.default_rng(crc32(name.encode())).standard_normal(old.shape).astype(np.float32)
        if name.endswith(".temperature") or (name.endswith(".weight") and old.dim() == 1):
            noise = 1 + 0.1 * noise
        elif name.endswith("relative_position_bias_table"):
            noise = 0.2 * noise
        elif old.dim() < 2:
            noise = 0.1 * noise
        else:
            noise = noise / math.sqrt(math.prod(old.shape[1:]))
        weights[name] = torch.from_numpy(noise)
    net.load_state_dict(weights, strict=False)
    return net


def picture(shape: list[int], seed: int) -> Tensor:
    """A smooth picture in [0, 1] with a little grain: (B, C, H, W)."""
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.random((*shape[:2], 5, 7), dtype=np.float32))
    grain = torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
    return (F.interpolate(coarse, shape[2:], mode="bicubic") + 0.03 * grain).clamp(0, 1)


def check(path: Path, archs: dict[str, type[nn.Module]]) -> None:
    """Assert names and shapes of the state dict, output (1e-5) and input gradient (1e-4) of one case."""
    with np.load(path) as case:
        about = json.loads(case["about"].tobytes())
        output, gradient = (torch.from_numpy(case[name]) for name in ("output", "input_gradient"))
    net = fill(archs[about["arch"]](**about["kwargs"])).eval()
    shapes = {name: list(value.shape) for name, value in net.state_dict().items()}
    assert list(shapes.items()) == list(about["state_dict"].items())
    x = picture(about["input_shape"], about["input_seed"]).requires_grad_()
    y = net(x)
    (y * (picture(list(y.shape), about["probe_seed"]) - 0.5)).mean().backward()
    assert distance(y.detach().flatten()[:: about["stride"]], output) < 1e-5
    assert distance(x.grad.flatten()[:: about["stride"]], gradient) < 1e-4


def distance(x: Tensor, expected: Tensor) -> float:
    """‖x - expected‖ / ‖expected‖, of equal shapes."""
    assert x.shape == expected.shape
    return ((x - expected).norm() / expected.norm()).item()


def gradients(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The output, and the gradients of a loss of it, by the names of parameters."""
    y = net(x)
    names, parameters = zip(*net.named_parameters(), strict=True)
    found = torch.autograd.grad((y * picture(list(y.shape), 7)).sum(), parameters)
    return {"output": y, **dict(zip(names, found, strict=True))}
