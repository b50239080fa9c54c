"""`basicsr list` answers from an index, which says what is registered, or does without it."""

import json
import sys

import fresh
import pytest

from ir_plugins.cli import main
from ir_plugins.commands import list as listing
from ir_plugins.commands.list import INDEX, KIND_NAMES, PACKAGES


def test_the_index_says_what_is_registered(tmp_path):
    """In a process of its own: other tests register classes."""
    done = fresh.run("""
        import json, sys
        from ir_plugins.commands.list import index
        json.dump(index(), sys.stdout)
    """)
    live, written = json.loads(done.stdout), json.loads(INDEX.read_text(encoding="utf-8"))
    if live["versions"] != written["versions"]:
        for held in (live, written):  # written with the versions of constraints.txt
            held["tables"].pop("optimizers"), held["descriptions"].pop("optimizers")
    assert live["tables"] == written["tables"], "run `make schema`"
    assert live["descriptions"] == written["descriptions"], "run `make schema`"


@pytest.mark.parametrize("arguments", [["archs"], ["optimizers"], ["archs", "SemanIR"], ["metrics", "psnr"]])
def test_it_answers_without_torch(arguments):
    done = fresh.run(f"""
        import sys
        from ir_plugins.cli import main
        status = main(["list", *{arguments!r}])
        sys.exit(status or "torch" in sys.modules)
    """)
    versions = json.loads(INDEX.read_text())["versions"]
    if any(listing._version(package) != versions[package] for package in PACKAGES[arguments[0]]):
        pytest.skip("the index is of other versions")
    assert done.returncode == 0, done.stderr
    kind, *name = arguments
    assert done.stdout.rstrip("\n") == (listing.describe(kind, *name) if name else listing.table(kind))


@pytest.mark.parametrize("change", ["versions", "gone", "plugin"])
def test_other_versions_no_index_or_a_plugin_are_answered_live(change, tmp_path, monkeypatch, capsys):
    known = json.loads(INDEX.read_text())
    known["tables"] = dict.fromkeys(KIND_NAMES, "from the index")
    known["versions"] = {package: listing._version(package) for package in known["versions"]}
    file = tmp_path / "names.json"
    file.write_text(json.dumps(known))
    monkeypatch.setattr(listing, "INDEX", file)
    monkeypatch.setenv("BASICSR_PLUGINS", "")  # and put back afterwards
    run = lambda *more: listing.run(listing_arguments(*more))  # noqa: E731
    run()
    assert capsys.readouterr().out == "from the index\n"
    if change == "versions":
        file.write_text(json.dumps(known | {"versions": known["versions"] | {"basicsr": "1.4.3"}}))
        run()
    elif change == "gone":
        file.unlink()
        run()
    else:
        run("json")  # imports without registering anything
    assert capsys.readouterr().out == listing.table("ffns") + "\n"


def listing_arguments(*plugins):
    from argparse import Namespace

    return Namespace(kind="ffns", name=None, plugin=list(plugins))


@pytest.mark.parametrize(
    "words, way_out",
    [
        (["archs", "Nothing"], "archs has no 'Nothing'; `basicsr list archs` names them"),
        (["archs", "restormer"], "archs has no 'restormer'; did you mean 'Restormer'?"),
        (["archs", "SEMANIRUNET"], "archs has no 'SEMANIRUNET'; did you mean 'SemanIRUNet'?"),
        (["losses", "psnr"], "losses has no 'psnr'; see `basicsr list metrics psnr`"),
    ],
)
def test_a_name_that_is_unknown_is_reported_live(capsys, words, way_out):
    assert main(["list", *words]) == 2
    assert capsys.readouterr().err == f"basicsr list: error: {way_out}\n"


@pytest.mark.parametrize(
    "words, hint",
    [
        (["list", "arch"], "'arch' is not known; did you mean 'archs'?"),
        (["list", "Metric"], "'Metric' is not known; did you mean 'metrics'?"),
        (["list", "pictures"], "'pictures' is not known; choose from archs, attentions, "),
        (["trian"], "'trian' is not known; did you mean 'train'?"),
        (["train", "-opt", "x", "--launcher", "slrum"], "'slrum' is not known; did you mean 'slurm'?"),
    ],
)
def test_a_choice_that_is_unknown_is_answered_with_the_nearest(capsys, words, hint):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and hint in capsys.readouterr().err


def test_versions_are_of_what_would_be_imported(tmp_path, monkeypatch):
    assert listing._version("pytest") == pytest.__version__
    assert listing._version("nothing-of-that-name") is None
    (tmp_path / "pytest.py").write_text("")
    monkeypatch.delitem(sys.modules, "pytest")
    monkeypatch.syspath_prepend(tmp_path)
    assert listing._version("pytest") is None


def test_an_argument_stands_there_once_with_its_whole_text_and_a_plain_kind():
    lines = listing.describe("archs", "SemanIRUNet").splitlines()
    at = lines.index("  depths: Sequence[int] = (4, 4, 6, 6, 6, 4, 4)")
    assert lines[at + 1].strip() == "Layers of each of the seven stages."
    assert "Args:" not in lines
    described = listing.describe("archs", "AST")
    assert "same weights,\n      different output." in described and "\n\nRaises:\n" in described
