"""Files go to a session and come back: whole, once, and never over what nobody asked to replace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernel_proxy.downloads import download
from kernel_proxy.errors import FilesError, NotFound
from kernel_proxy.folder import Folder
from kernel_proxy.runtime import Runtime
from kernel_proxy.session import Session
from kernel_proxy.uploads import upload
from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb

PIECE = limits.FILE_PIECE_BYTES
LARGE = os.urandom(3 * PIECE + 17)
LONG = os.urandom(16 * PIECE)


def tree(top: Path) -> dict[str, object]:
    """Path -> content, None for a folder; a file that can be run says so."""
    return {
        str(p.relative_to(top)) + ("*" if p.is_file() and os.access(p, os.X_OK) else ""): p.read_bytes() if p.is_file() else None
        for p in top.rglob("*")
    }


def make(top: Path) -> Path:
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "a.csv").write_text("x,y\n")
    (top / "zero").touch()
    (top / "large.bin").write_bytes(LARGE)
    (top / os.fsdecode(b"odd\xff\n name")).write_text("odd")
    (top / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (top / "sub" / "run.sh").chmod(0o755)
    return top


def test_a_folder_goes_there_and_comes_back_the_same(folder: Folder, here: Path, there: Path) -> None:
    make(here / "data")
    moved = upload(folder, "data")
    assert (moved.place, moved.files_count, moved.same_count, moved.left_out) == ("data", 5, 0, [])
    assert moved.moved_bytes == sum(len(v) for v in tree(here / "data").values() if isinstance(v, bytes))
    assert tree(there / "data") == tree(here / "data")
    back = download(folder, "data", "back")
    assert (back.files_count, back.moved_bytes) == (5, moved.moved_bytes)
    assert tree(here / "back") == tree(here / "data")


def test_what_is_there_already_is_not_sent(folder: Folder, here: Path, there: Path) -> None:
    make(here / "data")
    upload(folder, "data")
    (here / "data" / "a.csv").write_text("x,z\n")
    (here / "data" / "zero").chmod(0o755)
    moved = upload(folder, "data")
    assert (moved.files_count, moved.moved_bytes, moved.same_count) == (1, 4, 4)
    assert tree(there / "data") == tree(here / "data")
    assert download(folder, "data").same_count == 5


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("sub/x.csv",), "sub/x.csv"),
        (("./sub/../sub/x.csv",), "sub/x.csv"),
        (("{here}/sub/x.csv",), "x.csv"),
        (("sub/x.csv", "y.csv"), "y.csv"),
        (("sub/x.csv", "new/"), "new/x.csv"),
        (("sub/x.csv", "."), "./x.csv"),
        (("sub/x.csv", "old"), "old/x.csv"),
        (("sub/x.csv", "{there}/deep/y.csv"), "deep/y.csv"),
        (("sub", "copy"), "copy/x.csv"),
        (("sub", "old/"), "old/sub/x.csv"),
        (("sub",), "sub/x.csv"),
    ],
)
def test_where_an_upload_goes(folder: Folder, here: Path, there: Path, words: tuple[str, ...], place: str) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "x.csv").write_text("content")
    (there / "old").mkdir()
    for _ in range(2):  # twice the same command is the same place
        upload(folder, *(word.format(here=here, there=there) for word in words))
    assert [p for p in there.rglob("*") if p.is_file()] == [there / place]


def test_an_upload_replaces_what_is_there(folder: Folder, here: Path, there: Path) -> None:
    (there / "x").write_bytes(LARGE)
    (here / "x").write_bytes(LARGE[::-1])
    upload(folder, "x")
    assert (there / "x").read_bytes() == LARGE[::-1]


def test_a_file_that_differs_here_is_overwritten_only_by_force(folder: Folder, here: Path, there: Path) -> None:
    (there / "d").mkdir()
    for name in ("first", "same", "x"):
        (there / "d" / name).write_text(name)
    (here / "d").mkdir()
    (here / "d" / "x").write_text("mine")
    (here / "d" / "same").write_text("same")
    with pytest.raises(FilesError, match=r"`d/x` here differs .* nothing was downloaded\nhint: give `--force`"):
        download(folder, "d")
    assert tree(here / "d") == {"x": b"mine", "same": b"same"}
    moved = download(folder, "d", force=True)
    assert (moved.files_count, moved.same_count) == (2, 1)
    assert tree(here / "d") == tree(there / "d")


def test_files_move_while_a_cell_runs(session: Session, folder: Folder, here: Path, there: Path) -> None:
    (here / "go").write_text("on")
    source = "import pathlib, time\nprint('waits')\nwhile not pathlib.Path('go').exists(): time.sleep(0.005)"
    stream = session.run(pb.Run(source=source))
    while next(stream).WhichOneof("body") != "stream":
        pass
    upload(folder, "go")
    assert [event.end.status for event in stream if event.HasField("end")] == ["ok"]


# ---- interrupted ------------------------------------------------------------------------------------------


class Press:
    """Interrupts a transfer at its second step."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, phase: str, done_bytes: int, total_bytes: int) -> None:
        self.steps += done_bytes > 0
        if self.steps == 2:
            raise KeyboardInterrupt


