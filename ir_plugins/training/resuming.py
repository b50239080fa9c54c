"""Whether a training state fits the optimizers and schedules of a run.

A fused step writes into a moment as if it had its parameter's size: one that is smaller, or shares memory,
would be overrun.
"""

import copy
import inspect
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from basicsr.utils.registry import MODEL_REGISTRY

from ..archs.building import build_on_meta
from ..models.restoration_model import RestorationModel
from ..options.reading import Options
from ..options.registries import registered
from ..runtime.arguments import is_count
from ..runtime.plugins import is_foreign
from .soundness import is_number

# methods by which a model makes its optimizers and schedules
BUILDING = ("__init__", "init_training_settings", "setup_optimizers", "get_optimizer", "setup_schedulers")
CHOSEN_ANEW = ("fused", "foreach")  # by how the optimizer was built, whatever the state says


def rehearsed(opt: Options) -> RestorationModel | None:
    """A model with the optimizers and schedules of a run, but without memory; it is built to check states.

    Args:
        opt: Options of the run.

    Returns:
        None if the model chooses its own optimizers, or its network cannot be built without memory.
    """
    kind = registered(MODEL_REGISTRY, opt["model_type"])
    if any(getattr(kind, name, None) is not getattr(RestorationModel, name) for name in BUILDING):
        return None
    if (net := build_on_meta(opt["network_g"])) is None:
        return None
    model = kind.__new__(kind)
    model.opt, model.is_train, model.net_g = opt, True, net
    model.optimizers, model.schedulers = [], []
    model.setup_optimizers()
    model.setup_schedulers()
    return model


def check_fits_model(state: Mapping[str, Any], model: Any) -> None:
    """Compare a sound training state with the model that is to continue from it.

    Args:
        state: The content of N.state.
        model: It has optimizers and schedules, perhaps on the meta device.

    Raises:
        ValueError: A step would fail, or change other numbers than its own.
    """
    try:
        _check(state, model)
    except ValueError:
        raise
    except Exception as error:  # from comparing values of any kind
        raise ValueError(f"{type(error).__name__}: {error}".partition("\n")[0]) from error


def _check(state: Mapping[str, Any], model: Any) -> None:
    # of ours, perhaps within an adapter; BasicSR's always go on as they were
    follows = model.follows(state) if hasattr(model, "follows") else True
    for name, mine in (("optimizers", model.optimizers), ("schedulers", model.schedulers)):
        if follows and len(state[name]) != len(mine):
            raise ValueError(f"it holds {len(state[name])} {name}, and this run has {len(mine)}")
    # of our states since they say so; a parameter without a gradient has no moments
    if (counts := state.get("moments")) and counts != [len(saved["state"]) for saved in state["optimizers"]]:
        raise ValueError("moments of some parameters are missing")
    taken: set[int] = set()  # where tensors lie
    for optimizer, saved in zip(model.optimizers, state["optimizers"], strict=True):
        _check_groups(optimizer, saved["param_groups"], follows=follows)
        _check_moments(optimizer, saved, taken, follows=follows)
    if follows:
        for scheduler, saved in zip(model.schedulers, state["schedulers"], strict=True):
            _check_scheduler(scheduler, saved, state)


def _check_groups(optimizer: Optimizer, saved: list[dict[str, Any]], *, follows: bool) -> None:
    counts = [len(group["params"]) for group in optimizer.param_groups]
    numbers = [group.get("params") for group in saved]
    if not all(isinstance(n, list) and all(map(is_count, n)) for n in numbers):
        raise ValueError("its groups of parameters are no lists of numbers")
    if [len(n) for n in numbers] != counts:
        raise ValueError(
            f"its groups have {[len(n) for n in numbers]} parameters, here {counts}: another network"
        )
    if len({number for n in numbers for number in n}) != sum(counts):
        raise ValueError("its groups name a parameter twice")
    if not follows:  # the numbers come from the options
        return
    # torch fills in what its older versions did not have
    completed = copy.copy(optimizer)
    completed.__setstate__({"state": defaultdict(dict), "param_groups": [dict(group) for group in saved]})
    for mine, theirs in zip(optimizer.param_groups, completed.param_groups, strict=True):
        for key in mine.keys() - {"params", *CHOSEN_ANEW}:
            if key not in theirs:
                raise ValueError(f"it holds no {key}")
            fits = _alike(mine[key], theirs[key])
            if fits and isinstance(mine[key], list | tuple):
                fits = len(theirs[key]) == len(mine[key]) and (key != "betas" or max(theirs[key]) < 1)
            if not fits:
                raise ValueError(f"its {key} is {_shown(theirs[key])}, here {_shown(mine[key])}")


