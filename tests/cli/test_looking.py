"""`status`, `ps`, `logs` and `doctor` tell what is there, in text for people and JSON for programs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy.runtime import connect
from kernel_proxy.session import Session
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from tests.cli.conftest import Shell

SOURCE = "print('to stdout')\nimport sys; print('to stderr', file=sys.stderr)\n1 / 0"


@pytest.fixture(scope="module")
def session(shared: Shell) -> Iterator[Session]:
    runtime = connect(Settings(home=shared.home), start=False)
    yield runtime.open("A100", "nb-demo", "demo.ipynb", {})
    runtime.close()


@pytest.fixture(scope="module")
def failed(session: Session) -> str:
    stream = session.run(pb.Run(source=SOURCE, count=1))
    list(stream)
    return stream.run_id


@pytest.fixture
def sleeping(session: Session) -> Iterator[str]:
    stream = session.run(pb.Run(source="print('up', flush=True)\nimport time; time.sleep(600)", count=2))
    next(stream), next(stream)
    yield stream.run_id
    session.interrupt(stream.run_id)
    list(stream)


def test_status_marks_what_is_simulated(shared: Shell, session: Session) -> None:
    text = shared("status").stdout
    line = next(line for line in text.splitlines() if line.startswith("sim-A100-0"))
    assert "A100 (simulated)" in line and "held" in line and "nb-demo" in line
    assert line.endswith("-")  # the price is not known


def test_status_says_how_workers_start_and_why(shared: Shell, session: Session) -> None:
    assert "workers start by fork: no module imported ahead runs a thread" in shared("status").stdout
    found = shared.json("status")
    assert (found["start"], found["start_why"]) == ("fork", "no module imported ahead runs a thread")


def test_status_as_json(shared: Shell, session: Session) -> None:
    found = shared.json("status")
    device = found["devices"][0]
    assert device["simulated"] is True and device["price_per_hour"] is None
    assert {s["name"] for s in found["sessions"]} == {"nb-demo"}


def test_ps_lists_sessions_and_runs(shared: Shell, failed: str) -> None:
    text = shared("ps").stdout
    assert "nb-demo" in text and "A100 (simulated)" in text
    assert next(line for line in text.splitlines() if line.startswith(failed)).split()[1:3] == ["nb-demo", "error"]
    assert [run["run_id"] for run in shared.json("ps")["sessions"][0]["runs"]] == [failed]


def test_logs_of_a_run_go_where_they_came_from(shared: Shell, failed: str) -> None:
    done = shared("logs", failed[:6])
    assert (done.returncode, done.stdout) == (0, "to stdout\n")
    assert done.stderr.startswith("to stderr\n") and "ZeroDivisionError" in done.stderr


def test_logs_of_a_run_as_json(shared: Shell, failed: str) -> None:
    lines = [json.loads(line) for line in shared("logs", failed, "--json").stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["end"]["status"] == "error" and lines[0]["end"] is None


def test_logs_of_a_running_run_stop_at_now(shared: Shell, sleeping: str) -> None:
    done = shared("logs", sleeping)
    assert (done.returncode, done.stdout) == (0, "up\n")


def test_logs_follow_to_the_end(shared: Shell, session: Session) -> None:
    stream = session.run(pb.Run(source="import time\nfor i in range(9): print(i, flush=True); time.sleep(0.05)"))
    next(stream)
    done = shared("logs", "-f", stream.run_id)
    assert done.stdout == "".join(f"{i}\n" for i in range(9))
    list(stream)


def test_following_is_left_by_ctrl_c(shared: Shell, sleeping: str) -> None:
    process = shared.start("logs", "-f", sleeping)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "Traceback" not in err


def test_logs_of_an_unknown_run(shared: Shell, session: Session) -> None:
    done = shared("logs", "nonesuch")
    assert done.returncode == 1
    assert done.stderr == "warmcell: there is no run nonesuch\nhint: see `warmcell ps`; runs go with their session\n"


def test_logs_without_a_run_are_the_gateways(shared: Shell) -> None:
    with (shared.home / "gateway.log").open("a") as log:
        log.write("a line of the gateway\n")
    assert shared("logs").stdout.splitlines()[-1] == "a line of the gateway"
    assert json.loads(shared("logs", "--json").stdout.splitlines()[-1]) == {"line": "a line of the gateway"}


def test_down_names_the_runs_it_would_end(shared: Shell, sleeping: str) -> None:
    done = shared("down")
    assert done.returncode == 1
    assert f"1 run is active: {sleeping} in nb-demo" in done.stderr
    assert "hint: wait for the end, or stop with `warmcell down --force`" in done.stderr
    assert shared.gateway is not None


def test_doctor_finds_a_running_runtime_well(shared: Shell) -> None:
    findings = {f["name"]: f for f in shared.json("doctor")["findings"]}
    assert findings["runtime"]["state"] == "ok"
    assert "A100 (simulated)" in findings["devices"]["sentence"]
    assert not [f for f in findings.values() if f["state"] == "fail"]


@pytest.mark.parametrize("command", ["status", "ps", "logs"])
def test_without_a_runtime_nothing_is_started(command: str, warmcell: Shell) -> None:
    done = warmcell(command)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines()[-1] == "hint: start it with `warmcell up`"
    assert not warmcell.home.exists()


def test_doctor_without_a_runtime_warns(warmcell: Shell) -> None:
    done = warmcell("doctor")
    assert done.returncode == 0
    assert "warn  runtime" in done.stdout and "hint: nothing to do" in done.stdout
    assert not warmcell.home.exists()


def test_doctor_tells_what_is_wrong(warmcell: Shell) -> None:
    warmcell.home.mkdir()
    (warmcell.home / "token").write_text("t")
    (warmcell.home / "token").chmod(0o644)
    warmcell.more["WARMCELL_URL"] = "http://127.0.0.1:1"
    done = warmcell("doctor", "--json")
    findings = {f["name"]: f for f in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1
    assert findings["token"]["state"] == "fail" and findings["token"]["fix"].startswith("chmod 600 ")
    assert findings["settings"]["fix"] == "`warmcell login http://127.0.0.1:1`, or set WARMCELL_TOKEN"
    assert findings["runtime"]["state"] == "fail"


def test_doctor_begins_with_the_settings(warmcell: Shell) -> None:
    warmcell.more["WARMCELL_URL"] = "nonsense"
    done = warmcell("doctor")
    assert done.returncode == 1
    assert done.stdout.startswith("fail  settings  the environment sets `url` to 'nonsense'")


def test_a_named_state_directory_wins_over_the_url(warmcell: Shell, tmp_path: Path) -> None:
    warmcell.more["WARMCELL_URL"] = "http://127.0.0.1:1"
    assert "no runtime runs on" in warmcell("status", "--state", str(tmp_path)).stderr
    assert "there is no runtime at http://127.0.0.1:1" in warmcell("status").stderr


@pytest.mark.parametrize(
    "words", [["--help"], *([c, "--help"] for c in ("up", "down", "status", "ps", "logs", "doctor", "login", "logout", "stop", "init"))]
)
def test_every_command_explains_itself(words: list[str], warmcell: Shell) -> None:
    done = warmcell(*words)
    assert done.returncode == 0 and "Usage: warmcell" in done.stdout
    assert words == ["--help"] or "--json" in done.stdout


def test_a_log_that_somebody_else_keeps_is_not_mistaken_for_an_old_one(warmcell: Shell) -> None:
    with warmcell.start("up", "--foreground", "--json") as process:
        assert process.stdout.readline()
        (warmcell.home / "gateway.log").write_text("of last week\n")
        done = warmcell("logs")
        process.terminate()
        process.communicate(timeout=30)
    assert done.returncode == 1 and "runs in the foreground" in done.stderr and "journalctl" in done.stderr
    assert warmcell("logs").stdout == "of last week\n"
