"""Whether network_g takes what the datasets give."""

import inspect
from collections.abc import Iterator
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY

from ..options.problems import Problem, is_block
from ..options.reading import Options
from ..options.registries import registered

INPUT_CHANNELS = ("inp_channels", "dd_in", "in_chans", "num_in_ch")  # how networks call them


def channel_problems(options: Options) -> Iterator[Problem]:
    """Where network_g takes another number of channels than a dataset gives.

    BasicSR's paired dataset gives three, gray tripled, and one where it is told `color: y`; ours say it in a
    static method `channels`.
    """
    key, wanted = _input_channels(options.get("network_g") or {})
    for phase, dataset in (options.get("datasets") or {}).items():
        if wanted is None or not is_block(dataset) or not dataset:
            continue
        kind = registered(DATASET_REGISTRY, dataset.get("type"))
        text = ""
        if dataset.get("type") == "PairedImageDataset":
            given = 1 if dataset.get("color") == "y" else 3
            text = "; 3 is colour (gray is tripled), 1 is luma (color: y in the dataset)"
        elif hasattr(kind, "channels"):
            given = kind.channels(dataset)
        else:
            continue
        if given not in (None, wanted):
            yield Problem(
                ("network_g", key), f"is {wanted}, but datasets:{phase} gives {given} channels{text}"
            )


def _input_channels(network: Options) -> tuple[str, Any]:
    """The network's key for the channels it takes, and its value or default; "", None where it has none."""
    net = registered(ARCH_REGISTRY, network.get("type"))
    parameters = inspect.signature(net).parameters if net else {}
    for key in INPUT_CHANNELS:
        if key in parameters:
            default = parameters[key].default
            return key, network.get(key, default if isinstance(default, int) else None)
    return "", None
