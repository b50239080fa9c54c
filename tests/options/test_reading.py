import os
from pathlib import Path

import pytest
import yaml

from ir_plugins.options.reading import complete, key_lines, read_options
from ir_plugins.runtime.errors import UserError


def write(text, path="o.yml"):
    Path(path).write_text(text)
    return path


@pytest.mark.parametrize("text", ["2e-4", "2E-4", "2.0e-4", "!!float 2e-4", "0.0002", "2.e-04"])
def test_a_learning_rate_is_a_number_however_it_is_written(workplace, text):
    assert read_options(write(f"lr: {text}"))["lr"] == 2e-4
    assert yaml.safe_load("lr: 2e-4")["lr"] == "2e-4"  # what PyYAML makes of it, and what BasicSR chokes on


@pytest.mark.parametrize("text", ["e-4", "v2e4", "1e", "2e-4x", "'2'"])
def test_words_stay_words(workplace, text):
    assert isinstance(read_options(write(f"name: {text}"))["name"], str)


def test_a_missing_file_is_named_with_the_folder_it_was_looked_for_in(workplace):
    with pytest.raises(UserError, match=r"nowhere.yml: no such option file; paths are relative to .*"):
        read_options("nowhere.yml")


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: 1\nb: [1, 2\nc: 3\n", r"o.yml:3: not valid YAML: .*expected ',' or '\]'"),
        ("a: 1\n\tb: 2\n", r"o.yml:2: not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", "o.yml:3: not valid YAML: key 'a' is given twice"),
        (
            "a: !!python/object/apply:os.system ['true']\n",
            "o.yml:1: not valid YAML: the tag !!python/object/apply:os.system does not fit; leave it out",
        ),
        ("a: 1\n3: x\n", "o.yml:2: not valid YAML: a key must be a word"),
        ("? [1, 2]\n: 3\n", "o.yml:1: not valid YAML: a key must be a word"),
        ("a: 1\nb: !!int abc\n", "o.yml:2: not valid YAML: 'abc' is not a whole number"),
        ("a: &x {b: *x}\n", "o.yml:1: not valid YAML: a block cannot contain itself"),
        ("- 1\n- 2\n", "is a mapping of keys to values, this one is not"),
        ("", "is a mapping of keys to values, this one is not"),
    ],
)
def test_yaml_that_does_not_parse_is_located(workplace, text, message):
    with pytest.raises(UserError, match=message):
        read_options(write(text))


def test_a_folder_or_a_picture_is_no_option_file(workplace):
    Path("p.yml").write_bytes(b"\x89PNG\xff\xfe")
    for path in (".", "p.yml"):
        with pytest.raises(UserError, match="cannot be read as an option file"):
            read_options(path)


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e-4", 1e-4),
        ("-1", -1),
        ("2.5", 2.5),
        ("[1, 2e-3]", [1, 2e-3]),
        ("true", True),
        ("~", None),
        ("none", None),
        ("a/b=c.pth", "a/b=c.pth"),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("{type: disk}", {"type": "disk"}),
    ],
)
def test_force_yml_takes_typed_values_and_evaluates_nothing(workplace, text, value):
    options = read_options(write("train: {lr: 1}"), [f"train:lr={text}", f"new:block:key={text}"])
    assert options == {"train": {"lr": value}, "new": {"block": {"key": value}}}


@pytest.mark.parametrize("entry", ["train:lr", "=3", "train:=3", "name:deep=3", "train:lr=[1"])
def test_a_malformed_override_is_repeated(workplace, entry):
    with pytest.raises(UserError, match="--force_yml " + entry.replace("[", r"\[")):
        read_options(write("name: x\ntrain: {lr: 1}"), [entry])


def test_the_line_of_a_key(workplace):
    line_of = key_lines(write("name: x\ntrain:\n  optim_g:\n    lr: 1\n"))
    assert line_of(("train", "optim_g", "lr")) == 4
    assert line_of(("train", "absent")) == 2
    assert line_of(("absent",)) == 0


