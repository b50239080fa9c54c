import numpy as np
import pytest
import torch

from ir_plugins.ops.padding import pad_to_multiple


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 7), (16, 8), (17, 23)])
@pytest.mark.parametrize("multiple", [1, 2, 8, 11])
def test_reflects_as_numpy_does_at_any_size(size, multiple):
    x = torch.rand(2, 3, *size)
    missing = [-length % multiple for length in size]
    expected = np.pad(x.numpy(), [(0, 0), (0, 0), (0, missing[0]), (0, missing[1])], mode="reflect")
    assert np.array_equal(pad_to_multiple(x, multiple).numpy(), expected)


def test_what_fits_is_not_copied():
    x = torch.rand(1, 1, 8, 16)
    assert pad_to_multiple(x, 8) is x
