"""The package as a whole: a silent import, repairs that run once, and the refusal of another basicsr."""

import importlib
import sys

import pytest
from repairs import PACKAGE, fresh, write

from ir_plugins import compat
from ir_plugins.runtime.errors import UserError

from basicsr.data import degradations
from basicsr.utils import file_client, img_util
from basicsr.utils.file_client import FileClient

REPLACED = ("torchvision.transforms.functional_tensor", "distutils.version", "scipy.ndimage.filters")


def test_import_is_silent_even_when_warnings_are_errors(tmp_path):
    done = fresh("import ir_plugins, basicsr", tmp_path, flags=("-W", "error"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_basicsr_fails_without_the_repairs_and_imports_after_them(tmp_path):
    code = """
        import sys, types
        package = sys.modules["ir_plugins"] = types.ModuleType("ir_plugins")  # without its repairs
        package.__path__ = [sys.argv[1]]
        from ir_plugins import compat

        def attempt():
            try:
                import basicsr
                print("imported")
            except Exception as error:
                print(error)

        attempt()
        compat.accept_torchvision_of_another_torch()
        attempt()
        compat.imports.forget_half_imported("basicsr")
        compat.before_import()
        attempt()
        import basicsr, torchvision
        from basicsr.utils.registry import ARCH_REGISTRY
        print(basicsr.utils.FileClient.__name__, "MSRResNet" in ARCH_REGISTRY, torchvision.utils.__name__)
    """
    done = fresh(code, tmp_path, str(PACKAGE))
    assert done.returncode == 0, done.stderr
    plain, with_torchvision, *repaired = done.stdout.splitlines()
    assert repaired == ["imported", "FileClient True torchvision.utils"]
    if with_torchvision == "imported":
        pytest.skip("this stack imports basicsr by itself, or with a torchvision that fits its torch")
    assert with_torchvision.startswith("No module named")  # functional_tensor, or distutils before it
    assert plain in {"operator torchvision::nms does not exist", with_torchvision}


def test_repairing_again_changes_nothing(modules):
    def state():
        patched = [img_util.imfrombytes, degradations.add_jpg_compression, file_client.HardDiskBackend.get]
        return [*patched, dict(FileClient._backends), *[sys.modules[name] for name in REPLACED]]

    before = state()
    compat.before_import()
    compat.after_import()
    assert state() == before


REGISTRY = {"basicsr/utils/registry.py": ""}

FOREIGN = {"basicsr/__init__.py": "raise SystemExit('foreign code ran')"}


def shadow(folder, files, modules, monkeypatch):
    monkeypatch.syspath_prepend(write(folder, files))
    del modules["basicsr"]


@pytest.mark.parametrize(
    "files, version",
    [
        ({**FOREIGN, "basicsr/version.py": "__version__ = '1.2.0+10018c6'"}, "1.2.0"),
        ({**FOREIGN, **REGISTRY, "basicsr/version.py": "__version__ = '1.3.5'"}, "1.3.5"),
        ({**FOREIGN, **REGISTRY}, "unknown"),
        ({**FOREIGN, "basicsr/version.py": "__version__ = '1.4.2'"}, "1.4.2"),
        ({"basicsr.py": FOREIGN["basicsr/__init__.py"]}, "unknown"),
    ],
    ids=["restormer", "old_fork", "no_version", "no_registry", "script"],
)
def test_refuses_another_basicsr_without_running_it(files, version, tmp_path, modules, monkeypatch):
    shadow(tmp_path, files, modules, monkeypatch)
    with pytest.raises(SystemExit, match="foreign code ran"):
        importlib.import_module("basicsr")
    place = tmp_path / next(iter(files)).removesuffix("/__init__.py")
    with pytest.raises(UserError) as caught:
        compat.before_import()
    message = str(caught.value)
    assert message.startswith(f"basicsr found at {place} (version {version}) hides PyPI's basicsr 1.4.2")
    assert "PYTHONPATH" in message and "pip uninstall basicsr" in message and "\n" not in message


@pytest.mark.parametrize("files", [{}, {"basicsr/note.txt": ""}], ids=["absent", "folder_without_code"])
def test_says_how_to_install_basicsr(files, tmp_path, modules, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(write(tmp_path, files))])
    del modules["basicsr"]
    with pytest.raises(
        UserError, match=r"not installed: `pip install --no-build-isolation basicsr==1\.4\.2`"
    ):
        compat.refuse_other_basicsr()


@pytest.mark.parametrize("version", ["1.4.2", "1.10.0"])
def test_accepts_pypis_basicsr_and_its_successors(version, tmp_path, modules, monkeypatch):
    compat.refuse_other_basicsr()
    files = {**FOREIGN, **REGISTRY, "basicsr/version.py": f"__version__ = '{version}'"}
    shadow(tmp_path, files, modules, monkeypatch)
    compat.refuse_other_basicsr()
