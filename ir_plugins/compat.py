"""Repairs that PyPI's basicsr 1.4.2 needs on a modern stack.

`repair()` runs before the first import of basicsr; running it again changes nothing.  Each function below it
mends one break: it looks for the sickness, leaves healthy versions alone and says when it can be deleted.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import sys
import threading
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

import cv2
import lmdb
import numpy as np

from .errors import UserError


def repair() -> None:
    """Make PyPI's basicsr importable, import it, and mend what its training and test path meets."""
    refuse_other_basicsr()
    accept_torchvision_of_another_torch()
    provide_functional_tensor()
    provide_loose_version()
    provide_scipy_filters()
    _forget_half_imported("basicsr")
    importlib.import_module("basicsr")
    round_jpeg_quality()
    share_lmdb_environments()
    name_unreadable_images()
    degrade_where_the_model_is()
    view_pictures_in_any_memory()
    load_weights_as_others_publish_them()
    validate_nets_that_pad_themselves()


def refuse_other_basicsr() -> None:
    """`No module named 'basicsr.utils.registry'`, or stranger: another package of that name comes first.

    Concerns the `basicsr` folders inside the repositories of Restormer, NAFNet and others (forks of 1.2.0 and
    1.3.x); they are looked at, not executed.  Delete when nobody has such a repository at hand any more.
    """
    install = "pip install --no-build-isolation basicsr==1.4.2"
    spec = importlib.util.find_spec("basicsr")
    if spec is None or spec.origin is None:  # no origin: a mere folder of that name, without __init__.py
        raise UserError(f"BasicSR is not installed: `{install}`")
    found = Path(spec.origin)
    if found.name == "__init__.py":
        found = found.parent
    stated = found / "version.py"
    text = stated.read_text(encoding="utf-8", errors="replace") if stated.is_file() else ""
    version = re.search(r"__version__\s*=\s*['\"](\d+)\.(\d+)\.(\d+)", text)
    new_enough = version is not None and tuple(map(int, version.groups())) >= (1, 4, 2)
    if not new_enough or not (found / "utils" / "registry.py").is_file():
        number = ".".join(version.groups()) if version else "unknown"
        raise UserError(
            f"basicsr found at {found} (version {number}) hides PyPI's basicsr 1.4.2, which is needed: take "
            f"it off PYTHONPATH, run from another folder or `pip uninstall basicsr`; then `{install}`"
        )


def accept_torchvision_of_another_torch() -> None:
    """`RuntimeError: operator torchvision::nms does not exist` on `import torchvision`.

    Concerns a torchvision built for another torch (a CUDA wheel beside a CPU torch), up to 0.28 at least: its
    compiled ops are absent, yet it describes two of them.  They stay absent, nothing here calls them.  Delete
    when `torchvision._meta_registrations` asks `_has_ops()` before it registers nms and qnms.
    """
    import torch.library

    _forget_half_imported("torchvision")
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

    _forget_half_imported("torchvision")
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
    from scipy.ndimage import convolve

    _provide("scipy.ndimage.filters", convolve=convolve)


def round_jpeg_quality() -> None:
    """`cv2.error: ... Can't parse 'params'. Sequence item with index 1 has a wrong type`.

    Concerns OpenCV 4 and 5, which want an integer JPEG quality; OpenCV 5 also warns of float pixels
    (`Unsupported depth image`).  Delete when basicsr.data.degradations passes integers.
    """
    from basicsr.data import degradations

    original: Any = degradations.add_jpg_compression
    try:
        original(np.zeros((8, 8, 3), np.float32), quality=90.0)
        return
    except (cv2.error, TypeError):
        pass

    @functools.wraps(original)
    def add_jpg_compression(img: np.ndarray, quality: float = 90) -> np.ndarray:
        # rint: how OpenCV itself used to convert float pixels
        pixels = np.rint(np.clip(img, 0, 1) * 255.0).astype(np.uint8)
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32) / 255.0

    rebind(original, add_jpg_compression)


def share_lmdb_environments() -> None:
    """`lmdb.Error: The environment '...' is already open in this process.`

    Concerns any basicsr with a recent py-lmdb (seen in 3.0) once two datasets, or GT and LQ, read one folder.
    Also mends `UnicodeEncodeError` on a key and None for a missing one.  Delete when basicsr's own backend
    does what SharedLmdb does.
    """
    from basicsr.utils import file_client

    original, backends = file_client.LmdbBackend, file_client.FileClient._backends
    if backends["lmdb"] is original:
        file_client.BaseStorageBackend.register(SharedLmdb)
        backends["lmdb"] = SharedLmdb  # type: ignore[assignment]
        rebind(original, SharedLmdb)


