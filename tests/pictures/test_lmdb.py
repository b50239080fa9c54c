"""`write_lmdb`: lossless, and BasicSR's format to the byte."""

import cv2
import numpy as np
from lmdbs import LAYOUT, both_codecs, contents, decode, make_folder, noise
from PIL import Image

from ir_plugins.pictures import lmdb as lmdb_module
from ir_plugins.pictures import raw
from ir_plugins.pictures.lmdb import write_lmdb

from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs


@both_codecs
def test_every_kind_of_image_keeps_its_pixels(tmp_path, codec):
    source = tmp_path / "in"
    (source / "clip3").mkdir(parents=True)
    stored = {
        "gray": noise(17, 31),
        "colour": noise(1, 1, 3),
        "gray16": noise(23, 7, dtype=np.uint16),
        "colour16": noise(11, 13, 3, dtype=np.uint16),
        "alpha": noise(19, 5, 4),
        "alpha-2": noise(5, 3, 4),  # sorts before alpha.png as a file and after alpha as a key
        "clip3/00000007": noise(7, 41, 3),
    }
    for name, pixels in stored.items():
        cv2.imwrite(str(source / f"{name}.png"), pixels)
    for name in ("photo.jpg", "a b.BMP", "scan.tif", "web.webp"):
        Image.fromarray(noise(29, 43, 3)).save(source / name)
        with Image.open(source / name) as image:  # a decoder other than the writer's
            stored[name.partition(".")[0]] = np.asarray(image.convert("RGB"))[..., ::-1]
    (source / ".hidden.png").write_bytes(b"")
    (source / ".cache").mkdir()
    (source / ".cache" / "a.png").write_bytes(b"")
    (source / "clip3" / "up").symlink_to(source)

    written = write_lmdb(source, tmp_path / "x.lmdb", codec)
    found = contents(tmp_path / "x.lmdb")
    assert sorted(found) == sorted(stored) and written.count == len(stored)
    lines = (tmp_path / "x.lmdb" / "meta_info.txt").read_text().splitlines()
    assert [line.partition(".")[0] for line in lines] == sorted(stored)
    for name, pixels in stored.items():
        assert decode(found[name]).dtype == pixels.dtype
        off = np.abs(decode(found[name]).astype(int) - pixels)
        assert off.max() <= (2 if name == "photo" else 0), name  # JPEG decoders may differ in rounding
        assert found[name].startswith(b"\x89PNG" if codec == "png" else raw.MAGIC)
        h, w, c = (*pixels.shape, 1)[:3]
        assert f"{name}.png ({h},{w},{c}) {1 if codec == 'png' else 'raw'}" in lines


def test_is_what_basicsr_writes_to_the_byte(tmp_path):
    source = make_folder(tmp_path / "in", 5)
    cv2.imwrite(str(source / "gray.png"), noise(13, 17))
    names = sorted(path.name for path in source.iterdir())
    keys = [name[:-4] for name in names]
    make_lmdb_from_imgs(str(source), str(tmp_path / "theirs.lmdb"), names, keys, map_size=1 << 24)
    written = write_lmdb(source, tmp_path / "new" / "ours.lmdb")

    ours, theirs = tmp_path / "new" / "ours.lmdb", tmp_path / "theirs.lmdb"
    assert sorted(path.name for path in ours.iterdir()) == LAYOUT
    assert contents(ours) == contents(theirs)
    assert (ours / "meta_info.txt").read_text() == (theirs / "meta_info.txt").read_text()
    assert written == (6, (ours / "data.mdb").stat().st_size, 0)
    assert str(written) == "6 images, 0.1 MB"


@both_codecs
def test_basicsr_trains_on_it(tmp_path, codec):
    gt, lq = make_folder(tmp_path / "gt", 3, (38, 30)), make_folder(tmp_path / "lq", 3, (19, 15))
    for folder in (gt, lq):
        write_lmdb(folder, f"{folder}.lmdb", codec)
    opt = {"dataroot_gt": f"{gt}.lmdb", "dataroot_lq": f"{lq}.lmdb", "phase": "val", "scale": 2}
    dataset = PairedImageDataset(opt | {"io_backend": {"type": "lmdb"}})
    assert len(dataset) == 3
    for i in range(3):
        for side, folder in (("gt", gt), ("lq", lq)):
            with Image.open(folder / f"{i:04d}.png") as image:
                expected = np.asarray(image).transpose(2, 0, 1) / np.float32(255)
            np.testing.assert_allclose(dataset[i][side].numpy(), expected, atol=1e-7)


@both_codecs
def test_the_map_grows_and_the_file_stays_compact(tmp_path, monkeypatch, codec):
    source = make_folder(tmp_path / "in", 40)
    monkeypatch.setattr(lmdb_module, "_FIRST_MAP", 1 << 16)
    monkeypatch.setattr(lmdb_module, "_COMMIT_BYTES", 1 << 14)
    written = write_lmdb(source, tmp_path / "x.lmdb", codec, workers=3)
    values = sum(len(value) for value in contents(tmp_path / "x.lmdb").values())
    data = (tmp_path / "x.lmdb" / "data.mdb").stat()
    # each value takes whole pages of 4 KiB, and the table of records some more
    assert 1 << 16 < values < data.st_size == written.size < values + 40 * 8192 + (1 << 16)
    assert data.st_blocks * 512 <= data.st_size + 4096
