import numpy as np
import pytest
import torch

from ir_plugins.losses import FFTLoss


@pytest.mark.parametrize("shape", [(2, 3, 7, 10), (1, 1, 1, 1), (1, 2, 5, 9)])
@pytest.mark.parametrize("norm", ["backward", "ortho"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_it_is_numpys_transform(shape, norm, reduction):
    pred, target = torch.rand(2, *shape)
    spectra = [np.fft.rfft2(x.double().numpy(), norm=norm) for x in (pred, target)]
    parts = np.stack([spectra[0].real - spectra[1].real, spectra[0].imag - spectra[1].imag])
    wanted = 0.1 * (np.abs(parts).mean() if reduction == "mean" else np.abs(parts).sum())
    found = FFTLoss(loss_weight=0.1, reduction=reduction, norm=norm)(pred, target)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_transformed_in_float32(dtype):
    pred, target = torch.rand(2, 1, 3, 6, 9, dtype=dtype)
    found = FFTLoss()(pred, target)
    assert found.dtype == torch.float32 and torch.equal(found, FFTLoss()(pred.float(), target.float()))


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"norm": "forward"}, "norm='forward' is not one of backward, ortho"),
        ({"reduction": "none"}, "reduction='none' is not one of mean, sum"),
    ],
)
def test_what_cannot_work_is_reported(arguments, says):
    with pytest.raises(ValueError, match=says):
        FFTLoss(**arguments)