def test_a_current_directory_whose_name_is_no_text(workplace, monkeypatch):
    """Every line of the log was a traceback."""
    folder = workplace / "a\udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=r"the current directory '.*a.udcff' holds .udcff, which no path"):
        complete({"name": "x", "datasets": {}}, is_train=True)


def test_everything_a_run_writes_lies_below_the_current_directory(workplace):
    options = {"name": "x", "datasets": {}, "val": {}}
    train, test = (complete(options, is_train=is_train)["path"] for is_train in (True, False))
    assert train["models"] == str(workplace / "experiments/x/models")
    assert test["visualization"] == str(workplace / "results/x/visualization")


def test_debug_renames_and_logs_often():
    options = complete({"name": "x", "datasets": {}, "val": {"val_freq": 999}}, is_train=True, debug=True)
    assert (
        options["name"] == "debug_x"
        and options["val"]["val_freq"] == 8
        and options["logger"]["print_freq"] == 1
    )


def test_datasets_learn_their_phase_scale_and_home():
    given = {"name": "x", "scale": 3, "datasets": {"val_2": {"dataroot_gt": "~/a"}}}
    dataset = complete(given, is_train=True)["datasets"]["val_2"]
    assert dataset == {"phase": "val", "name": "val_2", "scale": 3, "dataroot_gt": str(Path.home() / "a")}
    assert given["datasets"] == {"val_2": {"dataroot_gt": "~/a"}}


def test_none_is_nothing_except_where_it_means_something(workplace):
    entries = ["network_g:attention=none", "path:resume_state=none", "datasets:train:dataroot_lq=none"]
    options = read_options(write("name: x"), entries)
    assert options["network_g"]["attention"] == options["datasets"]["train"]["dataroot_lq"] == "none"
    assert options["path"]["resume_state"] is None


def test_an_override_takes_a_dataset_out(workplace):
    path = write("datasets: {test_1: {name: a}, test_2: {name: b}}")
    assert read_options(path, ["datasets:test_2=~"]) == {"datasets": {"test_1": {"name": "a"}}}


def test_val_left_out_on_the_command_line_leaves_out_its_datasets(workplace):
    path = write("datasets: {train: {a: 1}, val: {a: 2}, val_2: {a: 3}, test_1: {a: 4}}\nval: {val_freq: 5}")
    for override in ("val=~", f"val={os.path.expanduser('~')}"):  # bash makes the second of the first
        options = read_options(path, [override])
        assert options["val"] is None and list(options["datasets"]) == ["train", "test_1"]
    assert list(read_options(path, ["val={val_freq: 7}"])["datasets"]) == ["train", "val", "val_2", "test_1"]


def test_an_override_fills_an_empty_block(workplace):
    assert read_options(write("path: ~\nval:"), ["path:x=y", "val:metrics:psnr=1"]) == {
        "path": {"x": "y"},
        "val": {"metrics": {"psnr": 1}},
    }


def test_an_override_changes_one_of_two_blocks_that_share_an_anchor(workplace):
    """Both were one dictionary."""
    path = write("datasets: {val_1: &a {name: x, roots: [1]}, val_2: *a, val_3: {<<: *a}}")
    datasets = read_options(path, ["datasets:val_2:name=y"])["datasets"]
    assert [block["name"] for block in datasets.values()] == ["x", "y", "x"]
    assert len({id(block["roots"]) for block in datasets.values()}) == 3


def test_many_overrides_are_refused(workplace):
    with pytest.raises(UserError, match="--force_yml: 1,001 overrides; at most 1,000 are read"):
        read_options(write("name: x"), ["a=1"] * 1001)


def test_an_option_file_is_a_regular_file(workplace):
    os.mkfifo("pipe.yml")
    with pytest.raises(UserError, match=r"pipe.yml: cannot be read as an option file: it is a named pipe"):
        read_options("pipe.yml")
    with pytest.raises(UserError, match="cannot be read as an option file"):
        read_options("a\0.yml")
