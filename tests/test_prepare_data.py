"""scripts/prepare_data.py: every preset from a tiny source to its folders, again, killed, and wrong."""

import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from children import exit_code
from layouts import pictures, write_layout
from preparing import SIZE, refused, run, tree

from ir_plugins.data.preparation import jobs
from ir_plugins.data.preparation.presets import PRESETS

ROOT = Path(__file__).parents[1]


SCRIPT = ROOT / "scripts/prepare_data.py"


GT = {"one.png", "two.png", "three.png"}


GRAY = {"01.png", "02.png"}


PAIR = {"1.jpg", "2.png"}


VIEWS = ("inputL", "inputR", "inputC", "target")


# folder below datasets/PRESET: the files in it
EXPECTED = {
    "DF2K": {
        "DF2K_HR_sub": {"0001_s001.png", "000001_s001.png"},
        "DF2K_LR_bicubic_X4_sub": {"0001_s001.png", "000001_s001.png"},
    },
    **{
        name: {"GT": GT} | {f"{folder}{scale}": GT for folder in ("GTmod", "LRbicx") for scale in (2, 3, 4)}
        for name in ("Set5", "Set14", "BSD100", "Urban100", "Manga109")
    },
    **{name: {"GT": GT} for name in ("CBSD68", "Kodak24", "McMaster", "LIVE1")},
    **{name: {"GT": GRAY} for name in ("Set12", "BSD68", "Classic5")},
    "BSDS500": {"GT": {"2018.jpg", "3063.jpg"}},
    "DFWB": {".": {"DIV2K-0001-1.png", "Flickr2K-000001-1.png", "BSD400-1-1.png", "WED-00001-1.png"}},
    "SIDD": {
        "train/{}_crops": {"0001_NOISY_SRGB_010-1.png", "0002_NOISY_SRGB_010-1.png"},
        "val/{}": {f"000{scene}_0{block}.png" for scene in (1, 2) for block in (1, 2, 3)},
    },
    "DND": {"input": {f"000{image}_0{box}.png" for image in (1, 2) for box in (1, 2, 3)}},
    **{name: {"{}": PAIR} for name in ("Rain13K", "Test100", "Test1200", "Test2800")},
    **{name: {"{}": {"001.png", "2.png"}} for name in ("Rain100H", "Rain100L")},
    "SPAD": {".": {"real_world.txt", "real_test_1000.txt"}},
    "GoPro": {
        "train/{}_crops": {f"GOPR000{s}_11_00-00000{n}-1.png" for s in (1, 2) for n in (1, 2)},
        "val/{}_crops": {f"GOPR000{s}_11_00-00000{n}.png" for s in (1, 2) for n in (1, 2)},
        "test/{}": {f"GOPR000{s}_11_00-00000{n}.png" for s in (1, 2) for n in (1, 2)},
    },
    "HIDE": {"{}": {"1fromGOPR.png", "2fromGOPR.png"}},
    **{f"RealBlur_{letter}": {"{}": {"scene002-1.png", "scene002-2.png"}} for letter in "JR"},
    "DPDD": {
        **{f"train/{role}_crops": {"1P0A0001-1.png", "1P0A0003-1.png"} for role in VIEWS},
        **{f"val/{role}_crops": {"1P0A0001.png", "1P0A0003.png"} for role in VIEWS},
        **{f"test/{role}/indoor": {"1P0A0001.png", "1P0A0005.png"} for role in VIEWS},
        **{f"test/{role}/outdoor": {"1P0A0003.png"} for role in VIEWS},
    },
    "Raindrop": {
        "train/{}": {"0.png", "1.png"},
        "test_a/{}": {"0.png", "1.png"},
        "test_b/{}": {"0.jpg", "1.jpg"},
    },
    "Dense-Haze": {
        "train/{}": {"01.png", "45.png"},
        "valid/{}": {"46.png", "50.png"},
        "test/{}": {"51.png", "55.png"},
    },
    "AllWeather": {
        "train/{}": {"0_rain.png", "im_1.jpg"},
        "Test1/{}": {"im_0001_s80_a04.png", "im_0001_s80_a05.png"},
        "Snow100K-L/{}": {"city_1.jpg"},
        "RainDrop/{}": {"0_rain.png"},
    },
}  # fmt: skip


def contents(folder):
    return {name: content for name, (content, _) in tree(folder).items()}


