"""Weight files: what is in them, whether a network fits, and which network does."""

import io
import os
import pickletools
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from basicsr.utils.registry import ARCH_REGISTRY

from ..runtime.errors import UserError
from .recognition import architecture, recognise


def read_weights(path: str | Path, param_key: str | None = "params_ema") -> dict[str, Tensor]:
    """The state dict in a file of torch.save or safetensors, without the prefix "module." of wrapped nets.

    It is chosen as BasicSR chooses: under `param_key`, else under "params"; then as others publish theirs,
    under "params_ema", "state_dict" or no key at all.  A .safetensors file has no keys to choose from.
    Nothing but tensors and plain containers is unpickled.  Raises UserError naming the file.
    """
    content = _read(path)
    known = content if isinstance(content, Mapping) else {}
    keys = (param_key, "params", "params_ema", "state_dict")
    weights = next((known[key] for key in keys if isinstance(known.get(key), Mapping)), known)
    if not weights or not all(isinstance(n, str) and isinstance(v, Tensor) for n, v in weights.items()):
        found = ", ".join(" ".join(str(key).split()) for key in list(known)[:6]) or "nothing"
        raise UserError(
            f"{path}: holds no weights under '{param_key}' or a usual key, but {found[:200]}; "
            "name a net_g_*.pth or set param_key_g"
        )
    return {name.removeprefix("module."): value for name, value in weights.items()}


def save_weights(path: str | Path, weights: Mapping[str, Tensor], param_key: str = "params") -> None:
    """Write a .pth, with the weights under `param_key`, or a .safetensors; whole, or not at all.

    Raises UserError naming the file.
    """
    path = Path(path)
    if path.suffix not in (".pth", ".safetensors"):
        raise UserError(f"{path}: weights are written as .pth or .safetensors; give it one of these endings")
    # each tensor on its own: torch.save would write all the memory that a view is a part of
    own = {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in weights.items()
    }
    if path.suffix == ".pth":
        buffer = io.BytesIO()
        torch.save({param_key: own}, buffer)
        data = buffer.getbuffer()
    else:
        data = safetensors.torch.save(own, metadata={"format": "pt"})
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def load_network(path: str | Path, network_g: Mapping[str, Any] | None = None) -> nn.Module:
    """The network that the weights in `path` are of, holding them, in eval mode.

    network_g: its option file's block; not needed for Restormer and AST with the designs of their papers.
    Raises UserError naming the file.
    """
    weights = read_weights(path)
    try:
        arguments = recognise(weights) if network_g is None else dict(network_g)
        kind = ARCH_REGISTRY.get(arguments.pop("type"))
        with torch.device("meta"):  # what a file asks for costs nothing before it is seen to hold it
            check_fits(path, weights, kind(**arguments))
        net = kind(**arguments)
    except (KeyError, TypeError, ValueError) as error:  # so the registry and networks refuse what cannot work
        raise UserError(f"{path}: {error.args[0]}") from error
    net.load_state_dict(weights)
    return net.eval()


def check_fits(path: str | Path, weights: Mapping[str, Tensor], net: nn.Module) -> None:
    """Raise UserError, naming the first keys that are missing, left over or of another shape."""
    wanted = net.state_dict()
    faults = [f"{name} is missing" for name in wanted if name not in weights]
    faults += [f"{name} is left over" for name in weights if name not in wanted]
    faults += [
        f"{name} is {list(weights[name].shape)} there and {list(wanted[name].shape)} here"
        for name in wanted
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 2} more" if len(faults) > 2 else ""
        where = f"{path}: does not fit {type(net).__name__}"
        raise UserError(f"{where}: {', '.join(faults[:2])}{more}; {_advice(weights, net)}")


def _advice(weights: Mapping[str, Tensor], net: nn.Module) -> str:
    """What to build instead of `net`, as far as the weights tell."""
    name = architecture(weights)
    try:
        here, there = recognise(net.state_dict()), recognise(weights)
    except UserError:
        here, there = {}, {}
    if name is not None and name != type(net).__name__:
        return f"these are weights of {name}; write that into network_g"
    if changed := [f"{key} {value}" for key, value in there.items() if value != here[key]]:
        return f"these are weights of {name} with {', '.join(changed)}; write that into network_g"
    return "make network_g what it was trained with (the run's folder holds its option file)"


def _read(path: str | Path) -> Any:
    """What a file of torch.save or safetensors holds."""
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        if Path(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both report damage as several unrelated exception classes
        if code := _code(path, str(error)):
            raise UserError(
                f"{path}: holds code ({code}) rather than weights alone, and was not run; "
                "get a file that holds a plain state dict"
            ) from error
        reason = "it is empty" if empty else "damaged, or no weight file"
        raise UserError(f"{path}: cannot be read: {reason}; name another file") from error


def _code(path: str | Path, message: str) -> str | None:
    """What torch refused to run according to its `message`; None where something else is wrong."""
    if found := re.search(r"GLOBAL ([A-Za-z_][\w.]*)|(TorchScript)", message):
        return found[1] or found[2]
    if "Unsupported operand" in message:
        # perhaps a pickle of a newer kind than torch reads, which gives up before it comes to the code
        with open(path, "rb") as file, suppress(ValueError):  # no pickle at all
            if any(
                operation.name in ("GLOBAL", "STACK_GLOBAL") for operation, _, _ in pickletools.genops(file)
            ):
                return "a Python pickle"
    return None
