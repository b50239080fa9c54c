"""Weights & Biases, played by a module of its name: the real one needs an account."""

import sys
from pathlib import Path

import pytest
from tiny_runs import fails

from ir_plugins.cli import main

pytestmark = pytest.mark.usefixtures("fresh_logger")

WANDB = """
import types
calls = []

def login():
    calls.append("login")
    {login}

def init(**arguments):
    calls.append(arguments)
    {init}

util = types.SimpleNamespace(generate_id=lambda: "an id")
"""
WANTED = "logger:wandb={project: ours}"


@pytest.fixture
def wandb(tiny, monkeypatch):
    """Write the package wandb, whose functions do what is told."""

    def write(login="pass", init="pass"):
        Path("packages").mkdir()
        Path("packages/wandb.py").write_text(WANDB.format(login=login, init=init))
        monkeypatch.syspath_prepend("packages")
        monkeypatch.delitem(sys.modules, "wandb", raising=False)

    yield write
    sys.modules.pop("wandb", None)


def test_it_mirrors_tensorboard(wandb):
    wandb(login="return False")  # as it does offline
    assert main(["train", "-opt", "tiny.yml", "--force_yml", WANTED, "logger:use_tb_logger=true"]) == 0
    login, started = sys.modules["wandb"].calls
    assert login == "login" and started["project"] == "ours" and started["sync_tensorboard"]


def test_without_a_login_nothing_is_written(wandb, capsys):
    wandb(login="raise RuntimeError('api_key not configured (no-tty)')")
    error = fails(capsys, "train", "-opt", "tiny.yml", "--force_yml", WANTED, "logger:use_tb_logger=true")
    assert "logger:wandb: no login to Weights & Biases: api_key not configured (no-tty); run `wandb" in error


def test_what_fails_later_is_one_line_too(wandb, capsys):
    wandb(init="raise ConnectionError('no route to host\\nmore')")
    assert main(["train", "-opt", "tiny.yml", "--force_yml", WANTED, "logger:use_tb_logger=true"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("basicsr train: error: logger:wandb: Weights & Biases cannot start: no route")
