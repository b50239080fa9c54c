"""`check_dataset`: quiet where BasicSR reads the pairs, and clear about every fault where it would not."""

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

from ir_plugins.data.checks import check_dataset
from ir_plugins.pictures import files, looks
from ir_plugins.pictures.lmdb import CODECS, write_lmdb
from ir_plugins.runtime.errors import UserError

from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.data.single_image_dataset import SingleImageDataset


def save(folder, names, height, width):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(len(names))
    for name in names:
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def pair(tmp_path):
    """Seven x2 pairs of odd sizes and mixed formats, as a training block."""
    names = ["a.png", "b.jpg", "c.bmp", "d.tif", "e.webp", "f.PNG", "g h.png"]
    save(tmp_path / "gt", names, 46, 38)
    save(tmp_path / "lq", names, 23, 19)
    # Pillow writes a TIFF's header first, OpenCV last
    Image.open(tmp_path / "lq" / "d.tif").save(tmp_path / "lq" / "d.tif", compression=None)
    return block(tmp_path / "gt", tmp_path / "lq")


def block(gt, lq, backend="disk", **more):
    opt = {"type": "PairedImageDataset", "dataroot_gt": str(gt), "dataroot_lq": str(lq), "phase": "train"}
    return opt | {"scale": 2, "gt_size": 38, "io_backend": {"type": backend}} | more


@pytest.fixture(params=CODECS)
def packed(pair, tmp_path, request):
    """The same as LMDBs."""
    for side in ("gt", "lq"):
        write_lmdb(tmp_path / side, tmp_path / f"{side}.lmdb", request.param)
    return block(tmp_path / "gt.lmdb", tmp_path / "lq.lmdb", "lmdb")


def refused(opt, *says):
    with pytest.raises(UserError) as error:
        check_dataset("datasets:train", opt)
    message = str(error.value)
    assert message.startswith("datasets:train") and "\n" not in message
    assert all(text in message for text in says), message
    return message


def open_dataset(opt):
    return PairedImageDataset({**opt, "io_backend": dict(opt["io_backend"]), "use_hflip": 0, "use_rot": 0})


def readable(opt):
    dataset = open_dataset(opt)
    return [dataset[i] for i in range(len(dataset))]


@pytest.mark.parametrize("backend", ["disk", "lmdb"])
def test_good_pairs_pass_as_basicsr_reads_them(backend, pair, packed):
    opt = pair if backend == "disk" else packed
    check_dataset("datasets:train", opt)
    assert len(readable(opt)) == 7
    check_dataset("datasets:val", opt | {"phase": "val"})


def test_a_dataset_in_use_may_be_checked(packed):
    dataset = open_dataset(packed)
    before = dataset[3]["lq_path"]  # opens the LMDBs
    check_dataset("datasets:train", packed)
    assert dataset[3]["lq_path"] == before


def test_filename_tmpl_and_meta_info_file(pair, tmp_path):
    (tmp_path / "lq").rename(tmp_path / "old")
    (tmp_path / "lq").mkdir()
    for path in (tmp_path / "old").iterdir():
        path.rename(tmp_path / "lq" / f"{path.stem}x2{path.suffix}")
    check_dataset("datasets:train", pair | {"filename_tmpl": "{}x2"})
    message = refused(pair, "lq) lacks 7: a.png, b.jpg", "and 2 more", "filename_tmpl (it is '{}')")
    assert "dataroot_gt" in message and "one for ax2.png" in message
    for bad in ("x2", "{", "{name}", None):
        refused(pair | {"filename_tmpl": bad}, "filename_tmpl", repr(bad))

    meta = tmp_path / "meta.txt"
    opt = pair | {"meta_info_file": str(meta), "filename_tmpl": "{}x2"}
    refused(opt, ":meta_info_file", "no such file", "meta.txt")
    meta.write_text("a.png (46,38,3)\nc.bmp (46,38,3)\n")
    check_dataset("datasets:train", opt)
    assert len(readable(opt)) == 2
    (tmp_path / "gt" / "readme.txt").write_text("not listed, so not read")
    check_dataset("datasets:train", opt)
    meta.write_text("a.png (46,38,3)\nz.png (46,38,3)\n")
    refused(opt, "dataroot_lq", "lacks 1: zx2.png", "dataroot_gt", "lacks 1: z.png")
    meta.write_text("a.png (46,38,3)\n\n")
    refused(opt, "blank", "line 2")
    meta.write_text("")
    refused(opt, "meta.txt is empty")
    check_dataset(
        "datasets:train", opt | {"meta_info_file": None, "dataroot_gt": None, "filename_tmpl": "{}"}
    )