def _check_moments(optimizer: Optimizer, saved: Mapping[str, Any], taken: set[int], *, follows: bool) -> None:
    moments, layouts = saved["state"], {}
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    known = set(numbers)
    if odd := [key for key in moments if not is_count(key) or key not in known]:
        raise ValueError(f"it holds moments of parameter {_shown(odd[0])}, which no group has")
    kinds = {isinstance(found["step"], Tensor) for found in moments.values() if "step" in found}
    if len(kinds) > 1:
        raise ValueError("its step is a tensor for some parameters only")
    for mine, theirs in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        for parameter, number in zip(mine["params"], theirs["params"], strict=True):
            if number not in moments:  # it had no gradient
                continue
            key = id(mine), parameter.shape, parameter.dtype
            if key not in layouts:
                layouts[key] = _layout(optimizer, mine, parameter)
            for name, wanted in layouts[key].items():
                if name not in moments[number]:
                    # SGD makes a momentum that was off before
                    if follows or not isinstance(optimizer, torch.optim.SGD):
                        raise ValueError(f"it holds no {name} of parameter {number}")
                elif fault := _fault(name, moments[number][name], wanted, parameter, taken):
                    raise ValueError(f"its {name} {fault} (parameter {number})")
            for name in moments[number].keys() - layouts[key].keys():
                if fault := _fault(name, moments[number][name], None, parameter, taken):
                    raise ValueError(f"its {name} {fault} (parameter {number})")


def _layout(optimizer: Optimizer, group: dict[str, Any], parameter: Tensor) -> dict[str, Any]:
    """The moments that a first step makes for a parameter of this shape, on the CPU."""
    stand_in = nn.Parameter(torch.zeros(parameter.shape, dtype=parameter.dtype))
    stand_in.grad = torch.zeros_like(stand_in)
    probe = copy.copy(optimizer)
    off = {key: False for key in ("fused", "foreach", "capturable", "differentiable") if key in group}
    probe.param_groups = [{**group, **off, "params": [stand_in]}]
    probe.state = defaultdict(dict)
    # Adagrad makes its state when it is built
    for name, value in optimizer.state.get(parameter, {}).items():
        made = torch.zeros(value.shape, dtype=value.dtype) if isinstance(value, Tensor) else value
        probe.state[stand_in][name] = made
    with torch.no_grad():
        # without the decorators, which import torch's compiler
        inspect.unwrap(type(optimizer).step)(probe)
    return dict(probe.state[stand_in])


def _fault(name: str, value: Any, wanted: Any, parameter: Tensor, taken: set[int]) -> str | None:
    """What is wrong with a value of a parameter's state; None if nothing is.

    Args:
        name: Its name.
        value: The value.
        wanted: The value after a first step; None: of this name there may be one or not.
        parameter: The parameter.
        taken: Where other tensors lie; the value's place is added.
    """
    if wanted is None and (value is None or is_number(value)):
        return None
    shape = parameter.shape if wanted is None else getattr(wanted, "shape", torch.Size())
    if not isinstance(value, Tensor):
        if len(shape) or not is_number(value, finite=True) or (name == "step" and value < 0):
            return f"is {_shown(value)}, no tensor of {list(shape)}"
        return None
    if (
        value.layout is not torch.strided
        or value.is_quantized
        or value.is_complex() != parameter.is_complex()
    ):
        return "is no dense tensor"
    if wanted is None and not value.ndim:
        shape = value.shape
    if value.shape != shape:
        return f"is {list(value.shape)}, not {list(shape)}: another network"
    if isinstance(wanted, Tensor) and value.dtype != wanted.dtype:
        return f"is {value.dtype}, not {wanted.dtype}"
    if name == "step" and not 0 <= value.item() < math.inf:
        return f"is {value.item()}"
    return None if _has_own_memory(value, taken) else "shares its memory, or has holes"


