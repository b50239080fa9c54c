"""`import ir_plugins` is cheap, and whoever imports basicsr afterwards gets it whole, in any order."""

import importlib
import sys
from textwrap import dedent

import fresh
import pytest

from ir_plugins.runtime.importing import around_import

WHOLE = """
import sys, basicsr
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY
from basicsr.utils.registry import METRIC_REGISTRY, MODEL_REGISTRY
assert "SemanIR" in ARCH_REGISTRY and "PairedDataset" in DATASET_REGISTRY and "SSIMLoss" in LOSS_REGISTRY
assert "psnr" in METRIC_REGISTRY and "RestorationModel" in MODEL_REGISTRY
from basicsr.utils import img_util
assert hasattr(img_util.imfrombytes, "reads_raw")
assert not [finder for finder in sys.meta_path if "Around" in type(finder).__name__]
import ir_plugins
for name, module in list(sys.modules.items()):
    if name.startswith(("ir_plugins.", "basicsr.")) and name.count(".") == 1:
        assert getattr(sys.modules[name.split(".")[0]], name.split(".")[1], module) is module, name
print("whole")
"""


def test_the_package_itself_imports_nothing_heavy():
    done = fresh.run("""
        import sys, ir_plugins, ir_plugins.cli
        print([name for name in ("torch", "basicsr", "numpy", "cv2", "scipy") if name in sys.modules])
        import importlib.util
        print(importlib.util.find_spec("basicsr").name, "torch" in sys.modules)
        print("archs" in dir(ir_plugins), hasattr(ir_plugins, "nothing"), "torch" in sys.modules)
    """)
    assert done.stdout.splitlines() == ["[]", "basicsr False", "True False False"], done.stderr


FIRST = [
    "import ir_plugins, basicsr",
    "import ir_plugins; from basicsr.archs import build_network",
    "from ir_plugins.archs import SemanIR; SemanIR(embed_dim=6, depths=[1], num_heads=[2])",
    "import ir_plugins; ir_plugins.archs.SemanIR; ir_plugins.models.RestorationModel",
    "from ir_plugins import register_attention, register_ffn, Attention, Declares, load_plugins, losses",
    "from ir_plugins.options.reading import read_options",
    "from ir_plugins.training.pipeline import train",
    "from ir_plugins.blocks.registry import ATTENTIONS; assert 'assa' in ATTENTIONS",
    "import ir_plugins.pictures.lmdb",
    "import ir_plugins.compat",
    "import ir_plugins.inference, ir_plugins.archs, importlib; importlib.reload(ir_plugins)",
    "import importlib, ir_plugins.archs; importlib.reload(ir_plugins.archs)",
]


def test_any_first_import_leads_to_the_same():
    """Each in a process of its own, forked where torch is there and nothing of ours."""
    done = fresh.run(f"""
        import os, sys, traceback, torch, cv2, scipy.special
        for first in {FIRST!r}:
            if not (child := os.fork()):
                try:
                    exec(first)
                    exec({WHOLE!r})
                except BaseException:
                    print("after", first)
                    traceback.print_exc(file=sys.stdout)
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)
    """)
    assert done.stdout.splitlines() == ["whole"] * len(FIRST), done.stdout + done.stderr


def test_basicsr_that_is_there_already_is_mended_at_once():
    done = fresh.run("""
        import ir_plugins, basicsr, sys
        for name in [name for name in sys.modules if name.split(".")[0] == "ir_plugins"]:
            del sys.modules[name]
        for name in ("ARCH", "DATASET", "LOSS", "METRIC", "MODEL"):  # as it is without us
            held = getattr(basicsr.utils.registry, name + "_REGISTRY")._obj_map
            for key in [key for key, item in held.items() if item.__module__.startswith("ir_plugins")]:
                del held[key]
        before = basicsr
        import ir_plugins
        assert "torch" in sys.modules and sys.modules["basicsr"] is before
        print("SemanIR" in basicsr.utils.registry.ARCH_REGISTRY)
    """)
    assert done.stdout == "True\n", done.stderr