def name_unreadable_images() -> None:
    """`AttributeError: 'NoneType' object has no attribute 'astype'` on a truncated, empty or foreign file.

    Concerns any basicsr: `imfrombytes` neither checks what OpenCV made of the bytes nor knows whose they are.
    Delete when its own error names the file.
    """
    from basicsr.utils import file_client, img_util

    decode, read = img_util.imfrombytes, file_client.HardDiskBackend.get
    try:
        decode(b"no image")
    except ValueError:  # it complains already
        return

    @functools.wraps(read)
    def get(self: Any, filepath: Any) -> SourcedBytes:
        return SourcedBytes.of(read(self, filepath), str(filepath))

    @functools.wraps(decode)
    def imfrombytes(content: bytes, flag: str = "color", float32: bool = False) -> np.ndarray:
        try:
            img = decode(content, flag)
        except cv2.error:  # OpenCV's answer to an empty file
            img = None
        if img is None:
            raise UserError(
                f"{getattr(content, 'source', 'what was read')} ({len(content)} bytes) is truncated or no "
                "image that OpenCV can decode; replace or remove it"
            )
        return img.astype(np.float32) / 255.0 if float32 else img

    file_client.HardDiskBackend.get = get
    rebind(decode, imfrombytes)


def degrade_where_the_model_is() -> None:
    """`AssertionError: Torch not compiled with CUDA enabled` from RealESRNetModel and RealESRGANModel.

    Concerns any basicsr with `num_gpu: 0`: both move their JPEG, their sharpening and their pool of pairs to
    the GPU whatever the model is on.  Delete when they use `self.device`.
    """
    import torch

    from basicsr.models.realesrgan_model import RealESRGANModel
    from basicsr.models.realesrnet_model import RealESRNetModel
    from basicsr.utils import DiffJPEG, USMSharp

    def mend(model: Any) -> None:
        base, enqueue = model.__base__, model._dequeue_and_enqueue

        @functools.wraps(model.__init__)
        def __init__(self: Any, opt: dict[str, Any]) -> None:
            base.__init__(self, opt)
            self.jpeger = DiffJPEG(differentiable=False).to(self.device)
            self.usm_sharpener = USMSharp().to(self.device)
            self.queue_size = opt.get("queue_size", 180)

        @functools.wraps(enqueue)
        def _dequeue_and_enqueue(self: Any) -> None:
            if not hasattr(self, "queue_lr"):
                count = self.queue_size
                if count % len(self.lq):
                    raise UserError(f"queue_size: {count} is no multiple of batch_size_per_gpu; take one")
                self.queue_lr = torch.zeros(count, *self.lq.shape[1:], device=self.device)
                self.queue_gt = torch.zeros(count, *self.gt.shape[1:], device=self.device)
                self.queue_ptr = 0
            enqueue(self)

        model.__init__, model._dequeue_and_enqueue = __init__, _dequeue_and_enqueue

    for model in (RealESRNetModel, RealESRGANModel):
        names = {*model.__init__.__code__.co_names, *model._dequeue_and_enqueue.__code__.co_names}
        if "cuda" in names:
            mend(model)


def load_weights_as_others_publish_them() -> None:
    """`KeyError: 'params'` from `path:pretrain_network_g`, and a RuntimeError about safetensors.

    Concerns any basicsr: it knows no keys but the one named and "params", and torch.load alone.  Delete when
    it asks `weights_only` of every file and takes the forms that `checkpoints.read_weights` does.
    """
    from basicsr.models.base_model import BaseModel
    from basicsr.utils import get_root_logger

    from .checkpoints import check_fits, read_weights

    def load_network(
        self: Any, net: Any, load_path: str, strict: bool = True, param_key: Any = "params"
    ) -> None:
        net = self.get_bare_model(net)
        weights = read_weights(load_path, param_key)
        get_root_logger().info(f"Loading {type(net).__name__} from {load_path}")
        if strict:
            check_fits(load_path, weights, net)
        self._print_different_keys_loading(net, weights, strict)
        net.load_state_dict(weights, strict=strict)

    BaseModel.load_network = load_network


def validate_nets_that_pad_themselves() -> None:
    """`KeyError: 'window_size'` from SwinIRModel's validation.

    Concerns any basicsr: it pads to `network_g:window_size`, which nets without windows do not have.  Delete
    when it asks whether there is one.
    """
    from basicsr.models.sr_model import SRModel
    from basicsr.models.swinir_model import SwinIRModel

    original: Any = SwinIRModel.test

    @functools.wraps(original)
    def test(self: Any) -> None:
        (original if "window_size" in self.opt["network_g"] else SRModel.test)(self)

    SwinIRModel.test = test


