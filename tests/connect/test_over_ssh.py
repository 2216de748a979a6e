"""A runtime behind a real sshd: found, started, used, and reached again after its link has dropped."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel_proxy import statedir
from kernel_proxy.channel import Frames
from kernel_proxy.errors import DiskFull, NotRunning, RuntimeUnavailable
from kernel_proxy.runtime import connect
from kernel_proxy.settings import Settings
from kernel_proxy.tunnel import Tunnel
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import payload, versions
from tests.client.roads import texts
from tests.connect import sshd
from tests.connect.sshd import Account

Reach = Callable[..., Settings]
RETURNS = pb.Returns(name_limit_bytes=1 << 30, total_limit_bytes=1 << 30)
NUMBERS = "import time\nfor i in range(200):\n    print(i, flush=True)\n    time.sleep(0.01)"
COUNTED = "".join(f"{i}\n" for i in range(200))


def test_a_gateway_is_started_there_and_used(gpu01: Account, reach: Reach) -> None:
    said: list[str] = []
    runtime = connect(reach(gpu01), said.append)
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    assert "".join(texts(session.run(pb.Run(source="import os; print(os.environ['HOME'])")))) == f"{gpu01.home}\n"
    assert runtime.http == "ssh://gpu01" and said == ["connecting to gpu01", "looking for the runtime on gpu01"]
    assert statedir.find(gpu01.state).pid == runtime.describe().pid
    runtime.release("nb")
    runtime.close()


def test_no_path_of_the_host_is_used_here_though_it_is_this_machine(gpu01: Account, reach: Reach) -> None:
    runtime = connect(reach(gpu01))
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    assert runtime.describe().versions.host == versions.host_id()
    assert not session._attachment._line.same_host and isinstance(session._attachment._stream, Frames)
    assert session.ramp is None
    runtime.release("nb")
    runtime.close()


def test_who_only_looks_starts_nothing_there(other: Callable[..., Account], reach: Reach) -> None:
    account = other("quiet")
    with pytest.raises(NotRunning, match="no runtime runs on quiet\nhint: the first cell starts it"):
        connect(reach(account), start=False)
    assert not account.state.exists()
    started = connect(reach(account))
    looked = connect(reach(account), start=False)
    assert looked.describe().pid == started.describe().pid
    looked.close()
    started.close()


def test_two_kernels_share_one_connection_that_is_theirs_alone(gpu01: Account, client: Path, reach: Reach) -> None:
    first, second = connect(reach(gpu01)), connect(reach(gpu01))
    assert len(sshd.holders(client)) == 1
    socket = Path(second._door.address.target.removeprefix("unix:"))
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600 and stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    first.close()
    assert second.describe().pid
    second.close()


def test_large_values_travel_both_ways(gpu01: Account, reach: Reach) -> None:
    runtime = connect(reach(gpu01))
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    sent = os.urandom(24 << 20)
    bundle = payload.pack({"sent": sent}, namespace={}).bundle
    assert [e.end.status for e in session.run(pb.Run(source="back = sent[::-1]", returns=RETURNS), bundle)][-1] == "ok"
    assert session.fetch("back") == sent[::-1]
    runtime.release("nb")
    runtime.close()


def test_a_host_behind_another_is_reached_through_it(
    gpu01: Account, other: Callable[..., Account], reach: Reach
) -> None:
    inner = other("inner", jump=gpu01)
    log = gpu01.home / "sshd.log"
    before = log.read_text().count("Accepted")
    runtime = connect(reach(inner))
    assert statedir.find(inner.state).pid == runtime.describe().pid
    assert log.read_text().count("Accepted") == before + 1
    runtime.close()


def test_no_line_is_lost_when_the_connection_is_killed(gpu01: Account, client: Path, reach: Reach) -> None:
    runtime = connect(reach(gpu01))
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    seen: list[pb.Event] = []
    for event in session.run(pb.Run(source=NUMBERS, returns=RETURNS)):
        seen.append(event)
        if len(seen) in (20, 60):
            sshd.cut(client)
    assert "".join(texts(seen)) == COUNTED
    assert [e.end.status for e in seen if e.HasField("end")] == ["ok"]
    runtime.release("nb")
    runtime.close()


def test_no_line_is_lost_while_the_host_is_out_of_reach(gpu01: Account, client: Path, reach: Reach) -> None:
    runtime = connect(reach(gpu01))
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    seen: list[pb.Event] = []
    for event in session.run(pb.Run(source=NUMBERS, returns=RETURNS)):
        seen.append(event)
        if len(seen) == 20:
            gpu01.stop()
            sshd.cut(client)
            with pytest.raises(RuntimeUnavailable, match="no SSH server answers at gpu01"):
                runtime.describe()
            gpu01.start()
    assert "".join(texts(seen)) == COUNTED
    runtime.release("nb")
    runtime.close()


def test_a_link_that_stands_still_for_a_while_goes_on(gpu01: Account, client: Path, reach: Reach) -> None:
    runtime = connect(reach(gpu01))
    session = runtime.open("cpu", "nb", "nb.ipynb", {})
    beside = connect(Settings(home=gpu01.state), start=False)
    (holder,) = sshd.holders(client)
    stream = session.run(pb.Run(source=NUMBERS, returns=RETURNS))
    seen = [next(stream) for _ in range(10)]
    os.kill(holder, signal.SIGSTOP)
    sshd.until(lambda: all(run.state != "running" for s in beside.describe().sessions for run in s.runs))
    os.kill(holder, signal.SIGCONT)
    assert "".join(texts([*seen, *stream])) == COUNTED
    beside.close()
    runtime.release("nb")
    runtime.close()


def test_a_connection_that_does_not_answer_is_replaced(gpu01: Account, client: Path, reach: Reach) -> None:
    first = connect(reach(gpu01))
    first.close()
    (stuck,) = sshd.holders(client)
    os.kill(stuck, signal.SIGSTOP)
    again = connect(reach(gpu01))
    assert again.describe().pid and sshd.holders(client) != [stuck]
    again.close()


def test_a_gateway_that_has_ended_is_started_again(gpu01: Account, reach: Reach) -> None:
    runtime = connect(reach(gpu01))
    gateway = statedir.find(gpu01.state)
    os.kill(gateway.pid, signal.SIGKILL)
    statedir.wait_gone(gateway)
    assert runtime.describe().pid != gateway.pid
    runtime.close()


def test_who_waits_in_the_background_does_not_pester_a_host(gpu01: Account, client: Path, reach: Reach) -> None:
    now = [0.0]
    tunnel = Tunnel(reach(gpu01, url="ssh://nobody@gpu01"), clock=lambda: now[0])
    log = gpu01.home / "sshd.log"
    for later_s, attempts in [(0.0, 1), (0.5, 0), (0.6, 1), (1.0, 0), (1.1, 1)]:
        now[0] += later_s
        before = log.read_text().count("Connection closed by") + log.read_text().count("Connection reset by")
        with pytest.raises(RuntimeUnavailable, match="gpu01 does not let nobody in"):
            tunnel.open(lambda sentence: None, patient=True)
        after = log.read_text().count("Connection closed by") + log.read_text().count("Connection reset by")
        assert after - before == attempts


def test_an_unknown_host_key_is_not_accepted_in_silence(gpu01: Account, place: Path, reach: Reach) -> None:
    strange = place / "strange"
    strange.write_text((place / "config").read_text().replace("known_hosts", "unknown_hosts"))
    with pytest.raises(RuntimeUnavailable, match="the host key of gpu01 is not known.*\nhint: run `warmcell connect"):
        connect(reach(gpu01, ssh=f"ssh -F {strange}"))
    assert not (place / "unknown_hosts").exists()


def test_another_host_key_than_before_is_refused(gpu01: Account, place: Path, reach: Reach) -> None:
    swapped = place / "swapped"
    swapped.write_text((place / "config").read_text().replace("known_hosts", "swapped_hosts"))
    (place / "swapped_hosts").write_text(f"[127.0.0.1]:{gpu01.port} {(place / 'mine.pub').read_text()}")
    with pytest.raises(RuntimeUnavailable, match="the host key of gpu01 is another one than before"):
        connect(reach(gpu01, ssh=f"ssh -F {swapped}"))


@pytest.mark.parametrize(
    ("name", "environment", "words"),
    [
        ("a", {"WARMCELL_SIMULATE": "nonsense:many"}, "(?s)runtime of a does not start: .*nonsense.*hint: on a: see"),
        ("b", {"WARMCELL_HOME": "/dev/null/x"}, "the runtime of b does not start: the state directory /dev/null/x"),
        ("c", {"WARMCELL_IDLE_S": "soon"}, "sets `idle_s` to 'soon'"),
    ],
)
def test_a_gateway_that_does_not_start_there(
    name: str, environment: dict[str, str], words: str, other: Callable[..., Account], reach: Reach
) -> None:
    with pytest.raises(RuntimeUnavailable, match=words):
        connect(reach(other(name, environment=environment)))


def test_a_full_disk_there(other: Callable[..., Account], place: Path, reach: Reach) -> None:
    account = other("full")
    account.state.mkdir()
    if sshd.mount(account.state, "16k"):
        pytest.skip("this user may not mount a disk")
    try:
        (account.state / "all").write_bytes(b"x" * 12288)
        with pytest.raises(DiskFull, match="the disk is full(.|\n)*hint: on full: "):
            connect(reach(account))
    finally:
        sshd.unmount(account.state)
