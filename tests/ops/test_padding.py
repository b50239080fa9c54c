import numpy as np
import pytest
import torch

from ir_plugins.ops.padding import crop, pad_to_multiple


@pytest.mark.parametrize("size", [(7, 9), (5, 7), (16, 8), (17, 23)])
@pytest.mark.parametrize("multiple", [1, 2, 8])
def test_reflects_as_numpy_does(size, multiple):
    x = torch.rand(2, 3, *size)
    missing = [-length % multiple for length in size]
    expected = np.pad(x.numpy(), [(0, 0), (0, 0), (0, missing[0]), (0, missing[1])], mode="reflect")
    assert np.array_equal(pad_to_multiple(x, multiple).numpy(), expected)


def test_goes_on_with_the_first_pixel_where_reflection_ends():
    x = torch.arange(3.0).view(1, 1, 1, 3)
    expected = torch.tensor([0.0, 1, 2, 1, 0, 0, 0, 0]).expand(1, 1, 8, 8)
    assert torch.equal(pad_to_multiple(x, 8), expected)


@pytest.mark.parametrize("any_size", [False, True])
def test_crop_undoes_padding(any_size):
    x = torch.rand(1, 2, 5, 7)
    padded = pad_to_multiple(x, 8, any_size=any_size)
    assert torch.equal(padded, pad_to_multiple(x, 8))
    assert torch.equal(crop(padded, (5, 7), any_size=any_size), x)


def test_what_fits_is_not_copied():
    x = torch.rand(1, 1, 8, 16)
    assert pad_to_multiple(x, 8) is x
