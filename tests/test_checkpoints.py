import os

import pytest
import torch

from ir_plugins.checkpoints import check_fits, read_weights
from ir_plugins.errors import UserError


class Code:
    def __reduce__(self):
        return os.mkdir, ("made_by_a_pickle",)


def test_weights_are_chosen_as_basicsr_chooses_them(workplace):
    net = torch.nn.Linear(3, 2)
    wrapped = {f"module.{name}": value for name, value in net.state_dict().items()}
    torch.save({"params": wrapped}, "a.pth")
    for key in ("params", "params_ema"):
        weights = read_weights("a.pth", key)
        check_fits("a.pth", weights, net)
        assert torch.equal(weights["bias"], net.bias)
    torch.save(net.state_dict(), "bare.pth")
    assert set(read_weights("bare.pth", None)) == {"weight", "bias"}


def test_code_in_a_pickle_does_not_run(workplace):
    torch.save({"params": Code()}, "a.pth")
    with pytest.raises(UserError, match=r"a.pth: cannot be read: it holds more than weights"):
        read_weights("a.pth")
    assert not (workplace / "made_by_a_pickle").exists()


@pytest.mark.parametrize("content", [{}, {"params": 3}, [1], {"params": {"weight": 1}}])
def test_a_file_without_weights(workplace, content):
    torch.save(content, "a.pth")
    with pytest.raises(UserError, match=r"a.pth: holds no weights under 'params'"):
        read_weights("a.pth")


def test_what_does_not_fit_is_named():
    weights = {"weight": torch.zeros(2, 5), "extra": torch.zeros(1)}
    with pytest.raises(
        UserError, match=r"w.pth: does not fit Linear: bias is missing, extra is left over and 1 more"
    ):
        check_fits("w.pth", weights, torch.nn.Linear(3, 2))
