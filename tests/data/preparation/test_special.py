"""MATLAB's files and lists of pairs, from tiny ones made here."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from layouts import pictures, write_dnd, write_layout

from ir_plugins.data.preparation.pipeline import prepare
from ir_plugins.runtime.errors import UserError

SIZE = (17, 23)


def run(preset, *sources):
    return "\n".join(prepare(preset, sources, Path("out")))


def test_sidd_blocks(workplace):
    sources = write_layout("SIDD", Path("s"), SIZE)
    assert "val: 6 pictures" in run("SIDD", *sources)
    for role, name in (("input", "Noisy"), ("target", "Gt")):
        array = scipy.io.loadmat(f"s/Validation{name}BlocksSrgb.mat")[f"Validation{name}BlocksSrgb"]
        for scene in range(2):
            for block in range(3):
                file = f"out/val/{role}/{scene + 1:04d}_{block + 1:02d}.png"
                rgb = cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2RGB)
                np.testing.assert_array_equal(rgb, array[scene, block])


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "cannot be read"),
        (b"not MATLAB's" * 99, "cannot be read"),
        (np.zeros((2, 3, 4, 4, 3)), "not uint8"),
        (np.zeros((2, 2, *SIZE, 3), np.uint8), "do not go together"),
    ],
)
def test_sidd_blocks_that_will_not_do(workplace, content, says):
    folder = write_layout("SIDD", Path("s"), SIZE)[-1]
    file = folder / "ValidationGtBlocksSrgb.mat"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        scipy.io.savemat(file, {"ValidationGtBlocksSrgb": content})
    with pytest.raises(UserError, match=says) as error:
        run("SIDD", folder)
    assert "\n" not in str(error.value) and not Path("out").exists()


def test_dnd_boxes(workplace):
    h5py = pytest.importorskip("h5py")
    write_dnd(Path("s"), SIZE)
    assert "input: 6 pictures" in run("DND", "s")
    h, w = SIZE
    rows = [slice(0, 11), slice(h - 11, h), slice(4, 15)]
    columns = [slice(0, 13), slice(w - 13, w), slice(2, 15)]
    for image in (1, 2):
        with h5py.File(f"s/images_srgb/{image:04d}.mat") as file:
            rgb = file["InoisySRGB"][()].T
        for box in range(3):
            found = cv2.imread(f"out/input/{image:04d}_{box + 1:02d}.png", cv2.IMREAD_UNCHANGED)
            assert found.dtype == np.uint16
            expected = rgb[rows[box], columns[box]]
            np.testing.assert_allclose(found[..., ::-1] / 65535, expected, atol=0.51 / 65535)


def test_dnd_that_will_not_do(workplace):
    pytest.importorskip("h5py")
    write_dnd(Path("s"), SIZE)
    Path("s/images_srgb/0002.mat").write_bytes(b"HDF")
    with pytest.raises(
        UserError, match=r"1 of 2 pictures cannot be used: s/images_srgb/0002.mat \(cannot be read"
    ):
        run("DND", "s")
    Path("s/images_srgb/0002.mat").unlink()
    with pytest.raises(UserError, match="is about 2 images, but there are 1"):
        run("DND", "s")
    Path("s/info.mat").write_bytes(b"")
    with pytest.raises(UserError, match="has no boxes to read"):
        run("DND", "s")
    assert not Path("out").exists()


def test_without_h5py_dnd_says_so(workplace, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    pictures(Path("s"), ["images_srgb/0001.png"], SIZE)
    for name in ("info.mat", "images_srgb/0001.mat"):
        Path("s", name).write_bytes(b"")
    with pytest.raises(UserError, match="pip install h5py"):
        run("DND", "s")


def test_spad_lists_are_made_regular(workplace):
    (source,) = write_layout("SPAD", Path("s"), SIZE)
    assert "real_world.txt: 2 pictures" in run("SPAD", source)
    lines = "/real_world/1/1.png /real_world_gt/1/1.png\n/real_world/1/2.png /real_world_gt/1/2.png\n"
    assert Path("out/real_world.txt").read_bytes() == lines.encode()
    for path in lines.split():
        assert Path("out" + path).is_file()
    run("SPAD", source)  # again
    # in its place: only the list is written
    assert b"\r\n" in Path("s/real_world.txt").read_bytes()
    prepare("SPAD", [source], source)
    assert Path("s/real_world.txt").read_bytes() == lines.encode()
    assert not Path("s/real_world").is_symlink()


@pytest.mark.parametrize(
    "text, says",
    [
        ("/real_world/1/1.png\n", "not of two columns: line 1"),
        (
            "/real_world/1/1.png /real_world_gt/1/7.png",
            r"1 of 1 pictures cannot be used: real_world_gt/1/7.png",
        ),
        ("/real_world/1/1.png /real_world_gt/small.png", "of different size"),
        ("/../s/real_world/1/1.png /real_world_gt/1/1.png", "which is in no folder beside it"),
    ],
)
def test_spad_lists_that_will_not_do(workplace, text, says):
    (source,) = write_layout("SPAD", Path("s"), SIZE)
    pictures(source, ["real_world_gt/small.png"], (3, 5))
    Path("s/real_world.txt").write_text(text)
    with pytest.raises(UserError, match=says):
        run("SPAD", source)
    assert not Path("out").exists()
