"""Read and write weight files, and check whether weights fit a network."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from ..runtime.errors import UserError
from ..runtime.storage import save_whole, written_whole
from .archives import DIGEST, BadArchive, digest_of, load
from .recognition import architecture, recognise

USUAL_KEYS = ("params", "params_ema", "state_dict")  # of weights in published files
NETWORK = "network"  # the key beside the weights that holds how to build the network


class Checkpoint(NamedTuple):
    """What a weight file holds.

    Args:
        weights: The state dict.
        network: What the file says about its network, None where it says nothing.
        key: Where in the file the weights stand; None: at the top.
    """

    weights: dict[str, Tensor]
    network: dict[str, Any] | None
    key: str | None


def read_weights(path: str | Path, param_key: str | None = "params_ema") -> dict[str, Tensor]:
    """The state dict in a file, without the prefix "module." of wrapped nets.

    Nothing but tensors and plain containers is unpickled.

    Args:
        path: A file of torch.save or safetensors.
        param_key: Which weights to read if a file holds several: this key, else "params", as BasicSR does;
            then "params_ema", "state_dict" or no key, as others publish theirs.  A .safetensors file holds
            one state dict.

    Raises:
        UserError: The file cannot be read or holds no weights.
    """
    return read_checkpoint(path, param_key).weights


def read_network(path: str | Path) -> dict[str, Any] | None:
    """How to build the network of a weight file; None if the file does not say.

    Args:
        path: A file of torch.save or safetensors.

    Returns:
        {"network_g": {type, arguments...}, "scale": int, "value_range": [0.0, 1.0]}.

    Raises:
        UserError: The file cannot be read.
    """
    return _network_in(_read(path)[1])


def read_checkpoint(path: str | Path, param_key: str | None = "params_ema") -> Checkpoint:
    """`read_weights` and `read_network` in one, and the chosen key; arguments and errors are theirs."""
    content, network = _read(path)
    known = content if isinstance(content, Mapping) else {}
    keys = (param_key, *USUAL_KEYS)
    chosen = next((key for key in keys if isinstance(known.get(key), Mapping)), None)
    weights = known if chosen is None else known[chosen]
    if not weights or not all(isinstance(n, str) and isinstance(v, Tensor) for n, v in weights.items()):
        found = ", ".join(" ".join(str(key).split()) for key in list(known)[:6]) or "nothing"
        raise UserError(
            f"{path}: holds no weights under '{param_key}' or a usual key, but {found[:200]}; "
            "name a net_g_*.pth or set param_key_g"
        )
    # without what a file may hang on a tensor
    weights = {name.removeprefix("module."): value.detach() for name, value in weights.items()}
    return Checkpoint(weights, _network_in(network), chosen)


def save_weights(
    path: str | Path,
    weights: Mapping[str, Tensor],
    param_key: str = "params",
    network: Mapping[str, Any] | None = None,
) -> None:
    """Write a weight file, whole or not at all.

    Args:
        path: Ends in .pth or .safetensors.
        weights: A state dict.
        param_key: Where the weights stand in a .pth.
        network: How to build their network, as `read_network` returns it; None: leave that out.

    Raises:
        UserError: The file has another ending, or cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".pth", ".safetensors"):
        raise UserError(f"{path}: weights are written as .pth or .safetensors; give it one of these endings")
    # each tensor on its own: torch.save would write all the memory that a view is a part of
    own = {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in weights.items()
    }
    try:
        if path.suffix == ".pth":
            save_whole({param_key: own} | ({NETWORK: dict(network)} if network else {}), path)
        else:
            metadata = {"format": "pt", DIGEST: digest_of(own)}
            metadata |= {NETWORK: json.dumps(network)} if network else {}
            with written_whole(path) as file:
                file.write(safetensors.torch.save(own, metadata=metadata))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_fits(
    path: str | Path, weights: Mapping[str, Tensor], net: nn.Module, *, strict: bool = True
) -> None:
    """Compare a state dict with a network.

    Args:
        path: Where the weights come from, for the message.
        weights: The state dict.
        net: The network, which may lie on the meta device.
        strict: Whether names and shapes must be the network's; if not, only what torch would cut off counts.

    Raises:
        UserError: Naming the first keys that are missing, left over, of another shape or kind, and what
            would fit.
    """
    wanted, faults = net.state_dict(), []
    if strict:
        faults += [f"{name} is missing" for name in wanted if name not in weights]
        faults += [f"{name} has no place in the network" for name in weights if name not in wanted]
        faults += [
            f"{name} is {list(weights[name].shape)} there and {list(wanted[name].shape)} here"
            for name in wanted
            if name in weights and weights[name].shape != wanted[name].shape
        ]
    # torch would drop an imaginary part, and take whole numbers as they are
    there = {name: _numbers(value) for name, value in weights.items()}
    faults += [
        f"{name} has {there[name]} numbers there and {_numbers(wanted[name])} ones here"
        for name in wanted
        if there.get(name, "real") != "real" and there[name] != _numbers(wanted[name])
    ]
    if faults:
        more = f" and {len(faults) - 2} more" if len(faults) > 2 else ""
        where = f"{path}: does not fit {type(net).__name__}"
        raise UserError(f"{where}: {', '.join(faults[:2])}{more}; {_advice(path, weights, net)}")


def _numbers(value: Tensor) -> str:
    return "complex" if value.is_complex() else "real" if value.is_floating_point() else "whole"


def _advice(path: str | Path, weights: Mapping[str, Tensor], net: nn.Module) -> str:
    """The network to build instead of `net`, as far as the file or its weights show it."""
    with suppress(UserError):
        if (saved := read_network(path)) is not None:
            block = ", ".join(f"{key}: {value}" for key, value in saved["network_g"].items())
            return f"it was trained with network_g {{{block}}}"
    name = architecture(weights)
    try:
        here, there = recognise(net.state_dict()), recognise(weights)
    except UserError:
        here, there = {}, {}
    if name is not None and name != type(net).__name__:
        return f"these are weights of {name}; write that into network_g"
    if changed := [f"{key} {value}" for key, value in there.items() if value != here[key]]:
        return f"these are weights of {name} with {', '.join(changed)}; write that into network_g"
    return "take network_g from the option file in the run's folder"


def _network_in(stored: Any) -> dict[str, Any] | None:
    """How to build a network, if `stored` has the form that this package writes; else None."""
    block = stored.get("network_g") if isinstance(stored, Mapping) else None
    return dict(stored) if isinstance(block, Mapping) and isinstance(block.get("type"), str) else None


def _read(path: str | Path) -> tuple[Any, Any]:
    """The content of a file of torch.save or safetensors, and what stands there under NETWORK."""
    try:
        content, metadata = load(path)
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except BadArchive as error:
        raise UserError(f"{path}: {error}") from error
    stored = None
    if NETWORK in metadata:
        with suppress(ValueError, RecursionError):  # another program uses the key for something else
            stored = json.loads(metadata[NETWORK])
    elif isinstance(content, Mapping):
        stored = content.get(NETWORK)
    return content, stored
