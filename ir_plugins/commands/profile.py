"""`basicsr profile`: parameters, operations, time and memory of a network."""

import statistics
import time
from argparse import Namespace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula, sdpa_flop_count
from tqdm import tqdm

from basicsr.archs import build_network

from ..archs.declaration import facts
from ..options.reading import Options
from ..runtime.errors import UserError
from ..runtime.machine import device_name, peak_memory, synchronize
from .check import checked_options

RUNS = 5
LONGEST = 10**9  # pixels; a number of 64 bits counts their squares


# torch 2.13 counts the fused attention of GPUs only; delete once it registers the CPU's itself
@register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu)
def _cpu_attention_flops(q, k, v, *args, out_shape=None, **kwargs) -> int:
    return sdpa_flop_count(q, k, v)


def run(arguments: Namespace) -> None:
    print(profile(checked_options(arguments), tuple(arguments.size)))


def profile(options: Options, size: tuple[int, int]) -> str:
    """Measure network_g on one picture.

    Args:
        options: The whole option file.
        size: Height and width of the picture, in pixels.

    Returns:
        A small table.

    Raises:
        UserError: The network cannot take a picture of that size.
    """
    if min(size) < 1:
        raise UserError(f"--size {size[0]} {size[1]}: height and width must be at least 1")
    if max(size) > LONGEST:
        raise UserError(f"--size: height and width may be {LONGEST:,} at most")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = build_network(options["network_g"]).eval().to(device)
    said = facts(type(net), options["network_g"])
    if size[0] % said.size_multiple or size[1] % said.size_multiple:
        text = f"{type(net).__name__} takes multiples of {said.size_multiple} pixels each way"
        raise UserError(f"--size {size[0]} {size[1]}: {text}")
    x = torch.rand(1, said.in_channels or 3, *size, device=device)
    seconds = []
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            net(x)
        before = peak_memory(device, reset=True)
        for _ in tqdm(range(RUNS), desc="timing", unit="run", leave=False, disable=None):
            start = time.perf_counter()
            net(x)
            synchronize(device)
            seconds.append(time.perf_counter() - start)
        peak = peak_memory(device)
    rows = {
        "network": type(net).__name__,
        "input": f"1x{x.shape[1]}x{size[0]}x{size[1]} float32 on {device_name(device)}",
        "parameters": f"{_count(net):,}",
        "MACs": f"{counter.get_total_flops() / 2e9:.2f} G (matrix products, convolutions and attention)",
        "latency": f"{statistics.median(seconds) * 1e3:.1f} ms (median of {RUNS})",
        "peak memory": f"{(peak - before) / 2**20:.0f} MiB above the weights and the input"
        if peak
        else "unknown on this system",
    }
    return "\n".join(f"{name:12} {value}" for name, value in rows.items())


def _count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
