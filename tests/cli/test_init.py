"""`warmcell init` writes what systemd and compose take, makes the first admin, and says what comes next."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Shell
from warmcell import cli, install
from warmcell.install import COMPOSE, KINDS, SYSTEM_UNIT, USER_UNIT, Plan

PLAN = Plan(USER_UNIT, Path("/srv/warm cell/50% $HOME"), "0.0.0.0", "gpu01", account="daemon", version="0.1.0")


@pytest.fixture
def warmcell_(warmcell: Shell, tmp_path: Path) -> Shell:
    """A command line with a home directory of its own."""
    warmcell.more["HOME"] = str(tmp_path)
    return warmcell


def parsed(words: list[str]) -> dict[str, object]:
    """Read the words of `warmcell up` as the command line does."""
    assert words[0] == "up"
    with cli.up.make_context("up", words[1:]) as context:
        return context.params


@pytest.mark.parametrize("kind", [USER_UNIT, SYSTEM_UNIT])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "warmcell.service"
    mode = "--user" if kind == USER_UNIT else "--system"

    def said(text: str) -> list[str]:
        file.write_text(text)
        more = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(["systemd-analyze", mode, "verify", file], capture_output=True, text=True, timeout=60, env=more)
        return [line for line in done.stderr.splitlines() if "warmcell" in line or "Failed" in line]

    text = install.text(replace(PLAN, kind=kind))
    assert said(text) == []
    assert "nonsense" in "".join(said(text.replace("KillMode=process", "KillMode=nonsense")))  # it does look


def test_the_unit_s_command_is_one_that_the_command_line_takes() -> None:
    text = install.text(PLAN)
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    words = [w.replace("%%", "%").replace("$$", "$") for w in shlex.split(line.removeprefix("ExecStart="))]
    found = parsed(words[3:])
    assert found["state"] == str(PLAN.state) and found["foreground"] and found["idle_exit_s"] == 0
    assert (found["host"], found["http_port"], found["grpc_port"]) == ("0.0.0.0", 8470, 8471)
    assert found["tls_names"] == ("gpu01",)
    assert "User=" not in text and "User=daemon" in install.text(replace(PLAN, kind=SYSTEM_UNIT))


def test_an_engine_that_is_named_stands_in_what_is_written() -> None:
    plan = replace(PLAN, kind=SYSTEM_UNIT, engine="docker", engine_options="memory=8g,cpus=2")
    found = parsed(plan.words)
    assert (found["engine"], found["engine_options"]) == ("docker", "memory=8g,cpus=2")
    assert "After=network-online.target docker.service\n" in install.text(plan)
    assert "docker.service" not in install.text(replace(plan, kind=USER_UNIT)) + install.text(replace(PLAN, kind=SYSTEM_UNIT))
    assert "--engine" not in PLAN.words and parsed(replace(plan, kind=COMPOSE).words)["engine_options"] == "memory=8g,cpus=2"


def test_the_compose_file_says_the_same() -> None:
    service = yaml.safe_load(install.text(replace(PLAN, kind=COMPOSE)))["services"]["warmcell"]
    words = [word.replace("$$", "$") for word in service["command"]]
    assert words[:1] == ["warmcell"] and words[-2:] == ["--engine", "docker"]
    assert parsed(words[1:-2])["state"] == str(PLAN.state)
    assert service["ports"] == ["8470:8470", "8471:8471"]
    assert all(here == there for here, _, there in (volume.rpartition(":") for volume in service["volumes"]))
    assert "warmcell==0.1.0" in service["build"]["dockerfile_inline"]


def test_docker_takes_the_compose_file(tmp_path: Path) -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    (tmp_path / "compose.yaml").write_text(install.text(replace(PLAN, kind=COMPOSE)))
    done = subprocess.run(["docker", "compose", "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_steps_are_three(kind: str) -> None:
    start, login, add = install.commands(replace(PLAN, kind=kind), "ana")
    assert login == "warmcell login https://gpu01:8470"
    words = shlex.split(add)
    assert words[:3] == ["warmcell", "user", "add"]
    with cli.main.make_context("warmcell", words[1:]):
        pass
    assert ("compose" if kind == COMPOSE else "systemctl") in start


def test_it_prints_without_writing(warmcell_: Shell, tmp_path: Path) -> None:
    done = warmcell_("init", "--print", "--name", "gpu01")
    assert done.returncode == 0 and "ExecStart=" in done.stdout and "--tls-name gpu01" in done.stdout
    assert not warmcell_.home.exists() and not list(tmp_path.iterdir())


def test_it_writes_makes_an_admin_and_overwrites_only_when_forced(warmcell_: Shell, tmp_path: Path) -> None:
    made = warmcell_.json("init", "--name", "gpu01", "--admin", "ana")
    unit = tmp_path / ".config/systemd/user/warmcell.service"
    assert Path(made["file"]) == unit and str(warmcell_.home) in unit.read_text()
    (ana,) = (t for t in warmcell_.json("user", "list")["tokens"] if not t["own"])
    assert (ana["user"], ana["scopes"]) == ("ana", ["admin"]) and made["token"].startswith(ana["token_id"])
    unit.write_text("mine")
    done = warmcell_("init", "--name", "gpu01")
    assert done.returncode == 1 and f"{unit} is there already" in done.stderr and "--force" in done.stderr
    assert unit.read_text() == "mine"
    done = warmcell_("init", "--force")
    assert "there is an admin already" in done.stdout and "ExecStart=" in unit.read_text()
    assert len(warmcell_.json("user", "list")["tokens"]) == 2


def test_the_first_admin_is_this_account_unless_named(warmcell_: Shell) -> None:
    text = warmcell_("init").stdout
    assert "shown this once" in text and text.count("\n  ") >= 3
    users = {t["user"] for t in warmcell_.json("user", "list")["tokens"]}
    assert len(users) == 1


def test_what_it_writes_starts(warmcell_: Shell, tmp_path: Path) -> None:
    """The unit's own words, run without systemd: a gateway with its own TLS that the first admin logs in to."""
    made = warmcell_.json("init", "--name", "localhost", "--http-port", "18470", "--grpc-port", "18471")
    line = next(line for line in Path(made["file"]).read_text().splitlines() if line.startswith("ExecStart="))
    process = subprocess.Popen([*shlex.split(line.removeprefix("ExecStart=")), "--json"], env=warmcell_.environment,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    try:
        ready = json.loads(process.stdout.readline())
        laptop = Shell(tmp_path / "laptop")
        words = ("login", ready["https"], "--token-stdin", "--ca", ready["ca"])
        asked = laptop.start(*words, stdin=subprocess.PIPE)
        out, err = asked.communicate(made["token"], timeout=60)
        assert asked.returncode == 0, err
        assert out.startswith("logged in to https://localhost:18470 as ") and "(admin)" in out
        assert laptop.json("status")["http"] == "https://0.0.0.0:18470"
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def test_a_bad_port_is_refused(warmcell_: Shell) -> None:
    assert warmcell_("init", "--http-port", "0", "--print").returncode == 2
