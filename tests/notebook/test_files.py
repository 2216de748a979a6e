"""`%gpu ls`, `upload` and `download` in a notebook, and what is said of files that a cell lacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel
from tests.notebook.conftest import code, kernel_in, notices, users


@pytest.fixture(scope="module")
def own(home: Path) -> Iterator[LiveKernel]:
    with kernel_in(home) as kernel:
        kernel.run("%%gpu\n1")
        yield kernel


@pytest.fixture
def here(own: LiveKernel, tmp_path: Path) -> Path:
    """The notebook's folder, and an empty working directory there."""
    own.run(f"import os; os.chdir({str(tmp_path)!r})")
    own.run("%%gpu\nimport shutil, os\nfor e in os.scandir(): shutil.rmtree(e) if e.is_dir() else os.remove(e)")
    return tmp_path


def test_upload_ls_and_download(own: LiveKernel, here: Path) -> None:
    (here / "data").mkdir()
    (here / "data" / "a.csv").write_text("x\n" * 100)
    (here / "data" / "my notes.txt").touch()
    assert own.run("%gpu upload data").result.splitlines()[0] == "2 files, 200 B sent"
    assert own.run("%gpu upload data").result.splitlines()[0] == "0 files, 0 B sent, 2 unchanged"
    assert own.run("%%gpu\nlen(open('data/a.csv').read())").result == "200"
    own.run("%gpu upload data/a.csv z.csv")
    title, head, *rows = own.run("%gpu ls").result.splitlines()
    assert title.endswith(": 1 file, 200 B, 1 folder") and head.split() == ["name", "size", "changed"]
    assert [row.split("  ")[0] for row in rows] == ["data/", "z.csv"] and rows[1].split()[1:3] == ["200", "B"]
    assert own.run('%gpu ls "data/my notes.txt"').result.splitlines()[2].startswith("data/my notes.txt")
    assert own.run("%gpu download data back/").result.splitlines()[0] == "2 files, 200 B received"
    assert (here / "back" / "data" / "a.csv").read_text() == "x\n" * 100


def test_ls_is_a_table_in_html_too(own: LiveKernel, here: Path) -> None:
    own.run("%%gpu\nopen('<b>.txt', 'w').write('x')")
    (output,) = users(own.run("%gpu ls"))
    assert "&lt;b&gt;.txt" in output["data"]["text/html"] and "<table>" in output["data"]["text/html"]


def test_download_overwrites_only_by_force(own: LiveKernel, here: Path) -> None:
    own.run("%%gpu\nopen('x', 'w').write('theirs')")
    (here / "x").write_text("mine")
    shown = own.run("%gpu download x")
    assert shown.error["ename"] == "FilesError" and "--force" in shown.error["evalue"].splitlines()[-1]
    assert (here / "x").read_text() == "mine"
    own.run("%gpu download --force x")
    assert (here / "x").read_text() == "theirs"


@pytest.mark.parametrize("line", ["upload nowhere", "download nowhere", "ls ..", "ls a b", "upload", "download a b c", "download --froce x"])
def test_what_cannot_be_done_is_an_error_with_a_hint(own: LiveKernel, here: Path, line: str) -> None:
    shown = own.run(f"%gpu {line}")
    assert shown.status == "error" and "hint: " in shown.error["evalue"]
    assert "jupyter_ext" not in shown.traceback


def test_an_interrupted_upload_says_so_and_goes_on(own: LiveKernel, here: Path) -> None:
    with open(here / "large", "wb") as file:
        for _ in range(40):
            file.write(os.urandom(5 << 20))
    own.run(code("""
        from kernel_proxy import uploads
        real = uploads._Upload._arrived
        def press(self, *given):
            real(self, *given)
            if self._done_bytes > 20e6: raise KeyboardInterrupt
        uploads._Upload._arrived = press
    """))
    shown = own.run("%gpu upload large")
    own.run("uploads._Upload._arrived = real")
    assert shown.error["ename"] == "KeyboardInterrupt" and "the same command goes on from there" in shown.traceback
    assert "kernel_proxy" not in shown.traceback
    sent = own.run("%gpu upload large", 120).result.splitlines()[0]
    assert sent.startswith("1 file, ") and 0 < float(sent.split()[2]) < 190
    own.run("%gpu rm real press uploads")


# ---- files that a cell lacks ------------------------------------------------------------------------------


