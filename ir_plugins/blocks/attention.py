"""The base of attention designs, and how a stage runs its blocks."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .reach import PICTURE, Reach
from .surroundings import gradients_wanted


class Attention(nn.Module):
    """The base of every attention design: forward(x, shared) maps a picture (B, C, H, W) to the same shape.

    A design may name its source in `paper` and its cost in `complexity` (`basicsr list attentions` shows
    both), and declare how far it looks in `reach`.

    Args:
        dim: Channels C.
        num_heads: Heads; must divide dim.
        shifted: Whether windows start half a window later; a design without windows leaves it out.

    Raises:
        ValueError: If num_heads does not divide dim.
    """

    paper: str
    complexity: str
    reach: Reach = PICTURE

    def __init__(self, *, dim: int, num_heads: int, shifted: bool = False):
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(
                f"{num_heads=} does not divide the {dim} channels of its stage; "
                "take a divisor, or another number of channels"
            )
        self.num_heads, self.shifted = num_heads, shifted

    def share(self, x: Tensor) -> Any:
        """Make what all blocks of a stage with this `shifted` share; each gets it as `shared`.

        Args:
            x: The stage's input (B, C, H, W).
        """
        return None


def shared_by_design(attention: Any, x: Tensor) -> Any:
    """What an attention shares with the blocks of its stage; None if it has no `share`.

    Args:
        attention: One of the stage's attentions.
        x: The stage's input (B, C, H, W).
    """
    return attention.share(x) if hasattr(attention, "share") else None


def run_blocks(
    blocks: Iterable[Any],
    x: Tensor,
    *,
    share: Callable[[Any, Tensor], Any] = shared_by_design,
    use_checkpoint: bool = False,
) -> Tensor:
    """Run a stage: its blocks one after another, which share what their attentions share.

    Args:
        blocks: Each has an `attn` (an attention or None) and a forward(x, shared).
        x: The stage's input (B, C, H, W).
        share: Makes what blocks share from an attention and the stage's input; called once for straight and
            once for shifted windows.
        use_checkpoint: Whether to compute activations again in the backward pass instead of keeping them.

    Returns:
        (B, C, H, W).
    """
    entering, shared = x, {}
    again = use_checkpoint and gradients_wanted()
    for block in blocks:
        key = None
        if block.attn is not None:
            key = getattr(block.attn, "shifted", False)
            if key not in shared:
                shared[key] = share(block.attn, entering)
        x = checkpoint(block, x, shared.get(key), use_reentrant=False) if again else block(x, shared.get(key))
    return x
