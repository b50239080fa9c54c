"""Modules that basicsr imports but newer packages lack: the break, the repair, healthy ones stay."""

import importlib
import warnings
from types import ModuleType

import numpy as np
import pytest
import scipy.ndimage  # noqa: F401  (whose own import needs the module that a test takes away)
import torch
import torch.library
from repairs import write

from ir_plugins import compat

ALIASES = {
    "torchvision.transforms.functional_tensor": ("rgb_to_grayscale", compat.provide_functional_tensor),
    "distutils.version": ("LooseVersion", compat.provide_loose_version),
    "scipy.ndimage.filters": ("convolve", compat.provide_scipy_filters),
}

SICK = {
    "torchvision/__init__.py": "from . import extension, _meta_registrations, transforms",
    "torchvision/extension.py": "has_ops = False",
    "torchvision/transforms.py": "",
    "torchvision/_meta_registrations.py": """
        import torch.library
        import torchvision.extension

        assert not torchvision.extension.has_ops

        @torch.library.register_fake("torchvision::nms_of_a_test")
        def fake(boxes):
            return boxes
    """,
}


def use_torchvision(folder, files, modules, monkeypatch):
    for name in [name for name in modules if name.partition(".")[0] == "torchvision"]:
        del modules[name]
    monkeypatch.syspath_prepend(write(folder, files))


def test_imports_a_torchvision_of_another_torch(tmp_path, modules, monkeypatch):
    use_torchvision(tmp_path, SICK, modules, monkeypatch)
    register_fake = torch.library.register_fake
    with pytest.raises(RuntimeError, match="operator torchvision::nms_of_a_test does not exist"):
        importlib.import_module("torchvision")
    compat.accept_torchvision_of_another_torch()
    assert modules["torchvision"].transforms is modules["torchvision.transforms"]
    assert modules["torchvision"].__file__.startswith(str(tmp_path))
    assert torch.library.register_fake is register_fake


def test_only_torchvisions_own_ops_are_skipped(tmp_path, modules, monkeypatch):
    other = 'torch.library.register_fake("nobody::op")(print)'
    use_torchvision(
        tmp_path, {**SICK, "torchvision/transforms.py": f"import torch\n{other}"}, modules, monkeypatch
    )
    register_fake = torch.library.register_fake
    with pytest.raises(RuntimeError, match="nobody::op"):
        compat.accept_torchvision_of_another_torch()
    assert torch.library.register_fake is register_fake


def test_a_healthy_torchvision_meets_torch_as_it_is(tmp_path, modules, monkeypatch):
    healthy = {"torchvision/__init__.py": "import torch.library\nseen = torch.library.register_fake"}
    use_torchvision(tmp_path, healthy, modules, monkeypatch)
    compat.accept_torchvision_of_another_torch()
    assert modules["torchvision"].seen is torch.library.register_fake


def test_other_errors_of_torchvision_are_not_swallowed(tmp_path, modules, monkeypatch):
    text = """
        import torch.library
        raise RuntimeError(f"another CUDA major version, seeing {torch.library.register_fake.__name__}")
    """
    use_torchvision(tmp_path, {"torchvision/__init__.py": text}, modules, monkeypatch)
    with pytest.raises(RuntimeError, match=r"another CUDA major version, seeing register_fake$"):
        compat.accept_torchvision_of_another_torch()


@pytest.mark.parametrize("name", ALIASES)
def test_provides_a_module_that_is_gone(name, modules):
    attribute, provide = ALIASES[name]
    modules[name] = None  # Python's own way to say: not importable
    if name == "distutils.version":
        modules["distutils"] = modules["setuptools"] = None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)
    provide()
    assert callable(getattr(importlib.import_module(name), attribute))
    if name == "distutils.version":
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("distutils")


def test_what_is_provided_works(modules):
    for name, (_, provide) in ALIASES.items():
        modules[name] = None
        provide()
    from distutils.version import LooseVersion

    from scipy.ndimage.filters import convolve
    from torchvision.transforms.functional_tensor import rgb_to_grayscale

    assert LooseVersion("0.28.0+cpu") >= LooseVersion("0.9.0") > LooseVersion("0.8.2")
    assert (convolve(np.ones((5, 7)), np.ones((3, 3))) == 9).all()
    assert rgb_to_grayscale(torch.rand(2, 3, 5, 7), num_output_channels=1).shape == (2, 1, 5, 7)


@pytest.mark.parametrize("name", ALIASES)
def test_leaves_a_module_that_is_there(name, modules):
    attribute, provide = ALIASES[name]
    modules[name] = healthy = ModuleType(name)
    vars(healthy)[attribute] = its_own = object()
    contents = dict(vars(healthy))
    provide()
    assert modules[name] is healthy and vars(healthy) == contents and vars(healthy)[attribute] is its_own


def test_a_deprecated_module_no_longer_warns(modules):
    modules["scipy.ndimage.filters"] = deprecated = ModuleType("scipy.ndimage.filters")

    def warn(name):
        if name.startswith("__"):
            raise AttributeError(name)
        warnings.warn(
            f"Please import `{name}` from the `scipy.ndimage` namespace", DeprecationWarning, stacklevel=2
        )

    deprecated.__getattr__ = warn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning):
            from scipy.ndimage.filters import convolve
        compat.provide_scipy_filters()
        from scipy.ndimage.filters import convolve

        with pytest.raises(DeprecationWarning):
            from scipy.ndimage.filters import median_filter  # noqa: F401
    assert convolve is importlib.import_module("scipy.ndimage").convolve
