"""Repairs of how basicsr's models degrade, load and validate."""

from __future__ import annotations

import functools
from typing import Any

from ..runtime.errors import UserError


def degrade_where_the_model_is() -> None:
    """`AssertionError: Torch not compiled with CUDA enabled` from RealESRNetModel and RealESRGANModel.

    Concerns any basicsr with `num_gpu: 0`: both move their JPEG, their sharpening and their pool of pairs to
    the GPU whatever the model is on.  Delete when they use `self.device`.
    """
    import torch

    from basicsr.models.realesrgan_model import RealESRGANModel
    from basicsr.models.realesrnet_model import RealESRNetModel
    from basicsr.utils import DiffJPEG, USMSharp

    def mend(model: Any) -> None:
        base, enqueue = model.__base__, model._dequeue_and_enqueue

        @functools.wraps(model.__init__)
        def __init__(self: Any, opt: dict[str, Any]) -> None:
            base.__init__(self, opt)
            self.jpeger = DiffJPEG(differentiable=False).to(self.device)
            self.usm_sharpener = USMSharp().to(self.device)
            self.queue_size = opt.get("queue_size", 180)

        @functools.wraps(enqueue)
        def _dequeue_and_enqueue(self: Any) -> None:
            if not hasattr(self, "queue_lr"):
                count = self.queue_size
                if count % len(self.lq):
                    raise UserError(f"queue_size: {count} is no multiple of batch_size_per_gpu; take one")
                self.queue_lr = torch.zeros(count, *self.lq.shape[1:], device=self.device)
                self.queue_gt = torch.zeros(count, *self.gt.shape[1:], device=self.device)
                self.queue_ptr = 0
            enqueue(self)

        model.__init__, model._dequeue_and_enqueue = __init__, _dequeue_and_enqueue

    for model in (RealESRNetModel, RealESRGANModel):
        names = {*model.__init__.__code__.co_names, *model._dequeue_and_enqueue.__code__.co_names}
        if "cuda" in names:
            mend(model)


def load_weights_as_others_publish_them() -> None:
    """`KeyError: 'params'` from `path:pretrain_network_g`, and a RuntimeError about safetensors.

    Concerns any basicsr: it knows only the key that is named and "params", and only torch.load.  Delete when
    it loads every file with `weights_only`, in every form that `weights.files.read_weights` reads.
    """
    from basicsr.models.base_model import BaseModel
    from basicsr.utils import get_root_logger

    from ..weights.files import check_fits, read_checkpoint

    def load_network(
        self: Any, net: Any, load_path: str, strict: bool = True, param_key: Any = "params"
    ) -> None:
        net = self.get_bare_model(net)
        weights, _, key = read_checkpoint(load_path, param_key)
        get_root_logger().info(f"Loading {type(net).__name__} from {load_path}")
        if key not in (None, param_key):
            get_root_logger().warning(f"{load_path} holds no {param_key}; its {key} are used")
        check_fits(load_path, weights, net, strict=strict)
        self._print_different_keys_loading(net, weights, strict)
        net.load_state_dict(weights, strict=strict)

    BaseModel.load_network = load_network


def validate_nets_that_pad_themselves() -> None:
    """`KeyError: 'window_size'` from SwinIRModel's validation.

    Concerns any basicsr: it pads to `network_g:window_size`, which nets without windows do not have.  Delete
    when it checks that the key is there.
    """
    from basicsr.models.sr_model import SRModel
    from basicsr.models.swinir_model import SwinIRModel

    original: Any = SwinIRModel.test

    @functools.wraps(original)
    def test(self: Any) -> None:
        (original if "window_size" in self.opt["network_g"] else SRModel.test)(self)

    SwinIRModel.test = test
