import pytest
import slow
import torch

from ir_plugins.ops.convolution import channel_chunks, depthwise, part, pointwise, pointwise_sum
from ir_plugins.ops.memory import Memory, memory_for

BATCH, DIM, WIDER, SIZE = 2, 3, 11, (5, 7)
FORMATS = [torch.contiguous_format, torch.channels_last]


def picture(channels=DIM, memory_format=torch.contiguous_format):
    return torch.randn(BATCH, channels, *SIZE, dtype=torch.float64).contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(WIDER, DIM), (WIDER, DIM, 1, 1)])
def test_pointwise_is_a_1x1_convolution(shape, bias, memory_format):
    x = picture(memory_format=memory_format)
    weight = torch.randn(shape, dtype=torch.float64)
    bias = torch.randn(WIDER, dtype=torch.float64) if bias else None
    y = pointwise(x, weight, bias)
    torch.testing.assert_close(y, slow.pointwise(x, weight, bias))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("bias", [False, True])
def test_depthwise_convolves_each_channel_by_itself(bias):
    x, weight = picture(), torch.randn(DIM, 1, 3, 3, dtype=torch.float64)
    bias = torch.randn(DIM, dtype=torch.float64) if bias else None
    torch.testing.assert_close(depthwise(x, weight, bias), slow.depthwise(x, weight, bias))


@pytest.mark.parametrize("bias", [False, True])
def test_a_part_of_a_layer_makes_those_channels(bias):
    layer = (torch.randn(WIDER, DIM), torch.randn(WIDER) if bias else None)
    x, channels = torch.randn(BATCH, DIM, *SIZE), slice(3, 8)
    expected = pointwise(x, *layer)[:, channels]
    torch.testing.assert_close(pointwise(x, *part(layer, channels)), expected)


def test_chunks_are_as_wide_as_memory_allows():
    memory = Memory(channels=17 * BATCH * SIZE[0] * SIZE[1] + 1)
    assert channel_chunks(picture(), 5, 45, memory) == [slice(5, 22), slice(22, 39), slice(39, 45)]


def test_chunks_are_never_too_thin_to_be_fast():
    memory = Memory(channels=1, least_channels=16)
    assert channel_chunks(picture(), 0, 23, memory) == [slice(0, 16), slice(16, 23)]


def test_without_a_limit_there_is_one_chunk():
    assert channel_chunks(picture(), 5, 45, Memory()) == [slice(5, 45)]


@pytest.mark.parametrize("x", [torch.empty(0, DIM, *SIZE), torch.empty(1, DIM, *SIZE, device="meta")])
def test_every_batch_and_device_has_chunks(x):
    memory = memory_for(x.device, gradients=False)
    assert channel_chunks(x, 0, 23, memory) == [slice(0, 23)]


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("bias", [False, True])
def test_pointwise_sum_is_one_product_of_what_is_never_put_together(bias, memory_format, eager):
    """Whatever the memory of the pictures: a copy of the total would lose what is added."""
    first, second = picture(DIM, memory_format), picture(2, memory_format)
    weight = torch.randn(WIDER, DIM + 2, dtype=torch.float64)
    bias = torch.randn(WIDER, dtype=torch.float64) if bias else None
    total = pointwise_sum([(first, weight[:, :DIM]), (second, weight[:, DIM:])], bias, eager=eager)
    torch.testing.assert_close(total, slow.pointwise(torch.cat([first, second], dim=1), weight, bias))


def test_pointwise_sum_of_one():
    x, weight = picture(), torch.randn(WIDER, DIM, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(pointwise_sum([(x, weight)]), slow.pointwise(x, weight))
