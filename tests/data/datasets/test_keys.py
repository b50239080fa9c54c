"""The keys of every dataset: the check accepts and demands what the dataset reads."""

import pytest
from dataset_cases import CASES, options_of
from picture_sets import (
    block,
)

from ir_plugins.data import (
    BicubicDataset,
)
from ir_plugins.options.dataset_blocks import dataset_problems
from ir_plugins.runtime.errors import UserError


class Watched(dict):
    """A block that remembers what was looked up."""

    def __init__(self, block):
        super().__init__(block)
        self.seen = set()

    def get(self, key, default=None):
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.seen.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("case", [case for case in CASES if case != "mixed"])
def test_the_keys_that_a_dataset_declares_are_those_that_it_reads(folders, case, monkeypatch):
    kind, options = options_of(case, folders)
    seen = set()
    for phase in ("train", "val"):
        opt = Watched(block(kind, phase, **options))
        monkeypatch.setattr(kind, "option_problems", lambda *_: [])  # which asks for all that are declared
        kind(opt)[0]
        seen |= opt.seen
    everyones = {"phase", "scale", "filename_tmpl"}  # the last does nothing to GT alone
    assert seen - everyones == set(kind.option_keys) - everyones
    assert set(kind.needed) <= set(kind.option_keys)
    assert {key for key in kind.option_keys if key.startswith("dataroot")} <= set(kind.needed)


def faults(kind, options, phase="train"):
    options = {key: value for key, value in options.items() if key not in ("phase", "scale")}
    loader = {"batch_size_per_gpu": 2, "num_worker_per_gpu": 0} if phase == "train" else {}
    found = dataset_problems(
        ("datasets", phase), loader | options, is_train=True, scale=kind_scale(kind), known=set()
    )
    first = {}
    for keys, text in found:
        first.setdefault(":".join(keys), text)
    return first


def kind_scale(kind):
    return 3 if kind is BicubicDataset else 1


@pytest.mark.parametrize("case", CASES)
def test_the_check_of_options_accepts_and_demands_what_a_dataset_does(folders, case):
    kind, options = options_of(case, folders)
    options = block(kind, "train", **options)
    assert faults(kind, options) == {} == faults(kind, options, "val")
    missing = {key for key, text in _without_each(kind, options).items() if text.startswith("is missing")}
    level = {"noise": {"sigma"}, "jpeg": {"quality"}}.get(case, set())
    assert missing == set(kind.needed) | {"gt_size", "use_hflip", "use_rot"} | level | {"type"}
    for key in kind.option_keys:
        wrong = f"{key}z"
        assert faults(kind, options | {wrong: 1}) == {
            f"datasets:train:{wrong}": f"unknown key; did you mean '{key}'?"
        }


def _without_each(kind, options):
    """Of each key what is said when it is missing."""
    found = {}
    for key in options:
        if key not in ("phase", "scale"):
            left = {k: v for k, v in options.items() if k != key}
            found[key] = faults(kind, left).get(f"datasets:train:{key}", "")
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("template", ["x4", "{}{}", 7, "{"])
def test_templates_that_cannot_be_followed(folders, case, template):
    kind, options = options_of(case, folders)
    if "filename_tmpl" not in kind.option_keys:
        return
    found = faults(kind, block(kind, "train", **options, filename_tmpl=template))
    assert found and all("filename_tmpl" in key for key in found)


@pytest.mark.parametrize("case", ["noise", "jpeg"])
@pytest.mark.parametrize(
    "level", [[50], [5, 9, 7], [50, 5], ["a", 5], [None, 5], [[5], [7]], "5", True, -1, []]
)
def test_levels_that_cannot_be_drawn(folders, case, level):
    kind, options = options_of(case, folders)
    key = "sigma" if case == "noise" else "quality"
    (named,) = faults(kind, block(kind, **options) | {key: level}, "val")
    assert named == f"datasets:val:{key}"
    with pytest.raises(UserError, match=f"^{key}: is "):
        kind(block(kind, **options) | {key: level})


@pytest.mark.parametrize(
    "case, key, value, says",
    [
        ("jpeg", "color", "grey", "expected one of rgb, gray, y"),
        ("jpeg", "quality", 0, "from 1 to below 101"),
        ("jpeg", "quality", 101, "from 1 to below 101"),
        ("jpeg", "quality", 7.5, "a whole number"),
        ("jpeg", "encoder", "mozjpeg", "expected one of opencv, libjpeg"),
        ("noise", "rounded", "yes", "expected true or false"),
        ("noise", "seed", -1, "of at least 0"),
        ("noise", "sigma", float("nan"), "is nan"),
        ("bayer", "pattern", "RGGB", "expected one of rggb, bggr, grbg, gbrg"),
        ("bayer", "initial", "bilinear", "expected one of malvar, none"),
        ("paired", "bits", 12, "expected one of 8, 16"),
        ("paired", "dataroot_lq", "none", "is none, which only"),
    ],
)
def test_values_that_cannot_be_meant(folders, case, key, value, says):
    kind, options = options_of(case, folders)
    (fault,) = faults(kind, block(kind, **options) | {key: value}, "val").items()
    assert fault[0] == f"datasets:val:{key}" and says in fault[1]


@pytest.mark.parametrize("color", ["rgb", "gray", "y", None])
@pytest.mark.parametrize("case", ["paired", "noise", "jpeg", "bicubic"])
def test_colours(folders, case, color):
    kind, options = options_of(case, folders)
    options = block(kind, **options) | {"color": color}
    assert faults(kind, options, "val") == {}
    item = kind(options)[0]
    assert (
        len(item["lq"]) == len(item["gt"]) == kind.channels(options) == (3 if color in ("rgb", None) else 1)
    )


@pytest.mark.parametrize("case", ["noise", "jpeg", "bayer", "dual"])
def test_scale_1_only(folders, case):
    kind, options = options_of(case, folders)
    if case == "dual":  # any scale, in principle
        assert not kind.needs_scale_1
        return
    with pytest.raises(
        UserError, match=f"^type: is {kind.__name__}, which knows scale 1 only, but scale is 2"
    ):
        kind(block(kind, **options) | {"scale": 2})