def test_a_hidden_basicsr_is_refused_to_whoever_imports_it_and_can_be_tried_again(tmp_path):
    (tmp_path / "basicsr").mkdir()
    (tmp_path / "basicsr/__init__.py").write_text("raise SystemExit('foreign code ran')")
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import ir_plugins
        from ir_plugins.runtime.errors import UserError
        for attempt in ("from ir_plugins.archs import SemanIR", "import basicsr.archs"):
            try:
                exec(attempt)
            except UserError as error:
                print("hides" in str(error), "basicsr" in sys.modules, "ir_plugins.archs" in sys.modules)
        sys.path.pop(0)
    """
    done = fresh.run(dedent(code) + dedent(WHOLE))
    assert done.stdout.splitlines() == ["True False False"] * 2 + ["whole"], done.stderr
    message = fresh.basicsr("list", "archs", PYTHONPATH=str(tmp_path), cwd=tmp_path)
    assert message.returncode == 2 and message.stdout == ""
    assert (
        message.stderr.startswith("basicsr list: error: basicsr found at") and message.stderr.count("\n") == 1
    )


def test_a_failure_half_way_can_be_tried_again():
    done = fresh.run(
        """
        import sys, ir_plugins
        sys.modules["einops"] = None
        for attempt in range(2):
            try:
                from ir_plugins.models import RestorationModel
            except ModuleNotFoundError as error:
                print(error.name, "basicsr" in sys.modules, hasattr(sys.modules["ir_plugins"], "__getattr__"))
        del sys.modules["einops"]
    """
        + WHOLE.replace("\n", "\n        ")
    )
    assert done.stdout.splitlines() == ["einops False True"] * 2 + ["whole"], done.stderr


def test_datasets_and_nets_pickle_into_a_process_that_imported_nothing():
    done = fresh.run("""
        import pickle, subprocess, sys
        from ir_plugins.archs import SemanIR
        from ir_plugins.options.problems import Problem
        net = SemanIR(embed_dim=6, depths=[1], num_heads=[2])
        code = "import pickle, sys; print([type(o).__name__ for o in pickle.load(sys.stdin.buffer)])"
        subprocess.run([sys.executable, "-c", code], input=pickle.dumps([net, Problem((), "")]), check=True)
    """)
    assert done.stdout == "['SemanIR', 'Problem']\n", done.stderr


# -- the mechanism, with packages made up


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A package `inner`, and a package `outer` of two rooms that want it; both are forgotten afterwards."""
    for file, text in {
        "inner_of_a_test/__init__.py": "from . import part\nlog.append('inner')\n",
        "inner_of_a_test/part.py": "",
        "outer_of_a_test/__init__.py": "",
        "outer_of_a_test/room.py": "import inner_of_a_test\nvalue = inner_of_a_test.ready\n",
        "outer_of_a_test/light.py": "",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    log: list[str] = []
    monkeypatch.setattr("builtins.log", log, raising=False)
    before, finders = set(sys.modules), list(sys.meta_path)
    yield log
    for name in set(sys.modules) - before:
        if "of_a_test" in name:
            del sys.modules[name]
    sys.meta_path[:] = finders


def arrange(log, after=lambda: None):
    def last():
        log.append("after")
        after()
        sys.modules["inner_of_a_test"].ready = True

    around_import(
        "inner_of_a_test", lambda: log.append("before"), last, host="outer_of_a_test", light=["light"]
    )


@pytest.mark.parametrize("first", ["inner_of_a_test", "inner_of_a_test.part", "outer_of_a_test.room"])
def test_before_and_after_are_called_once_in_order(packages, first):
    arrange(packages)
    importlib.import_module("outer_of_a_test.light")
    assert packages == []
    importlib.import_module(first)
    assert importlib.import_module("outer_of_a_test.room").value
    assert packages == ["before", "inner", "after"]
    assert type(sys.modules["inner_of_a_test"].__loader__).__name__ == "SourceFileLoader"


def test_an_error_afterwards_leaves_nothing_half_done(packages):
    failures = [ValueError("not yet")]

    def fail():
        importlib.import_module("outer_of_a_test.light")
        if failures:
            raise failures.pop()

    arrange(packages, fail)
    with pytest.raises(ValueError, match="not yet"):
        importlib.import_module("outer_of_a_test.room")
    assert not {"inner_of_a_test", "inner_of_a_test.part", "outer_of_a_test.room"} & set(sys.modules)
    assert importlib.import_module("outer_of_a_test.room").value
    assert packages == ["before", "inner", "after"] * 2
