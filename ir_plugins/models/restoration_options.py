"""The option keys of `RestorationModel`, for the checks and the editors' schema."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal

from ..archs.building import build_on_meta
from ..data.patch_plan import plan_problems
from ..options.problems import Key, Problem, declared_problems, value_at
from ..options.reading import Options
from ..options.signatures import Keys, fits
from .parameter_groups import parameter_groups

MOST_PADDED = 1024  # pixels: a small picture becomes one of so many each way
PLAN = ("patch_sizes", "batch_sizes", "iters")

KEYS: dict[Keys, Key] = {
    ("train", "precision"): Key(
        Literal["fp32", "bf16", "fp16"], "number format of the forward pass; weights and losses stay float32"
    ),
    ("train", "grad_clip"): Key(float, "largest L2 norm of all gradients together", above=0),
    ("train", "accumulate"): Key(int, "batches of batch_size_per_gpu that make one step", least=1),
    ("train", "compile"): Key(bool, "torch.compile the network"),
    ("train", "channels_last"): Key(bool, "keep weights and pictures in channels-last memory"),
    ("train", "deterministic"): Key(bool, "the same bits in every run on a GPU too, at some cost in speed"),
    ("train", "max_nonfinite"): Key(
        int, "stop after that many steps in a row without a finite loss and gradient; default 100", least=1
    ),
    ("train", "progressive", "patch_sizes"): Key(
        Sequence[int], "side of a GT patch in each stage, pixels", least=1, below=20000
    ),
    ("train", "progressive", "batch_sizes"): Key(Sequence[int], "pictures per GPU in each stage", least=1),
    ("train", "progressive", "iters"): Key(Sequence[int], "how many iterations each stage lasts", least=1),
    ("train", "mixup", "beta"): Key(float, "the share is drawn from Beta(beta, beta); default 1.2", above=0),
    ("train", "mixup", "identity"): Key(bool, "leave every other batch as it is; default true"),
    ("train", "optim_g", "no_decay"): Key(
        bool | Sequence[str],
        "parameters without weight decay: true for parameters of one dimension, or shell patterns of names",
    ),
    ("train", "NAME_opt"): Key(dict, "one more loss, logged as l_NAME"),
    ("val", "window_size"): Key(
        int, "pad pictures by reflection to multiples of it", least=1, below=MOST_PADDED + 1
    ),
    ("val", "bits"): Key(
        Literal[8, 16], "per channel of the pictures that are saved and measured; default 8"
    ),
    ("logger", "keep_last"): Key(int, "how many checkpoints to keep; default all", least=1),
}


def option_problems(options: Options) -> Iterator[Problem]:
    """Find everything that is wrong with these keys.

    Args:
        options: The whole file's.
    """
    found = list(declared_problems(options, KEYS))
    yield from found
    yield from _decay_problems(options)
    for key in ("pix_opt", "percep_opt", "style_opt"):
        if value_at(options, "train", key):
            name = key.removesuffix("_opt")
            yield Problem(("train", key), f"would be logged as l_{name}, as another loss is; rename it")
    if any(problem.keys[:2] == ("train", "progressive") for problem in found):
        return
    if (plan := value_at(options, "train", "progressive")) is not None:
        sizes = {name: plan.get(name) for name in PLAN}
        missing = [name for name, value in sizes.items() if value is None]
        for name in missing:
            yield Problem(("train", "progressive", name), "is missing; each stage needs one")
        if not missing:
            fitting = {"scale": options.get("scale"), "total_iter": value_at(options, "train", "total_iter")}
            right = {name: value for name, value in fitting.items() if isinstance(value, int) and value > 0}
            for name, text in plan_problems(**sizes, **right):
                yield Problem(("train", "progressive", name), text)


def _decay_problems(options: Options) -> Iterator[Problem]:
    keys = ("train", "optim_g", "no_decay")
    patterns = value_at(options, *keys)
    if not fits(patterns, Sequence[str]):
        return
    net = None
    with suppress(Exception):  # other checks report the network's own problems
        net = build_on_meta(options["network_g"])
    try:
        if net is not None:
            parameter_groups(net, patterns)
    except ValueError as error:
        yield Problem(keys, str(error))
