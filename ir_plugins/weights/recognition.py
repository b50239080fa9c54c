"""Find the network of published weights, and its arguments, from the names and shapes of the weights.

Files that this package saves in training name their network themselves.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor

from ..runtime.errors import UserError

Shapes = dict[str, tuple[int, ...]]

# names that only the weights of one network have, with any attention and feed-forward
MARKS = {
    "Restormer": {"patch_embed.proj.weight", "reduce_chan_level3.weight"},
    "AST": {"input_proj.proj.0.weight", "dowsample_0.conv.0.weight"},
    "SemanIR": {"conv_before_upsample.weight", "stages.0.conv.weight"},
    "SemanIRUNet": {"fuses.0.weight", "stages.0.conv.weight"},
}


def architecture(weights: Mapping[str, Tensor]) -> str | None:
    """The name of the network that weights belong to; None if it is not one of ours.

    Args:
        weights: A state dict.
    """
    return next((name for name, marks in MARKS.items() if marks <= weights.keys()), None)


def recognise(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The `network_g` block of published weights: {"type": "Restormer", "dim": 48, ...}.

    It holds every argument that changes a shape; the others have their defaults.  Attention and feed-forward
    must be the paper's.

    Args:
        weights: A state dict.

    Raises:
        UserError: The weights are not published ones of Restormer or AST.
    """
    name = architecture(weights)
    if name is None:
        first = "".join(f" {key}," for key in list(weights)[:2])
        raise UserError(
            f"weights named{first} ... fit no network that we recognise ({', '.join(RULES)}); "
            "give the network_g block they were trained with"
        )
    if name not in RULES:
        raise UserError(
            f"these are weights of {name}, and its window_size is not in them; "
            "give the network_g block it was trained with"
        )
    try:
        return {"type": name, **RULES[name]({key: tuple(value.shape) for key, value in weights.items()})}
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (IndexError, ArithmeticError):
        reason = "a shape makes no sense"
    except ValueError as error:
        reason = str(error)
    raise UserError(
        f"these are weights of {name}, but not as published ({reason}); give the network_g block they were "
        "trained with"
    )


def _restormer(shapes: Shapes) -> dict[str, Any]:
    levels = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    dim = shapes["patch_embed.proj.weight"][0]
    hidden = [shapes[f"{level}.0.ffn.project_out.weight"][1] for level in levels]
    with_bias = "encoder_level1.0.norm1.body.bias" in shapes
    return {
        "inp_channels": shapes["patch_embed.proj.weight"][1],
        "out_channels": shapes["output.weight"][0],
        "dim": dim,
        "num_blocks": [_count(shapes, level) for level in levels],
        "num_refinement_blocks": _count(shapes, "refinement"),
        "heads": [shapes[f"{level}.0.attn.temperature"][0] for level in levels],
        "ffn_expansion_factor": _factor([dim << level for level in range(4)], hidden, usual=2.66),
        "bias": "encoder_level1.0.attn.qkv.bias" in shapes,
        "LayerNorm_type": "WithBias" if with_bias else "BiasFree",
        "dual_pixel_task": "skip_conv.weight" in shapes,
    }


def _ast(shapes: Shapes) -> dict[str, Any]:
    encoder = [f"encoderlayer_{level}" for level in range(4)]
    attending = ["conv", *(f"decoderlayer_{level}" for level in range(4))]
    embed_dim = shapes["input_proj.proj.0.weight"][0]
    # feed-forwards by what only they have, and the weight whose first axis is their hidden size
    mlp = "{}.blocks.0.mlp."
    first = mlp.format(encoder[0])
    if first + "fc1.weight" in shapes:
        token_mlp, hidden_in = "ffn", mlp + "fc1.weight"
    else:
        token_mlp = "frfn" if first + "partial_conv3.weight" in shapes else "leff"
        hidden_in = mlp + "dwconv.0.weight"
    hidden = [shapes[hidden_in.format(stage)][0] for stage in (*encoder, *attending)]
    dims = [embed_dim << level for level in (0, 1, 2, 3, 4, 4, 3, 2, 1)]
    if plain := [stage for stage in attending if f"{stage}.blocks.0.attn.w" not in shapes]:
        raise KeyError(f"{plain[0]}.blocks.0.attn.w")
    # (2 window - 1)² rows, one column per head
    tables = [shapes[f"{stage}.blocks.0.attn.relative_position_bias_table"] for stage in attending]
    windows = [(math.isqrt(table[0]) + 1) // 2 for table in tables]
    win_size = windows[-1]
    # a level of the training size that is smaller than a window is the window there
    small = [window << 4 - step for step, window in enumerate(windows) if window < win_size]
    return {
        # else it is not in the weights.  The published test scripts build with 128, though the nets were
        # trained with more: it decides whether the bottom shifts its windows
        "img_size": small[-1] if small else max(128, 16 * win_size),
        "in_chans": shapes["output_proj.proj.0.weight"][0],
        "dd_in": shapes["input_proj.proj.0.weight"][1],
        "embed_dim": embed_dim,
        "depths": [_count(shapes, f"{stage}.blocks") for stage in (*encoder, *attending)],
        # the encoder does not attend: its heads change nothing, and these divide every width
        "num_heads": [1, 2, 4, 8, *(table[1] for table in tables)],
        "win_size": win_size,
        "mlp_ratio": _factor(dims, hidden, usual=4.0),
        "qkv_bias": "conv.blocks.0.attn.qkv.to_q.bias" in shapes,
        "token_mlp": token_mlp,
    }


RULES: dict[str, Callable[[Shapes], dict[str, Any]]] = {"Restormer": _restormer, "AST": _ast}


def _count(shapes: Shapes, prefix: str) -> int:
    """How many blocks PREFIX.0, PREFIX.1, ... there are."""
    found = (re.match(rf"{re.escape(prefix)}\.(\d+)\.", name) for name in shapes)
    return len({match[1] for match in found if match})


def _factor(dims: Sequence[int], hidden: Sequence[int], usual: float) -> float:
    """The factor with int(dim * factor) = hidden everywhere: the usual one, else one of few decimals."""

    def fits(factor: float) -> bool:
        return all(int(dim * factor) == size for dim, size in zip(dims, hidden, strict=True))

    if fits(usual):
        return usual
    least = max(Fraction(size, dim) for dim, size in zip(dims, hidden, strict=True))
    for scale in (10**digits for digits in range(9)):
        # the next one too: the float of a decimal may lie just below it
        for factor in (math.ceil(least * scale) / scale, (math.ceil(least * scale) + 1) / scale):
            if fits(factor):
                return factor
    sizes = ", ".join(f"{size} of {dim}" for dim, size in zip(dims, hidden, strict=True))
    raise ValueError(f"no one factor gives the hidden sizes of its feed-forwards ({sizes})")