def _has_own_memory(value: Tensor, taken: set[int]) -> bool:
    if not value.numel():
        return True
    storage = value.untyped_storage()
    if storage.nbytes() != value.numel() * value.itemsize or storage.data_ptr() in taken:
        return False
    taken.add(storage.data_ptr())
    # in any order of the axes, as channels-last has its own
    order = sorted(range(value.ndim), key=lambda axis: (value.stride(axis), value.shape[axis]), reverse=True)
    return value.permute(order).is_contiguous()


def _check_scheduler(scheduler: Any, saved: dict[str, Any], state: Mapping[str, Any]) -> None:
    mine, groups = scheduler.state_dict(), len(scheduler.optimizer.param_groups)
    if hidden := [
        key for key in saved if key == "optimizer" or callable(getattr(type(scheduler), key, None))
    ]:
        raise ValueError(f"its schedule holds {_shown(hidden[0])}, which is no number of it")
    for key in ("last_epoch", "_step_count", "base_lrs", "_last_lr"):
        if key not in saved and key in mine:
            raise ValueError(f"its schedule holds no {key}")
    if not is_count(saved["last_epoch"]) or saved["last_epoch"] > state["iter"]:
        raise ValueError(
            f"its schedule is at {_shown(saved['last_epoch'])}, after {state['iter']} iterations"
        )
    lengths: dict[int, set[int]] = {}
    for key, value in mine.items():
        if key not in saved:
            continue
        theirs = saved[key]
        if key in ("base_lrs", "_last_lr"):
            fits = isinstance(theirs, list) and len(theirs) == groups and _alike(value, theirs)
        else:
            # a state of ours was made by these options; BasicSR's may be of others
            of_ours = isinstance(value, dict | list | tuple) and "recipe" in state
            fits = theirs == value if of_ours else _alike(value, theirs)
            if isinstance(value, dict | list | tuple) and is_foreign(type(scheduler)):
                # it may change with every step
                fits = isinstance(theirs, type(value))
            elif isinstance(value, list | tuple):
                lengths.setdefault(len(value), set()).add(len(theirs) if fits else 0)
        if not fits:
            raise ValueError(f"its schedule's {key} is {_shown(theirs)}, here {_shown(value)}")
    if any(len(found) > 1 for found in lengths.values()):
        raise ValueError("its schedule's lists are not of one length")


def _alike(mine: Any, theirs: Any) -> bool:
    """Whether a value can stand for another: of its kind, finite and not below 0 where that one is not."""
    if isinstance(mine, bool):
        return isinstance(theirs, bool) and theirs == mine
    if is_number(mine):
        return is_number(theirs, finite=True) and (theirs >= 0 or mine < 0)
    if isinstance(mine, list | tuple):
        if not isinstance(theirs, list | tuple):
            return False
        optional = [place for place, n in enumerate(mine) if n is None]
        return all(
            (is_number(n, finite=True) and n >= 0) or (n is None and place in optional)
            for place, n in enumerate(theirs)
        )
    if isinstance(mine, dict):
        return isinstance(theirs, dict) and all(is_count(n) for item in theirs.items() for n in item)
    if isinstance(mine, Tensor):
        return is_number(theirs, finite=True) or (isinstance(theirs, Tensor) and theirs.shape == mine.shape)
    if mine is None:
        return theirs is None or is_number(theirs, finite=True)
    return type(theirs) is type(mine)


def _shown(value: Any) -> str:
    """A value in a message, which must stay short."""
    if isinstance(value, Tensor):
        return f"a tensor of {list(value.shape)}"
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r:.60}"
    if isinstance(value, list | tuple) and len(value) < 9 and all(is_number(item) for item in value):
        return str(value)
    return f"a {type(value).__name__}"
