"""Fixtures that many tests share; everything is written below tmp_path."""

import logging
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_model import Pair, SmallNet
from tiny import tiny_options, write_pairs

from ir_plugins.checks import networks

from basicsr.utils import get_root_logger
from basicsr.utils.logger import initialized_logger
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY

# threads would wait for each other more than they compute, above all where another process runs too
torch.set_num_threads(1)


# nohup and a shell's & let a process ignore them, and every process that it starts
for number in (getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def seeded():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def fresh_logger():
    """BasicSR keeps one logger per process; a run of its own log file needs a fresh one."""
    initialized_logger.clear()
    logging.getLogger("basicsr").handlers.clear()


@pytest.fixture
def nets_built_once(monkeypatch):
    """Checks of the same network build it once, and try it once on each size: most of the time goes there."""
    build, shape = networks.build_anywhere, networks.output_shape
    built, shapes = {}, {}

    def build_once(network, **how):
        key = repr((network, how))
        if key not in built:
            built.clear()  # nets of full size
            shapes.clear()
            built[key] = build(network, **how)
        return built[key]

    def shape_once(net, picture):
        if (id(net), picture) not in shapes:
            shapes[id(net), picture] = shape(net, picture)
        return shapes[id(net), picture]

    monkeypatch.setattr(networks, "build_anywhere", build_once)
    monkeypatch.setattr(networks, "output_shape", shape_once)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(workplace) -> Path:
    """A workplace with data and the option file tiny.yml."""
    write_pairs(workplace / "data/train", [(11, 13), (17, 7), (9, 19), (8, 8), (13, 11)])
    write_pairs(workplace / "data/val", [(7, 9), (5, 11), (13, 6)])
    file = workplace / "tiny.yml"
    file.write_text(yaml.safe_dump(tiny_options(), sort_keys=False))
    return file


@pytest.fixture
def small(workplace, monkeypatch) -> Path:
    """A workplace where options may name SmallNet and the loss Pair."""
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, "SmallNet", SmallNet)
    monkeypatch.setitem(LOSS_REGISTRY._obj_map, "Pair", Pair)
    return workplace


@pytest.fixture
def messages(fresh_logger) -> Iterator[list[str]]:
    """What is logged from here on, as "LEVEL text"; BasicSR's logger passes nothing on to others."""
    told: list[str] = []
    logger, handler = get_root_logger(), logging.Handler()
    handler.emit = lambda record: told.append(f"{record.levelname} {record.getMessage()}")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)  # as a log file does
    yield told
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)
