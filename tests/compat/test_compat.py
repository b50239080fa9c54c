"""Each repair: the break without it, its absence with it, and no effect on healthy versions."""

import functools
import importlib
import importlib.util
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import cv2
import lmdb
import numpy as np
import pytest
import scipy.ndimage  # noqa: F401  (whose own import needs the module that a test takes away)
import torch
import torch.library
from torch.utils.data import DataLoader

from ir_plugins import compat
from ir_plugins.runtime.errors import UserError

from basicsr.data import build_dataset, degradations
from basicsr.utils import file_client, img_util
from basicsr.utils.file_client import FileClient

PACKAGE = Path(compat.__file__).parents[1]
ALIASES = {
    "torchvision.transforms.functional_tensor": ("rgb_to_grayscale", compat.provide_functional_tensor),
    "distutils.version": ("LooseVersion", compat.provide_loose_version),
    "scipy.ndimage.filters": ("convolve", compat.provide_scipy_filters),
}


def fresh(
    code: str, tmp_path: Path, *arguments: str, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess:
    """Run code in a new interpreter, where nothing is repaired yet."""
    return subprocess.run(
        [sys.executable, *flags, "-c", dedent(code), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return folder


def picture(height: int = 23, width: int = 17) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture
def modules():
    """Hands out sys.modules and puts it back as it was."""
    before = dict(sys.modules)
    yield sys.modules
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def store(tmp_path) -> Path:
    """An LMDB of four images: fine, one of a Unicode name, a truncated and an empty one."""
    folder = tmp_path / "pictures.lmdb"
    content = {"fine": png(picture()), "größe": png(picture()), "half": png(picture())[:400], "empty": b""}
    with (
        lmdb.open(str(folder), map_size=1 << 20) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in content.items():
            transaction.put(key.encode(), value)
    (folder / "meta_info.txt").write_text("fine.png (23,17,3) 1\nhalf.png (23,17,3) 1\n")
    return folder


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
        return [*patched, dict(FileClient._backends), *[sys.modules[name] for name in ALIASES]]

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


def test_jpeg_takes_a_float_quality_and_float_pixels(capfd):
    image = np.random.default_rng(5).random((40, 56, 3), np.float32)
    image[0, 0] = 100.6 / 255, 1.7, -0.3
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    expected = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])[1], 1)
    result = degradations.add_jpg_compression(image, 87.6)
    assert result.dtype == np.float32 and np.array_equal(result, np.float32(expected) / 255)
    assert degradations.random_add_jpg_compression(image, (30, 95)).shape == image.shape
    assert capfd.readouterr().err == ""
    original = getattr(degradations.add_jpg_compression, "__wrapped__", None)
    if original is None:
        pytest.skip("this OpenCV takes a float quality")
    with pytest.raises(cv2.error, match="Can't parse 'params'"):
        original(image, 87.6)


def test_a_jpeg_function_that_works_is_left_alone(monkeypatch):
    def healthy(img, quality=90):
        return img

    monkeypatch.setattr(degradations, "add_jpg_compression", healthy)
    compat.round_jpeg_quality()
    assert degradations.add_jpg_compression is healthy


def original_backend():
    """BasicSR's own class, from its file once more: the repaired module does not keep it."""
    spec = importlib.util.spec_from_file_location("fresh_file_client", file_client.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LmdbBackend


def client(*folders, keys=("lq", "gt")):
    return FileClient("lmdb", db_paths=[str(f) for f in folders], client_keys=list(keys[: len(folders)]))


def test_the_original_backend_is_sick(store):
    backend = original_backend()(str(store))
    assert backend.get("missing", "default") is None
    with pytest.raises(UnicodeEncodeError):
        backend.get("größe", "default")
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(backend._client)
    try:
        original_backend()(str(store))
    except lmdb.Error as error:
        assert "already open in this process" in str(error)
    else:
        pytest.skip("this py-lmdb opens an environment twice")


def test_one_lmdb_serves_gt_and_lq_and_another_dataset(store, tmp_path):
    (tmp_path / "link.lmdb").symlink_to(store)
    train, val = client(store, store), client(tmp_path / "link.lmdb", store)
    contents = {c.get(key, role) for c in (train, val) for key in ["fine", "größe"] for role in ["lq", "gt"]}
    assert contents == {png(picture())}
    assert isinstance(train.client, file_client.BaseStorageBackend)
    assert FileClient("lmdb", db_paths=str(store)).get("fine") == png(picture())
    assert file_client.LmdbBackend is compat.lmdb_backend.SharedLmdb


def test_an_lmdb_closes_with_its_last_user(store):
    first, second = client(store), client(store)
    del first
    with pytest.raises(lmdb.Error, match="already open"):
        lmdb.open(str(store), readonly=True, lock=False)
    assert second.get("fine", "lq")
    del second
    lmdb.open(str(store), readonly=True, lock=False).close()
    third = client(store)
    third.client._client["lq"].close()
    assert third.get("fine", "lq") and client(store).get("fine", "lq")


def test_a_missing_key_is_named(store):
    with pytest.raises(UserError, match=r"key 'nowhere' is not in the LMDB .*pictures\.lmdb"):
        client(store).get("nowhere", "lq")


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_what_the_parent_has_open(store, start):
    backend = client(store).client
    read = functools.partial(backend.get, client_key="lq")  # as collate_fn: called in the worker
    assert read("fine") == png(picture())
    loader = DataLoader(
        ["fine", "größe"], batch_size=None, collate_fn=read, num_workers=1, multiprocessing_context=start
    )
    assert list(loader) == [png(picture())] * 2
    assert read("fine") == png(picture())


def test_a_fork_opens_an_environment_of_its_own(store):
    backend, other = client(store).client, client(store, store).client
    inherited = backend._client["lq"]

    def read_in_child():
        assert backend.get("fine", "lq") == other.get("fine", "gt") == png(picture())
        assert backend._client["lq"] is other._client["gt"] is not inherited

    child = multiprocessing.get_context("fork").Process(target=read_in_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert backend.get("fine", "lq") == png(picture()) and backend._client["lq"] is inherited


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    content = {"half.png": png(picture())[:400], "empty.png": b"", "text.png": b"not an image"}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in content}


@pytest.mark.parametrize("float32", [True, False])
@pytest.mark.parametrize("name", ["half.png", "empty.png", "text.png"])
def test_an_unreadable_file_is_named(name, float32, files):
    content = FileClient("disk").get(files[name])
    with pytest.raises(UserError, match=rf"{name} \({len(content)} bytes\) is truncated or no image"):
        img_util.imfrombytes(content, float32=float32)
    original = inspect.unwrap(img_util.imfrombytes)
    if name == "empty.png":
        with pytest.raises(cv2.error, match="empty"):
            original(content, float32=float32)
    elif float32:
        with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'astype'"):
            original(content, float32=True)
    else:
        assert original(content) is None


@pytest.mark.parametrize("key", ["half", "empty"])
def test_an_unreadable_lmdb_image_is_named(key, store):
    content = client(store).get(key, "lq")
    with pytest.raises(
        UserError, match=rf"key '{key}' of the LMDB .*pictures\.lmdb \({len(content)} bytes\)"
    ):
        img_util.imfrombytes(content, float32=True)


def test_datasets_name_what_they_cannot_read(store):
    options = {"name": "pairs", "type": "PairedImageDataset", "phase": "val", "scale": 1}
    folders = {"dataroot_gt": str(store), "dataroot_lq": str(store), "io_backend": {"type": "lmdb"}}
    dataset = build_dataset({**options, **folders})
    assert dataset[0]["gt"].shape == (3, 23, 17)
    with pytest.raises(UserError, match="key 'half' of the LMDB"):
        dataset[1]


def test_every_module_of_basicsr_decodes_the_mended_way():
    holders = [m for n, m in sys.modules.items() if n.startswith("basicsr") and hasattr(m, "imfrombytes")]
    assert len(holders) > 5
    assert {m.imfrombytes for m in holders} == {img_util.imfrombytes}


@pytest.mark.parametrize("float32", [True, False])
@pytest.mark.parametrize("flag", ["color", "grayscale", "unchanged"])
def test_images_decode_as_before(flag, float32, tmp_path):
    (tmp_path / "fine.png").write_bytes(png(picture()))
    content = FileClient("disk").get(tmp_path / "fine.png")
    image = img_util.imfrombytes(content, flag, float32)
    expected = img_util.imfrombytes.__wrapped__(content, flag, float32)
    assert image.dtype == expected.dtype and np.array_equal(image, expected)
    assert img_util.imfrombytes(png(picture())).shape == (23, 17, 3)


def test_read_content_is_plain_bytes_that_travel(store):
    content = client(store).get("fine", "lq")
    copy = pickle.loads(pickle.dumps(content))
    assert copy == content == png(picture()) and copy.source == content.source


def test_a_decoder_that_complains_is_left_alone(monkeypatch):
    def healthy(content, flag="color", float32=False):
        raise ValueError("no image")

    monkeypatch.setattr(img_util, "imfrombytes", healthy)
    compat.name_unreadable_images()
    assert img_util.imfrombytes is healthy


# -- what BasicSR's models and discriminators meet on a CPU and in channels-last memory
# ----------------------------------------------------


def in_both_memories(*shape):
    picture = torch.rand(*shape)
    return picture, picture.contiguous(memory_format=torch.channels_last)


def test_filters_take_channels_last_pictures():
    from basicsr.models import realesrnet_model
    from basicsr.utils import img_process_util

    plain, channels_last = in_both_memories(2, 3, 11, 7)
    kernel = torch.rand(2, 5, 5)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        img_process_util.filter2D.__wrapped__(channels_last, kernel)
    for filter2D in (img_process_util.filter2D, realesrnet_model.filter2D):
        assert torch.equal(filter2D(channels_last, kernel), filter2D(plain, kernel))


def test_the_vgg_discriminator_takes_channels_last_pictures():
    from basicsr.archs.discriminator_arch import VGGStyleDiscriminator

    net = VGGStyleDiscriminator(3, 2).eval()
    plain, channels_last = in_both_memories(2, 3, 128, 128)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        VGGStyleDiscriminator.forward.__wrapped__(net, channels_last)
    assert torch.equal(net(channels_last), net(plain))


@pytest.mark.parametrize("name", ["RealESRNetModel", "RealESRGANModel"])
def test_real_esrgan_degrades_where_the_model_is(name, monkeypatch):
    from basicsr.utils.registry import MODEL_REGISTRY

    model = MODEL_REGISTRY.get(f"{name}_basicsr")
    monkeypatch.setattr(model.__base__, "__init__", lambda self, opt: None)
    instance = object.__new__(model)
    instance.device = torch.device("cpu")
    model.__init__(instance, {"queue_size": 4})
    assert instance.jpeger(torch.rand(1, 3, 16, 16), quality=torch.tensor([50.0])).shape == (1, 3, 16, 16)
    pairs = [torch.rand(2, 3, 5, 7) for _ in range(3)]
    for pair in pairs:  # the first two fill the pool, from then on it gives what it holds
        instance.lq, instance.gt = pair, 2 * pair
        instance._dequeue_and_enqueue()
        assert torch.equal(instance.gt, 2 * instance.lq)
    assert all(any(torch.equal(lq, old) for old in torch.cat(pairs[:2])) for lq in instance.lq)


def test_healthy_models_and_filters_are_left_alone(monkeypatch):
    from basicsr.models.realesrnet_model import RealESRNetModel
    from basicsr.utils import img_process_util

    before = RealESRNetModel.__init__, RealESRNetModel._dequeue_and_enqueue, img_process_util.filter2D
    compat.degrade_where_the_model_is()
    compat.view_pictures_in_any_memory()
    assert before == (
        RealESRNetModel.__init__,
        RealESRNetModel._dequeue_and_enqueue,
        img_process_util.filter2D,
    )
