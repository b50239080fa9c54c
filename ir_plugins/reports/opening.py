"""What the screen shows when a training or a test begins: the dozen lines that matter.

BasicSR logs its banner, every option and every object that it builds.  All of that goes to the log file only.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..options.reading import Options
from ..runtime.machine import device_name
from ..runtime.regular import real

ON_SCREEN = {"on_screen": True}  # as `extra` of a record: it is shown all the same
SHOWN_SETS = 6  # names of datasets in a line


class FileOnly(logging.Filter):
    """Keeps the records of a logger off the screen until `end`, except warnings and those with ON_SCREEN.

    Args:
        logger: Its handlers that write to no file get the filter.
    """

    def __init__(self, logger: logging.Logger):
        super().__init__()
        self.handlers = [one for one in logger.handlers if not isinstance(one, logging.FileHandler)]
        for handler in self.handlers:
            # one that an earlier run in this process has left behind, because it failed
            handler.filters = [one for one in handler.filters if not isinstance(one, FileOnly)]
            handler.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        return record.levelno >= logging.WARNING or hasattr(record, "on_screen")

    def end(self) -> None:
        """Show everything from here on."""
        for handler in self.handlers:
            handler.removeFilter(self)


def training_opening(
    opt: Options,
    model: Any,
    *,
    stages: Sequence[tuple[int | None, int]],
    datasets: Sequence[Any],
    start: str,
    log: Path,
) -> str:
    """The lines of a training, as one text.

    Args:
        opt: Options of the run.
        model: The model.
        stages: Patch size and batch size of each stage; the batch is that of a rank and of a whole step.
        datasets: All datasets of the run.
        start: Where it begins, in words.
        log: The log file.
    """
    train, logger, paths = opt["train"], opt["logger"], opt["path"]
    root = Path(paths["experiments_root"])
    facts = {
        "network": _network(model),
        "data": _data(datasets),
        "device": _device(opt, model, train.get("precision") or "fp32"),
        "schedule": f"{train['total_iter']:,} iterations, {_batches(opt, stages)}",
        "optimizer": _optimizer(train),
        "validation": _validation(opt),
        "start": f"{start}, seed {opt['manual_seed']}",
        "log": _near(log),
        "checkpoints": f"{_near(paths['models'])}, every {logger['save_checkpoint_freq']:,} iterations",
        "report": f"{_near(root / 'report.html')}, from the first iteration on",
    }
    return _lines("Training", opt, facts)


def testing_opening(opt: Options, model: Any, *, datasets: Sequence[Any], log: Path) -> str:
    """The lines of a test, as one text; `training_opening` explains the arguments."""
    paths, val = opt["path"], opt["val"]
    saved = f"{_near(paths['visualization'])}" if val.get("save_img") else "not saved"
    facts = {
        "network": _network(model),
        "weights": ", ".join(_near(v) for k, v in paths.items() if k.startswith("pretrain_network") and v),
        "data": _data(datasets),
        "device": _device(opt, model, "fp32"),
        "metrics": ", ".join(val.get("metrics") or {}) or "none",
        "log": _near(log),
        "pictures": saved,
        "tables": _near(Path(paths["results_root"], "metrics.md")) + ", metrics.csv",
    }
    return _lines("Testing", opt, facts)


def schedule_warnings(train: Mapping[str, Any]) -> Iterator[str]:
    """A line if the cosine of the learning rate ends before the training.

    Args:
        train: The block `train`.
    """
    block = train.get("scheduler") or {}
    if not str(block.get("type")).startswith("Cosine"):
        return
    key = "T_max" if "T_max" in block else "periods"
    value = block.get(key)
    try:
        end = sum(value) if isinstance(value, list | tuple) else int(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return
    if end < train["total_iter"]:
        total = f"{train['total_iter']:,}"
        yield (
            f"train:scheduler:{key}: the learning rate is at its lowest from iteration {end:,} on, but "
            f"total_iter is {total}; set {key} to {total}, unless you want that"
        )


def _lines(what: str, opt: Options, facts: Mapping[str, str]) -> str:
    width = max(map(len, facts))
    return "\n".join(
        [f"{what} {opt['name']}", *(f"  {key.ljust(width)}  {text}" for key, text in facts.items() if text)]
    )


def _network(model: Any) -> str:
    net = model.get_bare_model(model.net_g) if hasattr(model, "net_g") else None
    if net is None:
        return ""
    return f"{type(net).__name__}, {sum(one.numel() for one in net.parameters()):,} parameters"


def _data(datasets: Sequence[Any]) -> str:
    found = [
        f"{one.opt['phase']}: {len(one):,} picture{'' if len(one) == 1 else 's'} of {one.opt['name']}"
        for one in datasets
    ]
    more = len(found) - SHOWN_SETS
    return "; ".join(found[:SHOWN_SETS]) + (f"; and {more} more sets" if more > 0 else "")


def _device(opt: Options, model: Any, precision: str) -> str:
    processes = f"{opt['world_size']} processes with " if opt["world_size"] > 1 else ""
    cards = f"{opt['num_gpu']} x " if not opt["dist"] and opt["num_gpu"] > 1 else ""
    return f"{processes}{cards}{device_name(model.device)}, {precision}"


def _batches(opt: Options, stages: Sequence[tuple[int | None, int]]) -> str:
    """The sizes of batches and patches, in words."""
    ranks, side = opt["world_size"], opt["datasets"]["train"].get("gt_size")
    sizes = [(patch or side, batch * ranks) for patch, batch in stages]
    ends = sizes[0], sizes[-1]
    words = [
        f"batches of {batch}" + (f" patch{'' if batch == 1 else 'es'} of {patch}x{patch}" if patch else "")
        for patch, batch in ends
    ]
    return words[0] if len(sizes) == 1 else f"{len(sizes)} stages: {words[0]} to {words[1]}"


def _optimizer(train: Mapping[str, Any]) -> str:
    optimizer, scheduler = train.get("optim_g") or {}, train.get("scheduler") or {}
    warmup = train.get("warmup_iter") or -1
    parts = [
        str(optimizer.get("type")),
        f"learning rate {optimizer.get('lr')}",
        str(scheduler.get("type")),
        *([f"warm-up of {warmup:,} iterations"] if warmup > 0 else []),
    ]
    return ", ".join(parts)


def _validation(opt: Options) -> str:
    val = opt.get("val") or {}
    if not any(block["phase"] == "val" for block in opt["datasets"].values()):
        return "none"
    metrics = ", ".join(val.get("metrics") or {}) or "no metrics"
    return f"every {val['val_freq']:,} iterations: {metrics}"


def _near(path: str | Path) -> str:
    """A path, relative to the current directory if it lies below it."""
    try:
        return str(real(path).relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
