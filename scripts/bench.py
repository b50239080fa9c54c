"""`make bench`: how much faster and leaner the fast ways are, against the plain ones, in one run.

Runs alternate and their medians are compared, since machines are shared and noisy.  If outputs or gradients
differ, no ratio is printed and the exit status is 1.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracles"))

from plain_ast import PlainAST
from plain_restormer import PlainRestormer

from ir_plugins.archs import AST, Restormer
from ir_plugins.ops.key_semantic import Backend, build_dictionary, key_semantic_attention
from ir_plugins.runtime.machine import device_name, peak_memory, synchronize

WINDOWS, HEADS, TOKENS, HEAD_DIM, TOP_K = 8, 6, 1024, 30, 512  # SemanIR-S: 32 x 32 windows, half of the keys
AST_B = {"embed_dim": 32, "depths": (1, 2, 8, 8, 2, 8, 8, 2, 1), "token_mlp": "frfn", "drop_path_rate": 0.0}
NETS = {"Restormer": (PlainRestormer, Restormer, {}), "AST-B frfn": (PlainAST, AST, AST_B)}
SIDE, TRAINING = 256, (2, 3, 128, 128)
EXACT, HALF = 1e-4, 3e-2  # relative; bfloat16 alone rounds by 4e-3 at each of hundreds of steps
RUNS = 7

Run = Callable[[], list[Tensor]]


def main() -> int:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{device_name(device)}, torch {torch.__version__}, medians of {RUNS} alternating runs\n")
    rows = [*attention_rows(device), *net_rows(device), *memory_rows(device)]
    print(f"{'':54} {'plain':>12} {'ours':>12} {'ratio':>7}")
    for title, row in rows:
        print(f"{title:54} {row or 'results differ: no figures'}")
    return 0 if all(row for _, row in rows) else 1


def attention_rows(device: torch.device):
    """Key-semantic attention against a masked softmax."""
    torch.manual_seed(0)
    shapes = [(WINDOWS, HEADS, TOKENS, HEAD_DIM)] * 3 + [(HEADS, TOKENS, TOKENS)]
    q, k, v, bias = (torch.randn(shape, device=device, requires_grad=True) for shape in shapes)
    probe = torch.randn(shapes[0], device=device)
    dictionary = build_dictionary(torch.randn(WINDOWS, TOKENS, HEADS * HEAD_DIM, device=device), TOP_K)

    def forward(backend: Backend) -> list[Tensor]:
        with torch.no_grad():
            return [key_semantic_attention(q, k, v, bias, dictionary, backend=backend)]

    def backward(backend: Backend) -> list[Tensor]:
        out = key_semantic_attention(q, k, v, bias, dictionary, backend=backend)
        return list(torch.autograd.grad((out * probe).sum(), (q, k, v, bias)))

    for title, run in (("forward", forward), ("forward and backward", backward)):
        title = f"key-semantic attention, {title}, float32"
        yield title, *compare(title, partial(run, "softmax"), [(partial(run, "sdpa"), EXACT)], device)


def net_rows(device: torch.device):
    """Whole nets on a picture of 256 x 256, against the nets as the papers read in float32."""
    x = torch.rand(1, 3, SIDE, SIDE, device=device)

    def forward(net: nn.Module, is_half: bool) -> list[Tensor]:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=is_half):
            return [net(x).float() - x]  # what the net adds: the input itself would hide differences

    for name, (plain_kind, kind, arguments) in NETS.items():
        plain, ours = twins(plain_kind, kind, arguments, device)
        fast = [(partial(forward, ours, False), EXACT), (partial(forward, ours, True), HALF)]
        rows = compare(name, partial(forward, plain, False), fast, device)
        yield from zip((f"{name}, float32", f"{name}, bfloat16 autocast against float32"), rows, strict=True)


def memory_rows(device: torch.device):
    """Peak memory of a training step, above weights and their gradients."""
    for name in NETS:
        plain, plain_grad = in_fresh_process(name, "plain", device.type)
        for title, way in (("", "ours"), (", checkpointing", "checkpointed")):
            ours, grad = in_fresh_process(name, way, device.type)
            row = f"{plain / 2**20:8.0f} MiB {ours / 2**20:8.0f} MiB {ours / plain:6.2f}x"
            yield f"{name}, training memory{title}, float32", row if agree(plain_grad, grad, EXACT) else None


def in_fresh_process(name: str, way: str, device: str) -> tuple[int, list[Tensor]]:
    # what an allocator once had it may keep: only a new process starts from nothing
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(training_step, (name, way, device))


def training_step(name: str, way: str, device_type: str) -> tuple[int, list[Tensor]]:
    """Peak bytes, and the gradient of the input."""
    device = torch.device(device_type)
    plain_kind, kind, arguments = NETS[name]
    plain, ours = twins(plain_kind, kind, arguments | {"use_checkpoint": way == "checkpointed"}, device)
    net = (plain if way == "plain" else ours).train()
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    x = torch.rand(TRAINING, device=device, requires_grad=True)
    before = peak_memory(device, reset=True)
    net(x).square().mean().backward()
    synchronize(device)
    assert x.grad is not None
    return peak_memory(device) - before, [x.grad.cpu()]


def twins(plain_kind, kind, arguments: dict, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """The plain net and ours with the same weights."""
    torch.manual_seed(0)
    ours = kind(**arguments)
    plain = plain_kind(**{key: value for key, value in arguments.items() if key != "use_checkpoint"})
    plain.load_state_dict(ours.state_dict())
    return plain.eval().to(device), ours.eval().to(device)


def compare(
    title: str, plain: Run, ways: Sequence[tuple[Run, float]], device: torch.device
) -> list[str | None]:
    """A row of figures for each fast way; None where it does not answer, within its tolerance, what the plain
    one does.
    """
    expected = plain()
    is_right = [agree(expected, run(), tolerance) for run, tolerance in ways]
    seconds = [[] for _ in range(1 + len(ways))]
    for _ in tqdm(range(RUNS), desc=title, unit="run", leave=False, disable=None):
        for run, times in zip((plain, *(run for run, _ in ways)), seconds, strict=True):
            start = time.perf_counter()
            run()
            synchronize(device)
            times.append(time.perf_counter() - start)
    slow, *quick = (statistics.median(times) * 1e3 for times in seconds)
    rows = [f"{slow:9.1f} ms {ms:9.1f} ms {slow / ms:6.2f}x" for ms in quick]
    return [row if right else None for row, right in zip(rows, is_right, strict=True)]


def agree(expected: list[Tensor], got: list[Tensor], tolerance: float) -> bool:
    return all(bool((a - b).norm() <= tolerance * a.norm()) for a, b in zip(expected, got, strict=True))


if __name__ == "__main__":
    sys.exit(main())