def test_an_interrupted_upload_goes_on_where_it_stopped(folder: Folder, here: Path, there: Path) -> None:
    (here / "large").write_bytes(LARGE)
    with pytest.raises(KeyboardInterrupt):
        upload(folder, "large", on_progress=Press())
    assert not (there / "large").exists() and not list(there.iterdir())
    moved = upload(folder, "large")
    assert 0 <= moved.moved_bytes <= len(LARGE) - 2 * PIECE
    assert (there / "large").read_bytes() == LARGE
    assert not list(there.with_name("files.part").iterdir())


def test_an_interrupted_download_goes_on_where_it_stopped(folder: Folder, here: Path, there: Path) -> None:
    (there / "large").write_bytes(LARGE)
    with pytest.raises(KeyboardInterrupt):
        download(folder, "large", on_progress=Press())
    assert [p.name.endswith(".part") for p in here.iterdir()] == [True]
    moved = download(folder, "large")
    assert moved.moved_bytes <= len(LARGE) - PIECE
    assert tree(here) == {"large": LARGE}


def test_an_interrupt_leaves_the_running_cell_alone(session: Session, folder: Folder, here: Path) -> None:
    (here / "large").write_bytes(LARGE)
    stream = session.run(pb.Run(source="import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.005)"))
    with pytest.raises(KeyboardInterrupt):
        upload(folder, "large", on_progress=Press())
    (here / "go").touch()
    upload(folder, "go")
    assert [event.end.status for event in stream if event.HasField("end")] == ["ok"]


def test_a_dropped_connection_costs_nothing_but_time(session: Session, folder: Folder, here: Path, there: Path) -> None:
    (here / "large").write_bytes(LARGE)
    cuts = iter([True, True])

    def cut(phase: str, done_bytes: int, total_bytes: int) -> None:
        if done_bytes and next(cuts, False):
            session._attachment._cut()

    upload(folder, "large", on_progress=cut)
    assert (there / "large").read_bytes() == LARGE
    cuts = iter([True])
    download(folder, "large", "back", on_progress=cut)
    assert (here / "back").read_bytes() == LARGE


def test_another_content_starts_anew_and_leaves_nothing_behind(folder: Folder, here: Path, there: Path) -> None:
    (here / "large").write_bytes(LARGE)
    with pytest.raises(KeyboardInterrupt):
        upload(folder, "large", on_progress=Press())
    (here / "large").write_bytes(LARGE[::-1])
    assert upload(folder, "large").moved_bytes == len(LARGE)
    assert (there / "large").read_bytes() == LARGE[::-1]
    assert not list(there.with_name("files.part").iterdir())


def test_a_damaged_partial_file_is_thrown_away(folder: Folder, here: Path, there: Path) -> None:
    (there / "large").write_bytes(LARGE)
    with pytest.raises(KeyboardInterrupt):
        download(folder, "large", on_progress=Press())
    (part,) = here.iterdir()
    part.write_bytes(b"?" * PIECE)
    download(folder, "large")
    assert tree(here) == {"large": LARGE}


# ---- files that change ------------------------------------------------------------------------------------


class Writes:
    """Writes to a file at the first steps of a transfer that is longer than what travels at once."""

    def __init__(self, path: Path, times: int) -> None:
        self.path, self.left = path, times
        path.write_bytes(LONG)

    def __call__(self, phase: str, done_bytes: int, total_bytes: int) -> None:
        if self.left and phase != "comparing" and done_bytes < total_bytes / 2:
            self.left -= 1
            with open(self.path, "r+b") as file:
                file.write(os.urandom(16))
                file.seek(-16, os.SEEK_END)
                file.write(os.urandom(16))


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_file_that_changes_once_is_read_again(folder: Folder, here: Path, there: Path, way: str) -> None:
    move, source = (upload, here / "x") if way == "there" else (download, there / "x")
    change = Writes(source, 1)
    move(folder, "x", on_progress=change)
    assert change.left == 0
    assert (here / "x").read_bytes() == (there / "x").read_bytes() != LONG


def test_a_file_that_grows_past_a_piece_is_sent_whole(folder: Folder, here: Path, there: Path) -> None:
    (here / "x").write_text("small")

    def grow(phase: str, *_: int) -> None:
        if phase == "comparing":
            (here / "x").write_bytes(LARGE)

    upload(folder, "x", on_progress=grow)
    assert (there / "x").read_bytes() == LARGE


