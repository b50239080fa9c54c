"""Repairs of imports: names that basicsr imports from other packages and no longer finds there."""

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

from .slow_imports import StandIn


def accept_torchvision_of_another_torch() -> None:
    """`RuntimeError: operator torchvision::nms does not exist` on `import torchvision`.

    Concerns a torchvision built for another torch (a CUDA wheel beside a CPU torch), up to 0.28 at least: its
    compiled ops are absent, yet it describes two of them.  They stay absent; nothing here calls them.  Delete
    when `torchvision._meta_registrations` asks `_has_ops()` before it registers nms and qnms.
    """
    import torch.library

    forget_half_imported("torchvision")
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise

    register_fake = torch.library.register_fake

    def register_fake_of_others(op: Any, *args: Any, **kwargs: Any) -> Any:
        if str(op).startswith("torchvision::"):
            return lambda function: function
        return register_fake(op, *args, **kwargs)

    forget_half_imported("torchvision")
    torch.library.register_fake = register_fake_of_others
    try:
        importlib.import_module("torchvision")
    finally:
        torch.library.register_fake = register_fake


def provide_functional_tensor() -> None:
    """`ModuleNotFoundError: No module named 'torchvision.transforms.functional_tensor'`.

    Concerns torchvision >= 0.17 with basicsr 1.4.2 (data/degradations.py).  Delete with the next basicsr.
    """
    from torchvision.transforms.functional import rgb_to_grayscale

    _provide("torchvision.transforms.functional_tensor", rgb_to_grayscale=rgb_to_grayscale)


def provide_loose_version() -> None:
    """`ModuleNotFoundError: No module named 'distutils'`.

    Concerns Python >= 3.12 without setuptools, with basicsr 1.4.2 (archs/arch_util.py).  `import distutils`
    still fails, for code that probes for it.  Delete with the next basicsr.
    """
    from torch.torch_version import TorchVersion

    _provide("distutils.version", LooseVersion=TorchVersion)


def provide_scipy_filters() -> None:
    """`DeprecationWarning: ... the `scipy.ndimage.filters` namespace is deprecated`; in SciPy 2.0 it is gone.

    Concerns SciPy >= 1.8 with basicsr 1.4.2 (metrics/niqe.py).  Delete with the next basicsr.
    """
    name = "scipy.ndimage.filters"
    if name in sys.modules:
        _provide(name, convolve=importlib.import_module("scipy.ndimage").convolve)
    else:  # without importing scipy.ndimage, which takes its time
        sys.modules[name] = StandIn(name, {"convolve": "scipy.ndimage"})


def _provide(name: str, **attributes: Any) -> None:
    """Let `from name import attribute` work, without a warning, if `name` is gone or deprecated.

    Args:
        name: The module.
        attributes: What it must have, by name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = importlib.import_module(name)
    except ModuleNotFoundError:
        module = sys.modules[name] = ModuleType(name, "A stand-in for what basicsr imports from here.")
    for attribute, value in attributes.items():
        # SciPy's deprecated module holds only a __getattr__ that warns
        vars(module).setdefault(attribute, value)


def forget_half_imported(package: str) -> None:
    """Drop the submodules that a failed import of their package left behind."""
    if package not in sys.modules:
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            del sys.modules[name]
