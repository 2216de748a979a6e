"""Which files make up the local modules that a cell needs: decided here, without a worker."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy import sources as rules
from kernel_proxy.errors import CaptureError
from kernel_proxy.sources import Sources, Tree
from remote_runtime.wire.sources import imports_of, is_inside
from tests.sources.conftest import write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def paths(tree: Tree) -> list[str]:
    return sorted(file.path for root in tree.roots for file in root.files)


def tree_of(*names: str) -> Tree:
    return Sources().tree(frozenset(names))


def test_a_package_wins_over_a_module_of_its_name(folder: Path) -> None:
    write(folder, {"twice.py": "", "twice/__init__.py": "", "twice/a.py": ""})
    assert paths(tree_of("twice")) == ["twice/__init__.py", "twice/a.py"]


def test_what_is_no_source_of_the_package_stays(folder: Path) -> None:
    extra = ["__pycache__/a.pyc", ".git/x", ".env", "secret.json", "api_key.txt", "server.pem", "old.pyc", "venv/pyvenv.cfg", "venv/b.py"]
    write(folder, {"kept/__init__.py": "", "kept/t.json": "{}", "kept/keyboard.txt": "", **{f"kept/{name}": "x" for name in extra}})
    tree = tree_of("kept")
    assert paths(tree) == ["kept/__init__.py", "kept/keyboard.txt", "kept/t.json"]
    assert len([line for line in tree.left if "named like a secret" in line]) == 3


def test_links_are_followed_once(folder: Path) -> None:
    write(folder, {"linked/__init__.py": "", "elsewhere/b.py": "", "aside.py": ""})
    (folder / "linked/loop").symlink_to(folder / "linked")
    (folder / "linked/sub").symlink_to(folder / "elsewhere")
    (folder / "linked/c.py").symlink_to(folder / "aside.py")
    (folder / "linked/broken.py").symlink_to(folder / "nowhere.py")
    assert paths(tree_of("linked")) == ["linked/__init__.py", "linked/c.py", "linked/sub/b.py"]


def test_a_folder_that_is_imported_as_a_package_sends_sources_alone(folder: Path) -> None:
    write(folder, {"data/load.py": "name = 'a.csv'", "data/a.csv": "1", "data/b.csv": "2", "data/.c/d.py": ""})
    assert paths(tree_of("data")) == ["data/a.csv", "data/load.py"]


def test_files_that_a_module_names_travel_with_it(folder: Path) -> None:
    source = "x = HERE / 'x.json'; y = HERE / 'conf' / 'y.txt'; z = 'conf/z.txt'; up = '../up.txt'"
    write(folder.parent, {"up.txt": ""})
    write(folder, {"names.py": source, "x.json": "", "w.json": "", "conf/y.txt": "", "conf/z.txt": "", "conf/v.txt": ""})
    assert paths(tree_of("names")) == ["conf/y.txt", "conf/z.txt", "names.py", "x.json"]


def test_modules_that_are_installed_or_ours_do_not_travel() -> None:
    assert not Sources().mentioned(["numpy", "json", "sys", "kernel_proxy.sources", "nowhere", "", "IPython.core"], b"")


def test_too_much_source_is_refused_with_its_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"heavy/__init__.py": "x = 1\n" * 100, "heavy/a.txt": "y" * 300})
    monkeypatch.setattr(rules, "TREE_BYTES", 800)
    assert "1 data files of `heavy` stay here" in tree_of("heavy").left[0] and paths(tree_of("heavy")) == ["heavy/__init__.py"]
    monkeypatch.setattr(rules, "TREE_BYTES", 500)
    with pytest.raises(CaptureError, match="600 B of source in 1 local modules.*\n.*hint: install `heavy`|hint"):
        tree_of("heavy")


def test_nothing_is_read_again_while_it_stays_the_same(folder: Path) -> None:
    write(folder, {"still/__init__.py": "import other_still", "other_still.py": "", "still/a.py": ""})
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    known = Sources()
    first = known.tree(frozenset({"still"}))
    assert known.tree(frozenset({"still"})) is first and len(first.files) == 3
    (folder / "still/a.py").unlink()
    second = known.tree(frozenset({"still"}))
    assert second.digest != first.digest and len(second.files) == 2


def test_an_edit_of_the_same_size_just_after_is_seen(folder: Path) -> None:
    write(folder, {"quick.py": "x = 1"})
    found = os.stat(folder / "quick.py")
    known = Sources()
    first = known.tree(frozenset({"quick"}))
    (folder / "quick.py").write_text("x = 2")
    os.utime(folder / "quick.py", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert known.tree(frozenset({"quick"})).digest != first.digest


def test_a_pickle_tells_which_modules_its_values_need(folder: Path) -> None:
    write(folder, {"cls.py": "class C: pass", "ab.py": "", "deep/__init__.py": "", "deep/er.py": "class D: pass"})
    importlib.invalidate_caches()
    cls, er = importlib.import_module("cls"), importlib.import_module("deep.er")
    known = Sources()
    stream = pickle.dumps([{"a": cls.C()}, "abc ab.", "xab"], 5)
    assert known.mentioned([], stream) & {"cls", "ab", "deep"} == {"cls"}
    assert known.mentioned([], pickle.dumps(er.D, 5)) & {"cls", "deep"} == {"deep"}
    assert known.mentioned([], bytes(rules.LONG_STREAM_BYTES + 1)) >= {"cls", "deep"}


IMPORTS = {
    "import a": {"a"},
    "import a.b as c, d": {"a.b", "d"},
    "from a.b import c": {"a.b"},
    "from a import (\n    b,\n    c)": {"a"},
    "import a, \\\n    b": {"a", "b"},
    "if x: import a; from b import *": {"a", "b"},
    "def f():\n    import a  # from b import c": {"a"},
    "from . import a": {"pkg"},
    "from .a.b import c": {"pkg.a.b"},
    "from ....a import c": set(),
    "important = 1; x = 'reimport'": set(),
    "importlib.import_module('a.b')": {"a.b"},
    "import": set(),
    "from import x": set(),
}


@pytest.mark.parametrize("source", IMPORTS)
def test_what_a_text_imports(source: str) -> None:
    assert imports_of(source, "pkg") == IMPORTS[source]


@pytest.mark.parametrize(("path", "inside"), [("a.py", True), ("a/b.py", True), ("/a", False), ("a/../b", False), ("", False), ("a//b", False)])
def test_a_path_stays_under_its_root(path: str, inside: bool) -> None:
    assert is_inside(path) is inside