def source_of(preset, size=SIZE):
    if preset == "DND":
        pytest.importorskip("h5py")
    return write_layout(preset, Path("source"), size)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(workplace, capsys, preset):
    source = source_of(preset)
    before = contents("source")
    assert run(preset, "--source", *source) == 0
    said = capsys.readouterr().out
    output = Path("datasets", preset)
    folders = {
        name.format(role): files
        for name, files in EXPECTED[preset].items()
        for role in (("input", "target") if "{}" in name else ("",))
    }
    for folder, files in folders.items():
        found = {path.name for path in (output / folder).iterdir() if path.is_file()}
        assert {name for name in found if not name.startswith(".")} == files, folder
    made = {
        path for path in tree(output) if not path.startswith("real_")
    }  # SPAD's own pictures are linked to
    told = {
        (f"{folder}/" if folder != "." else "") + file for folder, files in folders.items() for file in files
    }
    assert {path for path in made if preset != "DF2K" or "X4" in path or "HR" in path} <= told
    for part in PRESETS[preset].parts:
        assert f"the published set has {part.published}" in said
    assert contents("source") == before

    first = tree(output)
    assert run(preset, "--source", *source) == 0
    assert tree(output) == first  # nothing was written again


@pytest.mark.parametrize(
    "preset",
    [
        "GoPro",
        "SIDD",
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("DPDD", "DFWB", "Urban100", "SPAD")),
    ],
)
def test_killed_in_the_middle(workplace, preset):
    source = [str(folder) for folder in write_layout(preset, Path("source"), SIZE)]
    assert run(preset, "--source", *source, "--output", "whole") == 0
    code = f"""
import os, signal, sys
os.chdir({str(workplace)!r})
sys.path.insert(0, {str(SCRIPT.parent)!r})
import prepare_data
done, replace = [], os.replace
def dying(part, file):
    done.append(file)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(part, file)
os.replace = dying
prepare_data.main({[preset, "--source", *source, "--output", "out", "--workers", "1"]!r})
"""
    assert exit_code(code) == -signal.SIGKILL
    left = [path for path in Path("out").rglob("*.part") if path.is_file()]
    assert len(left) == 1 and left[0].name.startswith(".")  # no dataset reads it
    assert run(preset, "--source", *source, "--output", "out") == 0
    assert contents("out") == contents("whole")


def test_crops_lie_where_they_are_published(workplace):
    source = write_layout("GoPro", Path("source"), (520, 770))
    for split in ("train", "test"):
        shutil.rmtree(f"source/{split}/GOPR0002_11_00")
    assert run("GoPro", "--source", *source) == 0
    name = "GOPR0001_11_00-000001"
    for role, folder in (("input", "blur"), ("target", "sharp")):
        whole = cv2.imread(f"source/train/GOPR0001_11_00/{folder}/000001.png")
        crops = [(y, x) for y in (0, 8) for x in (0, 256, 258)]
        for number, (y, x) in enumerate(crops, 1):
            found = cv2.imread(f"datasets/GoPro/train/{role}_crops/{name}-{number}.png")
            np.testing.assert_array_equal(found, whole[y : y + 512, x : x + 512])
        whole = Path(f"source/test/GOPR0001_11_00/{folder}/000001.png")
        assert Path(f"datasets/GoPro/test/{role}/{name}.png").read_bytes() == whole.read_bytes()
        centre = cv2.imread(str(whole))[132:388, 257:513]
        found = cv2.imread(f"datasets/GoPro/val/{role}_crops/{name}.png")
        np.testing.assert_array_equal(found, centre)


def test_dual_pixel_crops_keep_16_bits_and_correspond(workplace):
    folder = Path("source")
    for view in "lrc":
        pictures(folder, [f"train_{view}/source/1.png"], (512, 1124), bits=16)
    pictures(folder, ["train_c/target/2.png"], (512, 1124), bits=16)
    assert run("DPDD", "--source", folder) == 0
    roles = {"inputL": "train_l/source/1", "inputR": "train_r/source/1"}
    roles |= {"inputC": "train_c/source/1", "target": "train_c/target/2"}
    offsets = set()
    for role, file in roles.items():
        whole = cv2.imread(f"source/{file}.png", cv2.IMREAD_UNCHANGED)
        crops = [
            cv2.imread(f"datasets/DPDD/train/{role}_crops/1-{n}.png", cv2.IMREAD_UNCHANGED) for n in (1, 2, 3)
        ]
        places = [
            x for x in (0, 204, 408, 612) for crop in crops if np.array_equal(whole[:, x : x + 512], crop)
        ]
        assert len(places) == 3 and crops[0].dtype == np.uint16
        offsets.add(tuple(places))
    assert len(offsets) == 1  # one of four is dropped, the same in every view
    assert len(list(Path("datasets/DPDD/train/target_crops").iterdir())) == 3


