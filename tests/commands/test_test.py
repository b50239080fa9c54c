"""`basicsr test`: what it writes, and what of it can be measured again."""

import csv
import hashlib
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import ranks
import torch
import yaml
from picture_sets import random_pixels, save
from tiny import tiny_options, write_pairs
from torch import nn
from torch.utils.data import Dataset

from ir_plugins.cli import main
from ir_plugins.models.restoration_model import RestorationModel
from ir_plugins.reports.tables import write_tables

from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, METRIC_REGISTRY

pytestmark = pytest.mark.usefixtures("fresh_logger")
ROOT = Path("results/tiny")
WEIGHTS = "path:pretrain_network_g=w.pth"


class Twice(nn.Module):
    """x2, whose pictures lie between those of 8 bits; NaN where `spoil` is brighter than the first pixel."""

    def __init__(self, *, spoil: float = -1.0):
        super().__init__()
        self.gain, self.spoil = nn.Parameter(torch.tensor(0.9137)), spoil

    def forward(self, x):
        y = nn.functional.interpolate(x, scale_factor=2, mode="bilinear") * self.gain + 0.0317
        return y * (torch.nan if x[0, 0, 0, 0] < self.spoil else 1)


@pytest.fixture
def twice(workplace, monkeypatch):
    """A workplace with two sets of pictures, weights w.pth, and the option file tiny.yml."""
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, "Twice", Twice)
    torch.save({"params": Twice().state_dict()}, "w.pth")
    write_pairs(workplace / "data/val", [(17, 19), (13, 23), (29, 16)])
    write_pairs(workplace / "data/more", [(31, 14), (15, 37)])
    return options()


def options(**val):
    """Write tiny.yml, and return what stands in it: two sets with GT, one without."""
    found = tiny_options()
    del found["train"], found["datasets"]["train"]
    block = found["datasets"].pop("val")
    paths = {"dataroot_gt": "data/more/gt", "dataroot_lq": "data/more/lq"}
    blind = {"type": "SingleImageDataset", "dataroot_lq": "data/more/lq", "io_backend": {"type": "disk"}}
    found["datasets"] = {
        "test_1": block,
        "test_2": block | {"name": "more"} | paths,
        "test_3": blind | {"name": "blind"},
    }
    found["network_g"] = {"type": "Twice"}
    found["val"]["metrics"] = {"psnr": {"type": "calculate_psnr", "crop_border": 3}}
    found["val"] |= {"save_img": True} | val
    return write(found)


def write(found):
    Path("tiny.yml").write_text(yaml.safe_dump(found, sort_keys=False))
    return found


def measure(*overrides, status=0):
    assert main(["test", "-opt", "tiny.yml", "--force_yml", WEIGHTS, *overrides]) == status


