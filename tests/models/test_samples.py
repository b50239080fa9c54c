"""What a sample holds, and how it is laid out as a strip."""

import numpy as np
import pytest
import torch
from small_model import small_model

from ir_plugins.models.samples import Sample, strip


def sample_of(lq, result, gt=None):
    """The sample that a model keeps of one picture; tensors (1, C, H, W)."""
    net = small_model()
    data = {"lq": lq, "lq_path": ["some/where/name.ext.png"]} | ({} if gt is None else {"gt": gt})
    net.opt["val"]["metrics"] = None
    net.test = lambda: setattr(net, "output", result)

    class One(torch.utils.data.Dataset):
        def __init__(self):
            self.opt = {"name": "set"}

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return {key: value[0] for key, value in data.items()}

    return net.validation(torch.utils.data.DataLoader(One(), batch_size=1), 1, None).samples[0]


@pytest.mark.parametrize("channels, shown", [(1, 1), (3, 3), (6, 3)])
def test_samples_of_any_channels(small, channels, shown):
    lq, out = torch.rand(1, channels, 5, 7), torch.rand(1, min(channels, 3), 10, 14)
    found = sample_of(lq, out, out)
    assert (found.dataset, found.name) == ("set", "name.ext")
    expected = (lq[0, :shown].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(found.lq, expected)  # of a pair the first view
    assert found.result.shape == found.gt.shape == (10, 14, shown)
    assert strip(found).shape == (10, 42, 3)


def test_a_strip_lays_them_side_by_side():
    lq = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    result, gt = np.full((4, 6, 1), 100, np.uint8), np.full((4, 6, 3), 200, np.uint8)
    found = strip(Sample("set", "name", lq, result, gt))
    assert found.shape == (4, 18, 3)
    assert np.array_equal(found[:, :6], lq.repeat(2, 0).repeat(2, 1))
    assert (found[:, 6:12] == 100).all() and (found[:, 12:] == 200).all()
    assert np.array_equal(strip(Sample("set", "name", lq, result, None)), found[:, :12])
    assert strip(Sample("set", "name", lq[..., :1], result, None)).shape == (4, 12, 3)
