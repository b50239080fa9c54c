from pathlib import Path

import pytest
import torch
from tiny import tiny_options

from ir_plugins.models import RestorationModel
from ir_plugins.options import complete


def model(ema_decay, drop_path_rate=0.9, **optimizer):
    options = tiny_options()
    options["train"] |= {"ema_decay": ema_decay}
    options["train"]["optim_g"] |= optimizer
    options["network_g"] |= {"drop_path_rate": drop_path_rate}
    options["path"] = {}
    return RestorationModel(complete(options, is_train=True) | {"dist": False, "rank": 0})


@pytest.mark.parametrize("ema_decay", [0, 0.9])
def test_validation_runs_in_eval_mode_and_training_goes_on(workplace, ema_decay):
    net = model(ema_decay)
    net.feed_data({"lq": torch.rand(1, 3, 7, 9)})
    net.test()
    first = net.output
    net.test()
    assert torch.equal(net.output, first)  # no dropped paths
    assert net.net_g.training
    assert not first.requires_grad


def test_the_ema_restores_where_there_is_one(workplace):
    net = model(0.9, drop_path_rate=0.0)
    net.feed_data({"lq": torch.rand(2, 3, 7, 9), "gt": torch.rand(2, 3, 14, 18)})
    net.optimize_parameters(1)
    net.test()
    with torch.no_grad():
        assert torch.equal(net.output, net.net_g_ema(net.lq))
        assert not torch.equal(net.output, net.net_g(net.lq))


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "NAdam"])
def test_every_optimizer_of_torch_serves(workplace, name):
    net = model(0, type=name, weight_decay=0.25)
    assert type(net.optimizer_g) is getattr(torch.optim, name)
    assert net.optimizer_g.param_groups[0]["weight_decay"] == 0.25


def test_a_failed_write_leaves_the_older_file(workplace, monkeypatch):
    net = model(0)
    net.save_network(net.net_g, "net_g", 1)
    file = workplace / "experiments/tiny/models/net_g_1.pth"
    before = file.read_bytes()

    def torn(content, path):
        Path(path).write_bytes(b"torn")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KeyboardInterrupt):
        net.save_network(net.net_g, "net_g", 1)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.parent.iterdir()] == ["models"]
