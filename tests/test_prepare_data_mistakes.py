"""Mistakes that `scripts/prepare_data.py` refuses or reports."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from layouts import picture, pictures, write_layout
from preparing import SIZE, refused, run, tree


def test_a_wrong_source_names_what_is_expected(workplace, capsys):
    pictures(Path("downloads"), ["a.png", "b/c.png"], SIZE)
    said = refused(capsys, "GoPro", "--source", "downloads")
    assert "train: train/*/blur/*   train/*/sharp/*" in said and "downloads holds a.png, b/" in said
    assert said.count("\n") <= 16
    # a half of it
    write_layout("GoPro", Path("half"), SIZE)
    shutil.rmtree("half/test")
    said = refused(capsys, "GoPro", "--source", "half")
    assert "test: test/*/blur/*" in said and "train: " not in said and "half holds train/" in said
    Path("half/train/GOPR0002_11_00/sharp/000002.png").unlink()
    assert "1 of 4 + 3 pictures have no counterpart" in refused(capsys, "GoPro", "--source", "half")
    assert not Path("datasets").exists()


def cmyk(file):
    from PIL import Image

    Image.new("CMYK", (41, 37), (9, 99, 33, 5)).save(file, "JPEG")


@pytest.mark.parametrize(
    "name, spoil, says",
    [
        ("2.png", lambda file: file.write_bytes(b""), r"s/input/2.png (empty)"),
        ("2.png", lambda file: file.write_bytes(file.read_bytes()[:300]), "2.png (truncated or damaged)"),
        (
            "2.png",
            lambda file: cv2.imwrite(str(file), np.zeros((37, 41, 4), np.uint8)),
            "has an alpha channel",
        ),
        (
            "2.png",
            lambda file: cv2.imwrite(str(file), picture("x", SIZE, bits=16)),
            "16 bits a channel, not 8",
        ),
        ("2.png", lambda file: cv2.imwrite(str(file), picture("x", (36, 41))), "(36x41 and 37x41)"),
        ("1.jpg", cmyk, "1.jpg (is CMYK: convert it to RGB)"),
        (
            "2.png",
            lambda file: (file.unlink(), file.symlink_to(file.name)),
            "(too many levels of symbolic links)",
        ),
    ],
)
def test_pictures_that_will_not_do(workplace, capsys, name, spoil, says):
    (source,) = write_layout("Rain13K", Path("s"), SIZE)
    spoil(source / "input" / name)
    said = refused(capsys, "Rain13K", "--source", source)
    assert says in said and said.count("\n") == 1 and not Path("datasets").exists()


def test_8_bits_are_refused_for_dual_pixels(workplace, capsys):
    (source,) = write_layout("DPDD", Path("s"), SIZE)
    pictures(source, ["val_l/source/1P0A0001.png"], SIZE)
    assert "8 bits a channel, not 16" in refused(capsys, "DPDD", "--source", source)
    (source,) = write_layout("DPDD", Path("s"), SIZE)
    np.save(source / "outdoor_labels.npy", np.array([3]))
    assert "has 3, which is no place from 1 to 3 or is" in refused(capsys, "DPDD", "--source", source)
    np.save(source / "outdoor_labels.npy", np.array([], int))
    assert "no label for pictures 2 of 3" in refused(capsys, "DPDD", "--source", source)
    (source / "outdoor_labels.npy").write_bytes(b"x")
    assert "outdoor_labels.npy cannot be read" in refused(capsys, "DPDD", "--source", source)
    (source / "outdoor_labels.npy").unlink()
    assert "outdoor_labels.npy is missing" in refused(capsys, "DPDD", "--source", source)


def test_outputs_are_not_mixed(workplace, capsys):
    (source,) = write_layout("Rain13K", Path("s"), SIZE)
    assert run("Rain13K", "--source", source, "--output", "o") == 0
    before = tree("o")
    assert "made with --preset Rain13K" in refused(capsys, "Test100", "--source", source, "--output", "o")
    shutil.copy("s/input/2.png", "o/input/7.png")
    assert "1 of 3 files are of other inputs: 7.png" in refused(
        capsys, "Rain13K", "--source", source, "--output", "o"
    )
    Path("o/input/7.png").unlink()
    assert tree("o") == before
    pictures(Path("p"), ["input/x.png"], SIZE)
    assert "p/input was not made here" in refused(capsys, "Rain13K", "--source", source, "--output", "p")
    with jobs_lock(Path("o/.prepared.jsonl")):
        assert "another process is writing to o" in refused(
            capsys, "Rain13K", "--source", source, "--output", "o"
        )
    said = refused(capsys, "DFWB", "--source", "s/input", "s/target", "--output", "s")
    assert "lies in s, which is to be written" in said


def jobs_lock(file):
    from ir_plugins.runtime.locks import alone

    return alone(file, "")


def test_changed_damaged_and_lost_files(workplace, capsys):
    (source,) = write_layout("Rain13K", Path("s"), SIZE)
    assert run("Rain13K", "--source", source, "--output", "o") == 0
    before = tree("o")
    Path("o/target/1.jpg").unlink()
    pictures(source, ["input/2.png"], (37, 41), gray=True)
    assert run("Rain13K", "--source", source, "--output", "o") == 0
    assert (
        Path("o/input/2.png").read_bytes() == Path("s/input/2.png").read_bytes() != before["input/2.png"][0]
    )
    assert Path("o/target/1.jpg").read_bytes() == before["target/1.jpg"][0]
    Path("o/target/1.jpg").write_bytes(b"")
    assert "1 of 4 files are not as planned: o/target/1.jpg (empty)" in refused(
        capsys, "Rain13K", "--source", source, "--output", "o"
    )


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "name a set, such as GoPro"),
        (["Nowhere", "--source", "s"], "Nowhere is no set known here"),
        (["GoPro", "--source", "nowhere"], "--source: nowhere does not exist"),
        (["GoPro", "--source", "s", "--workers", "0"], "--workers: 0 is too small"),
        (["GoPro", "--source", "s", "--codec", "raw"], "--codec: is for LMDBs; add --lmdb"),
        (["SPAD", "--source", "spad", "--lmdb"], "--lmdb: SPAD is read by its lists"),
    ],
)
def test_mistakes(workplace, capsys, arguments, says):
    Path("s").mkdir()
    write_layout("SPAD", Path("spad"), SIZE)
    said = refused(capsys, *arguments)
    assert says in said and said.count("\n") == 1 and not Path("datasets").exists()


def test_without_source_the_layouts_are_reported(workplace, capsys):
    said = refused(capsys, "Raindrop")
    assert "--source: is missing; name the folder that Raindrop was unpacked into, in one of these" in said
    assert "train: train/data/*_rain   train/gt/*_clean" in said


def test_an_lmdb_of_former_pictures_is_reported(workplace, capsys):
    (source,) = write_layout("Rain13K", Path("s"), SIZE)
    assert run("Rain13K", "--source", source, "--output", "o", "--lmdb") == 0
    assert "holds other" not in capsys.readouterr().out
    pictures(source, ["input/2.png"], (37, 41), gray=True)
    assert run("Rain13K", "--source", source, "--output", "o") == 0
    assert "o/input.lmdb holds other pictures than its folder now" in capsys.readouterr().out


@pytest.mark.parametrize("label", ["nan", "inf", "1.5", "77"])
def test_labels_that_are_no_places(workplace, capsys, label):
    (source,) = write_layout("DPDD", Path("s"), SIZE)
    file = next(Path(source).rglob("outdoor_labels.npy"))
    np.save(file, np.array([float(label)]))
    assert "which is no place from 1 to" in refused(capsys, "DPDD", "--source", source, "--output", "o")
