"""What may stand behind the keys of `ImageCleanModel`: checked before a run, when the option file is read."""

from collections.abc import Iterator

from ..options import Options
from ..problems import count_problems, is_block, unknown_keys, value_at
from .patch_plan import plan_problems

# PatchPlan's arguments, and the published keys of datasets:train that give them
PLAN = {"patch_sizes": "gt_sizes", "batch_sizes": "mini_batch_sizes", "iters": "iters"}
FLAGS = [("train", "use_grad_clip"), ("train", "mixing_augs", "mixup"), ("val", "use_image")]
FLAGS += [("train", "mixing_augs", "use_identity"), ("val", "rgb2bgr")]
MIXING = {"mixup", "mixup_beta", "use_identity"}


def option_problems(options: Options) -> Iterator[tuple[tuple[str, ...], str]]:
    """Key path and text of everything that is wrong; `options` are those of the whole file."""
    yield from _plan_problems(value_at(options, "datasets", "train") or {}, options.get("scale") or 1)
    mixing = value_at(options, "train", "mixing_augs")
    if not is_block(mixing):
        yield ("train", "mixing_augs"), "must be a block of keys"
    else:
        yield from unknown_keys(mixing or {}, ("train", "mixing_augs"), MIXING)
    beta = value_at(options, "train", "mixing_augs", "mixup_beta")
    is_number = isinstance(beta, int | float) and not isinstance(beta, bool)
    if beta is not None and not (is_number and 0 < beta < float("inf")):
        yield ("train", "mixing_augs", "mixup_beta"), f"is {beta!r}; expected a number above 0"
    for keys in FLAGS:
        if not isinstance(value_at(options, *keys), bool | None):
            yield keys, f"is {value_at(options, *keys)!r}; expected true or false"
    yield from count_problems(options, ("val", "max_minibatch"))


def _plan_problems(train: Options, scale: int) -> Iterator[tuple[tuple[str, ...], str]]:
    given = [key for key in PLAN.values() if train.get(key) is not None]
    if given and len(given) < len(PLAN):
        for key in PLAN.values():
            if key not in given:
                yield ("datasets", "train", key), f"is missing; {given[0]} needs it"
    elif given:
        limits = {"largest_patch": train.get("gt_size"), "largest_batch": train.get("batch_size_per_gpu")}
        sizes = {name: train[key] for name, key in PLAN.items()}
        for name, text in plan_problems(**sizes, scale=scale, **limits):
            yield ("datasets", "train", PLAN[name]), text
