"""The option keys of BasicSR: their types, bounds and texts, for the checks and the editors' schema.

Most of them must have a value, because BasicSR would compute with None; keys of our own models may be empty.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from .problems import LIMIT, Key
from .reading import Options
from .signatures import Keys

_Filled = partial(Key, empty=False)

KEYS: dict[Keys, Key] = {
    ("name",): _Filled(str, "name of the run, and of its folders in experiments, results and tb_logger"),
    ("model_type",): _Filled(str, "what trains and validates the networks: `basicsr list models`"),
    ("scale",): _Filled(int, "how many times GT is larger than LQ; default 1", least=1),
    ("num_gpu",): _Filled(
        int | Literal["auto"], "GPUs of this process; 0: the CPU, auto: one if there is one", least=0
    ),
    ("manual_seed",): _Filled(int, "seed of the random numbers; default: a random one", least=0),
    ("find_unused_parameters",): Key(bool, "for networks whose forward does not use all parameters"),
    ("path", "resume_state"): Key(
        str, "training state to continue from: experiments/NAME/training_states/N.state"
    ),
    ("path", "ignore_resume_networks"): Key(
        str | Sequence[str], "networks that keep their pretrain_ weights"
    ),
    ("train", "total_iter"): _Filled(int, "how many steps the training takes", least=1),
    ("train", "warmup_iter"): _Filled(
        int, "steps in which the learning rate rises from 0; -1: none", least=-1
    ),
    ("train", "ema_decay"): _Filled(
        float, "share of the averaged weights that each step keeps; 0: no average", least=0, below=1
    ),
    ("val", "val_freq"): _Filled(int, "validate every so many steps; default save_checkpoint_freq", least=1),
    ("val", "save_img"): _Filled(bool, "save the restored pictures"),
    ("val", "pbar"): Key(bool, "show a progress bar"),
    ("val", "suffix"): Key(str, "end of the names of a test's pictures; '': none; default: the run's name"),
    ("val", "metrics"): Key(
        dict, "what to measure: under any name a block with a type of `basicsr list metrics`"
    ),
    ("logger", "print_freq"): _Filled(int, "log every so many steps", least=1),
    ("logger", "save_checkpoint_freq"): _Filled(int, "save every so many steps", least=1),
    ("logger", "use_tb_logger"): _Filled(bool, "write tb_logger/NAME for tensorboard"),
    ("logger", "wandb", "project"): Key(
        str, "project of Weights & Biases that tensorboard is copied to; ~: none"
    ),
    ("logger", "wandb", "resume_id"): Key(str, "run of Weights & Biases to continue"),
    ("dist_params", "backend"): Key(
        Literal["nccl", "gloo", "mpi", "ucc"], "without effect: the device decides"
    ),
    ("dist_params", "port"): Key(int, "port of rank 0's machine, for slurm", least=1, below=65536),
}

# keys of `path:`; a network's name follows each of them
NETWORK_PATHS: dict[str, Key] = {
    "pretrain_": Key(str, "weights to start from, .pth or .safetensors"),
    "param_key_": Key(str, "which weights in that file: params or params_ema"),
    "strict_load_": Key(bool, "whether they must fit the network exactly; default true"),
}

# keys of every block of `datasets:`
LOADER: dict[str, Key] = {
    "type": _Filled(str, "the class that reads the pictures: `basicsr list datasets`"),
    "name": _Filled(str, "name in logs and folders"),
    "mode": Key(str, "without effect"),
    "io_backend": Key(dict, "how pictures are stored: {type: disk} or {type: lmdb}"),
    "batch_size_per_gpu": _Filled(int, "pictures in a batch", least=1),
    "num_worker_per_gpu": _Filled(
        int, "processes that read pictures; 0: the training process does", least=0, below=1000
    ),
    "use_shuffle": Key(bool, "draw pictures in random order"),
    "dataset_enlarge_ratio": _Filled(float, "how many times each picture occurs in an epoch", above=0),
    "prefetch_mode": Key(Literal["cpu", "cuda"], "cuda: copy the next batch to the GPU early; ~: do not"),
    "num_prefetch_queue": Key(int, "batches that prefetch_mode cpu keeps ready", least=1),
    "pin_memory": Key(bool, "memory from which copies to the GPU are fast"),
    "persistent_workers": Key(bool, "keep worker processes between epochs"),
}

# keys of those blocks of `datasets:` whose class looks them up
PICTURES: dict[str, Key] = {
    "dataroot_gt": Key(str, "folder or .lmdb of the pictures to restore to"),
    "dataroot_lq": Key(str, "folder or .lmdb of the pictures to restore"),
    "dataroot_lqL": Key(str, "folder or .lmdb of the left views"),
    "dataroot_lqR": Key(str, "folder or .lmdb of the right views"),
    "filename_tmpl": _Filled(str, "name of an LQ picture, with {} for the name of GT without its ending"),
    "meta_info_file": Key(str, "file that lists the pictures to use, one a line"),
    "gt_size": _Filled(int, "side of a GT patch in pixels, a multiple of scale", least=1, below=20000),
    "use_hflip": Key(bool, "mirror at random"),
    "use_rot": Key(bool, "turn by quarters at random"),
    "geometric_augs": Key(bool, "turn and mirror at random"),
    "color": Key(Literal["y", "rgb"], "y: luma only"),
    "mean": Key(Sequence[float], "subtracted from the channels; std is needed too"),
    "std": Key(Sequence[float], "the channels are divided by it; mean is needed too", above=0),
}

# arguments of losses, metrics, schedulers and optimizers of BasicSR and torch, which are not annotated
ARGUMENTS: dict[str, Key] = {
    "lr": _Filled(float, "learning rate", least=0, below=1e9),
    "weight_decay": _Filled(float, "how much weights shrink in each step, times lr", least=0),
    "milestones": _Filled(Sequence[int], "steps at which the rate falls to gamma times itself", least=1),
    "gamma": _Filled(float, "factor of the rate at each milestone", least=0),
    "periods": _Filled(Sequence[int], "steps of each cycle; together at least total_iter", least=1),
    "restarts": _Filled(Sequence[int], "steps at which the rate starts again", least=0),
    "restart_weights": _Filled(Sequence[float], "share of lr that each restart starts with", least=0),
    "eta_min": _Filled(float, "rate at the end of each cycle", least=0),
    "loss_weight": _Filled(float, "factor of this loss"),
    "reduction": _Filled(Literal["mean", "sum"], "how the loss of all pixels becomes one number"),
    "crop_border": _Filled(int, "pixels at each edge that are not measured", least=0),
    "test_y_channel": _Filled(bool, "measure luma only"),
}
BETTER = Key(Literal["higher", "lower"], "which values are better; default: the metric's own, else higher")


def with_whole_numbers(options: Options) -> Options:
    """Turn 4000.0 into 4000 where a key takes a whole number: published files write `!!float 4e3`.

    Args:
        options: The whole file's; they stay as they are.
    """
    options = _whole(options, KEYS)
    datasets = options.get("datasets")
    if isinstance(datasets, dict):
        inside: dict[Keys, Key] = {(name,): key for name, key in (LOADER | PICTURES).items()}
        blocks = {phase: _whole(block, inside) for phase, block in datasets.items()}
        options = options | {"datasets": blocks}
    return options


def _whole(block: Any, keys: dict[Keys, Key], above: Keys = ()) -> Any:
    if isinstance(block, dict):
        return {name: _whole(value, keys, (*above, name)) for name, value in block.items()}
    wanted = above in keys and keys[above].kind in (int, int | Literal["auto"])
    whole = wanted and isinstance(block, float) and block.is_integer() and abs(block) < LIMIT
    return int(block) if whole else block
