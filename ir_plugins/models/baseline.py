"""The baseline of a validation: what its metrics say of the input itself, without a network."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.resize import imresize
from ..runtime.randomness import kept_random_state
from .results import PictureResult, measure

# of a dataset's block: BasicSR takes keys out of io_backend while it reads
LEFT_OUT = ("io_backend", "phase", "name")
MOST_TIMES = 1000


class InputMetrics:
    """The metrics of each input of a dataset, measured once per dataset and metric.

    Args:
        data: The dataset's block.
        val: The block `val`.
        count: Pictures of the dataset.
        earlier: What `remembered` returned in an earlier validation.  It comes from a training state, which
            is a file and may hold anything; what does not fit these blocks is measured again.
    """

    def __init__(self, data: Mapping[str, Any], val: Mapping[str, Any], count: int, earlier: Any):
        self.blocks = val.get("metrics") or {}
        self.levels = 65535 if val.get("bits") == 16 else 255
        block = {key: value for key, value in data.items() if key not in LEFT_OUT}
        how = {key: val.get(key) for key in ("bits", "use_image", "rgb2bgr")}
        self.made_of = {name: _digest([block, how, metric, count]) for name, metric in self.blocks.items()}
        earlier = earlier if isinstance(earlier, dict) else {}
        self.known = {
            name: earlier[name] for name in self.blocks if self._is_sound(name, earlier.get(name), count)
        }

    def of(
        self,
        index: int,
        visuals: Mapping[str, Tensor],
        measured: Callable[[dict[str, Tensor]], dict[str, np.ndarray]],
    ) -> tuple[dict[str, float], int]:
        """The metrics of one input, and how many times it was enlarged for them.

        Args:
            index: The picture's place in the dataset.
            visuals: `lq` and `result`, (1, C, h, w) and (1, C, H, W), perhaps `gt`.
            measured: `ValidatingModel.measured`.
        """
        found = {name: entry["values"][index] for name, entry in self.known.items()}
        times = max((entry["times"] for entry in self.known.values()), default=1)
        blocks = {name: block for name, block in self.blocks.items() if name not in self.known}
        if blocks and (shown := enlarged(visuals, self.levels)) is not None:
            picture, times = shown
            with kept_random_state():  # what follows must not depend on whether this is measured
                # faults are not reported: the result has the same ones
                found |= measure(measured({**visuals, "result": picture}), blocks)[0]
        return {name: value for name, value in found.items() if value is not None}, times

    def remembered(self, pictures: Sequence[PictureResult]) -> dict[str, Any]:
        """What a later validation needs, in plain values.

        Args:
            pictures: All pictures of the dataset, in its order.
        """
        times = max((one.enlarged for one in pictures), default=1)
        return {
            name: {"of": of, "times": times, "values": [(one.baseline or {}).get(name) for one in pictures]}
            for name, of in self.made_of.items()
        }

    def _is_sound(self, name: str, entry: Any, count: int) -> bool:
        return (
            isinstance(entry, dict)
            and entry.get("of") == self.made_of[name]
            and type(entry.get("times")) is int
            and 1 <= entry["times"] < MOST_TIMES
            and isinstance(values := entry.get("values"), list)
            and len(values) == count
            and all(value is None or type(value) is float for value in values)
        )


def enlarged(visuals: Mapping[str, Tensor], levels: int) -> tuple[Tensor, int] | None:
    """The input as a picture of the result's size.

    An input that is smaller by a whole factor is enlarged as the field does: by MATLAB's bicubic
    interpolation of whole grey levels.

    Args:
        visuals: `lq` and `result`, (1, C, h, w) and (1, C, H, W).
        levels: The value of white in a picture file: 255 or 65535.

    Returns:
        The picture and the factor; None if the input cannot stand beside the result.
    """
    lq, result = visuals.get("lq"), visuals["result"]
    if lq is None or lq.ndim != 4 or lq.shape[:2] != result.shape[:2] or 0 in lq.shape:
        return None
    h, w = lq.shape[-2:]
    times = result.shape[-2] // h
    if not 1 <= times < MOST_TIMES or result.shape[-2:] != (h * times, w * times):
        return None
    if times > 1:
        grey = lq[0].permute(1, 2, 0).double().nan_to_num(0).clamp(0, 1).mul(levels).round().cpu().numpy()
        large = imresize(grey.astype(np.uint8 if levels == 255 else np.uint16), times)
        lq = torch.from_numpy(large / levels).permute(2, 0, 1)[None].to(result.dtype)
    return lq, times


def input_title(pictures: Sequence[PictureResult]) -> str:
    """`input_name` of a dataset's pictures."""
    return input_name(max((one.enlarged for one in pictures), default=1))


def input_name(times: int) -> str:
    """How tables name the inputs: `input`, or `input, bicubic x2`.

    Args:
        times: How many times they were enlarged.
    """
    return f"input, bicubic x{times}" if times > 1 else "input"


def _digest(parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
