"""Choose the parameters that weight decay applies to."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn


def parameter_groups(net: nn.Module, no_decay: bool | Sequence[str] | None) -> list[dict[str, Any]]:
    """Group the trainable parameters of a net for an optimizer; the second group has no weight decay.

    Args:
        net: The net.
        no_decay: True: no decay of parameters of one dimension or none (biases, norms, gains), and of those
            that the net's method `no_weight_decay()` names.  Shell patterns: no decay of parameters with such
            names.  Otherwise there is one group.

    Raises:
        ValueError: A pattern matches no name.
    """
    trainable = {name: value for name, value in net.named_parameters() if value.requires_grad}
    if not no_decay:
        return [{"params": list(trainable.values())}]
    if no_decay is True:
        named = getattr(net, "no_weight_decay", set)()
        chosen = {name for name, value in trainable.items() if value.squeeze().ndim < 2 or name in named}
    else:
        chosen = set()
        for pattern in no_decay:
            matching = {name for name in trainable if fnmatchcase(name, pattern)}
            if not matching:
                raise ValueError(
                    f"no parameter is named like {pattern!r}; they look like {next(iter(trainable))!r}"
                )
            chosen |= matching
    decayed: list[Tensor] = [value for name, value in trainable.items() if name not in chosen]
    groups = [{"params": decayed}] if decayed else []
    return [
        *groups,
        {"params": [trainable[name] for name in trainable if name in chosen], "weight_decay": 0.0},
    ]
