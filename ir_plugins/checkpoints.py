"""Weight files: what is in them, and whether a network fits."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from .errors import UserError


def read_weights(path: str | Path, param_key: str | None = "params") -> dict[str, Tensor]:
    """The state dict in a .pth file, chosen as BasicSR chooses it: under `param_key`, else under "params".

    Nothing but tensors and plain containers is unpickled.  Raises UserError naming the file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports damage as several unrelated exception classes
        reason = (
            "it holds more than weights" if "Weights only" in str(error) else "damaged, or no weight file"
        )
        raise UserError(f"{path}: cannot be read: {reason}; name another net_g_*.pth") from error
    if param_key is not None:
        there = content if isinstance(content, Mapping) else {}
        content = there.get(param_key, there.get("params"))
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(
            f"{path}: holds no weights under '{param_key}'; name a net_g_*.pth or set param_key_g"
        )
    return {name.removeprefix("module."): value for name, value in content.items()}


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
        raise UserError(
            f"{path}: does not fit {type(net).__name__}: {', '.join(faults[:2])}{more}; "
            "make network_g what it was trained with (the run's folder holds its option file)"
        )
