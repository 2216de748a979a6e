"""Two people's notebooks on one team's runtime, over TLS and its relay as from other machines."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.client.sweep import sweep
from tests.kernels import LiveKernel, kernel_of

ELSEWHERE = "from remote_runtime.wire import versions\nversions.host_id = lambda: 'another machine'"


@pytest.fixture(scope="module")
def server() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        shell = Shell(Path(directory) / "state")
        shell.json("up", "--host", "0.0.0.0", "--simulate", "A100:1")
        yield shell
        shell("down", "--force")
        sweep(directory)


def logged_in(server: Shell, name: str) -> Path:
    home, made = server.home.parent / name, server.json("user", "add", name)
    line = server.json("up")
    url = f"https://localhost:{line['http'].rpartition(':')[2]}"
    words = ("login", url, "--token-stdin", "--fingerprint", line["fingerprint"])
    process = Shell(home).start(*words, stdin=subprocess.PIPE)
    _, err = process.communicate(made["token"], timeout=60)
    assert process.returncode == 0, err
    return home


@pytest.fixture(scope="module")
def two(server: Shell) -> Iterator[tuple[LiveKernel, LiveKernel]]:
    with ExitStack() as stack:
        kernels = [stack.enter_context(kernel_of(logged_in(server, name))) for name in ("ana", "bob")]
        for kernel in kernels:
            assert kernel.run(ELSEWHERE).status == "ok"
        yield kernels[0], kernels[1]


def test_each_has_a_session_of_the_same_name(two: tuple[LiveKernel, LiveKernel]) -> None:
    for kernel, value in zip(two, ("'ana'", "'bob'"), strict=True):
        assert kernel.run(f"%gpu use cpu --session team\nmine = {value}").status == "ok"
        shown = kernel.run("%%gpu\nopen('note.txt', 'w').write(mine)\nprint(mine)")
        assert (shown.text(), shown.status) == (f"{value[1:-1]}\n", "ok"), shown.traceback
    for kernel, value in zip(two, ("ana", "bob"), strict=True):
        assert kernel.run("%%gpu\nprint(mine, open('note.txt').read())").text() == f"{value} {value}\n"


def test_neither_sees_or_stops_what_is_the_other_s(server: Shell, two: tuple[LiveKernel, LiveKernel]) -> None:
    ids = {s["user"]: s["session_id"] for s in server.json("ps")["sessions"]}
    assert set(ids) == {"ana", "bob"}
    for what in (ids["bob"], "nonesuch"):  # the same words, whether it is there or not
        done = Shell(server.home.parent / "ana")("stop", what)
        assert done.stderr.startswith(f"warmcell: there is no session {what}\nhint: ")
    shown = str(two[0].run("%gpu ps").outputs)
    assert "team" in shown and ids["bob"] not in shown and "bob" not in shown


def test_a_device_that_the_other_holds(server: Shell, two: tuple[LiveKernel, LiveKernel]) -> None:
    assert two[0].run("%gpu use A100 --session plan").status == "ok"
    assert (shown := two[0].run("%%gpu\nx = 1")).status == "ok", shown.traceback
    two[1].run("%gpu use A100 --session other")
    shown = two[1].run("%%gpu --no-wait\nx = 1")
    assert "a session of ana" in shown.traceback and "plan" not in shown.traceback
    assert server("stop", "plan").stdout == "session plan is released; variables lost: x\n"
    for kernel in two:
        kernel.run("%gpu use cpu --session team")


def test_a_user_may_not_stop_the_runtime(server: Shell, two: tuple[LiveKernel, LiveKernel]) -> None:
    ana = json.loads((server.home.parent / "ana" / "logins.json").read_text())["current"]
    shown = two[0].run("import warmcell\nwarmcell.connect().stop(force=True)")
    assert "this needs a token with the scope admin" in shown.traceback and ana
    assert server("status").returncode == 0


def test_revoked_in_the_middle_of_a_cell(server: Shell, two: tuple[LiveKernel, LiveKernel]) -> None:
    ana, bob = two
    request = ana.start("%%gpu\nimport time\nprint('on', flush=True)\nwhile True: time.sleep(0.05)")
    while ana.client.get_iopub_msg(timeout=60)["content"].get("text") != "on\n":
        pass
    assert "sessions go on: team" in server("user", "revoke", "ana").stdout
    shown = ana.finish(request)
    assert shown.error["ename"] == "Unauthorized", shown.traceback
    assert "expired or revoked" in shown.traceback and "warmcell login" in shown.traceback
    assert "Unauthorized" in ana.run("%%gpu\n1").traceback
    assert bob.run("%%gpu\nprint('well')").text() == "well\n"
    states = {s["user"]: s["state"] for s in server.json("ps")["sessions"]}
    assert states["ana"] == "running"  # an admin may stop it, or give ana another token
    assert "sessions stopped: team" in server("user", "revoke", "ana", "--stop").stdout
    assert {s["user"] for s in server.json("ps")["sessions"]} == {"bob"}
