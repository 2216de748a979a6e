"""`doctor` beyond this machine: the way to the runtime and its own side, each check with what to do."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kernel_proxy import doctor_way
from kernel_proxy.findings import Patient
from kernel_proxy.settings import Settings
from remote_runtime.engines.base import Device
from remote_runtime.gateway import checkup, tokens
from remote_runtime.gateway.certificates import DAY_S, furnished
from remote_runtime.gateway.config import Config
from remote_runtime.wire import messages_pb2 as pb
from tests.cli.conftest import Shell

NOW_AT = time.time()
CPU = Device("cpu", "cpu", None)


def verdict(check: Callable[[Patient], tuple[str, str, str]], url: str = "", **told: object) -> tuple[str, str, str]:
    patient = Patient(Settings(url=url))
    patient.asked_at = patient.told_at = NOW_AT
    patient.__dict__["info"] = pb.RuntimeInfo(now_at=NOW_AT, **told) if told else None
    return check(patient)


@pytest.fixture
def facts(tmp_path: Path) -> checkup.Facts:
    own = tokens.own(tokens.fresh(), "me")
    return checkup.Facts(Config(tmp_path, tmp_path), "process", (CPU,), (own,), NOW_AT)


def test_an_admin_sees_the_server_s_page_and_a_user_does_not(shared: Shell) -> None:
    found = {f["name"]: f for f in shared.json("doctor")["findings"]}
    assert {f"server: {name}" for name in ("store", *checkup.CHECKS)} <= set(found)
    assert found["server: store"]["sentence"].endswith("store.db is whole")
    assert [found[n]["state"] for n in ("access", "clock", "certificate", "proxies")] == ["ok"] * 4
    token = shared.json("user", "add", "ana")["token"]
    away = Shell(shared.home.parent / "ana", {"WARMCELL_URL": shared.gateway.http, "WARMCELL_TOKEN": token})
    found = {f["name"]: f for f in away.json("doctor")["findings"]}
    assert "shown to admins" in found["server"]["sentence"] and "server: store" not in found
    assert found["access"]["sentence"].endswith("is ana's and may run")
    shared("user", "revoke", "ana")


def test_every_warning_and_failure_says_what_to_do(shared: Shell) -> None:
    found = shared.json("doctor")["findings"]
    assert all(f["fix"] for f in found if f["state"] != "ok") and not any(f["fix"] for f in found if f["state"] == "ok")
    assert {f["state"] for f in found} <= {"ok", "warn", "fail"}


def test_a_token_that_ends_soon() -> None:
    caller = pb.Caller(user="ana", scopes=["run"], token_id="wc_12345678", expires_at=NOW_AT + 1.5 * DAY_S)
    state, sentence, fix = verdict(doctor_way.access, caller=caller)
    assert (state, fix) == ("warn", "ask an admin for another: `warmcell user token ana`")
    assert sentence == "wc_12345678 is ana's and may run, for 1.5 more days"
    caller.expires_at = NOW_AT + 30 * DAY_S
    assert verdict(doctor_way.access, caller=caller)[0] == "ok"


@pytest.mark.parametrize(("off_s", "said"), [(0, "agree"), (29, "agree"), (-29, "agree"), (90, "90 s behind"), (-90, "90 s ahead of")])
def test_clocks_that_differ(off_s: float, said: str) -> None:
    patient = Patient(Settings())
    patient.asked_at, patient.told_at = NOW_AT - 1, NOW_AT
    patient.__dict__["info"] = pb.RuntimeInfo(now_at=NOW_AT + off_s - (1 if off_s < 0 else 0))
    state, sentence, _ = doctor_way.clock(patient)
    assert said in sentence and (state == "warn") is (abs(off_s) > doctor_way.SKEW_S)


def test_a_proxy_before_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    monkeypatch.delenv("no_proxy", raising=False), monkeypatch.delenv("NO_PROXY", raising=False)
    state, sentence, fix = verdict(doctor_way.proxies, "https://gpu01:8470")
    assert (state, fix) == ("warn", "export NO_PROXY=gpu01")
    assert "http://proxy:3128" in sentence and "secret" not in sentence
    assert verdict(doctor_way.proxies, "https://gpu01:8470", engine="process")[0] == "ok"
    assert verdict(doctor_way.proxies, "https://localhost:8470")[1] == "none is used on this machine"
    monkeypatch.setenv("no_proxy", "gpu01")
    assert verdict(doctor_way.proxies, "https://gpu01:8470")[1] == "none stands before gpu01"


def test_ports_that_change(facts: checkup.Facts) -> None:
    open_ = replace(facts.config, host="0.0.0.0")
    assert checkup.listening(replace(facts, config=open_))[0] == "warn"
    fixed = replace(open_, http_port=8470, grpc_port=8471)
    assert checkup.listening(replace(facts, config=fixed)) == ("ok", "it listens on 0.0.0.0, ports 8470 (HTTP) and 8471 (gRPC)", "")
    assert checkup.listening(facts)[0] == "ok"


@pytest.mark.parametrize(("days", "state"), [(0, "ok"), (80, "warn"), (91, "fail")])
def test_the_certificate_s_end(facts: checkup.Facts, days: int, state: str) -> None:
    config = furnished(replace(facts.config, host="0.0.0.0"), NOW_AT)
    found = checkup.certificate(replace(facts, config=config, now_at=NOW_AT + days * DAY_S))
    assert found[0] == state
    assert "localhost" in found[1] or state == "fail"
    Path(config.tls_cert).unlink()
    assert checkup.certificate(replace(facts, config=config))[0] == "fail"


def test_tokens_that_end_soon(facts: checkup.Facts) -> None:
    soon, _ = tokens.issue("ana", ["run"], NOW_AT, DAY_S)
    late, _ = tokens.issue("bob", ["run"], NOW_AT, 30 * DAY_S)
    state, sentence, fix = checkup.users(replace(facts, tokens=(*facts.tokens, soon, late)))
    assert (state, fix) == ("warn", "`warmcell user token ana` makes another")
    assert sentence == f"3 good tokens, of ana, bob, me; within 7 days end {soon.token_id} of ana"


def test_gpus(facts: checkup.Facts) -> None:
    good, bad = Device("GPU-1", "NVIDIA H100"), Device("GPU-2", "NVIDIA H100", state="failed")
    trial = Device("sim-0", "A100", simulated=True)
    assert checkup.gpus(replace(facts, devices=(good, CPU)))[:2] == ("ok", "NVIDIA H100")
    assert checkup.gpus(replace(facts, devices=(good, bad)))[:2] == ("fail", "GPU-2 failed")
    assert checkup.gpus(replace(facts, devices=(trial, CPU)))[:2] == ("warn", "no NVIDIA device was found; 1 simulated")


def test_docker_that_is_away(facts: checkup.Facts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkup.docker(facts)[0] == "ok"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    state, sentence, fix = checkup.docker(replace(facts, engine="docker"))
    assert state == "fail" and f"{tmp_path}/none.sock" in sentence and "systemctl start docker" in fix


def test_docker_that_answers(facts: checkup.Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.exists("/var/run/docker.sock") or shutil.which("docker") is None:
        pytest.skip("no Docker daemon runs here")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    found = checkup.docker(replace(facts, engine="docker"))
    if found[0] == "fail":
        pytest.skip(found[1])
    assert found[1].startswith("Docker ") and "runc" in found[1]


def test_a_damaged_store_is_found(facts: checkup.Facts) -> None:
    first = checkup.examine(facts, "row 3 missing from index")[0]
    assert (first.name, first.state, first.sentence) == ("store", "fail", "row 3 missing from index")
