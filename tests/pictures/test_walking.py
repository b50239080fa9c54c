"""`files_below`: the files of any real data set, and an end wherever else it is sent."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ir_plugins.pictures import walking
from ir_plugins.pictures.files import files_in, has_image_name, image_files
from ir_plugins.pictures.walking import files_below
from ir_plugins.runtime.errors import UserError


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def refused(folder, *says):
    with pytest.raises(UserError) as error:
        files_below(folder, has_image_name, "dataroot_gt")
    message = str(error.value)
    assert message.startswith(f"dataroot_gt: {folder} ") and "\n" not in message
    assert all(text in message for text in says), message


def test_files_come_in_the_order_of_paths_and_hidden_ones_do_not(tmp_path):
    make(tmp_path, "b/1.png", "b.png", "b-c/2.png", "a/z/3.txt", ".hidden/4.png", "a/.5.png", "é\n.png")
    expected = sorted(tmp_path / name for name in ("a/z/3.txt", "b/1.png", "b-c/2.png", "b.png", "é\n.png"))
    assert files_in(tmp_path, recursive=True) == expected
    assert image_files(tmp_path) == [path for path in expected if path.parent == tmp_path]


def test_links_are_followed_and_one_that_leads_up_is_not(tmp_path):
    make(tmp_path, "real/1.png", "set/a/2.png", "set/b/x.txt")
    os.symlink(tmp_path / "real", tmp_path / "set/b/first")
    os.symlink(tmp_path / "real", tmp_path / "set/second")
    os.symlink("..", tmp_path / "set/a/up")
    os.symlink("nowhere", tmp_path / "set/dangling.png")
    found = [
        path.relative_to(tmp_path / "set").as_posix() for path in files_in(tmp_path / "set", recursive=True)
    ]
    assert found == ["a/2.png", "b/first/1.png", "b/x.txt", "dangling.png", "second/1.png"]


def test_a_folder_of_other_things_is_left_early(tmp_path, monkeypatch):
    monkeypatch.setattr(walking, "_MOST_OTHERS", 30)
    make(tmp_path, "set/1.png", *(f"set/notes/{number}.txt" for number in range(40)))
    assert len(files_in(tmp_path / "set", recursive=True)) == 41  # notes on a picture are no fault
    make(tmp_path, *(f"home/{number}/mail" for number in range(40)))
    refused(
        tmp_path / "home", "hardly any pictures: the search ended in ", "0 of them pictures; name the folder"
    )


def test_bounds(tmp_path, monkeypatch):
    make(tmp_path, *(f"many/{number}.png" for number in range(20)))
    make(tmp_path, "deep/1/2/3/4/5.png")
    monkeypatch.setattr(walking, "MOST_DEPTH", 4)
    assert len(files_in(tmp_path / "deep", recursive=True)) == 1
    monkeypatch.setattr(walking, "MOST_DEPTH", 3)
    refused(tmp_path / "deep", "more than 3 folders below each other", "ended in")
    monkeypatch.setattr(walking, "MOST_FILES", 19)
    refused(
        tmp_path / "many", "more than 19 files and folders", "after 21 files and folders, 20 of them pictures"
    )


def test_three_hundred_folders_below_each_other(tmp_path):
    make(tmp_path, "d/" * 300 + "1.png")
    refused(tmp_path, "more than 100 folders below each other", "/d/...")


def test_links_that_lead_around_end(tmp_path, monkeypatch):
    monkeypatch.setattr(walking, "MOST_AGAIN", 500)
    for number in range(12):
        make(tmp_path, f"set/{number}/p.png")
        for other in range(12):
            os.symlink(f"../{other}", tmp_path / f"set/{number}/to{other}")
    refused(tmp_path / "set", "links that lead to the same folders more than 500 times")


def test_folders_of_the_system_are_not_entered(tmp_path, monkeypatch):
    make(tmp_path, "proc/1.png", "set/2.png")
    os.symlink("../proc", tmp_path / "set/link")
    monkeypatch.setattr(walking, "_OF_THE_SYSTEM", (os.path.realpath(tmp_path / "proc"),))
    assert files_in(tmp_path, recursive=True) == [tmp_path / "set/2.png"]
    assert files_in(tmp_path / "proc", recursive=True) == [tmp_path / "proc/1.png"]  # it was asked for


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    make(tmp_path, "1.png", "closed/2.png", "lost+found/3.png")
    scandir, closed = os.scandir, {"closed", "lost+found"}

    def refusing(path):
        if Path(path).name in closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(walking.os, "scandir", refusing)  # root, who runs some tests, may read all folders
    with pytest.raises(UserError, match=r"^gt: .*/closed cannot be read: permission denied; mend or move"):
        files_below(tmp_path, has_image_name, "gt")
    closed.remove("closed")
    assert len(files_below(tmp_path, has_image_name)) == 2


def test_a_file_system_that_numbers_no_folder(tmp_path, monkeypatch):
    make(tmp_path, "a/1.png", "a/b/2.png")
    os.symlink("..", tmp_path / "a/up")
    real = os.stat
    numberless = SimpleNamespace(st_dev=1, st_ino=0)
    monkeypatch.setattr(walking.os, "stat", lambda path: numberless)
    found = files_below(tmp_path, has_image_name)
    monkeypatch.setattr(walking.os, "stat", real)
    assert found == [tmp_path / "a/1.png", tmp_path / "a/b/2.png"]