def view_pictures_in_any_memory() -> None:
    """`RuntimeError: view size is not compatible with input tensor's size and stride`.

    Concerns any basicsr: VGGStyleDiscriminator and filter2D cannot take pictures in channels-last memory,
    which is what our nets give, and BasicSR's own loader with `num_worker_per_gpu: 0`.  Delete when both
    reshape instead.
    """
    import torch

    from basicsr.archs.discriminator_arch import VGGStyleDiscriminator
    from basicsr.utils import img_process_util

    original: Any = img_process_util.filter2D
    pictures = torch.zeros(2, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    try:
        original(pictures, torch.zeros(2, 3, 3))
        return
    except RuntimeError:
        pass

    @functools.wraps(original)
    def filter2D(img: Any, kernel: Any) -> Any:
        return original(img.contiguous(), kernel)

    forward = VGGStyleDiscriminator.forward

    @functools.wraps(forward)
    def forward_contiguous(self: Any, x: Any) -> Any:
        return forward(self, x.contiguous())

    VGGStyleDiscriminator.forward = forward_contiguous
    rebind(original, filter2D)


class SourcedBytes(bytes):
    """The content of an image file, and where it was read: the decoder's error message needs both."""

    source: str

    @classmethod
    def of(cls, content: Any, source: str) -> SourcedBytes:
        sourced = cls(content)
        sourced.source = source
        return sourced


class SharedLmdb:
    """BasicSR's LMDB backend, reading through the one environment that a process may open of each folder."""

    def __init__(
        self,
        db_paths: str | os.PathLike | list,
        client_keys: str | list[str] = "default",
        readonly: bool = True,
        lock: bool = False,
        readahead: bool = False,
        **options: Any,
    ):
        self.db_paths = [str(path) for path in (db_paths if isinstance(db_paths, list) else [db_paths])]
        keys = [client_keys] if isinstance(client_keys, str) else client_keys
        self._folders = dict(zip(keys, map(os.path.realpath, self.db_paths), strict=True))
        self._options = {"readonly": readonly, "lock": lock, "readahead": readahead, **options}
        self._client = {key: lmdb_environment(folder, self._options) for key, folder in self._folders.items()}

    def get(self, filepath: Any, client_key: str = "default") -> SourcedBytes:
        folder = self._folders[client_key]
        # asked for anew each time: a forked worker holds its parent's, a spawned one none
        environment = self._client[client_key] = lmdb_environment(folder, self._options)
        with environment.begin(buffers=True) as transaction:
            value = transaction.get(str(filepath).encode())
            if value is None:
                raise UserError(
                    f"key '{filepath}' is not in the LMDB {folder}, though its meta_info.txt or your "
                    "meta_info_file lists it; correct the list or create the LMDB again"
                )
            return SourcedBytes.of(value, f"key '{filepath}' of the LMDB {folder}")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_client": {}}  # an environment cannot be pickled


LMDB_READING = {"readonly": True, "lock": False, "readahead": False}
# weak: an environment closes with the last backend that reads from it
_environments: WeakValueDictionary[tuple[int, str], Any] = WeakValueDictionary()
# per process: a fork may copy the lock while another thread holds it
_locks: dict[int, threading.Lock] = {}


def lmdb_environment(folder: str, options: dict[str, Any]) -> Any:
    """This process's open environment of an LMDB folder; the first to ask decides its options."""
    process = os.getpid()
    with _locks.setdefault(process, threading.Lock()):
        for (owner, _), environment in list(_environments.items()):
            if owner != process:
                environment.close()  # a fork's copy, which lmdb would take for one opened here
        try:
            environment = _environments[process, folder]
            environment.path()  # raises once somebody closed it
        except (KeyError, lmdb.Error):
            environment = _environments[process, folder] = lmdb.open(folder, **options)
        return environment


def _provide(name: str, **attributes: Any) -> None:
    """Let `from name import attribute` work, and without a warning, where `name` is gone or deprecated."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = importlib.import_module(name)
    except ModuleNotFoundError:
        module = sys.modules[name] = ModuleType(name, "A stand-in for what basicsr imports from here.")
    for attribute, value in attributes.items():
        # SciPy's deprecated module has nothing in it but a __getattr__ that warns
        vars(module).setdefault(attribute, value)


def rebind(original: Any, replacement: Any) -> None:
    """Put the replacement wherever a loaded module of basicsr, or of this package, holds the original."""
    names = [name for name in sys.modules if name.partition(".")[0] in ("basicsr", __package__)]
    for module in map(sys.modules.__getitem__, names):
        for name in [name for name, value in vars(module).items() if value is original]:
            setattr(module, name, replacement)


def _forget_half_imported(package: str) -> None:
    """Drop the submodules that a failed import of their package left behind."""
    if package not in sys.modules:
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            del sys.modules[name]
