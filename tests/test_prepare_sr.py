"""scripts/prepare_sr.py: crops where BasicSR puts them, LR that lies under them, resumable, clear errors."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ir_plugins.data.checks import check_dataset
from ir_plugins.data.preparation import jobs
from ir_plugins.data.resize import imresize
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.locks import alone

from basicsr.data.paired_image_dataset import PairedImageDataset

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "prepare_sr.py"
SMALL = ["--crop_size", "48", "--step", "24"]

spec = importlib.util.spec_from_file_location("prepare_sr", SCRIPT)
prepare_sr = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare_sr)


def image(height, width, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Two folders of HR images in the current directory; 0001 is trimmed to 96x120, 000001 to 84x60."""
    monkeypatch.chdir(tmp_path)
    sizes = {"DIV2K/0001.png": (97, 131), "DIV2K/0002.png": (96, 48), "Flickr2K/000001.png": (85, 67)}
    for name, size in sizes.items():
        Path(name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, image(*size, seed=len(name)))
    return tmp_path


def run(*arguments):
    return prepare_sr.main([str(argument) for argument in arguments])


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in ("lock.mdb", "data.mdb")
    }


def test_training_set(capsys):
    assert run("--input", "DIV2K", "Flickr2K", "--lmdb", *SMALL) == 0
    output = Path("datasets", "DF2K")
    folders = {1: "DF2K_HR_sub"} | {scale: f"DF2K_LR_bicubic_X{scale}_sub" for scale in (2, 3, 4)}
    databases = [f"{name}.lmdb" for name in folders.values()]
    expected = {*folders.values(), *databases, "DF2K_prepare.jsonl"}
    assert {path.name for path in output.iterdir()} == expected

    places = {
        "0001": [(y, x) for y in (0, 24, 48) for x in (0, 24, 48, 72)],
        "0002": [(0, 0), (24, 0), (48, 0)],
        "000001": [(0, 0), (0, 12), (24, 0), (24, 12), (36, 0), (36, 12)],  # the last flush with the edge
    }
    names = [f"{stem}_s{i:03d}.png" for stem, all_of in places.items() for i in range(1, len(all_of) + 1)]
    sources = {"0001": "DIV2K/0001.png", "0002": "DIV2K/0002.png", "000001": "Flickr2K/000001.png"}
    for scale, folder in folders.items():
        assert sorted(path.name for path in (output / folder).iterdir()) == sorted(names)
        for stem, source in sources.items():
            hr = cv2.imread(source)
            hr = hr[: hr.shape[0] // 12 * 12, : hr.shape[1] // 12 * 12]
            pixels = hr if scale == 1 else imresize(hr, 1 / scale)
            for i, (y, x) in enumerate(places[stem], 1):
                found = cv2.imread(str(output / folder / f"{stem}_s{i:03d}.png"), cv2.IMREAD_UNCHANGED)
                crop = pixels[y // scale : (y + 48) // scale, x // scale : (x + 48) // scale]
                np.testing.assert_array_equal(found, crop)

    said = capsys.readouterr().out
    assert "21 crops of 3 images in each of 4 folders" in said and "gt_size" not in said
    for scale in (2, 3, 4):
        gt, lq = output / f"{folders[1]}.lmdb", output / f"{folders[scale]}.lmdb"
        assert f"dataroot_gt: {gt}\n    dataroot_lq: {lq}\n    io_backend: {{type: lmdb}}" in said
        for ending, backend in ((".lmdb", "lmdb"), ("", "disk")):
            opt = {"dataroot_gt": str(gt)[:-5] + ending, "dataroot_lq": str(lq)[:-5] + ending, "scale": scale}
            opt |= {"phase": "train", "gt_size": 48, "use_hflip": False, "use_rot": False}
            opt["io_backend"] = {"type": backend}
            check_dataset("datasets:train", opt)
            pair = PairedImageDataset(opt)[20]
            assert pair["gt"].shape == (3, 48, 48) and pair["lq"].shape == (3, 48 // scale, 48 // scale)


def test_whole_images_for_a_test_set(capsys):
    gray = image(37, 41, 5)[..., 0]
    cv2.imwrite("Flickr2K/gray.png", gray)
    cv2.imwrite("Flickr2K/deep.png", image(37, 41, 6).astype(np.uint16) * 257)
    cv2.imwrite("Flickr2K/photo.jpg", image(37, 41, 7))
    assert run("--input", "Flickr2K", "--name", "Set5", "--whole") == 0
    said = capsys.readouterr().out
    # 85x67 and 37x41, trimmed for each scale by itself
    for scale, large, small in ((2, (84, 66), (36, 40)), (3, (84, 66), (36, 39)), (4, (84, 64), (36, 40))):
        hr, lr = Path(f"datasets/Set5/GTmod{scale}"), Path(f"datasets/Set5/LRbicx{scale}")
        for folder, times in ((hr, 1), (lr, scale)):
            files = sorted(folder.iterdir())
            assert [file.name for file in files] == ["000001.png", "deep.png", "gray.png", "photo.png"]
            sizes = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED).shape for file in files]
            assert sizes == [(h // times, w // times, 3) for h, w in (large, small, small, small)]
        found = cv2.imread(f"{hr}/gray.png", cv2.IMREAD_UNCHANGED)
        expected = np.repeat(gray[: small[0], : small[1], None], 3, 2)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(cv2.imread(f"{lr}/gray.png"), imresize(expected, 1 / scale))
        assert f"dataroot_gt: {hr}\n    dataroot_lq: {lr}\n" in said
    np.testing.assert_array_equal(cv2.imread("datasets/Set5/GTmod3/deep.png"), image(37, 41, 6)[:36, :39])
    assert run("--input", "Flickr2K", "--name", "B", "--whole", "--scales", "2", "--output", "b") == 0
    assert sorted(path.name for path in Path("b").iterdir()) == ["B_prepare.jsonl", "GTmod2", "LRbicx2"]


def test_a_test_set_of_an_older_version_is_not_mixed_with_this(capsys):
    """It trimmed to a multiple of 12 for all scales; its LMDBs would have stayed as they were."""
    Path("old/GTmod12").mkdir(parents=True)
    settings = {"scales": [2, 3, 4], "whole": True}
    Path("old/Set5_prepare.jsonl").write_text(json.dumps({"settings": settings}))
    before = tree("old")
    arguments = ("--input", "Flickr2K", "--name", "Set5", "--whole")
    said = refused(capsys, *arguments, "--output", "old")
    assert "old was prepared by an older version" in said and "move it away and run again" in said
    assert tree("old") == before
    assert run(*arguments, "--output", "new") == run(*arguments, "--output", "new") == 0
    opt = {"dataroot_gt": "old/GTmod2", "dataroot_lq": "old/LRbicx2", "io_backend": {"type": "disk"}}
    with pytest.raises(
        UserError, match=r"old/GTmod2 does not exist, but GTmod12 does.*prepare the set again"
    ):
        check_dataset("datasets:val", {"type": "PairedDataset", "phase": "val", "scale": 2, **opt})


def test_small_images_and_thresh_size(capsys):
    assert run("--input", "Flickr2K", "--output", "o", "--scales", 2, "--crop_size", 64, "--step", 64) == 0
    # 84x66: two rows and two columns, the second ones flush with the edge; one each if 20 pixels may be lost
    shapes = [cv2.imread(str(file)).shape for file in Path("o/DF2K_HR_sub").iterdir()]
    assert shapes == [(64, 64, 3)] * 4
    more = ("--thresh_size", 20, "--output", "p")
    assert run("--input", "Flickr2K", "--scales", 2, "--crop_size", 64, "--step", 64, *more) == 0
    assert len(list(Path("p/DF2K_HR_sub").iterdir())) == 1
    assert "gt_size" not in capsys.readouterr().out
    assert run("--input", "Flickr2K", "--output", "q", "--scales", 2, "--crop_size", 72, "--step", 36) == 0
    assert cv2.imread("q/DF2K_HR_sub/000001_s002.png").shape == (72, 66, 3)
    said = capsys.readouterr().out
    assert "2 of them are smaller than 72: PairedDataset pads them" in said and "may not exceed 66" in said


def test_an_interrupted_run_goes_on(monkeypatch, capsys):
    arguments = ("--input", "DIV2K", "Flickr2K", "--lmdb", *SMALL, "--workers", 1)
    assert run(*arguments, "--output", "undisturbed") == 0
    write, written = jobs._write, []

    def until(number):
        def interrupted(file, pixels):
            if len(written) == number:
                file.with_name(".gone.png.part").write_bytes(b"half")
                raise KeyboardInterrupt
            written.append(file.name)
            write(file, pixels)

        return interrupted

    monkeypatch.setattr(jobs, "_write", until(70))  # 24 make 000001, 48 more 0001
    assert run(*arguments, "--output", "o") == 130
    assert "run the same command again: it continues" in capsys.readouterr().err
    with open("o/DF2K_prepare.jsonl", "a") as file:
        file.write('{"images": {"0002": "torn')
    written.clear()
    monkeypatch.setattr(jobs, "_write", until(-1))
    assert run(*arguments, "--output", "o") == 0
    assert {name.partition("_")[0] for name in written} == {"0001", "0002"}
    ours, theirs = tree("o"), tree("undisturbed")
    del ours["DF2K_prepare.jsonl"], theirs["DF2K_prepare.jsonl"]
    assert ours == theirs

    # killed while packing, and when the LMDB had just appeared
    shutil.rmtree("o/DF2K_HR_sub.lmdb")
    shutil.rmtree("o/DF2K_LR_bicubic_X2_sub.lmdb")
    pack = jobs.write_lmdb

    def pack_once(*args, **options):
        pack(*args, **options)
        raise KeyboardInterrupt

    written.clear()
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "write_lmdb", pack_once)
        assert run(*arguments, "--output", "o") == 130
    assert run(*arguments, "--output", "o") == 0 and not written
    ours = tree("o")
    del ours["DF2K_prepare.jsonl"]
    assert ours == theirs


def test_changed_and_deleted_files_are_made_again(monkeypatch, capsys):
    arguments = ("--input", "DIV2K", "--output", "o", *SMALL)
    assert run(*arguments, "--lmdb") == 0
    Path("o/DF2K_LR_bicubic_X3_sub/0001_s002.png").unlink()
    cv2.imwrite("DIV2K/0002.png", image(96, 48, 99))
    assert run(*arguments) == 0
    assert Path("o/DF2K_LR_bicubic_X3_sub/0001_s002.png").exists()
    np.testing.assert_array_equal(cv2.imread("o/DF2K_HR_sub/0002_s001.png"), image(96, 48, 99)[:48])
    assert "HR_sub.lmdb holds other images than" in refused(capsys, *arguments, "--lmdb")
    for database in Path("o").glob("*.lmdb"):
        shutil.rmtree(database)
    assert run(*arguments, "--lmdb") == 0

    # another image, interrupted halfway, and the old one again
    before, bytes_before = tree("o"), Path("DIV2K/0002.png").read_bytes()
    cv2.imwrite("DIV2K/0002.png", image(96, 48, 7))
    write = jobs._write

    def write_once(file, pixels):
        write(file, pixels)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_write", write_once)
        assert run(*arguments) == 130
    assert tree("o") != before
    Path("DIV2K/0002.png").write_bytes(bytes_before)
    assert run(*arguments) == 0
    assert {**tree("o"), "DF2K_prepare.jsonl": b""} == {**before, "DF2K_prepare.jsonl": b""}

    Path("o/DF2K_HR_sub/0002_s001.png").write_bytes(b"")
    said = refused(capsys, *arguments)
    assert "1 of 60 files are not as planned: o/DF2K_HR_sub/0002_s001.png (empty)" in said


def refused(capsys, *arguments):
    capsys.readouterr()
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("prepare_sr: error: ") and said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--input", "nowhere"], "--input: nowhere does not exist"),
        (["--input", "DIV2K/0001.png"], "--input: DIV2K/0001.png is a file"),
        (["--input", "DIV2K", "DIV2K"], "DIV2K/0001.png and DIV2K/0001.png are both to become 0001"),
        (["--input", "DIV2K", "--crop_size", "100"], "--crop_size: 100 is no multiple of 12"),
        (["--input", "DIV2K", "--step", "100"], "--step: 100 is no multiple of 12"),
        (["--input", "DIV2K", "--scales", "5"], "--scales 5; change one"),
        (["--input", "DIV2K", "--scales", "2", "1"], "--scales: 1 makes nothing smaller"),
        (["--input", "DIV2K", "--crop_size", "0"], "--whole leaves images uncut"),
        (["--input", "DIV2K", "--workers", "0"], "--workers: 0 is too small"),
        (["--input", "DIV2K", "--thresh_size", "-1"], "--thresh_size: -1 is too small"),
        *((["--input", "DIV2K", "--name", n], "--name: is ") for n in ("", "..", "a/b", "\udcff", "x" * 200)),
        (["--input", "DIV2K", "--output", "DIV2K/out"], "output: DIV2K/out lies in the input folder"),
    ],
)
def test_mistakes(capsys, arguments, says, here):
    if "--scales" in arguments:
        arguments = [*arguments, "--crop_size", "48"]
    before = tree(here)
    assert says in refused(capsys, *arguments)
    assert tree(here) == before and not Path("datasets").exists()