@pytest.mark.parametrize("key", ["dataroot_gt", "dataroot_lq"])
def test_folders(pair, packed, tmp_path, key):
    empty = tmp_path / "empty"
    (empty / "sub").mkdir(parents=True)
    (empty / ".hidden.png").write_bytes(b"")
    where = f"datasets:train:{key}: "
    refused(pair | {key: str(tmp_path / "nowhere")}, where, "nowhere does not exist")
    refused(pair | {key: "nowhere"}, where, "nowhere does not exist below /")
    refused(pair | {key: str(tmp_path / "gt" / "a.png")}, where, "a.png is a file")
    refused(pair | {key: str(empty)}, where, "empty holds no files")
    refused(pair | {key: packed[key]}, where, ".lmdb is an LMDB", "io_backend: {type: lmdb}")
    refused(packed | {key: pair[key]}, where, "does not end in .lmdb", "io_backend: {type: disk}")
    refused(packed | {key: packed[key] + "/"}, where, "does not end in .lmdb")


def test_backends(pair):
    check_dataset("datasets:train", {key: value for key, value in pair.items() if key != "io_backend"})
    refused(pair | {"io_backend": {"type": "lmbd"}}, ":io_backend", "'lmbd' is unknown")
    refused(pair | {"io_backend": "disk"}, ":io_backend", "'disk' is unknown; write {type: disk}")


def overwrite(file, change):
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize("key, side", [("dataroot_gt", "gt"), ("dataroot_lq", "lq")])
@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda folder: overwrite(folder / "meta_info.txt", lambda text: b""), "meta_info.txt is empty"),
        (lambda folder: (folder / "meta_info.txt").unlink(), "lacks meta_info.txt"),
        (lambda folder: (folder / "data.mdb").unlink(), "lacks data.mdb"),
        (
            lambda folder: overwrite(folder / "data.mdb", lambda data: data[:-4096]),
            "data.mdb is cut off after",
        ),
        (lambda folder: overwrite(folder / "data.mdb", lambda data: b"x" * len(data)), "cannot be opened"),
        (lambda folder: folder.rename(f"{folder}.part"), "is unfinished, there is only"),
    ],
)
def test_lmdb_folders(packed, tmp_path, key, side, spoil, says):
    spoil(tmp_path / f"{side}.lmdb")
    refused(packed, f"datasets:train:{key}: ", f"{side}.lmdb", says)


def test_lmdb_keys(packed, tmp_path):
    for side in ("gt", "lq"):
        with open(tmp_path / f"{side}.lmdb" / "meta_info.txt", "a") as file:
            file.write("z.png (46,38,3) 1\n")
        if side == "gt":
            refused(packed, "lq.lmdb) lacks 1: z;", "one key")
    refused(packed, "1 of 8", "z (in meta_info.txt, but not stored)")


@pytest.mark.parametrize("codec", CODECS)
def test_broken_values_are_named(pair, tmp_path, codec):
    write_lmdb(tmp_path / "lq", tmp_path / "lq.lmdb", codec)
    with lmdb.open(str(tmp_path / "lq.lmdb")) as env, env.begin(write=True) as txn:
        values = {key.decode(): bytes(txn.get(key)) for key in (b"a", b"c", b"d")}
        txn.put(b"a", values["a"][:-1])
        txn.put(b"c", b"")
        txn.put(b"d", bytes(len(values["d"])))
    opt = {"dataroot_lq": str(tmp_path / "lq.lmdb"), "io_backend": {"type": "lmdb"}}
    refused(opt, "dataroot_lq: 3 of 7", "lq.lmdb", "a (truncated", "c (empty)", "d (not an image")


def test_images_missing_on_either_side(pair, tmp_path):
    (tmp_path / "lq" / "b.jpg").unlink()
    (tmp_path / "lq" / "c.bmp").rename(tmp_path / "lq" / "c.png")
    refused(pair, "lq) lacks 2: b.jpg, c.bmp", "gt) lacks 1: one for c.png")


@pytest.mark.parametrize("side", ["gt", "lq"])
def test_files_that_are_no_images(pair, tmp_path, side):
    (tmp_path / side / "Thumbs.db").write_bytes(b"\0" * 99)
    (tmp_path / side / "readme").write_text("hello")
    refused(pair, f"dataroot_{side}", "no images: Thumbs.db, readme; move them away")
    (tmp_path / side / "Thumbs.db").unlink()
    (tmp_path / side / "readme").unlink()
    (tmp_path / side / "a.png").write_text("hello")
    refused(pair, f"dataroot_{side}", "1 of 7", "a.png (not an image)")


def test_image_files_are_known_by_name(pair, tmp_path):
    (tmp_path / "gt" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "gt" / ".a.png").write_bytes(b"")
    (tmp_path / "gt" / "sub").mkdir()
    save(tmp_path / "gt" / "sub", ["z.JPEG"], 3, 5)
    names = ["a.png", "b.jpg", "c.bmp", "d.tif", "e.webp", "f.PNG", "g h.png"]
    assert [path.name for path in files.image_files(tmp_path / "gt")] == names
    assert [path.name for path in files.image_files(tmp_path / "gt", recursive=True)] == [*names, "z.JPEG"]


def test_an_unusual_extension_is_fine_if_opencv_reads_it(tmp_path):
    for side, size in (("gt", 38), ("lq", 19)):
        save(tmp_path / side, ["a.ppm"], size, size)
    opt = block(tmp_path / "gt", tmp_path / "lq")
    check_dataset("datasets:train", opt)
    assert len(readable(opt)) == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")  # Pillow on the TIFF
