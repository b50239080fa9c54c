"""basicsr's models and discriminators on a CPU and in channels-last memory: the break and the repair."""

import pytest
import torch
from repairs import in_both_memories

from ir_plugins import compat


def test_the_vgg_discriminator_takes_channels_last_pictures():
    from basicsr.archs.discriminator_arch import VGGStyleDiscriminator

    net = VGGStyleDiscriminator(3, 2).eval()
    plain, channels_last = in_both_memories(2, 3, 128, 128)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        VGGStyleDiscriminator.forward.__wrapped__(net, channels_last)
    assert torch.equal(net(channels_last), net(plain))


@pytest.mark.parametrize("name", ["RealESRNetModel", "RealESRGANModel"])
def test_real_esrgan_degrades_where_the_model_is(name, monkeypatch):
    from basicsr.utils.registry import MODEL_REGISTRY

    model = MODEL_REGISTRY.get(f"{name}_basicsr")
    monkeypatch.setattr(model.__base__, "__init__", lambda self, opt: None)
    instance = object.__new__(model)
    instance.device = torch.device("cpu")
    model.__init__(instance, {"queue_size": 4})
    assert instance.jpeger(torch.rand(1, 3, 16, 16), quality=torch.tensor([50.0])).shape == (1, 3, 16, 16)
    pairs = [torch.rand(2, 3, 5, 7) for _ in range(3)]
    for pair in pairs:  # the first two fill the pool, from then on it gives what it holds
        instance.lq, instance.gt = pair, 2 * pair
        instance._dequeue_and_enqueue()
        assert torch.equal(instance.gt, 2 * instance.lq)
    assert all(any(torch.equal(lq, old) for old in torch.cat(pairs[:2])) for lq in instance.lq)


def test_healthy_models_and_filters_are_left_alone(monkeypatch):
    from basicsr.models.realesrnet_model import RealESRNetModel
    from basicsr.utils import img_process_util

    before = RealESRNetModel.__init__, RealESRNetModel._dequeue_and_enqueue, img_process_util.filter2D
    compat.degrade_where_the_model_is()
    compat.view_pictures_in_any_memory()
    assert before == (
        RealESRNetModel.__init__,
        RealESRNetModel._dequeue_and_enqueue,
        img_process_util.filter2D,
    )
