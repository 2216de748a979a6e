"""Local modules in a notebook: they are there, and an edit here shows in the next cell."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.kernels import LiveKernel
from tests.notebook.conftest import kernel_in, notices, receipt
from tests.sources.conftest import Notebook, write


def test_an_edit_here_shows_in_the_next_cell(notebook: Notebook) -> None:
    notebook.write(edited="def f(): return 1")
    assert notebook.far("import edited\nfrom edited import f\nprint(f())") == "1"
    notebook.write(edited="def f(): return 2")
    assert notebook.far("print(edited.f(), f())") == "2 2"


def test_what_the_notebook_has_imported_stays_and_resolves_to_the_new_there(notebook: Notebook) -> None:
    notebook.write(byname="class Thing:\n    version = 1\ndef f(): return Thing.version")
    notebook.here("import byname\nfrom byname import f, Thing\nthings = [Thing()]")
    assert notebook.far("print(f(), byname.f(), type(things[0]).version)") == "1 1 1"
    notebook.write(byname="class Thing:\n    version = 2\ndef f(): return Thing.version")
    # An instance that is there already keeps the class that it was made of, as it does after a reload.
    assert notebook.far("print(f(), byname.f(), type(things[0]).version)") == "2 2 1"
    notebook.here("things.append(Thing())")
    assert notebook.far("print(type(things[1]).version)") == "2"
    assert notebook.here("print(f(), byname.f())") == "1 1"


def test_what_a_module_imports_travels_with_it_and_its_users_are_imported_anew(notebook: Notebook) -> None:
    notebook.write(upper="from middle import g", middle="from lower import g", lower="def g(): return 'old'")
    assert notebook.far("import upper\nprint(upper.g())", "--no-out") == "old"
    notebook.write(lower="def g(): return 'new'")
    assert notebook.far("print(upper.g())", "--no-out") == "new"


def test_a_module_that_did_not_change_keeps_its_state(notebook: Notebook) -> None:
    notebook.write(counts="seen = []", turns="def f(): return 1")
    notebook.far("import counts, turns\ncounts.seen.append(1)", "--no-out")
    notebook.write(turns="def f(): return 2")
    assert notebook.far("import counts, turns\nprint(counts.seen, turns.f())") == "[1] 2"


def test_a_package_with_relative_imports_and_data(notebook: Notebook) -> None:
    files = {
        "relpkg/__init__.py": "from .inner import depth\nfrom . import names",
        "relpkg/names.py": "from pathlib import Path\nlisted = (Path(__file__).parent / 'data/names.txt').read_text()",
        "relpkg/data/names.txt": "ann, bob",
        "relpkg/inner/__init__.py": "from ..values import VALUE as depth",
        "relpkg/values.py": "VALUE = 7\nif __name__ == '__main__':\n    raise SystemExit('run as a script')",
    }
    write(notebook.folder, files)
    assert notebook.far("import relpkg\nprint(relpkg.depth, relpkg.names.listed)") == "7 ann, bob"
    write(notebook.folder, {"relpkg/data/names.txt": "cy", "relpkg/values.py": "VALUE = 8"})
    assert notebook.far("print(relpkg.depth, relpkg.names.listed)") == "8 cy"


def test_a_package_without_init_and_an_import_in_a_function(notebook: Notebook) -> None:
    write(notebook.folder, {"nsp/part/mod.py": "def f(): return 'part'", "late.py": "def g(): return 'late'"})
    notebook.here("def lazily():\n    import late\n    return late.g()")
    assert notebook.far("from nsp.part import mod\nprint(mod.f(), lazily())") == "part late"


def test_a_file_beside_a_module_is_there_when_its_text_names_it(notebook: Notebook) -> None:
    source = "import json, pathlib\nconf = json.loads((pathlib.Path(__file__).parent / 'conf.json').read_text())"
    write(notebook.folder, {"reader.py": source, "conf.json": '{"rate": 1}', "other.json": "{}"})
    assert notebook.far("import reader\nprint(reader.conf)") == "{'rate': 1}"
    write(notebook.folder, {"conf.json": '{"rate": 2}'})
    listing = "import os\nprint(reader.conf, sorted(os.listdir(os.path.dirname(reader.__file__))))"
    assert notebook.far(listing).startswith("{'rate': 2}") and "other.json" not in notebook.far(listing)


def test_a_deleted_file_vanishes_there(notebook: Notebook) -> None:
    write(notebook.folder, {"gone/__init__.py": "", "gone/a.py": "A = 1", "gone/b.py": "B = 1"})
    assert notebook.far("import gone.a, gone.b\nprint(gone.a.A)") == "1"
    (notebook.folder / "gone/b.py").unlink()
    shown = notebook.run("%%gpu\nprint(gone.a.A)\nimport gone.b")
    assert shown.text().strip() == "1" and shown.error["ename"] == "ModuleNotFoundError"
    assert notebook.run("%%gpu\nfrom gone import b").error["ename"] == "ImportError"


def test_tracebacks_and_sources_are_those_of_the_users_file(notebook: Notebook) -> None:
    notebook.write(breaks="# one\n\ndef fail(x):\n    return 1 / x  # here\n")
    shown = notebook.run("%%gpu\nimport breaks\nbreaks.fail(0)")
    assert str(notebook.folder / "breaks.py") in shown.traceback and "----> 4     return 1 / x  # here" in shown.traceback
    notebook.write(breaks="def fail(x):\n    return 2 / x  # moved\n")
    meanwhile = f"open({str(notebook.folder / 'breaks.py')!r}, 'w').write('# rewritten while the cell runs')"
    assert "----> 2     return 2 / x  # moved" in notebook.run(f"%%gpu\n{meanwhile}\nbreaks.fail(0)").traceback
    notebook.write(breaks="def fail(x):\n    return 2 / x  # moved\n")
    assert "# moved" in notebook.far("import inspect\nprint(inspect.getsource(breaks.fail), inspect.getsource(breaks))")


def test_a_file_that_does_not_compile_says_so_where_it_is_imported(notebook: Notebook) -> None:
    notebook.write(halfway="def f(): return 1")
    notebook.far("import halfway", "--no-out")
    notebook.write(halfway="def f(: return 2")
    shown = notebook.run("%%gpu\nprint('unrelated')")
    assert shown.text() == "unrelated\n" and any("`halfway` does not import there: SyntaxError" in n for n in notices(shown))
    failed = notebook.run("%%gpu\nimport halfway")
    assert failed.error["ename"] == "SyntaxError" and "halfway.py" in failed.traceback
    notebook.write(halfway="def f(): return 3")
    assert notebook.far("print(halfway.f())") == "3"


def test_a_source_in_another_encoding(notebook: Notebook) -> None:
    notebook.write(latin="# coding: latin-1\nword = 'caf\xe9'".encode("latin-1"))
    assert notebook.far("import latin\nprint(latin.word)") == "caf\xe9"


def test_a_module_here_hides_one_installed_there(notebook: Notebook) -> None:
    notebook.far("import iniconfig\nassert not hasattr(iniconfig, 'mine')", "--no-out")
    notebook.write(iniconfig="mine = True")
    assert notebook.far("import iniconfig\nprint(iniconfig.mine)") == "True"


def test_compiled_parts_are_refused_by_name(notebook: Notebook) -> None:
    write(notebook.folder, {"fastpkg/__init__.py": "", "fastpkg/_fast.so": b"\x7fELF", "wrap.py": "import fastpkg"})
    shown = notebook.run("%%gpu\nimport fastpkg\nprint('ran')")
    assert shown.error["ename"] == "CaptureError" and not shown.text()
    assert "`fastpkg`" in shown.traceback and "_fast.so" in shown.traceback and "hint: install `fastpkg`" in shown.traceback
    assert "wrap.py imports" in notebook.run("%%gpu\nimport wrap").traceback
    assert notebook.far("print('other cells run')") == "other cells run"


def test_compiled_parts_that_are_installed_there_are_used_as_they_are_there(notebook: Notebook, tmp_path: Path) -> None:
    write(notebook.folder, {"halffast/__init__.py": "", "halffast/_fast.so": b"\x7fELF"})
    write(tmp_path / "there", {"halffast/__init__.py": "where = 'there'"})
    notebook.far(f"import sys\nsys.path.append({str(tmp_path / 'there')!r})")
    assert notebook.far("import halffast\nprint(halffast.where)", "--no-out") == "there"


def test_the_receipt_counts_and_the_dry_run_and_env_list(notebook: Notebook) -> None:
    write(notebook.folder, {"counted/__init__.py": "'counted'", "counted/a.py": "A = 'a'", "counted/big.bin": b"x" * 1_100_000})
    dry = notebook.run("%%gpu --dry-run\nimport counted.a").result
    assert "counted (2 files" in dry and "big.bin` is 1.1 MB and stays here" in dry
    shown = notebook.run("%%gpu\nimport counted.a")
    assert receipt(shown)["sources"] >= 2 and any("big.bin" in notice for notice in notices(shown))
    again = notebook.run("%%gpu\nimport counted.a")
    assert receipt(again)["sources"] == 0 and not notices(again)
    assert "counted" in notebook.run("%gpu env --diff").result


def test_a_package_of_three_hundred_files(notebook: Notebook) -> None:
    modules = {f"large/m{n}.py": "from .m0 import f" if n else "def f(): return 1" for n in range(300)}
    write(notebook.folder, {"large/__init__.py": "", **modules})
    assert notebook.far("from large.m40 import f\nprint(f())") == "1"
    write(notebook.folder, {"large/m0.py": "def f(): return 'changed'"})
    shown = notebook.run("%%gpu\nfrom large.m299 import f\nprint(f())")
    assert shown.text().strip() == "changed" and receipt(shown)["sources"] == 1


def test_an_editable_install_travels_with_its_version(notebook: Notebook, tmp_path: Path) -> None:
    write(tmp_path, {"src/edpkg/__init__.py": "from importlib.metadata import version\nmine = version('edpkg')"})
    info = "site-packages/edpkg-1.2.dist-info"
    write(tmp_path, {f"{info}/METADATA": "Metadata-Version: 2.1\nName: edpkg\nVersion: 1.2\n", f"{info}/RECORD": ""})
    write(tmp_path, {f"{info}/direct_url.json": '{"url": "file:///x", "dir_info": {"editable": true}}'})
    notebook.here(f"import sys\nsys.path += [{str(tmp_path / 'src')!r}, {str(tmp_path / 'site-packages')!r}]")
    assert notebook.far("import edpkg\nprint(edpkg.mine)") == "1.2"
    write(tmp_path, {"src/edpkg/__init__.py": "mine = 'edited'"})
    assert notebook.far("print(edpkg.mine)") == "edited"


def test_an_editable_install_of_another_name_travels_with_its_version_and_its_data(notebook: Notebook, tmp_path: Path) -> None:
    source = "from importlib import metadata, resources\nmine = metadata.version('the-project')\n"
    source += "said = resources.files('innerpkg').joinpath('data/said.txt').read_text()"
    write(tmp_path, {"src/innerpkg/__init__.py": source, "src/innerpkg/data/said.txt": "from a data file"})
    info = "site-packages/the_project-3.4.dist-info"
    write(tmp_path, {f"{info}/METADATA": "Metadata-Version: 2.1\nName: the-project\nVersion: 3.4\n", f"{info}/RECORD": ""})
    url = f'{{"url": "file://{tmp_path}", "dir_info": {{"editable": true}}}}'
    write(tmp_path, {f"{info}/direct_url.json": url})
    notebook.here(f"import sys\nsys.path += [{str(tmp_path / 'src')!r}, {str(tmp_path / 'site-packages')!r}]")
    assert notebook.far("import innerpkg\nprint(innerpkg.mine, innerpkg.said)") == "3.4 from a data file"
    write(tmp_path, {"src/innerpkg/data/said.txt": "edited"})
    assert notebook.far("import innerpkg\nprint(innerpkg.said)") == "edited"


def test_what_a_finder_of_the_users_finds_travels(notebook: Notebook, tmp_path: Path) -> None:
    write(tmp_path, {"apart/found_it.py": "def f(): return 'found'"})
    finder = f"""
        import importlib.util, sys
        class Finder:
            def find_spec(self, name, path=None, target=None):
                file = {str(tmp_path / "apart/found_it.py")!r}
                return importlib.util.spec_from_file_location(name, file) if name == "found_it" else None
        sys.meta_path.append(Finder())"""
    notebook.here(textwrap.dedent(finder))
    assert notebook.far("from found_it import f\nprint(f())") == "found"


def test_values_that_are_put_bring_their_modules(notebook: Notebook) -> None:
    notebook.write(putclass="class P:\n    x = 5")
    notebook.here("import putclass\np = putclass.P()")
    notebook.run("%gpu put p")
    assert notebook.far("print(p.x)") == "5"


def test_a_lost_session_is_sent_everything_again(notebook: Notebook) -> None:
    notebook.write(survives="def f(): return 'alive'")
    assert notebook.far("import survives\nprint(survives.f())") == "alive"
    assert notebook.run("%%gpu\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)").status == "error"
    assert notebook.far("import survives\nprint(survives.f())") == "alive"
    notebook.run("%gpu stop")
    shown = notebook.run("%%gpu\nimport survives\nprint(survives.f())")
    assert shown.text().strip() == "alive" and receipt(shown)["sources"] >= 1


def test_a_job_in_the_background_does_not_hold_up_changed_modules(notebook: Notebook) -> None:
    notebook.write(queued="def f(): return 'before'")
    notebook.far("import queued", "--no-out")
    flag = notebook.folder / "go"
    notebook.run(f"%%gpu --bg=first\nimport os, time\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.01)\nprint(queued.f())")
    notebook.write(queued="def f(): return 'after'")
    assert notebook.run("%%gpu --bg=second\nprint(queued.f())").status == "ok"
    flag.touch()
    assert notebook.here("first.result(); second.result(); print(first.logs(), second.logs())").split() == ["before", "after"]


@pytest.fixture
def other(home: Path, tmp_path: Path) -> LiveKernel:
    with kernel_in(home) as kernel:
        yield kernel


def test_two_notebooks_on_one_session_each_have_their_own(notebook: Notebook, other: LiveKernel, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Notebook(other, tmp_path / "second")
    for each, word in ((notebook, "one"), (second, "two")):
        each.write(shared=f"word = {word!r}")
        each.run("%gpu use cpu --session both")
    for _ in range(2):
        assert notebook.far("import shared\nprint(shared.word)") == "one"
        assert second.far("import shared\nprint(shared.word)") == "two"
    notebook.run("%gpu use any --session ''")
