"""`warmcell up` is ready when it returns, leaves nothing of itself to the caller, and `down` undoes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from kernel_proxy import statedir
from tests.cli.conftest import Shell


def test_up_prints_one_line_and_is_ready(warmcell: Shell) -> None:
    done = warmcell("up", "--json")
    assert done.returncode == 0 and done.stdout.count("\n") == 1 and done.stderr == ""
    line = json.loads(done.stdout)
    assert set(line) == {"grpc", "http", "token"}
    assert line["http"].startswith("http://127.0.0.1:") and line["grpc"].startswith("127.0.0.1:")
    assert warmcell.json("status")["http"] == line["http"]


def test_up_again_is_the_same_runtime(warmcell: Shell) -> None:
    first = warmcell.json("up", "--simulate", "A100:2")
    pid = warmcell.gateway.pid
    assert warmcell.json("up") == warmcell.json("up", "--simulate", "A100:2") == first
    assert warmcell.gateway.pid == pid


def test_up_with_other_settings_is_refused(warmcell: Shell) -> None:
    warmcell.json("up", "--simulate", "A100:2")
    done = warmcell("up", "--simulate", "T4:1", "--idle-exit-s", "5")
    assert done.returncode == 1 and done.stdout == ""
    assert "it simulates A100:2, not T4:1; it ends after 900 idle seconds, not 5" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: stop it with `warmcell down`")


def test_the_gateway_inherits_no_descriptor(warmcell: Shell, tmp_path: Path) -> None:
    with open(tmp_path / "mine", "w") as mine:
        process = warmcell.start("up", "--json", pass_fds=(mine.fileno(),))
        out, _ = process.communicate(timeout=60)  # returns only when nobody else holds the pipe
    pid = warmcell.gateway.pid
    held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert json.loads(out) and str(tmp_path / "mine") not in held
    assert os.getsid(pid) == pid


def test_two_that_start_at_once_get_one_gateway(warmcell: Shell) -> None:
    racers = [warmcell.start("up", "--json") for _ in range(3)]
    lines = {racer.communicate(timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert len(lines) == 1


def test_the_token_is_for_the_owner_alone(warmcell: Shell) -> None:
    token = warmcell.json("up")["token"]
    file = warmcell.home / "token"
    assert file.read_text().strip() == token
    assert file.stat().st_mode & 0o777 == 0o600
    assert warmcell.home.stat().st_mode & 0o777 == 0o700
    assert token not in (warmcell.home / "gateway.log").read_text()


def test_down_ends_the_process(warmcell: Shell) -> None:
    warmcell.json("up")
    gateway = warmcell.gateway
    assert warmcell.json("down") == {"stopped": []}
    assert statedir.start_ticks(gateway.pid) is None
    assert warmcell.gateway is None
    assert not Path(gateway.unix).parent.exists()


def test_down_without_a_runtime_is_no_error(warmcell: Shell) -> None:
    done = warmcell("down")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"no runtime runs on {warmcell.home}\n"


def test_down_ends_a_gateway_that_hangs_when_forced(warmcell: Shell) -> None:
    warmcell.json("up")
    gateway = warmcell.gateway
    os.kill(gateway.pid, signal.SIGSTOP)
    warmcell.more["WARMCELL_ANSWER_S"] = "0.3"
    assert "did not answer in time" in warmcell("down").stderr
    assert warmcell("down", "--force").returncode == 0
    assert statedir.start_ticks(gateway.pid) is None


def test_a_killed_gateway_is_replaced(warmcell: Shell) -> None:
    first = warmcell.json("up")
    os.kill(warmcell.gateway.pid, signal.SIGKILL)
    again = warmcell.json("up")
    assert again["http"] != first["http"] and again["token"] == first["token"]


def test_foreground_stays_and_ends_by_a_signal(warmcell: Shell) -> None:
    process = warmcell.start("up", "--foreground", "--json")
    line = json.loads(process.stdout.readline())
    assert warmcell.json("status")["http"] == line["http"]
    assert warmcell.gateway.pid == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.communicate()


def test_foreground_beside_another_is_refused(warmcell: Shell) -> None:
    warmcell.json("up")
    done = warmcell("up", "--foreground")
    assert done.returncode == 1
    assert f"(pid {warmcell.gateway.pid})" in done.stderr


def test_an_open_door_speaks_tls_by_itself(warmcell: Shell) -> None:
    line = warmcell.json("up", "--host", "0.0.0.0")
    assert line["http"].startswith("https://0.0.0.0:") and line["https"].startswith("https://")
    assert line["ca"] == str(warmcell.home / "tls" / "ca.pem")
    done = warmcell("up", "--state", str(warmcell.home.parent / "other"), "--host", "0.0.0.0", "--tls-cert", line["ca"])
    assert done.returncode == 1 and "only one of --tls-cert and --tls-key" in done.stderr


def test_a_failed_start_shows_the_end_of_the_log(warmcell: Shell) -> None:
    done = warmcell("up", "--simulate", "nonsense:many")
    assert done.returncode == 1
    assert "the embedded gateway ended with code" in done.stderr and "nonsense" in done.stderr
    assert done.stderr.splitlines()[-1] == f"hint: see {warmcell.home}/gateway.log"


def test_a_state_directory_that_cannot_be_made(warmcell: Shell) -> None:
    warmcell.home.write_text("a file")
    done = warmcell("up")
    assert done.returncode == 1
    assert f"the state directory {warmcell.home} cannot be made" in done.stderr
    warmcell.home.unlink()


def test_an_idle_runtime_ends_by_itself(warmcell: Shell) -> None:
    warmcell.json("up", "--idle-exit-s", "0.2")
    assert statedir.wait_gone(warmcell.gateway or _gone(), 20)


def _gone() -> statedir.Gateway:
    return statedir.Gateway("", "", "", "", 2**22, 0)


def test_a_closed_stdout_is_no_traceback(warmcell: Shell) -> None:
    warmcell.json("up")
    reader, writer = os.pipe()
    os.close(reader)
    process = warmcell.start("status", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert "Traceback" not in process.communicate(timeout=60)[1]
