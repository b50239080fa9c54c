"""`make bench`: how much faster the fast paths are, against the plain way, in one run.

Runs alternate and medians are compared, since machines are shared and noisy.  Where outputs or gradients
differ no ratio is printed and the exit status is 1.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from tqdm import tqdm

from ir_plugins.ops.key_semantic import Backend, build_dictionary, key_semantic_attention

WINDOWS, HEADS, TOKENS, HEAD_DIM, TOP_K = 8, 6, 1024, 30, 512  # SemanIR-S: 32 x 32 windows, half of the keys
RUNS, TOLERANCE = 7, 1e-4


def main() -> int:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"{name}, torch {torch.__version__}, float32, medians of {RUNS} alternating runs")
    print(f"key-semantic attention: {WINDOWS} windows, N={TOKENS}, k={TOP_K}, {HEADS} heads of {HEAD_DIM}\n")
    torch.manual_seed(0)
    shapes = [(WINDOWS, HEADS, TOKENS, HEAD_DIM)] * 3 + [(HEADS, TOKENS, TOKENS)]
    q, k, v, bias = (torch.randn(shape, device=device, requires_grad=True) for shape in shapes)
    probe = torch.randn(shapes[0], device=device)
    dictionary = build_dictionary(torch.randn(WINDOWS, TOKENS, HEADS * HEAD_DIM, device=device), TOP_K)

    def forward(backend: Backend) -> list[torch.Tensor]:
        with torch.no_grad():
            return [key_semantic_attention(q, k, v, bias, dictionary, backend=backend)]

    def forward_backward(backend: Backend) -> list[torch.Tensor]:
        out = key_semantic_attention(q, k, v, bias, dictionary, backend=backend)
        return list(torch.autograd.grad((out * probe).sum(), (q, k, v, bias)))

    rows = [compare("forward", forward, device), compare("forward and backward", forward_backward, device)]
    print(f"{'':22} {'masked softmax':>15} {'fast':>12} {'ratio':>8}")
    for row in rows:
        print(row or "outputs differ: no figures")
    return 0 if all(rows) else 1


def compare(title: str, run: Callable[[Backend], list[torch.Tensor]], device: torch.device) -> str | None:
    """One row of the table; None where the fast path does not answer what the plain one does."""
    for plain, fast in zip(run("softmax"), run("sdpa"), strict=True):
        if (plain - fast).norm() > TOLERANCE * plain.norm():
            return None
    seconds: dict[Backend, list[float]] = {"softmax": [], "sdpa": []}
    for _ in tqdm(range(RUNS), desc=title, unit="run", leave=False, disable=None):
        for backend, times in seconds.items():
            start = time.perf_counter()
            run(backend)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    plain, fast = (statistics.median(times) * 1e3 for times in seconds.values())
    return f"{title:22} {plain:12.1f} ms {fast:9.1f} ms {plain / fast:7.2f}x"


if __name__ == "__main__":
    sys.exit(main())
