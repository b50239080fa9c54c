"""Pipes, devices and endless links where a data set names files: nothing waits, and each is named."""

import os
from pathlib import Path

import pytest
from lmdbs import make_folder
from odd_files import odd_file, odd_kinds

from ir_plugins.data.basicsr_pairs import file_names
from ir_plugins.data.checks import check_dataset
from ir_plugins.data.pairing import pair
from ir_plugins.data.preparation.jobs import Journal
from ir_plugins.data.preparation.sources import numbered_columns
from ir_plugins.pictures.files import existing_folder
from ir_plugins.pictures.lmdb import write_lmdb
from ir_plugins.pictures.store import Store
from ir_plugins.runtime.errors import UserError
from ir_plugins.runtime.regular import NotRegular

from basicsr.utils.file_client import FileClient

datasets = pytest.mark.parametrize("dataset", ["PairedDataset", "PairedImageDataset"])


def block(dataset, backend="disk", **more):
    ending = ".lmdb" if backend == "lmdb" else ""
    roots = {f"dataroot_{kind}": f"{kind}{ending}" for kind in ("gt", "lq")}
    options = {"type": dataset, "phase": "val", "scale": 1, "io_backend": {"type": backend}}
    return options | roots | more


def refused(options, *says):
    with pytest.raises(UserError) as error:
        check_dataset("datasets:x", options)
    message = str(error.value)
    assert message.startswith("datasets:x:") and "\n" not in message
    assert all(text in message for text in says), message


@pytest.fixture(autouse=True)
def folders(workplace):
    for kind in ("gt", "lq"):
        make_folder(Path(kind), 3)


@odd_kinds
@datasets
def test_a_picture(dataset, kind):
    with odd_file("gt/0001.png", kind):
        refused(block(dataset), f"dataroot_gt: 1 of 3 images in gt are broken: 0001.png (it is {kind}, not a")


@datasets
def test_a_picture_that_links_to_itself(dataset):
    os.unlink("gt/0001.png")
    os.symlink("0001.png", "gt/0001.png")
    refused(block(dataset), "1 of 3 images in gt are broken: 0001.png (too many levels of symbolic links)")


@odd_kinds
def test_a_picture_that_was_not_checked(kind):
    with odd_file("gt/0001.png", kind):
        with pytest.raises(UserError, match=f"^gt/0001.png cannot be read: it is {kind}, not a file; mend"):
            Store("gt", "disk", "color").read("0001.png")
        with pytest.raises(UserError, match=f"^gt/0001.png cannot be read: it is {kind}, not a file; mend"):
            FileClient("disk").get("gt/0001.png")
    with pytest.raises(UserError, match=r"^gt/0001.png cannot be read: no such file or directory; mend"):
        os.unlink("gt/0001.png")  # gone between the check and the read
        Store("gt", "disk", "color").read("0001.png")


@odd_kinds
@datasets
def test_a_list(dataset, kind):
    with odd_file("list.txt", kind):
        refused(
            block(dataset, meta_info_file="list.txt"),
            f"meta_info_file: list.txt cannot be read: it is {kind}",
        )


def test_a_list_of_terabytes():
    with open("list.txt", "wb") as file:
        file.truncate(1 << 42)
    roots = {"gt": "gt", "lq": "lq"}
    with pytest.raises(UserError, match=r"list.txt cannot be read: it has 4398046.5 MB"):
        pair(roots, backend="disk", listing="list.txt")
    with pytest.raises(UserError, match=r"list.txt cannot be read: it has 4398046.5 MB"):
        options = {"meta_info_file": "list.txt"}
        file_names("x", {f"dataroot_{kind}": root for kind, root in roots.items()}, options)


@odd_kinds
@pytest.mark.parametrize("file", ["data.mdb", "meta_info.txt"])
@datasets
def test_a_file_of_an_lmdb(dataset, file, kind):
    for root in ("gt", "lq"):
        write_lmdb(root, f"{root}.lmdb")
    with odd_file(f"gt.lmdb/{file}", kind):
        refused(
            block(dataset, "lmdb"), f"dataroot_gt: gt.lmdb/{file} cannot be read: it is {kind}, not a file"
        )
        if file == "data.mdb":
            with pytest.raises(UserError, match=f"data.mdb cannot be read: it is {kind}, not a file"):
                Store("gt.lmdb", "lmdb", "color").read("0001")


@odd_kinds
def test_what_a_preparation_reads(kind):
    with odd_file("list.txt", kind):
        with pytest.raises(UserError, match=f"--source: list.txt cannot be read: it is {kind}"):
            numbered_columns(Path("list.txt"))
        with pytest.raises(NotRegular):
            Journal(Path("list.txt"))


@odd_kinds
@pytest.mark.parametrize("file", ["data.mdb", "lock.mdb", "writing"])
def test_a_file_of_an_unfinished_lmdb(file, kind):
    Path("x.lmdb.part").mkdir()
    with odd_file(f"x.lmdb.part/{file}", kind):
        if file == "lock.mdb":  # LMDB's own, and made anew
            assert write_lmdb("gt", "x.lmdb").count == 3
            return
        with pytest.raises(UserError, match=rf"x.lmdb.part/{file}(: it)? is a .*; (delete|remove)"):
            write_lmdb("gt", "x.lmdb")


@pytest.mark.parametrize(
    "folder, says",
    [
        ("nowhere", "nowhere does not exist below "),
        ("gt/0001.png", "gt/0001.png is a file; name the folder"),
        ("gt/0001.png/x", "gt/0001.png/x does not exist below "),
        ("a\0b", "does not exist"),
        ("loop", "loop cannot be read: too many levels of symbolic links"),
        ("n" * 300, "cannot be read: file name too long"),
        ("/dev/null", "/dev/null is a device; name the folder"),
    ],
)
def test_a_folder_that_is_none(folder, says):
    os.symlink("loop", "loop")
    with pytest.raises(UserError) as error:
        existing_folder(folder, "gt")
    assert str(error.value).startswith("gt: ") and says in str(error.value)


@datasets
def test_a_folder_without_the_right_to_read_it(dataset, monkeypatch):
    """It was blamed on its data.mdb, which nobody may look for there."""
    stat, access = os.stat, os.access

    def refusing(path, *arguments, **options):  # root, who runs some tests, may read all folders
        if str(path).startswith("gt/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refusing)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "gt" and access(path, mode))
    refused(block(dataset), "dataroot_gt: gt cannot be read: permission denied; give yourself the right to")


def test_names_with_line_breaks_stay_on_one_line():
    os.rename("gt/0001.png", "gt/a\nb.png")
    os.rename("lq/0001.png", b"lq/a\xff.png")
    refused(block("PairedDataset"), r"'a\nb'", r"\udcff")