def test_a_file_that_goes_on_changing_is_refused(folder: Folder, here: Path, there: Path) -> None:
    with pytest.raises(FilesError, match=r"`x` here changes while it is read\nhint: "):
        upload(folder, "x", on_progress=Writes(here / "x", 1000))
    assert not (there / "x").exists()
    with pytest.raises(FilesError, match=r"`y` in the session changes while it is read\nhint: "):
        download(folder, "y", on_progress=Writes(there / "y", 1000))
    assert not (here / "y").exists()


# ---- what is refused, and what is left out ----------------------------------------------------------------


@pytest.mark.parametrize("path", ["..", "../other", "/etc/passwd", "sub/../../x", "way out/x"])
def test_nothing_outside_the_directory_is_reached(folder: Folder, here: Path, there: Path, path: str) -> None:
    (there / "way out").symlink_to("/etc")
    (here / "x").write_text("x")
    told = "leads out of the session's working directory\nhint: give a path inside it"
    with pytest.raises(FilesError, match=told):
        download(folder, path, "y")
    with pytest.raises(FilesError, match=told):
        upload(folder, "x", path)
    with pytest.raises(FilesError, match=told):
        folder.list(path)
    assert not (here / "y").exists()


def test_another_session_is_not_reached(runtime: Runtime, folder: Folder, there: Path) -> None:
    other = runtime.open("cpu", "other", "nb.ipynb", {})
    secret = Path(other.environment().directory) / "secret"
    secret.write_text("s")
    assert secret.parents[1].parent == there.parents[1]
    for path in (str(secret), os.path.relpath(secret, there)):
        with pytest.raises(FilesError, match="leads out"):
            download(folder, path)
    other.close()
    runtime.release("other")


def test_links_are_followed_inside_and_named_outside(folder: Folder, here: Path, there: Path) -> None:
    for top in (here, there):
        (top / "d" / "sub").mkdir(parents=True)
        (top / "d" / "x").write_text("x")
        for name, target in {"in": "x", "out": "/etc/hosts", "loop": "..", "sub/up": "..", "dead": "nowhere"}.items():
            (top / "d" / name).symlink_to(target)
        os.mkfifo(top / "d" / "pipe")
    expected = {"`dead`": "leads nowhere", "`out`": "leads out", "`pipe`": "neither a file", "`sub/up`": "lies in"}
    for moved, copy in ((upload(folder, "d", "copy"), there / "copy"), (download(folder, "d", "copy"), here / "copy")):
        assert tree(copy) == {"x": b"x", "in": b"x", "sub": None}
        for name, why in expected.items():
            assert any(note.startswith(name) and why in note for note in moved.left_out), moved.left_out


def test_what_is_not_there_is_said_with_what_was_meant(folder: Folder, here: Path, there: Path) -> None:
    (here / "train.csv").touch()
    (there / "model.bin").touch()
    with pytest.raises(NotFound, match=r"there is no `trian.csv` here\nhint: did you mean `train.csv`\?"):
        upload(folder, "trian.csv")
    with pytest.raises(NotFound, match=r"there is no `modle.bin` in the session\nhint: did you mean `model.bin`\?"):
        download(folder, "modle.bin")


def test_a_file_never_takes_the_place_of_a_folder(folder: Folder, here: Path, there: Path) -> None:
    for top, other in ((here, there), (there, here)):
        (top / ("f" + top.name[:1])).write_text("file")
        (other / ("f" + top.name[:1]) / "inner").mkdir(parents=True)
    with pytest.raises(FilesError, match="is a folder"):
        upload(folder, "f" + here.name[:1])
    with pytest.raises(FilesError, match="is a folder"):
        download(folder, "f" + there.name[:1], force=True)


def test_many_names_come_in_pages(folder: Folder, there: Path) -> None:
    names = [f"{number:05}" for number in range(2_050)]
    for name in names:
        (there / name).touch()
    assert [os.fsdecode(info.path) for info in folder.list("")] == names


def test_a_sparse_file_stays_sparse(folder: Folder, here: Path, there: Path) -> None:
    with open(here / "sparse", "wb") as file:
        file.truncate(20 * PIECE)
        file.seek(10 * PIECE)
        file.write(b"middle")
    upload(folder, "sparse")
    download(folder, "sparse", "back")
    for path in (there / "sparse", here / "back"):
        assert path.stat().st_size == 20 * PIECE and path.stat().st_blocks * 512 <= 2 * PIECE
        with open(path, "rb") as file:
            file.seek(10 * PIECE)
            assert file.read(6) == b"middle"
