"""Which files and keys pair, and the messages about the others."""

import os

import pytest
from picture_sets import random_pixels, save

from ir_plugins.data.pairing import pair
from ir_plugins.pictures.lmdb import write_lmdb
from ir_plugins.runtime.errors import UserError

UNREADABLE = "these files are never read"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(UNREADABLE)
    return str(root)


@pytest.fixture
def roots(tmp_path):
    return tmp_path / "gt", tmp_path / "lq"


def paired(gt, lq, **more):
    """What pairs: of each row the name and the files."""
    rows = pair({"lq": str(lq), "gt": str(gt)}, **{"backend": "disk"} | more)
    return [(row.name, row.files["lq"], row.files["gt"]) for row in rows]


def refused(gt, lq, **more):
    with pytest.raises(UserError) as error:
        paired(gt, lq, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


# -- names


def test_names_pair_whatever_they_end_in(roots):
    gt, lq = roots
    touch(gt, "b.PNG", "a b.jpg", "дом.tiff", "c.d.png", "C.png", "e.WebP")
    touch(lq, "b.jpeg", "a b.BMP", "дом.png", "c.d.Jpg", "C.tif", "e.webp")
    assert paired(gt, lq) == [
        ("C", "C.tif", "C.png"),
        ("a b", "a b.BMP", "a b.jpg"),
        ("b", "b.jpeg", "b.PNG"),
        ("c.d", "c.d.Jpg", "c.d.png"),
        ("e", "e.webp", "e.WebP"),
        ("дом", "дом.png", "дом.tiff"),
    ]


def test_folders_of_folders(roots):
    gt, lq = roots
    touch(gt, "2/a.png", "1/deep/a.png", "a.png")
    touch(lq, "2/a.jpg", "1/deep/a.jpg", "a.jpg")
    assert [name for name, *_ in paired(gt, lq)] == ["1/deep/a", "2/a", "a"]
    (lq / "2").rename(lq / "3")
    message = refused(gt, lq)
    assert f"dataroot_lq ({lq}) lacks 1: 2/a" in message and "dataroot_gt" in message
    assert "lacks 1: one for 3/a.jpg" in message


def test_what_is_no_picture_is_passed_over(roots):
    gt, lq = roots
    touch(gt, "a.png", ".b.png", ".hidden/c.png", "readme.txt", "Thumbs.db", "a.png.md5", "notes/d.txt")
    touch(lq, "a.png", "._a.png", "scene.mat")
    assert paired(gt, lq) == [("a", "a.png", "a.png")]


def test_one_kind_alone(roots):
    gt, _ = roots
    touch(gt, "b.png", "sub/a.png")
    assert [row.files for row in pair({"gt": str(gt)}, backend="disk")] == [
        {"gt": "b.png"},
        {"gt": "sub/a.png"},
    ]


def test_three_kinds(tmp_path):
    roots = {"lqL": tmp_path / "left", "lqR": tmp_path / "right", "gt": tmp_path / "gt"}
    for root in roots.values():
        touch(root, "1.png", "2.png")
    (tmp_path / "right/2.png").rename(tmp_path / "right/7.png")
    with pytest.raises(UserError) as error:
        pair({kind: str(root) for kind, root in roots.items()}, backend="disk")
    assert "dataroot_lqR" in str(error.value) and "one for 7.png" in str(error.value)
    assert "dataroot_lqL" not in str(error.value)


@pytest.mark.parametrize(
    "template, names",
    [
        ("{}x4", ["1x4", "2x4"]),
        ("lr_{}", ["lr_1", "lr_2"]),
        ("X4/{}", ["X4/1", "X4/2"]),
        ("{x}{}", ["{x}1", "{x}2"]),
    ],
)
def test_a_template_names_lq(roots, template, names):
    gt, lq = roots
    touch(gt, "s/1.png", "s/2.png")
    touch(lq, *(f"s/{name}.jpg" for name in names))
    assert [row[1] for row in paired(gt, lq, template=template)] == [f"s/{name}.jpg" for name in names]
    message = refused(gt, lq)
    assert "lacks 2: s/1, s/2" in message and "filename_tmpl (it is '{}')" in message
    assert f"one for s/{names[0]}.jpg, one for s/{names[1]}.jpg" in message


def test_names_may_have_braces(roots):
    for root in roots:
        touch(root, "{0}.png", "{.png", "{}.png")
    assert len(paired(*roots)) == 3


def test_every_mismatch_is_listed(roots):
    gt, lq = roots
    both = [f"{n:03d}.png" for n in range(17)]
    touch(gt, *both, *(f"gt{n}.png" for n in range(23)))
    touch(lq, *both, *(f"lq{n}.png" for n in range(19)))
    message = refused(gt, lq)
    assert f"dataroot_lq ({lq}) lacks 23: " in message and f"dataroot_gt ({gt}) lacks 19: " in message
    assert all(f"gt{n}" in message for n in range(23)) and all(f"lq{n}.png" in message for n in range(19))
    assert "000" not in message


def test_names_of_several_thousand_are_not_all_printed(roots):
    gt, lq = roots
    touch(gt, *(f"{n}.png" for n in range(1031)))
    touch(lq, "x.png")
    assert "and 31 more" in refused(gt, lq)


@pytest.mark.parametrize("side", [0, 1])
def test_twins(roots, side):
    for root in roots:
        touch(root, "s/a.png", "b.png")
    touch(roots[side], "s/a.jpg", "b.PNG")
    message = refused(*roots)
    assert message.startswith(f"dataroot_{'gt' if side == 0 else 'lq'}: ") and "a name twice" in message
    assert "s/a.jpg and s/a.png" in message and "b.PNG and b.png" in message


@pytest.mark.parametrize("side", [0, 1])
def test_empty_and_missing_folders(roots, side):
    for root in roots:
        touch(root, "a.png")
    key = "dataroot_gt" if side == 0 else "dataroot_lq"
    (roots[side] / "a.png").rename(roots[side] / "a.txt")
    assert refused(*roots).startswith(f"{key}: {roots[side]} holds no pictures")
    (roots[side] / "a.txt").unlink()
    assert refused(*roots).startswith(f"{key}: {roots[side]} holds no pictures")
    roots[side].rmdir()
    assert "does not exist" in refused(*roots)
    roots[side].write_text("a file")
    assert "is a file" in refused(*roots)


# -- links


def test_links_are_followed_and_loops_end(roots, tmp_path):
    gt, lq = roots
    touch(tmp_path / "elsewhere", "a.png", "deep/b.png")
    for root in roots:
        root.mkdir()
        (root / "far").symlink_to(tmp_path / "elsewhere")
        (root / "loop").symlink_to(root)
        (root / "self").symlink_to(root / "self")
    (gt / "c.png").symlink_to(tmp_path / "elsewhere/a.png")
    touch(lq, "c.png")
    assert [name for name, *_ in paired(gt, lq)] == ["c", "far/a", "far/deep/b"]


def test_a_folder_may_be_linked_twice(roots, tmp_path):
    """GoPro's blur and blur_gamma, say, with one folder of GT for both."""
    gt, lq = roots
    touch(gt, "blur/1.png")
    (gt / "blur_gamma").symlink_to("blur")
    (gt / "a").symlink_to("blur")
    touch(lq, "blur/1.png", "blur_gamma/1.png", "a/1.png")
    assert [name for name, *_ in paired(gt, lq)] == ["a/1", "blur/1", "blur_gamma/1"]


# -- lists


@pytest.fixture
def listed(roots, tmp_path):
    """Pairs of what a list's text names."""
    gt, lq = roots
    for root in roots:
        touch(root, "a.png", "b c.png", "s/ж.png", "photo (1,2).png")

    def follow(text, encoding="utf-8", **more):
        (tmp_path / "list.txt").write_bytes(text.encode(encoding))
        return [row[0] for row in paired(gt, lq, listing=str(tmp_path / "list.txt"), **more)]

    return follow


@pytest.mark.parametrize(
    "text",
    [
        "s/ж.png\nb c.png\na.png\n",
        "s/ж.png (480,480,3)\nb c.png (480, 480, 3)\na.png (3,5)",
        "a.png (480,480,3) 1\r\nb c.png (480,480,3) 1\r\n\r\n  \r\ns/ж.png (480,480,3) 1",
        "\ufeffa.png\nb c.png\ns/ж.png",
        "a\nb c.PNG\ns/ж.jpg",  # endings do not matter, nor whether there are any
    ],
)
def test_a_list_of_gt(listed, text):
    assert listed(text) == ["a", "b c", "s/ж"]


def test_a_shape_is_no_part_of_a_name(listed):
    assert listed("photo (1,2).png\na.png (1,2,3)") == ["a", "photo (1,2)"]


def test_a_list_and_a_template(roots, tmp_path):
    gt, lq = roots
    touch(gt, "1.png", "2.png", "3.png")
    touch(lq, "1x4.png", "3x4.png", "other.png")
    (tmp_path / "list.txt").write_text("3.png\n1.png")
    more = {"listing": str(tmp_path / "list.txt"), "template": "{}x4"}
    assert paired(gt, lq, **more) == [("1", "1x4.png", "1.png"), ("3", "3x4.png", "3.png")]
    (tmp_path / "list.txt").write_text("3.png\n1.png\n2.png\n5.png\n")
    message = refused(gt, lq, **more)
    assert f"as {tmp_path}/list.txt lists them" in message and "filename_tmpl (it is '{}x4')" in message
    assert f"dataroot_lq ({lq}) lacks 2: 2x4, 5x4; " in message
    assert f"dataroot_gt ({gt}) lacks 1: 5; " in message


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "list.txt is empty"),
        ("\n \r\n", "list.txt is empty"),
        ("a.png\nlq/a.png gt/a.png\nb.png", "begins with 1 names a line, but not in line 2;"),
        ("lq/a.png gt/a.png\n\na.png\nb.png", "begins with 2 names a line, but not in line 3, 4;"),
        ("../gt/a.png", "lacks 1: ../gt/a"),
        ("lq/a.png ../gt/a.png", "lq/a.png ../gt/a.png leads out of the folders"),
        ("s/../../b.png gt/a.png", "leads out of the folders"),
    ],
)
def test_lists_that_cannot_be_followed(listed, text, says):
    with pytest.raises(UserError, match=r"meta_info_file|pictures do not pair as") as error:
        listed(text)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_list_that_is_not_there_or_no_text(listed, roots, tmp_path):
    with pytest.raises(UserError, match=r"^meta_info_file: .* it is no text"):
        listed("ä", encoding="latin-1")
    for listing in (tmp_path / "nowhere.txt", tmp_path):
        assert refused(*roots, listing=str(listing)).startswith(f"meta_info_file: {listing} cannot be read")


