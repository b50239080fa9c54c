"""Raw values: what PNG would give, read without a copy, for as long as anybody looks at them."""

import functools
import multiprocessing
import pickle
import struct

import cv2
import lmdb
import numpy as np
import pytest
from children import SERVER
from PIL import Image
from torch.utils.data import DataLoader

from ir_plugins.data.checks import check_dataset
from ir_plugins.pictures import raw
from ir_plugins.pictures.lmdb import write_lmdb
from ir_plugins.pictures.looks import look_at_bytes
from ir_plugins.pictures.mapped import MappedLmdb
from ir_plugins.pictures.raw import Broken
from ir_plugins.pictures.store import Store
from ir_plugins.runtime.errors import UserError

from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils import FileClient, imfrombytes

FLAGS = {"color": cv2.IMREAD_COLOR, "grayscale": cv2.IMREAD_GRAYSCALE, "unchanged": cv2.IMREAD_UNCHANGED}


def noise(*shape, bits=8, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 1 << bits, shape)
    return pixels.astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("shape", [(1, 1, 3), (17, 31), (17, 31, 1), (11, 13, 2), (23, 7, 3), (7, 5, 4)])
def test_pixels_come_back_and_are_not_copied(shape, bits):
    pixels = noise(*shape, bits=bits)
    value = raw.encode(pixels)
    found = raw.view(value)
    assert raw.is_raw(value) and raw.is_raw(memoryview(value))
    assert found.shape == (*shape, 1)[:3] and found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels.reshape(found.shape))
    assert np.shares_memory(found, np.frombuffer(value, np.uint8)) and not found.flags.writeable
    np.testing.assert_array_equal(raw.view(memoryview(value)), found)
    assert raw.encode(np.flip(pixels)) == raw.encode(np.flip(pixels).copy())
    seen = look_at_bytes(memoryview(value))
    assert seen == (*shape[:2], found.shape[2] in (2, 4), bits, found.shape[2])


def test_the_format_is_this():
    """Files outlive versions: magic, version, bits, channels, height, width, digest, little-endian pixels."""
    value = raw.encode(np.array([[0x0102, 0x0304]], np.uint16))
    assert value[:16] == b"\xeeraw\1\x10\1\0\1\0\0\0\2\0\0\0" and value[32:] == b"\2\1\4\3"
    assert raw.HEADER_SIZE == 32
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp"):
        assert not raw.is_raw(cv2.imencode(suffix, noise(5, 7, 3))[1].tobytes())
    assert not raw.is_raw(b"") and not raw.is_raw(memoryview(b"\xeera"))


@pytest.mark.parametrize("pixels", [noise(2, 3).astype(np.float32), noise(5), noise(2, 3, 5), noise(0, 3, 3)])
def test_what_cannot_be_stored_is_refused(pixels):
    with pytest.raises(ValueError, match="1 to 4 channels"):
        raw.encode(pixels)


def spoilt(offset, form, number):
    value = bytearray(raw.encode(noise(5, 7, 3)))
    struct.pack_into(form, value, offset, number)
    return bytes(value)


@pytest.mark.parametrize(
    "value, says",
    [
        (raw.encode(noise(5, 7, 3))[:-1], "truncated"),
        (raw.encode(noise(5, 7, 3))[:20], "truncated"),
        (raw.encode(noise(5, 7, 3)) + b"\0", "too long"),
        (spoilt(8, "<I", 0), "damaged header"),
        (spoilt(8, "<I", 1 << 31), "truncated"),
        (spoilt(5, "<B", 12), "damaged header"),
        (spoilt(6, "<B", 5), "damaged header"),
        (spoilt(4, "<B", 2), "newer version"),
        (b"\x89PNG" + bytes(40), "damaged header"),
    ],
)
def test_broken_values_say_why(value, says):
    with pytest.raises(Broken, match=says):
        raw.view(value)
    if raw.is_raw(value):
        with pytest.raises(Broken, match=says):
            look_at_bytes(memoryview(value))
        with pytest.raises(UserError, match=f"{len(value)} bytes.*{says}"):
            imfrombytes(value)


def test_five_hundred_damaged_values():
    """Each is refused, or read as pixels of the size that its header says, all of them stored."""
    random, whole = np.random.default_rng(0), raw.encode(noise(5, 7, 3))
    refused = 0
    for _ in range(500):
        value = bytearray(whole)
        for place in random.integers(0, 24, random.integers(1, 4)):
            value[place] = random.choice([0, 1, 2, 255, value[place] ^ (1 << random.integers(8))])
        value = value[: random.integers(len(value))] if random.random() < 0.2 else value
        try:
            look = look_at_bytes(memoryview(bytes(value)))
            assert look.height * look.width * look.channels * look.bits // 8 == len(value) - raw.HEADER_SIZE
            assert imfrombytes(bytes(value)).shape == (look.height, look.width, 3)
        except (Broken, UserError):
            refused += 1
    assert 400 < refused < 500


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_is_converted_as_opencv_decodes_png(bits, channels, flag):
    # enough pixels to meet every rounding, and the ends of the range
    pixels = np.concatenate([noise(401, 503, channels, bits=bits), noise(2, 503, channels, bits=bits)])
    pixels[-2], pixels[-1] = 0, (1 << bits) - 1
    png = cv2.imencode(".png", pixels)[1]
    expected = cv2.imdecode(png, FLAGS[flag])
    found = raw.converted(pixels, flag)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    value = raw.encode(pixels)
    for float32 in (False, True):
        expected, found = (imfrombytes(data, flag, float32) for data in (png.tobytes(), value))
        assert (found.dtype, found.flags.writeable) == (expected.dtype, True) and found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("flag", ["color", "grayscale"])
