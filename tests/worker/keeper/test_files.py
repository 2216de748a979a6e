"""A keeper answers about files beside its runs: in order, bounded, and with a failure for what makes no sense."""

from __future__ import annotations

import os
from pathlib import Path

from remote_runtime.wire import limits
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.filedigest import digest_of
from tests.worker.keeper.conftest import Start
from tests.worker.keeper.link import Link


def ask(link: Link, **body: object) -> pb.FromWorker:
    link.send(request_id=link.next_id(), files=pb.FileRequest(**body))  # type: ignore[arg-type]
    return link.get()


def test_more_pieces_than_may_wait_arrive_in_order(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    link = start().claim(directory=str(directory)).client()
    piece = os.urandom(limits.FILE_PIECE_BYTES)
    content = b"".join(piece[n:] + piece[:n] for n in range(48))
    digest = digest_of(content)
    assert ask(link, begin=pb.FileBegin(path=b"x", digest=digest, size_bytes=len(content))).files.size_bytes == 0
    ids = []
    for offset in range(0, len(content), len(piece)):
        ids.append(link.next_id())
        write = pb.FileWrite(path=b"x", digest=digest, offset=offset, content=content[offset : offset + len(piece)])
        link.send(request_id=ids[-1], files=pb.FileRequest(write=write))
    answers = [link.get() for _ in ids]
    assert [answer.request_id for answer in answers] == ids and not any(answer.files.again for answer in answers)
    assert not ask(link, finish=pb.FileFinish(path=b"x", digest=digest)).files.again
    assert (directory / "x").read_bytes() == content
    assert not ask(link, finish=pb.FileFinish(path=b"x", digest=digest)).files.again  # asked twice is done once


def test_a_piece_that_leaves_a_gap_or_belongs_to_nothing_is_asked_again(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    link = start().claim(directory=str(directory)).client()
    digest = digest_of(b"abc")
    assert ask(link, write=pb.FileWrite(path=b"x", digest=digest, content=b"abc")).files.again
    ask(link, begin=pb.FileBegin(path=b"x", digest=digest, size_bytes=3))
    assert ask(link, write=pb.FileWrite(path=b"x", digest=digest, offset=2, content=b"c")).files.again
    assert not ask(link, write=pb.FileWrite(path=b"x", digest=digest, content=b"abX")).files.again
    assert ask(link, finish=pb.FileFinish(path=b"x", digest=digest)).files.again
    assert os.listdir(directory) == os.listdir(tmp_path / "files.part") == []


def test_what_makes_no_sense_costs_one_request(start: Start, tmp_path: Path) -> None:
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "fifo")
    link = start().claim(directory=str(tmp_path / "pipe")).client()
    asked = {
        "protocol": [{}, {"begin": pb.FileBegin(path=b"x", digest=b"short")}, {"finish": pb.FileFinish(digest=b"d" * 16)}],
        "not-found": [{"read": pb.FileRead(path=b"nowhere", size_bytes=1)}, {"list": pb.FileList(path=b"nowhere")}],
        "files": [
            {"read": pb.FileRead(path=b"fifo", size_bytes=1)},
            {"list": pb.FileList(path=b"fifo")},
            {"list": pb.FileList(path=b"a\0b")},
            {"folder": pb.FileFolder(path=b"fifo/inner")},
            {"read": pb.FileRead(path=b"x" * 5000, size_bytes=1)},
        ],
    }
    for code, bodies in asked.items():
        for body in bodies:
            failure = ask(link, **body).failure
            assert failure.code == code and failure.message and failure.hint, (body, failure)


def test_a_session_without_a_directory_says_so(start: Start) -> None:
    link = start().claim(directory="").client()
    assert "no working directory" in ask(link, list=pb.FileList()).failure.message


def test_nothing_is_written_beyond_the_directory(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "out").symlink_to(tmp_path)
    (directory / "alike").symlink_to(f"{directory}-other")
    link = start().claim(directory=str(directory)).client()
    digest = digest_of(b"")
    for path in (b"../x", b"out/x", b"alike/x", os.fsencode(tmp_path / "x"), os.fsencode(f"{directory}-other/x")):
        assert ask(link, finish=pb.FileFinish(path=path, digest=digest, whole=True)).failure.code == "files", path
        assert ask(link, folder=pb.FileFolder(path=path)).failure.code == "files", path
    assert sorted(os.listdir(tmp_path)) == ["files"]