def test_a_file_that_is_here_and_not_there_is_named_once_before_the_run(own: LiveKernel, here: Path) -> None:
    (here / "deep").mkdir()
    (here / "deep" / "first.csv").write_text("x")
    cell = "%%gpu\nimport os\nos.path.isdir('.'), 'deep/first.csv', 'deep/not_here.csv'"
    shown = own.run(cell)
    assert notices(shown) == ["`deep/first.csv` is here but not in the session: `%gpu upload deep/first.csv`"]
    assert shown.status == "ok" and notices(own.run(cell)) == []


def test_a_file_that_is_there_too_is_not_named(own: LiveKernel, here: Path) -> None:
    (here / "both.csv").write_text("x")
    own.run("%gpu upload both.csv")
    assert notices(own.run("%%gpu\nopen('both.csv').read()")) == []
    assert notices(own.run(f"%%gpu\nopen({str(here / 'both.csv')!r}).read()")) == []  # the same disk


def test_a_folder_that_a_cell_went_to_counts(own: LiveKernel, here: Path) -> None:
    own.run("%%gpu\nos.makedirs('sub'); open('sub/inner.csv', 'w').close(); os.chdir('sub')")
    (here / "inner.csv").write_text("x")
    assert notices(own.run("%%gpu\nopen('inner.csv').read()")) == []
    own.run("%%gpu\nos.chdir('..')")


def test_a_missed_file_that_is_here_is_hinted_below_the_traceback(own: LiveKernel, here: Path) -> None:
    (here / "my data.csv").write_text("x")
    shown = own.run("%%gpu\nopen('my ' + 'data' + '.csv')")
    assert shown.error["evalue"] == "[Errno 2] No such file or directory: 'my data.csv'"
    last = shown.traceback.splitlines()[-1]
    assert last == 'hint: `my data.csv` is here but not in the session: `%gpu upload "my data.csv"`'
    caught = own.run("try:\n    %gpu open('my ' + 'data' + '.csv')\nexcept FileNotFoundError as e:\n    print(e.args, e.filename)")
    assert caught.text() == "(2, 'No such file or directory') my data.csv\n"
    assert own.run('%gpu upload "my data.csv"').status == "ok"
    assert own.run("%%gpu\nopen('my ' + 'data' + '.csv').read()").result == "'x'"


def test_a_missed_file_that_is_nowhere_gets_no_hint(own: LiveKernel, here: Path) -> None:
    assert "hint" not in own.run("%%gpu\nopen('nowhere.csv')").traceback


def test_a_path_outside_the_folder_is_read_by_its_name_there(own: LiveKernel, here: Path) -> None:
    (here / "inner").mkdir()
    (here / "up.csv").write_text("x")
    own.run("os.chdir('inner')")
    (told,) = notices(own.run("%%gpu\nplace = '../up.csv'"))
    assert told.endswith("`%gpu upload ../up.csv`, and read it as `up.csv`")
    own.run("%gpu upload ../up.csv")
    assert own.run("%%gpu\nopen('up.csv').read()").result == "'x'"


# ---- completion -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%gpu upl", "upload"),
        ("%gpu upload dat", "data/"),
        ("%gpu upload data/tr", "data/train.csv"),
        ("%gpu ls far", "far_folder/"),
        ("%gpu download far_folder/res", "far_folder/result.bin"),
        ("%gpu download far_folder dat", "data/"),
        ("%gpu upload data far", "far_folder/"),
        ("%gpu download --fo", "--force"),
    ],
)
def test_paths_are_completed_on_both_sides(own: LiveKernel, here: Path, line: str, expected: str) -> None:
    (here / "data").mkdir()
    (here / "data" / "train.csv").touch()
    own.run("%%gpu\nos.makedirs('far_folder'); open('far_folder/result.bin', 'w').close()")
    own.client.complete(line, len(line))
    content = own.client.get_shell_msg(timeout=20)["content"]
    completed = [line[: content["cursor_start"]] + match for match in content["matches"]]
    assert any(found.endswith(" " + expected) for found in completed), completed


def test_completing_opens_nothing(home: Path, tmp_path: Path) -> None:
    with kernel_in(tmp_path / "untouched") as kernel:
        for line in ("%gpu ls x", "%gpu download x"):
            kernel.client.complete(line, len(line))
            kernel.client.get_shell_msg(timeout=20)
    assert not (tmp_path / "untouched").exists()