def rows(root=ROOT):
    with open(root / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures(root=ROOT):
    """All but what the clock says."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "peak_mb")} for row in rows(root)]


def means(root=ROOT):
    """dataset -> the cells after it, of metrics.md."""
    lines = [line for line in (root / "metrics.md").read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {line[0]: dict(zip(cells[0][1:], line[1:], strict=True)) for line in cells[2:]}


def psnr(a, b, border=3):
    """Of two pictures on the scale of 0 to 1."""
    error = (a.astype(np.float64) - b)[border:-border, border:-border]
    return -10 * np.log10(np.square(error).mean())


def on_one(path):
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return picture / float(np.iinfo(picture.dtype).max), picture.dtype


def output_of(path):
    """Of the net, clamped and not rounded: (H, W, 3), BGR."""
    lq = torch.from_numpy(on_one(path)[0]).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        return Twice()(lq).clamp(0, 1)[0].permute(1, 2, 0).double().numpy()


@pytest.mark.parametrize("model", ["RestorationModel", "ImageCleanModel"])
@pytest.mark.parametrize("bits", [None, 8, 16])
def test_the_saved_picture_and_the_number_are_of_one_array(twice, bits, model):
    measure(f"val:bits={bits or '~'}", f"model_type={model}")
    found = rows()
    assert [(row["dataset"], row["image"]) for row in found] == [
        *(("val", str(n)) for n in range(3)),
        *((name, str(n)) for name in ("more", "blind") for n in range(2)),
    ]
    for row in found:
        saved, dtype = on_one(ROOT / f"visualization/{row['dataset']}/{row['image']}_tiny.png")
        assert dtype == (np.uint16 if bits == 16 else np.uint8)
        assert (int(row["height"]), int(row["width"])) == saved.shape[:2]
        if row["dataset"] == "blind":
            assert row["psnr"] == ""
            continue
        gt, _ = on_one(f"data/{row['dataset']}/gt/{row['image']}.png")
        assert float(row["psnr"]) == pytest.approx(psnr(saved, gt), abs=1e-9)
    steps = 65535 if bits == 16 else 255
    saved, _ = on_one(ROOT / "visualization/val/1_tiny.png")
    assert np.abs(saved - output_of("data/val/lq/1.png")).max() < 0.51 / steps
    assert np.abs(saved - output_of("data/val/lq/1.png")).max() > 0.4 / steps


def test_without_rounding_the_number_is_of_the_clamped_output(twice):
    measure("model_type=ImageCleanModel", "val:use_image=false")
    expected = psnr(output_of("data/val/lq/1.png"), on_one("data/val/gt/1.png")[0])
    assert float(rows()[1]["psnr"]) == pytest.approx(expected, abs=1e-6)
    assert "not rounded" in (ROOT / "metrics.md").read_text()


def test_the_table_has_each_set_and_how_it_was_measured(twice, capsys):
    measure()
    found, table = rows(), means()
    for name, count in (("val", 3), ("more", 2), ("blind", 2)):
        own = [row for row in found if row["dataset"] == name]
        assert table[name]["images"] == str(count) == str(len(own))
        values = [float(row["psnr"]) for row in own if row["psnr"]]
        assert table[name]["psnr"] == (f"{np.mean(values):.4f}" if values else "")
        seconds = np.median([float(row["seconds"]) for row in own])
        assert float(table[name]["median s"]) == pytest.approx(seconds, rel=0.01, abs=1e-6)
    text = (ROOT / "metrics.md").read_text()
    for told in (
        f"- weights: w.pth (SHA-256 {hashlib.sha256(Path('w.pth').read_bytes()).hexdigest()[:16]})",
        "- network: Twice, scale 2",
        "more (type: PairedImageDataset, dataroot_gt: data/more/gt, dataroot_lq: data/more/lq)",
        "CPU threads",
        "float32; pictures are measured rounded to 8 bits",
        "- psnr: {type: calculate_psnr, crop_border: 3}",
        f"torch {torch.__version__}",
    ):
        assert told in text
    assert "not measured yet" not in text
    log = next(ROOT.glob("test_tiny_*.log")).read_text()
    shown = text[text.index("| dataset") : text.index("\n\n", text.index("| dataset"))]
    assert log.rstrip().endswith("metrics.md") and shown in log and shown in capsys.readouterr().err


def test_a_second_run_has_its_own_tables(twice):
    measure("val:save_img=false")
    before = figures()
    (ROOT / "metrics.md").write_text("older")
    measure("val:save_img=false")
    assert figures() == before and (ROOT / "metrics.md").read_text().startswith("# tiny\n")
    (archived,) = Path("results").glob("tiny_archived_*")  # as BasicSR does
    assert (archived / "metrics.md").read_text() == "older"


def test_two_ranks_write_the_table_of_one(twice, monkeypatch):
    def recorded(folder, *arguments):
        with open("writers.txt", "a") as file:
            file.write(f"{os.environ['RANK']} {folder}\n")
        write_tables(folder, *arguments)

    monkeypatch.setattr("ir_plugins.commands.test.write_tables", recorded)
    for count in (1, 2, 4):
        ranks.train(WEIGHTS, f"name=on_{count}", command="test", ranks=count)
    one = figures(Path("results/on_1"))
    assert len(one) == 7
    for count in (2, 4):
        root = Path(f"results/on_{count}")
        assert figures(root) == one and all(row["seconds"] for row in rows(root))
        assert f"in each of {count} processes" in (root / "metrics.md").read_text()
    writers = Path("writers.txt").read_text().splitlines()
    assert len(writers) == 3 * 3 and all(line.startswith("0 ") for line in writers)  # after each set, once
    assert "metrics.md" in ranks.written(0) and "metrics.md" not in ranks.written(1)


def test_what_was_measured_before_a_failure_is_there(twice, monkeypatch, capsys):
    def unreadable(self, index):
        raise OSError(5, "Input/output error", "data/more/lq/0.png")

    monkeypatch.setattr(DATASET_REGISTRY.get("SingleImageDataset"), "__getitem__", unreadable)
    twice["datasets"] |= {"test_2": twice["datasets"]["test_3"], "test_3": twice["datasets"]["test_2"]}
    write(twice)
    measure("datasets:test_2:num_worker_per_gpu=0", status=2)
    assert [row["dataset"] for row in rows()] == ["val"] * 3
    text = (ROOT / "metrics.md").read_text()
    assert "- not measured yet: blind, more" in text and list(means()) == ["val", "val: input, bicubic x2"]
    assert "data/more/lq/0.png" in capsys.readouterr().err.splitlines()[-1]


def test_an_output_that_is_not_finite_is_named(twice, capsys):
    first = [cv2.imread(f"data/val/lq/{n}.png")[0, 0, 2] / 255 for n in range(3)]
    worst = int(np.argmin(first))
    measure(f"network_g:spoil={sorted(first)[0] / 2 + sorted(first)[1] / 2}", status=2)
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("basicsr test")]
    assert len(error) == 1
    assert error[0].startswith(
        f"basicsr test: error: val: picture {worst}: the network's output is not finite"
    )
    found = rows()
    assert len(found) == 7 and found[worst]["psnr"] == "nan"
    others = [float(row["psnr"]) for n, row in enumerate(found[:3]) if n != worst]
    assert means()["val"]["psnr"] == f"{np.mean(others):.4f}"
    text = (ROOT / "metrics.md").read_text()
    assert f"psnr is not a number on 1 of 3 pictures, the first of them {worst}; left out" in text


def strict(img, img2, *, side: int):
    """A metric that wants pictures of a certain size, as ours do."""
    if min(img.shape[:2]) < side:
        raise ValueError(f"pictures of {img.shape[1]}x{img.shape[0]} are smaller than {side=}; lower it")
    return float(np.abs(img.astype(float) - img2).mean())


def test_a_picture_that_a_metric_refuses_is_named(twice, monkeypatch, capsys):
    monkeypatch.setitem(METRIC_REGISTRY._obj_map, "strict", strict)
    measure("val:metrics:mae={type: strict, side: 27, better: lower}", status=2)
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("basicsr test")]
    assert error == [
        "basicsr test: error: val: picture 1: val:metrics:mae: pictures of 46x26 are smaller than side=27; "
        "lower it"
    ]
    found = rows()
    assert [bool(row["mae"]) for row in found] == [True, False, True, True, True, False, False]
    assert all(row["psnr"] for row in found[:5])
    assert means()["val"]["mae"] == f"{(float(found[0]['mae']) + float(found[2]['mae'])) / 2:.4f}"


def test_pictures_that_equal_their_gt_do_not_make_the_mean_infinite(twice, capsys):
    write({**twice, "datasets": {k: v for k, v in twice["datasets"].items() if k == "test_1"}})
    measure()
    saved = (ROOT / "visualization/val/2_tiny.png").read_bytes()
    before = rows()
    Path("data/val/gt/2.png").write_bytes(saved)
    measure()
    assert rows()[2]["psnr"] == "inf"
    assert means()["val"]["psnr"] == f"{np.mean([float(row['psnr']) for row in before[:2]]):.4f}"
    note = "val: psnr is infinite on 1 of 3 pictures, the first of them 2; left out of the mean"
    assert f"- {note}\n" in (ROOT / "metrics.md").read_text()
    assert note in capsys.readouterr().err


class Grouped(Dataset):
    """Pictures of one stem in two folders, which tell their names and groups."""

    groups = ("indoor", "outdoor", "outdoor")

    def __init__(self, opt):
        self.opt, self.names = opt, ["indoor/1", "outdoor/1", "outdoor/../../../2"]
        self.root = opt["dataroot_lq"]

    def __len__(self):
        return 3

    def __getitem__(self, index):
        lq = torch.full((3, 12, 11 + index), 0.25 * (index + 1))
        gt = torch.full((3, 24, 22 + 2 * index), 0.5)
        return {"lq": lq, "gt": gt, "lq_path": f"{self.root}/{index}.png", "name": self.names[index]}


@pytest.mark.parametrize("count", [1, 2])
def test_groups_have_lines_and_pictures_folders_of_their_own(twice, monkeypatch, count):
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, "Grouped", Grouped)
    twice["datasets"] = {
        "test": {
            "type": "Grouped",
            "name": "DPDD",
            "dataroot_lq": "data/val/lq",
            "io_backend": {"type": "disk"},
        }
    }
    write(twice)
    ranks.train(WEIGHTS, "name=tiny", command="test", ranks=count)
    found = rows()
    assert [(row["group"], row["image"]) for row in found] == [
        ("indoor", "indoor/1"),
        ("outdoor", "outdoor/1"),
        ("outdoor", "outdoor/2"),
    ]
    pictures = sorted(str(p.relative_to(ROOT / "visualization")) for p in ROOT.rglob("*.png"))
    assert pictures == [f"DPDD/{row['image']}_tiny.png" for row in found]
    table, values = means(), [float(row["psnr"]) for row in found]
    assert [*table][::2] == ["DPDD / indoor", "DPDD / outdoor", "DPDD"]
    assert [*table][1::2] == [f"{name}: input, bicubic x2" for name in [*table][::2]]
    assert [line["images"] for line in table.values()][::2] == ["1", "2", "3"]
    expected = [values[0], np.mean(values[1:]), np.mean(values)]
    assert [line["psnr"] for line in table.values()][::2] == [f"{value:.4f}" for value in expected]


@pytest.mark.parametrize("bits", [8, 16])
def test_all_kinds_of_pictures_are_restored_and_called_as_they_are(twice, bits, capsys):
    folder = Path("data/jumble")
    pictures = {
        "a.bmp": (3, np.uint8),
        "a.png": (4, np.uint8),
        "b.png": (1, np.uint16),
        "s/a.png": (3, np.uint8),
    }
    for seed, (name, (channels, dtype)) in enumerate(pictures.items()):
        save(folder / name, random_pixels(9, 11, channels, dtype, seed))
    (folder / "notes.txt").touch()
    one = {"type": "LQDataset", "name": "all", "dataroot_lq": str(folder), "io_backend": {"type": "disk"}}
    write(
        {
            **twice,
            "datasets": {"test_1": one, "test_2": one | {"name": "one", "dataroot_lq": f"{folder}/b.png"}},
        }
    )
    measure("val:suffix=''", f"val:bits={bits}", f"datasets:test_1:bits={bits}")
    assert "left out, because the names are not a picture's: notes.txt" in capsys.readouterr().err
    results = {
        str(path.relative_to(ROOT / "visualization")): cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in sorted(ROOT.rglob("*.png"))
    }
    assert list(results) == ["all/a.bmp.png", "all/a.png.png", "all/b.png", "all/s/a.png", "one/b.png"]
    for name, picture in results.items():
        assert picture.shape == (18, 22, 4 if name == "all/a.png.png" else 3)
        assert picture.itemsize == bits // 8
    alpha = cv2.imread(f"{folder}/a.png", cv2.IMREAD_UNCHANGED)[..., 3]
    alpha = cv2.resize(alpha, (22, 18), interpolation=cv2.INTER_CUBIC).astype(int)
    np.testing.assert_array_equal(results["all/a.png.png"][..., 3], alpha * (257 if bits == 16 else 1))
    log = next(ROOT.glob("*.log")).read_text()
    assert "not a picture's: notes.txt" in log and "share a name, so their results keep the ending" in log
    assert "1 of 4 have an alpha channel" in log and "1 of 4 are gray and become colour: b.png" in log


def test_models_of_basicsr_tell_means_alone(twice):
    twice["model_type"] = "SRModel"
    write({**twice, "datasets": {"test": twice["datasets"]["test_1"]}})
    measure()
    assert not (ROOT / "metrics.csv").exists()
    assert "RestorationModel also writes metrics.csv" in next(ROOT.glob("*.log")).read_text()


@pytest.mark.parametrize("bits", ["12", "true", "16.0", "'16'"])
def test_other_depths_are_refused(twice, bits, capsys):
    measure(f"val:bits={bits}", status=2)
    assert re.search(r"--force_yml: val:bits: is .*; expected one of 8, 16", capsys.readouterr().err)
    assert not os.path.exists("results")


def test_the_digest_is_of_the_weights_that_were_measured(twice, monkeypatch):
    """The user puts others in their place before the test ends."""
    digest = hashlib.sha256(Path("w.pth").read_bytes()).hexdigest()[:16]

    def replaced(*arguments, **keywords):
        Path("w.pth").unlink()
        return validation(*arguments, **keywords)

    validation = RestorationModel.validation
    monkeypatch.setattr(RestorationModel, "validation", replaced)
    for name in ("test_2", "test_3"):
        del twice["datasets"][name]
    write(twice)
    measure()
    assert f"- weights: w.pth (SHA-256 {digest})" in (ROOT / "metrics.md").read_text()