@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.bmp", "d.tif", "e.webp"])
@pytest.mark.parametrize("keep", [0, 0.03, 0.5, -9])
def test_truncated_files(pair, tmp_path, name, keep):
    path = tmp_path / "lq" / name
    data = path.read_bytes()
    path.write_bytes(data[: keep if keep < 0 else int(keep * len(data))])
    refused(pair, "dataroot_lq", "1 of 7", f"{name} (", "replace")


def test_whole_images_that_look_odd_pass(pair, tmp_path):
    for name in ("a.png", "b.jpg", "c.bmp"):  # cameras and tools append to files
        with open(tmp_path / "gt" / name, "ab") as file:
            file.write(b"trailer")
    data = bytearray((tmp_path / "lq" / "c.bmp").read_bytes())
    data[2:6] = bytes(4)  # some writers leave the size out
    (tmp_path / "lq" / "c.bmp").write_bytes(data)
    check_dataset("datasets:train", pair)
    assert len(readable(pair)) == 7


def test_only_odd_images_are_decoded(pair, packed, monkeypatch):
    monkeypatch.setattr(looks, "_full_look", lambda data: pytest.fail("decoded"))
    check_dataset("datasets:train", pair)
    check_dataset("datasets:train", packed)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_sizes_are_those_after_exif_rotation(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    name = f"a.{kind.lower()}"
    save(tmp_path / "lq", [name], 31, 19)
    (tmp_path / "gt").mkdir()
    Image.new("RGB", (62, 38), (9, 99, 200)).save(tmp_path / "gt" / name, kind, exif=exif)
    opt = block(tmp_path / "gt", tmp_path / "lq")
    check_dataset("datasets:train", opt)
    assert readable(opt)[0]["gt"].shape == (3, 38, 38)
    with open(tmp_path / "gt" / name, "ab") as file:
        file.write(b"trailer")
    check_dataset("datasets:train", opt)
    opt["dataroot_gt"], opt["dataroot_lq"] = opt["dataroot_lq"], opt["dataroot_gt"]
    refused(opt, "GT 31x19, LQ 62x38")


@pytest.mark.parametrize(
    "size, train, val",
    [((46, 38), True, True), ((47, 39), False, True), ((48, 38), False, False), ((45, 38), False, False)],
)
def test_gt_is_scale_times_lq(pair, tmp_path, size, train, val):
    save(tmp_path / "gt", ["a.png"], *size)
    for phase, fine in (("train", train), ("val", val), ("test", val)):
        opt = pair | {"phase": phase, "gt_size": 2}
        if fine:
            check_dataset("datasets:train", opt)
        else:
            says = f"a.png (GT {size[0]}x{size[1]}, LQ 23x19)"
            refused(opt, "GT is not 2 times LQ in 1 of 7 pairs", says)


def test_lmdb_sizes(pair, packed):
    refused(
        packed | {"scale": 3, "gt_size": 36}, "not 3 times LQ in 7 of 7", "a (GT 46x38, LQ 23x19)", "2 more"
    )


def test_gt_size(pair, packed):
    for opt in (pair, packed):
        refused(
            opt | {"gt_size": 40}, "7 of 7 images are smaller than gt_size 40", "a", "46x38", "lower gt_size"
        )
        check_dataset("datasets:val", opt | {"gt_size": 40, "phase": "val"})
    refused(pair | {"gt_size": 37}, ":gt_size", "37 is no multiple of scale 2")


def test_one_sided_datasets(pair, packed, tmp_path):
    lq = {"type": "SingleImageDataset", "dataroot_lq": pair["dataroot_lq"], "phase": "test", "scale": 2}
    lq["io_backend"] = {"type": "disk"}
    check_dataset("datasets:test_1", lq)
    assert len(SingleImageDataset(lq | {"io_backend": {"type": "disk"}})) == 7
    check_dataset("datasets:train", packed | {"dataroot_lq": "none"})
    check_dataset("datasets:train", packed | {"dataroot_lq": None})
    (tmp_path / "lq" / "b.jpg").write_bytes(b"")
    refused(lq, ":dataroot_lq", "b.jpg (empty)")
    refused({"dataroot": str(tmp_path / "nowhere")}, ":dataroot:", "nowhere")
    # the left and right views of DPDD
    refused(
        {"dataroot_lqL": pair["dataroot_gt"], "dataroot_lqR": pair["dataroot_lq"]}, ":dataroot_lqR", "b.jpg"
    )


def test_of_video_only_the_folders_are_checked(tmp_path):
    (tmp_path / "clips" / "000").mkdir(parents=True)
    opt = block(tmp_path / "clips", tmp_path / "clips", num_frame=5)
    check_dataset("datasets:train", opt)
    refused(opt | {"dataroot_lq": str(tmp_path / "nowhere")}, ":dataroot_lq", "nowhere")