@pytest.mark.parametrize(
    "name, pixels, says",
    [
        ("alpha.png", np.zeros((24, 24, 4), np.uint8), "alpha.png (has an alpha channel: flatten it)"),
        ("tiny.png", np.zeros((11, 24, 3), np.uint8), "tiny.png (11x24, less than 12)"),
        ("cut.png", None, "cut.png (truncated or damaged)"),
        ("notes.txt", None, "no images: notes.txt"),
        ("0001.jpg", np.zeros((24, 24, 3), np.uint8), "0001.jpg and 0001.png"),
        ("a.b.png", np.zeros((24, 24, 3), np.uint8), "'a.b.png'"),
    ],
)
def test_inputs_that_will_not_do(capsys, here, name, pixels, says):
    if pixels is None:
        Path("DIV2K", name).write_bytes(Path("DIV2K/0001.png").read_bytes()[:999])
    else:
        cv2.imwrite(f"DIV2K/{name}", pixels)
    before = tree(here)
    assert says in refused(capsys, "--input", "DIV2K", *SMALL)
    assert tree(here) == before and not Path("datasets").exists()


def test_outputs_are_not_mixed(capsys):
    arguments = ("--input", "DIV2K", "--output", "o", *SMALL)
    assert run(*arguments) == 0
    before = tree("o")
    said = refused(capsys, "--input", "DIV2K", "--output", "o", "--crop_size", "96", "--step", "24")
    assert "o/DF2K_prepare.jsonl says" in said and "made with --crop_size 48;" in said
    assert "--scales [2, 3, 4]" in refused(capsys, *arguments, "--scales", "2", "4")
    said = refused(capsys, "--input", "Flickr2K", *arguments[2:])
    assert "o/DF2K_HR_sub: 15 of 15 files are of other inputs: 0001_s001.png" in said
    os.makedirs("o/DF2K_HR_sub.lmdb")
    assert "DF2K_HR_sub.lmdb was not made here" in refused(capsys, *arguments, "--lmdb")
    os.rmdir("o/DF2K_HR_sub.lmdb")
    with alone(Path("o/DF2K_prepare.jsonl"), ""):
        assert "another process is writing to o" in refused(capsys, *arguments)
    assert tree("o") == before

    os.makedirs("p/DF2K_HR_sub")
    shutil.copy("DIV2K/0001.png", "p/DF2K_HR_sub")
    assert "p/DF2K_HR_sub was not made here" in refused(capsys, "--input", "DIV2K", "--output", "p", *SMALL)
    assert json.loads(Path("o/DF2K_prepare.jsonl").read_text().split("\n")[1])["settings"]["step"] == 24


def test_runs_as_a_script_from_anywhere(here):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), "--input", "nowhere"]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("prepare_sr: error: --input: nowhere") and done.stderr.count("\n") == 1


def test_a_shortage_is_one_line(monkeypatch, capsys, here):
    def hungry(*arguments):
        raise MemoryError

    monkeypatch.setattr(prepare_sr, "prepare_sr", hungry)
    assert "memory ran out" in refused(capsys, "--input", "DIV2K")


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, "[]", "\0"])
def test_a_damaged_journal_is_no_journal(capsys, text):
    arguments = ["--input", "DIV2K", "--scales", "2", *SMALL]
    assert run(*arguments) == 0
    journal = Path("datasets/DF2K/DF2K_prepare.jsonl")
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:-1], text, lines[-1]]) + "\n")
    before = tree("datasets/DF2K/DF2K_HR_sub")
    assert run(*arguments) == 0 and tree("datasets/DF2K/DF2K_HR_sub") == before
