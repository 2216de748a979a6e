"""A real gateway builds images: files are sent once, builds are joined, an interrupt cancels, workers run in them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy import builds
from kernel_proxy.channel import Address, Door
from kernel_proxy.errors import ImageError, WarmcellError
from kernel_proxy.image import Image
from kernel_proxy.statedir import start_ticks
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.methods import GATEWAY_SERVICE
from tests.gateway import running
from tests.gateway.running import Refused, Running
from tests.worker.keeper.link import until

SLIM = Image.debian_slim()


class Heard:
    """What a client hears of a build."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[pb.BuildStep] = []
        self.sent: list[tuple[int, int]] = []

    def sending(self, done_bytes: int, size_bytes: int) -> None:
        self.sent.append((done_bytes, size_bytes))

    def step(self, begun: pb.BuildStep) -> None:
        self.steps.append(begun)

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("gateway")
    started = running.start(home)
    try:
        yield started
    finally:
        started.stop()
        for channel in started.channels:
            channel.close()


@pytest.fixture
def door(gateway: Running) -> Iterator[Door]:
    door = Door(GATEWAY_SERVICE, Address(gateway.grpc), gateway.token)
    yield door
    door.close()


def built(door: Door, image: Image, heard: Heard | None = None) -> pb.Built:
    return builds.build(door, image.plan(), heard or Heard())


def test_a_worker_runs_in_the_image_with_its_files(gateway: Running, door: Door, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("seen there")
    image = SLIM.env({"GREETING": "hello"}).add_local_file(tmp_path / "data.txt", "data.txt")
    answer = built(door, image)
    environment = pb.WorkerEnvironment(image=answer.digest)
    attached = gateway.attach(gateway.open("cpu", "in-image", environment=environment))
    printed, end = attached.run("r-1", "import os, sys; print(os.environ['GREETING'], open('data.txt').read(), sys.prefix)")
    assert end.status == "ok" and printed.startswith("hello seen there")
    assert f"images/layers/{answer.digest[:24]}" in printed
    gateway.call("Release", pb.ReleaseRequest(session="in-image"))


def test_an_image_that_is_there_is_there_at_once(door: Door) -> None:
    image = SLIM.run_commands("echo once")
    first, again = built(door, image), Heard()
    assert not first.reused and built(door, image, again).reused
    assert not again.lines and not again.steps


def test_files_are_sent_as_far_as_they_lack_and_in_pieces(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "PIECE_BYTES", 1000)
    (tmp_path / "large").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "empty").write_bytes(b"")
    image = SLIM.add_local_dir(tmp_path, "folder").run_commands("wc -c < folder/large; wc -c < folder/empty")
    heard, again = Heard(), Heard()
    built(door, image, heard)
    assert heard.sent[-1] == (25600, 25600) and len(heard.sent) == 27
    assert [line.strip() for line in heard.lines if line.strip().isdigit()] == ["25600", "0"]
    built(door, image.env({"A": "1"}), again)
    assert again.sent == []


def test_a_file_that_is_not_what_was_announced_is_refused(gateway: Running) -> None:
    with pytest.raises(Refused) as refused:
        gateway.call("Supply", pb.SupplyRequest(digest="a" * 64, content=b"other", last=True))
    assert refused.value.failure.code == "protocol" and "arrived as" in refused.value.failure.message
    with pytest.raises(Refused) as refused:
        gateway.call("Supply", pb.SupplyRequest(digest="../../../x", content=b"other", last=True))
    assert refused.value.failure.code == "protocol"


def test_two_who_ask_for_one_image_build_it_once_and_both_hear_it(gateway: Running, tmp_path: Path) -> None:
    image = SLIM.run_commands(f"echo begun >> {tmp_path}/count; while ! test -e {tmp_path}/go; do sleep 0.02; done; echo done")
    heard = [Heard(), Heard()]
    answers: list[pb.Built] = []

    def ask(which: Heard) -> None:
        mine = Door(GATEWAY_SERVICE, Address(gateway.grpc), gateway.token)
        answers.append(built(mine, image, which))
        mine.close()

    threads = [threading.Thread(target=ask, args=(which,)) for which in heard]
    threads[0].start()
    until(lambda: (tmp_path / "count").exists())
    threads[1].start()
    until(lambda: heard[1].steps)
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(30)
    assert (tmp_path / "count").read_text() == "begun\n"
    assert len({answer.digest for answer in answers}) == 1 and len(answers) == 2
    assert [which.lines[-1] for which in heard] == ["done", "done"]


def test_a_build_that_nobody_follows_any_more_is_cancelled(gateway: Running, door: Door, tmp_path: Path) -> None:
    image = SLIM.run_commands(f"echo $$ > {tmp_path}/pid; sleep 62")
    updates = door.updates("Build", pb.BuildRequest(spec=image.plan().spec.json))
    assert next(updates).HasField("step")
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    updates.close()
    until(lambda: start_ticks(int((tmp_path / "pid").read_text())) is None)
    assert built(door, SLIM.run_commands("echo after")).digest


def test_a_failed_step_is_an_error_of_its_own_kind(door: Door) -> None:
    with pytest.raises(ImageError, match="step 1 of 1, `run echo why; exit 3`, failed with exit code 3\nwhy\nhint: "):
        built(door, SLIM.run_commands("echo why; exit 3"))


def test_what_the_engine_cannot_do_is_refused_before_files_are_sent(door: Door, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    heard = Heard()
    with pytest.raises(WarmcellError, match="Debian packages"):
        built(door, SLIM.add_local_file(tmp_path / "f", "f").apt_install("ffmpeg"), heard)
    assert heard.sent == []


def test_secrets_of_a_build_are_nowhere_on_the_disk_of_the_runtime(gateway: Running, door: Door) -> None:
    value = "s3cret-of-a-build"
    heard = Heard()
    built(door, SLIM.run_commands('echo "it is $STEP_VALUE"', secrets=[{"STEP_VALUE": value}]), heard)
    assert "it is ***" in heard.lines
    found = [path for path in gateway.home.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]
    assert found == []


def test_a_session_in_an_image_that_is_not_there_is_refused(gateway: Running) -> None:
    for digest in ("b" * 64, "../../../etc"):
        with pytest.raises(Refused) as refused:
            gateway.open("cpu", "nowhere", environment=pb.WorkerEnvironment(image=digest))
        assert refused.value.failure.code == "not-found"


def test_workers_in_an_image_are_adopted_by_the_next_gateway(tmp_path: Path) -> None:
    import signal

    first = running.start(tmp_path)
    door = Door(GATEWAY_SERVICE, Address(first.grpc), first.token)
    environment = pb.WorkerEnvironment(image=built(door, SLIM.env({"A": "1"})).digest)
    door.close()
    first.attach(first.open("cpu", "kept", environment=environment)).run("r-1", "x = 41")
    first.end(signal.SIGKILL)
    second = running.start(tmp_path)
    try:
        attached = second.attach(second.open("cpu", "kept", environment=environment))
        assert attached.run("r-2", "print(x + 1)")[0] == "42\n"
    finally:
        second.stop()
        for channel in second.channels:
            channel.close()


