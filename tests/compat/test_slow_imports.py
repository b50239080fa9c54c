"""What basicsr imports and rarely uses is imported when it is used, and then is the real thing."""

import sys

import pytest
from fresh import run

from ir_plugins.compat import slow_imports
from ir_plugins.compat.slow_imports import Later, StandIn


def test_basicsr_comes_without_them():
    done = run("""
        import sys, ir_plugins, basicsr
        slow = ("torch._dynamo", "scipy.stats", "scipy.ndimage", "scipy.special", "scipy.linalg", "sympy")
        print([name for name in slow if name in sys.modules])
        print([name for name, module in sys.modules.items() if type(module).__name__ == "StandIn"])
    """)
    assert done.stdout.splitlines() == ["[]", "['scipy.ndimage.filters']"], done.stderr


def test_what_uses_them_works_and_meets_the_real_ones():
    done = run("""
        import ir_plugins, numpy
        from basicsr.data import degradations
        grid = degradations.mesh_grid(5)[0]
        print(round(float(degradations.cdf2(numpy.eye(2), grid)[2, 2]), 6))
        print(degradations.multivariate_normal.pdf([0.0, 0.0], [0.0, 0.0]) > 0)
        print(degradations.circular_lowpass_kernel(1.0, 7).shape)
        from basicsr.metrics import fid, niqe
        print(float(niqe.gamma(5.0)), fid.linalg.sqrtm(4 * numpy.eye(2))[0, 0])
        print(niqe.convolve(numpy.ones((5, 7)), numpy.ones((3, 3))).max())

        import scipy.stats, scipy.ndimage, torch
        from torch._dynamo.utils import is_compile_supported
        from torchvision.ops import roi_align
        print([type(module).__name__ for module in (scipy.stats, torch._dynamo.utils)])
        boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        torch.use_deterministic_algorithms(True)
        print(roi_align(torch.arange(25.0).view(1, 1, 5, 5), [boxes], 1, aligned=True).shape)
        compiled = torch.compile(lambda x: roi_align(x, [boxes], 1) + 1, backend="eager")
        print(compiled(torch.ones(1, 1, 5, 5)).item())
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "0.25",
        "True",
        "(7, 7)",
        "24.0 2.0",
        "9.0",
        "['module', 'module']",
        "torch.Size([1, 1, 1, 1])",
        "2.0",
    ]


def test_what_is_imported_already_stays(monkeypatch):
    import scipy.stats

    monkeypatch.setattr(slow_imports, "SLOW", {"scipy.stats": ("multivariate_normal",)})
    slow_imports.postpone_slow_imports()
    assert sys.modules["scipy.stats"] is scipy.stats
    slow_imports.end_postponing()
    assert sys.modules["scipy.stats"] is scipy.stats


@pytest.fixture
def colours(monkeypatch):
    """A stand-in for the module colorsys, which knows one of its functions."""
    import colorsys

    monkeypatch.setitem(sys.modules, "colorsys", StandIn("colorsys", {"rgb_to_hsv": "colorsys"}))
    return colorsys


def test_a_stand_in_gives_known_names_and_makes_room_for_others(colours):
    from colorsys import rgb_to_hsv

    assert isinstance(rgb_to_hsv, Later) and isinstance(sys.modules["colorsys"], StandIn)
    assert rgb_to_hsv(0.2, 0.4, 0.4) == colours.rgb_to_hsv(0.2, 0.4, 0.4)
    assert not isinstance(sys.modules["colorsys"], StandIn)


def test_a_stand_in_that_is_asked_for_more_is_the_real_module(colours):
    import colorsys

    assert colorsys.hsv_to_rgb(0.5, 0.5, 0.4) == colours.hsv_to_rgb(0.5, 0.5, 0.4)
    assert not isinstance(sys.modules["colorsys"], StandIn)
    with pytest.raises(AttributeError):
        colorsys.nothing
    assert not hasattr(colorsys, "__path__")
