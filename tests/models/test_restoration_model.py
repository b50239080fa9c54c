import pytest
import safetensors.torch
import torch
from tiny import tiny_options

from ir_plugins.models import RestorationModel
from ir_plugins.options.reading import complete
from ir_plugins.runtime.errors import UserError


def model(ema_decay, drop_path_rate=0.9, path=None, network=None, **optimizer):
    options = tiny_options()
    options["train"] |= {"ema_decay": ema_decay}
    options["train"]["optim_g"] |= optimizer
    options["network_g"] = network or options["network_g"] | {"drop_path_rate": drop_path_rate}
    options["path"] = path or {}
    return RestorationModel(complete(options, is_train=True) | {"dist": False, "rank": 0})


@pytest.mark.parametrize("ema_decay", [0, 0.9])
def test_validation_runs_in_eval_mode_and_training_goes_on(workplace, ema_decay):
    net = model(ema_decay)
    net.feed_data({"lq": torch.rand(1, 3, 7, 9)})
    net.test()
    first = net.output
    net.test()
    assert torch.equal(net.output, first)  # no dropped paths
    assert net.net_g.training and (not ema_decay or not net.net_g_ema.training)
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

    def torn(content, file):
        file.write(b"torn")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KeyboardInterrupt):
        net.save_network(net.net_g, "net_g", 1)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["net_g_1.pth"]


PUBLISHED = {
    "params.pth": lambda weights: {"params": weights},
    "params_ema.pth": lambda weights: {"params_ema": weights},
    "state_dict.pth": lambda weights: {
        "epoch": 3,
        "state_dict": {f"module.{k}": v for k, v in weights.items()},
    },
    "bare.pth": lambda weights: weights,
    "bare.safetensors": lambda weights: weights,
}


@pytest.mark.parametrize("file", PUBLISHED)
@pytest.mark.parametrize("ema_decay", [0, 0.9])
def test_every_published_form_is_loaded(workplace, file, ema_decay):
    weights = model(0).net_g.state_dict()
    save = safetensors.torch.save_file if file.endswith(".safetensors") else torch.save
    save(PUBLISHED[file](weights), file)
    net = model(ema_decay, path={"pretrain_network_g": file})
    for loaded in [net.net_g, *([net.net_g_ema] if ema_decay else [])]:
        for name, value in loaded.state_dict().items():
            assert torch.equal(value, weights[name]), name


def test_the_named_weights_are_loaded_and_the_ema_from_its_own(workplace):
    weights = {key: model(0).net_g.state_dict() for key in ("params", "params_ema", "older")}
    torch.save(weights, "a.pth")
    net = model(0.9, path={"pretrain_network_g": "a.pth", "param_key_g": "older"})
    for loaded, key in ((net.net_g, "older"), (net.net_g_ema, "params_ema")):
        assert torch.equal(loaded.conv_last.bias, weights[key]["conv_last.bias"])


def test_only_with_strict_load_must_all_weights_fit(workplace):
    net = model(0)
    weights = net.net_g.state_dict() | {"extra": torch.zeros(1), "conv_last.bias": torch.zeros(7)}
    weights["conv_first.bias"] = torch.full((6,), 3.0)
    torch.save({"params": weights}, "a.pth")
    with pytest.raises(
        UserError, match=r"a.pth: does not fit SemanIR: extra has no place in the network, conv_last.bias "
    ):
        net.load_network(net.net_g, "a.pth")
    assert not torch.equal(net.net_g.conv_first.bias, weights["conv_first.bias"])
    net.load_network(net.net_g, "a.pth", strict=False)
    assert torch.equal(net.net_g.conv_first.bias, weights["conv_first.bias"])


@pytest.mark.parametrize("window_size, padded", [(None, (7, 9)), (1, (7, 9)), (4, (8, 12))])
def test_pictures_are_padded_to_windows_and_cropped(workplace, window_size, padded):
    net, given = model(0), []
    net.opt["val"]["window_size"] = window_size
    net.net_g.register_forward_pre_hook(lambda module, inputs: given.append(tuple(inputs[0].shape[-2:])))
    net.feed_data({"lq": torch.rand(1, 3, 7, 9)})
    net.test()
    assert given == [padded] and net.output.shape == (1, 3, 14, 18) and net.lq.shape == (1, 3, 7, 9)


@pytest.mark.parametrize("scale, h, w", [(1, 7, 9), (2, 5, 11)])
def test_a_net_of_basicsr_gets_the_size_that_it_declares(workplace, scale, h, w):
    net = model(
        0,
        network={"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 2, "scale": scale}
        | {"num_block": 1, "num_grow_ch": 2},
    )
    net.feed_data({"lq": torch.rand(1, 3, h, w)})
    net.test()
    assert net.output.shape == (1, 3, h * scale, w * scale)


def test_a_net_of_basicsr_gets_whole_windows(workplace):
    swinir = {"upscale": 2, "embed_dim": 4, "depths": [2], "num_heads": [2], "window_size": 4}
    swinir |= {"type": "SwinIR", "img_size": 16, "upsampler": "pixelshuffle"}
    net = model(0, network=swinir)
    lq = torch.rand(1, 3, 7, 9)
    net.feed_data({"lq": lq})
    net.test()
    whole = torch.nn.functional.pad(lq, (0, 3, 0, 1), "reflect")
    with torch.no_grad():
        expected = net.net_g.eval()(whole)[..., :14, :18]
    assert torch.equal(net.output, expected)


@pytest.mark.parametrize("key, warned", [("params", False), ("params_emaa", True)])
def test_weights_under_another_key_than_asked_for_are_not_taken_silently(workplace, messages, key, warned):
    net = model(0)
    torch.save({"params": net.net_g.state_dict()}, "a.pth")
    net.load_network(net.net_g, "a.pth", param_key=key)
    assert ("WARNING a.pth holds no params_emaa; its params are used" in messages) == warned