SPAD = "/rain/1_2.png /gt/1.png\n/rain/1 1.png\t/gt/1.png\nrain/7.JPG   gt/0 0.png\r\n"


def test_two_columns(roots, tmp_path):
    (tmp_path / "list.txt").write_text(SPAD)
    expected = [
        ("gt/0 0", "rain/7.JPG", "gt/0 0.png"),
        ("rain/1 1", "rain/1 1.png", "gt/1.png"),  # several of one GT
        ("rain/1_2", "rain/1_2.png", "gt/1.png"),
    ]
    # the folders are not looked through, which takes long where there are 600 000 files
    assert paired("nowhere", "nowhere", listing=f"{tmp_path}/list.txt") == expected
    alone = pair({"gt": "nowhere"}, backend="disk", listing=f"{tmp_path}/list.txt")
    assert [row.files for row in alone] == [{"gt": gt} for _, _, gt in expected]
    with pytest.raises(UserError, match="two columns are LQ and GT"):
        kinds = dict.fromkeys(("lqL", "lqR", "gt"), "nowhere")
        pair(kinds, backend="disk", listing=f"{tmp_path}/list.txt")


# -- LMDBs


@pytest.fixture
def databases(tmp_path):
    for side, names in {"gt": ["1", "s/2", "3"], "lq": ["1", "s/2", "3"]}.items():
        for name in names:
            save(tmp_path / side / f"{name}.png", random_pixels(3, 5))
        write_lmdb(tmp_path / side, tmp_path / f"{side}.lmdb")
    return tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"


