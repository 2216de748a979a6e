"""Real gateways that start together, are killed, come back, and leave nothing when they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from remote_runtime.gateway.directories import key_of
from remote_runtime.wire import messages_pb2 as pb
from tests.gateway.running import LIMIT_S, QUICK, ROOT, Refused, Running, command, rows
from tests.leftovers import processes_naming

Start = Callable[..., Running]


def test_a_killed_gateway_comes_back_and_the_run_goes_on(gateway: Start) -> None:
    first = gateway("--simulate", "A100:2")
    granted = first.open("A100", "kept")
    first.attach(granted).start("r-1", "import time, pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.005)\nx = 'kept'")
    first.end(signal.SIGKILL)
    second = gateway("--simulate", "A100:2")
    (session,) = second.call("Describe", pb.DescribeRequest()).sessions
    assert (session.name, session.state, session.runs[0].run_id) == ("kept", "running", "r-1")
    again = second.open("A100", "kept")
    assert (again.session_id, again.token, again.fresh) == (granted.session_id, granted.token, False)
    assert second.open("A100", "other").devices[0].id != granted.devices[0].id
    attached = second.attach(again)
    (second.home / "state" / "sessions" / key_of("kept") / "files" / "go").touch()
    attached.send(pb.ToWorker(request_id=3, follow=pb.Follow(run_id="r-1")))
    _, end = attached.finish("r-1")
    assert (end.status, "x" in end.alive) == ("ok", True)
    assert second.stop() == 0
    assert not processes_naming(str(second.home))


def test_a_session_whose_worker_died_with_the_gateway_is_known_as_gone(gateway: Start) -> None:
    first = gateway()
    granted = first.open("cpu", "lost")
    for line in processes_naming(str(first.home)):
        os.kill(int(line.split()[0]), signal.SIGKILL)
    first.process.wait(LIMIT_S)
    second = gateway()
    reply = second.call("Exit", pb.ExitRequest(session_id=granted.session_id))
    assert (reply.gone, reply.reason) == (True, "unknown")
    assert second.open("cpu", "lost").fresh


def test_of_two_that_start_at_once_one_serves(home: Path) -> None:
    both = [
        subprocess.Popen(command(home, *QUICK, "--idle-exit-s", "2"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    codes = {process.wait(LIMIT_S): process.stderr.read() for process in both}
    for process in both:
        process.stderr.close()
    assert sorted(codes) == [0, 3]
    assert codes[3] == f"another gateway serves {home}/state\nhint: use that one, or another --state\n"
    assert not processes_naming(str(home))
    assert os.listdir(home / "run") == []


def test_gateway_json_is_there_while_it_is_ready(gateway: Start) -> None:
    running = gateway()
    path = running.home / "state" / "gateway.json"
    content = json.loads(path.read_text())
    assert (content["pid"], content["http"], content["grpc"]) == (running.process.pid, running.http, running.grpc)
    assert {"start_ticks", "unix", "version", "started_at"} <= content.keys()
    assert running.end() == 0
    assert not path.exists()


def test_a_signal_leaves_sessions_for_the_next_gateway(gateway: Start) -> None:
    first = gateway()
    granted = first.open("cpu", "stays")
    first.attach(granted).run("r", "value = 42")
    assert first.end(signal.SIGTERM) == 0
    second = gateway()
    attached = second.attach(second.open("cpu", "stays", must_exist=True))
    assert "value" in attached.welcome.names
    assert second.stop() == 0


def test_after_stop_no_process_and_no_socket_is_left(gateway: Start) -> None:
    running = gateway("--min-warm", "2")
    for name in ("one", "two"):
        running.attach(running.open("cpu", name)).run("r", "import subprocess; child = subprocess.Popen(['sleep', '61'])")
    assert running.stop() == 0
    assert not processes_naming(str(running.home))
    assert os.listdir(running.home / "run") == []
    assert rows(running.home, "SELECT COUNT(*) FROM workers") == [(0,)]
    assert rows(running.home, "SELECT name, token, reason FROM sessions ORDER BY name") == [
        ("one", "", "stopped"), ("two", "", "stopped"),
    ]  # fmt: skip


def test_the_token_is_kept_from_gateway_to_gateway(gateway: Start) -> None:
    first = gateway("--min-warm", "0")
    first.end()
    assert gateway("--min-warm", "0").token == first.token


def test_a_holder_is_counted_down_and_told_through_its_stream(gateway: Start) -> None:
    running = gateway("--simulate", "A100")
    holder = running.attach(running.open("A100", "holder"))
    holder.run("r", "model = 1")
    updates = list(running.updates("A100", "waiter"))
    assert updates[0].waiting.reason == "A100 is held by session holder"
    assert 0 < updates[0].waiting.release_in_s <= 0.5
    assert updates[-1].granted.fresh
    notice = holder.until(lambda m: m.HasField("notice")).notice
    assert "session holder is released in 0.5 s because session waiter waits for what it holds" in notice.text
    assert notice.release_in_s == 0.5
    assert running.stop() == 0


def test_a_client_that_gives_up_leaves_the_queue(gateway: Start) -> None:
    running = gateway("--simulate", "A100", "--release-countdown-s", "1000")
    running.open("A100", "holder")
    first = running.updates("A100", "first")
    assert next(update for update in first if update.waiting.place).waiting.place == 1
    second = running.updates("A100", "second")
    assert next(update for update in second if update.waiting.place).waiting.place == 2
    first.cancel()
    assert any(update.waiting.place == 1 for update in second)
    second.cancel()


def test_many_at_once_get_each_a_session_of_their_own(gateway: Start) -> None:
    running = gateway("--max-workers", "4", "--min-warm", "1")
    granted: list[pb.Granted] = []
    threads = [threading.Thread(target=lambda i=i: granted.append(running.open("cpu", f"s{i}"))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len({g.unix for g in granted}) == len({g.token for g in granted}) == 4
    with pytest.raises(Refused) as refused:
        running.open("cpu", "fifth", no_wait=True)
    assert refused.value.failure.message == "all 4 workers are in use; free now: nothing"
    assert refused.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--host", "0.0.0.0", "--tls-cert", "a.pem"), "only one of --tls-cert and --tls-key is given"),
        (("--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key"), "the TLS file /nowhere.pem cannot be read"),
        (("--simulate", "A100:x"), "'A100:x' in --simulate 'A100:x' declares no device"),
        (("--engine", "ray"), "there is no engine named 'ray'"),
        (("--runtime-dir", "/tmp/" + "x" * 100), "is 105 bytes long, sockets need 83 or less"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_starts(home: Path, arguments: tuple, text: str) -> None:
    done = subprocess.run(command(home, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1
    assert text in done.stderr
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not processes_naming(str(home))


def test_a_port_that_is_taken_is_named(gateway: Start) -> None:
    running = gateway("--min-warm", "0")
    other = running.home / "other"
    other.mkdir()
    for flag, address in (("--http-port", running.http), ("--grpc-port", running.grpc)):
        words = command(other, *QUICK, flag, address.rpartition(":")[2])
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 1
        assert "cannot listen on 127.0.0.1:" in done.stderr
        assert f"choose another {flag}" in done.stderr
    assert not processes_naming(str(other))