def test_gray_with_alpha_is_gray(tmp_path, flag):
    pixels = noise(19, 23, 2)
    Image.fromarray(pixels, "LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        raw.converted(pixels, flag), cv2.imread(str(tmp_path / "a.png"), FLAGS[flag])
    )
    with pytest.raises(ValueError, match="'gray' is unknown"):
        raw.converted(pixels, "gray")


SIZES = {"a": (61, 67, 3), "b": (61, 67, 3), "clip/c": (71, 73), "tiny": (1, 1, 3), "zwei": (83, 79, 4)}


@pytest.fixture(scope="module")
def pictures():
    kinds = enumerate(SIZES.items())
    return {key: noise(*shape, bits=16 if key == "b" else 8, seed=seed) for seed, (key, shape) in kinds}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    source = tmp_path_factory.mktemp("in")
    (source / "clip").mkdir()
    for key, pixels in pictures.items():
        cv2.imwrite(str(source / f"{key}.png"), pixels)
    for codec in ("raw", "png"):
        write_lmdb(source, source.parent / f"{codec}.lmdb", codec=codec)
    return source.parent


@pytest.fixture
def database(folder):
    return folder / "raw.lmdb"


def assert_equal_to(reader, pictures):
    for key, pixels in pictures.items():
        np.testing.assert_array_equal(np.squeeze(raw.view(reader.get(key))), np.squeeze(pixels))


def test_values_are_views_and_a_missing_one_is_named(database, pictures):
    reader = MappedLmdb(database)
    assert_equal_to(reader, pictures)
    for key in pictures:
        value = reader.get(key)
        assert value.readonly and not raw.view(value).flags.owndata
    with pytest.raises(UserError, match=r"key 'nowhere' is not in the LMDB .*raw\.lmdb"):
        reader.get("nowhere")


def test_png_values_come_as_they_are(folder, pictures):
    reader = MappedLmdb(folder / "png.lmdb")
    value = reader.get("a")
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(value, np.uint8), -1), pictures["a"])


def test_a_fork_reads_on(folder, database, pictures):
    reader, backend = MappedLmdb(database), FileClient("lmdb", db_paths=str(database))
    assert_equal_to(reader, pictures)

    def read_in_child():
        # closes what LMDB had open in the parent, and puts another file in that place
        FileClient("lmdb", db_paths=str(folder / "png.lmdb")).get("a")
        np.testing.assert_array_equal(imfrombytes(backend.get("zwei"), "unchanged"), pictures["zwei"])
        assert_equal_to(reader, pictures)

    child = multiprocessing.get_context("fork").Process(target=read_in_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert_equal_to(reader, pictures)


def pixels_of(key, readers):
    return [np.array(raw.view(reader.get(key))) for reader in readers]


@pytest.mark.parametrize("start", ["fork", SERVER], ids=["fork", "fresh"])
def test_workers_read_what_the_parent_has_open(database, pictures, start):
    readers = [MappedLmdb(database), MappedLmdb(str(database))]
    assert_equal_to(readers[0], pictures)
    read = functools.partial(pixels_of, readers=readers)  # as collate_fn: called in the worker
    loader = DataLoader(
        list(pictures), batch_size=None, collate_fn=read, num_workers=1, multiprocessing_context=start
    )
    for key, found in zip(pictures, loader, strict=True):
        for pixels in found:
            np.testing.assert_array_equal(np.squeeze(pixels), np.squeeze(pictures[key]))


def test_a_pickled_reader_reads(database, pictures):
    reader = MappedLmdb(database)
    assert_equal_to(reader, pictures)
    again = pickle.loads(pickle.dumps(reader))
    assert_equal_to(again, pictures)


def test_basicsr_reads_raw_as_it_reads_png(folder):
    items = {}
    for codec in ("png", "raw"):
        root = str(folder / f"{codec}.lmdb")
        opt = {"dataroot_gt": root, "dataroot_lq": root, "phase": "val", "scale": 1}
        items[codec] = list(PairedImageDataset(opt | {"io_backend": {"type": "lmdb"}}))
    for theirs, ours in zip(items["png"], items["raw"], strict=True):
        assert theirs["gt_path"] == ours["gt_path"] and (theirs["gt"] == ours["gt"]).all()


def test_one_flipped_bit_is_seen_where_all_of_a_picture_is_read(folder, pictures):
    value = bytearray(raw.encode(pictures["a"]))
    assert raw.has_valid_checksum(value)
    value[-1] ^= 1
    assert not raw.has_valid_checksum(value)
    with lmdb.open(str(folder / "raw.lmdb"), map_size=1 << 26) as env, env.begin(write=True) as transaction:
        transaction.put(b"a", bytes(value))
    store = Store(str(folder / "raw.lmdb"), "lmdb", "color")
    store.read("a")  # as training does
    with pytest.raises(UserError, match=r"key 'a' of the LMDB .*raw.lmdb is damaged; make the LMDB again"):
        store.read("a", verified=True)


def test_a_damaged_page_is_reported(folder):
    data = folder / "raw.lmdb/data.mdb"
    content = bytearray(data.read_bytes())
    options = {"type": "GaussianNoiseDataset", "dataroot_gt": str(folder / "raw.lmdb"), "sigma": 5}
    options |= {"io_backend": {"type": "lmdb"}, "phase": "val"}
    told = 0
    for page in range(2, len(content) // 4096):  # the first two are LMDB's own
        data.write_bytes(content[: 4096 * page] + b"\xff" * 4096 + content[4096 * (page + 1) :])
        try:
            check_dataset("datasets:x", options)
        except UserError as error:
            told += "the LMDB is damaged" in str(error)
    assert told