def test_keys_pair(databases, tmp_path):
    assert paired(*databases, backend="lmdb") == [(k, k, k) for k in ("1", "3", "s/2")]
    (tmp_path / "list.txt").write_text("s/2.png (3,5,3)\n1.png (3,5,3)\n")
    rows = paired(*databases, backend="lmdb", listing=str(tmp_path / "list.txt"))
    assert rows == [(k, k, k) for k in ("1", "s/2")]
    (tmp_path / "list.txt").write_text("s/2.png\n4.png\n")
    assert "lacks 1: 4" in refused(*databases, backend="lmdb", listing=str(tmp_path / "list.txt"))


def test_two_inputs_of_one_stem_in_two_columns_have_names_of_their_own(roots, tmp_path):
    gt, lq = roots
    touch(gt, "g.png", "x.png", "x.jpg")
    touch(lq, "a.jpg", "a.png", "1.png", "2.png")
    (tmp_path / "list.txt").write_text("a.jpg g.png\na.png g.png\n1.png x.png\n2.png x.jpg\n")
    rows = paired(gt, lq, listing=str(tmp_path / "list.txt"))
    assert rows == [
        ("a.jpg", "a.jpg", "g.png"),
        ("a.png", "a.png", "g.png"),
        ("x.jpg", "2.png", "x.jpg"),
        ("x.png", "1.png", "x.png"),
    ]


def test_keys_in_two_columns(databases, tmp_path):
    (tmp_path / "list.txt").write_text("/1.png /3.png\n/s/2.png /3.png\n")
    more = {"backend": "lmdb", "listing": str(tmp_path / "list.txt")}
    assert paired(*databases, **more) == [("1", "1", "3"), ("s/2", "s/2", "3")]
    (tmp_path / "list.txt").write_text("/1.png /3.png\n/5.png /3.png\n/1.png /7.png")
    message = refused(*databases, **more)
    assert "lq.lmdb) lacks 1: 5; " in message and "gt.lmdb) lacks 1: 7; correct the list" in message
    assert "filename_tmpl" not in message


def test_databases_that_are_not_whole(databases):
    gt, lq = databases
    meta = lq / "meta_info.txt"
    text = meta.read_text()
    meta.write_text(text.splitlines(keepends=True)[0])
    assert "lacks 2: 3, s/2" in refused(gt, lq, backend="lmdb")
    meta.write_text("\n")
    assert refused(gt, lq, backend="lmdb").startswith("dataroot_lq: ")
    os.remove(meta)
    assert "lacks meta_info.txt" in refused(gt, lq, backend="lmdb")
