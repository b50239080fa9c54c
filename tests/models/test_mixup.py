import pytest
import torch

from ir_plugins.models.mixup import Mixup


def pairs(batch=5):
    """LQ one-hot by picture, so that a blend tells its shares; GT is twice that."""
    lq = torch.eye(batch)[:, :, None, None].expand(-1, -1, 3, 7).contiguous()
    return lq, 2 * lq


def test_a_batch_is_blended_with_itself_by_one_share():
    mixup, shares = Mixup(beta=1.2, identity=False), []
    for _ in range(300):
        lq, gt = mixup(*pairs())
        assert torch.equal(gt, 2 * lq) and lq.shape == (5, 5, 3, 7)
        weights = lq[:, :, 1, 1]
        assert torch.allclose(weights.sum(0), torch.ones(5)) and torch.allclose(weights.sum(1), torch.ones(5))
        kept = {round(float(weights[i, i]), 4) for i in range(5)} - {1.0}
        assert len(kept) <= 1  # the same for every picture that found another one
        shares += kept
    # Beta(1.2, 1.2) has mean 1/2 and variance 1/13.6
    shares = torch.tensor(shares)
    assert abs(shares.mean() - 0.5) < 0.06 and abs(shares.var() - 1 / 13.6) < 0.02


def test_identity_leaves_half_of_the_batches_alone():
    mixup, batch = Mixup(identity=True), pairs()
    same = sum(mixup(*batch)[0] is batch[0] for _ in range(400))
    assert 160 < same < 240


@pytest.mark.parametrize("beta", [0, -1.0, float("nan")])
def test_beta_must_be_positive(beta):
    with pytest.raises(ValueError, match=f"beta={beta} must be above 0"):
        Mixup(beta=beta)
