"""Layouts: which pictures pair, what they are called, which sources will not do."""

from pathlib import Path

import pytest
from layouts import pictures

from ir_plugins.data.preparation.sources import Layout, Source, first_match, natural, numbered_columns
from ir_plugins.runtime.errors import UserError

SIZE = (5, 7)
PAIRS = Layout({"input": "input/*", "target": "target/*"})


def found(folder, layout):
    groups = first_match([Source(Path(folder))], [layout])
    return groups and [(g.name, *(path.relative_to(folder).as_posix() for path in g.files)) for g in groups]


def test_pairs_in_natural_order_whatever_the_case(workplace):
    pictures(Path("s"), ["Input/10.PNG", "Input/9.jpg", "TARGET/9.png", "TARGET/10.png"], SIZE)
    Path("s/Input/readme.txt").write_text("no picture")
    assert found("s", PAIRS) == [
        ("9", "Input/9.jpg", "TARGET/9.png"),
        ("10", "Input/10.PNG", "TARGET/10.png"),
    ]
    assert found("s", Layout({"input": "blur/*", "target": "target/*"})) is None


def test_unicode_and_spaces_in_names(workplace):
    name = "Straße im Regen 雨 1"
    pictures(Path("mein ordner"), [f"input/{name}.png", f"target/{name}.png"], SIZE)
    assert found("mein ordner", PAIRS) == [(name, f"input/{name}.png", f"target/{name}.png")]


def test_wildcards_name_what_pairs(workplace):
    pictures(
        Path("s"), ["a/x/blur/blur_1.png", "a/y/blur/blur_1.png", "b/x/gt/gt_1.png", "b/y/gt/gt_1.png"], SIZE
    )
    layout = Layout({"input": "<any>/*/blur/blur_*", "target": "<any>/*/gt/gt_*"})
    assert [name for name, *_ in found("s", layout)] == ["x-1", "y-1"]


def test_a_folder_around_the_folder(workplace):
    pictures(Path("s/deep/er"), ["input/1.png", "target/1.png"], SIZE)
    Path("s/.hidden").mkdir()
    assert found("s", PAIRS) == [("1", "deep/er/input/1.png", "deep/er/target/1.png")]
    assert len(found("s", Layout({"input": "deep/er/input/*", "target": "deep/er/target/*"}))) == 1


def test_lonely_pictures_and_twins(workplace):
    pictures(Path("s"), ["input/1.png", "input/2.png", "target/1.png", "target/3.png"], SIZE)
    with pytest.raises(
        UserError, match=r"2 of 2 \+ 2 pictures have no counterpart .*input/2.png, s/target/3.png"
    ):
        found("s", PAIRS)
    assert len(found("s", Layout(PAIRS.patterns, by_order=True))) == 2
    Path("s/input/2.png").rename("s/input/1.JPG")
    with pytest.raises(UserError, match=r"both to become 1; rename one"):
        found("s", PAIRS)


def test_a_list_chooses_and_is_checked(workplace):
    names = ["input/1.png", "input/2.png", "target/1.png", "target/2.png"]
    pictures(Path("s"), names, SIZE)
    layout = Layout(PAIRS.patterns, list_file="chosen.txt")
    assert len(found("s", layout)) == 2
    Path("s/chosen.txt").write_bytes(b"\xef\xbb\xbf./somewhere/s/input/2.png\r\n\r\n")
    assert [name for name, *_ in found("s", layout)] == ["2"]
    Path("s/chosen.txt").write_text("/input/1.png /target/1.png\n")
    assert [name for name, *_ in found("s", layout)] == ["1"]
    Path("s/chosen.txt").write_text("input/2.png\ninput/7.png")
    with pytest.raises(UserError, match=r"names 1 files that are not below s, .*: input/7\.png"):
        found("s", layout)
    Path("s/chosen.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is no text in UTF-8; download"):
        numbered_columns(Path("s/chosen.txt"))


def test_links_in_a_circle(workplace):
    pictures(Path("s"), ["input/1.png", "target/1.png"], SIZE)
    Path("s/input/again").symlink_to(Path("s").resolve(), target_is_directory=True)
    assert [name for name, *_ in found("s", PAIRS)] == ["1"]


def test_natural_order():
    assert sorted(["a10", "a9", "b1", "10", "9", "a"], key=natural) == ["9", "10", "a", "a9", "a10", "b1"]
