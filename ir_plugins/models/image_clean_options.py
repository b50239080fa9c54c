"""The option keys of `ImageCleanModel`, and their names in `RestorationModel`."""

from collections.abc import Iterator, Sequence

from ..data.patch_plan import plan_problems
from ..options.problems import Key, Problem, declared_problems, value_at
from ..options.reading import Options
from ..options.signatures import Keys
from . import restoration_options

# PatchPlan's arguments and the published keys of datasets:train for them
PLAN = {"patch_sizes": "gt_sizes", "batch_sizes": "mini_batch_sizes", "iters": "iters"}
MAX_NORM = 0.01  # with `use_grad_clip: true`

OWN: dict[Keys, Key] = {
    ("datasets", "train", "gt_sizes"): Key(
        Sequence[int], "train:progressive:patch_sizes", least=1, below=20000
    ),
    ("datasets", "train", "mini_batch_sizes"): Key(Sequence[int], "train:progressive:batch_sizes", least=1),
    ("datasets", "train", "iters"): Key(Sequence[int], "train:progressive:iters", least=1),
    ("train", "use_grad_clip"): Key(bool, "clip gradients to a norm of 0.01"),
    ("train", "mixing_augs", "mixup"): Key(bool, "blend pairs of pictures"),
    ("train", "mixing_augs", "mixup_beta"): Key(float, "train:mixup:beta", above=0),
    ("train", "mixing_augs", "use_identity"): Key(bool, "train:mixup:identity; default false"),
    ("val", "use_image"): Key(bool, "measure what would be saved rather than the exact output; default true"),
    ("val", "rgb2bgr"): Key(bool, "false: save and measure in the order of the tensors"),
    ("val", "max_minibatch"): Key(int, "how many pictures go through the network at once", least=1),
}
KEYS = restoration_options.KEYS | OWN


def option_problems(options: Options) -> Iterator[Problem]:
    """Find everything that is wrong with these keys.

    Args:
        options: The whole file's.
    """
    found = list(declared_problems(options, OWN))
    yield from found
    yield from restoration_options.option_problems(options)
    wrong = {problem.keys for problem in found}
    train, scale = value_at(options, "datasets", "train"), options.get("scale")
    given = [key for key in PLAN.values() if value_at(train, key) is not None]
    if given and len(given) < len(PLAN):
        for key in PLAN.values():
            if key not in given:
                yield Problem(("datasets", "train", key), f"is missing; {given[0]} needs it")
    elif given and not any(("datasets", "train", key) in wrong for key in PLAN.values()):
        sizes = {name: train[key] for name, key in PLAN.items()}
        # people try published files with a smaller total_iter, which the last stages may lie beyond
        for name, text in plan_problems(**sizes, scale=scale if isinstance(scale, int) and scale > 0 else 1):
            yield Problem(("datasets", "train", PLAN[name]), text)


def translated(options: Options) -> Options:
    """Add RestorationModel's keys to the published ones.

    Args:
        options: The whole file's; they stay as they are.
    """
    train = dict(options.get("train") or {})
    if (data := value_at(options, "datasets", "train")) and data.get("iters"):
        train["progressive"] = {name: data[key] for name, key in PLAN.items()}
    if train.get("use_grad_clip"):
        train["grad_clip"] = MAX_NORM
    mixing = train.get("mixing_augs") or {}
    if mixing.get("mixup"):
        beta, identity = mixing.get("mixup_beta", 1.2), mixing.get("use_identity", False)
        train["mixup"] = {"beta": beta, "identity": identity}
    return options | ({"train": train} if "train" in options else {})