def test_packed(workplace, capsys):
    source = write_layout("Raindrop", Path("source"), SIZE)
    assert run("Raindrop", "--source", *source, "--lmdb") == 0
    assert "packed into datasets/Raindrop/train/input.lmdb" in capsys.readouterr().out
    text = Path("datasets/Raindrop/train/target.lmdb/meta_info.txt").read_text()
    assert text == "0.png (37,41,3) 1\n1.png (37,41,3) 1\n"
    assert run("Raindrop", "--source", *source, "--lmdb") == 0
    dfwb = write_layout("DFWB", Path("dfwb"), SIZE)
    assert run("DFWB", "--source", *dfwb, "--lmdb") == 0
    assert len(Path("datasets/DFWB.lmdb/meta_info.txt").read_text().splitlines()) == 4


def test_the_codec_is_passed_on(workplace, monkeypatch):
    codecs = []

    def remember(folder, database, codec, workers):
        codecs.append(codec)

    monkeypatch.setattr(jobs, "write_lmdb", remember)
    source = write_layout("Set5", Path("source"), SIZE)
    assert run("Set5", "--source", *source, "--lmdb", "--codec", "raw") == 0
    assert codecs == ["raw"] * 7  # GT, and HR and LR of each scale


def test_a_set_in_its_place_is_left_alone(workplace, capsys):
    folder = Path("datasets/Rain13K")
    write_layout("Rain13K", folder, SIZE)
    before = tree(folder)
    assert run("Rain13K", "--source", folder) == 0
    assert tree(folder) == before and "input: 2 pictures" in capsys.readouterr().out
    assert not (folder / ".prepared.jsonl").exists()
    assert run("Rain13K", "--source", folder, "--lmdb") == 0
    assert tree(folder).items() >= before.items() and (folder / "input.lmdb").is_dir()
    # unpacked where it is to be prepared
    write_layout("GoPro", Path("datasets/GoPro"), SIZE)
    for _ in range(2):
        assert run("GoPro", "--source", "datasets/GoPro") == 0
    assert len(list(Path("datasets/GoPro/train/input_crops").iterdir())) == 4


def test_a_pair_of_two_formats_becomes_png(workplace):
    pictures(Path("s"), ["train/data/0_rain.jpg", "train/gt/0_clean.png"], SIZE)
    pictures(Path("s"), ["test_a/data/0_rain.PNG", "test_a/gt/0_clean.png"], SIZE)
    assert run("Raindrop", "--source", "s") == 0
    found = cv2.imread("datasets/Raindrop/train/input/0.png")
    np.testing.assert_array_equal(found, cv2.imread("s/train/data/0_rain.jpg"))
    assert (
        Path("datasets/Raindrop/train/target/0.png").read_bytes()
        == Path("s/train/gt/0_clean.png").read_bytes()
    )
    assert Path("datasets/Raindrop/test_a/input/0.png").exists()


def test_parts_that_come_later(workplace, capsys):
    sidd, mats = write_layout("SIDD", Path("source"), SIZE)
    assert run("SIDD", "--source", sidd) == 0
    assert "note: val: not in --source and left out (expected: ValidationNoisy" in capsys.readouterr().out
    before = tree("datasets/SIDD")
    assert run("SIDD", "--source", sidd, mats) == 0
    assert tree("datasets/SIDD").items() > before.items()


def test_unicode_spaces_and_case(workplace, capsys):
    names = ["Straße 雨.PNG", "b c.JPG"]
    pictures(Path("s"), [f"{role}/{name}" for role in ("input", "target") for name in names], SIZE)
    assert run("Rain13K", "--source", "s") == 0
    assert {path.name for path in Path("datasets/Rain13K/target").iterdir()} == {"Straße 雨.png", "b c.jpg"}
    said = refused(capsys, "Rain13K", "--source", "s", "--lmdb", "--output", "o")
    assert "beyond ASCII, which no LMDB of BasicSR can have: 'Stra\\xdfe" in said and not Path("o").exists()


def test_the_list_shows_every_set(workplace, capsys):
    assert run("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)


def test_every_set_is_documented():
    text = (ROOT / "docs/DATASETS.md").read_text()
    for name in PRESETS:
        assert f"prepare_data.py {name} " in text, name
