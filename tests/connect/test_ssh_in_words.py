"""Addresses are read, and what ssh and a host say is told in words; nothing here connects."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from kernel_proxy import arrival, ssh, wheel
from kernel_proxy.arrival import MINOR, Survey
from kernel_proxy.errors import DiskFull, RuntimeUnavailable, SettingsError
from kernel_proxy.ssh import Host, Said


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ssh://gpu01", Host("gpu01")),
        ("ssh://ada@GPU01.lab:2222", Host("GPU01.lab", "ada", 2222)),
        ("ssh://ada@10.0.0.7/", Host("10.0.0.7", "ada")),
        ("ssh://[fd00::1]:22", Host("fd00::1", "", 22)),
    ],
)
def test_an_address_is_read(url: str, host: Host) -> None:
    assert ssh.host_of(url) == host
    assert ssh.host_of(host.url) == host


@pytest.mark.parametrize(
    "url",
    [
        "ssh://", "ssh://-oProxyCommand=x", "ssh://a@-x", "ssh://-u@host", "ssh://ada:pw@host", "ssh://host/path",
        "ssh://host:port", "ssh://host name", "ssh://a'b@host", "ssh://host?x=1", "http://host",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read\nhint: write it as ssh://"):
        ssh.host_of(url)


def test_a_destination_never_becomes_an_option() -> None:
    words = ssh.Ssh(Host("gpu01", "ada", 2222), "ssh -F 'my file'", "/tmp/c").command("true")
    assert words[:3] == ["ssh", "-F", "my file"]
    assert words[-5:] == ["-p", "2222", "--", "ada@gpu01", "true"]


@pytest.mark.parametrize(
    ("err", "words"),
    [
        ("Host key verification failed.", "host key of gpu01 is not known.*\nhint: run `warmcell connect ssh://ada@gpu01`"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "another one than before"),
        ("ada@gpu01: Permission denied (publickey).", r"does not let ada in: .*publickey\)\nhint: add your key"),
        ("ssh: Could not resolve hostname gpu01: Name or service not known", "there is no host gpu01"),
        ("ssh: connect to host gpu01 port 22: Connection refused", "no SSH server answers at gpu01"),
        ("ssh: connect to host gpu01 port 22: Connection timed out", "cannot be reached"),
        ("kex_exchange_identification: Connection closed by remote host", "gpu01 closed the connection"),
        ("/x/config: line 1: Bad configuration option: nonsense", "configuration of ssh cannot be used"),
        ("what nobody thought of", "ended with code 255: what nobody thought of\nhint: try `ssh ada@gpu01`"),
        ("", "ended with code 255\nhint"),
    ],
)
def test_what_ssh_says(err: str, words: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=words):
        raise ssh.failed(Host("gpu01", "ada"), Said(255, "", err))


def test_a_call_that_takes_too_long_is_ended() -> None:
    said = ssh.call([sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"], 0.5)
    assert said.code is None
    assert "did not answer in time" in str(ssh.failed(Host("gpu01"), said))


def test_a_program_that_does_not_read_its_input_is_no_accident() -> None:
    assert ssh.call([sys.executable, "-c", "print('no')"], 30, b"x" * (1 << 20)).out == "no\n"


def test_ssh_that_is_not_installed() -> None:
    with pytest.raises(RuntimeUnavailable, match="`/no/ssh` is not installed on this machine\nhint: install OpenSSH"):
        ssh.call(["/no/ssh"], 5)


def test_what_is_held_goes_on_without_the_terminal_of_the_kernel(tmp_path: Path) -> None:
    script = f"import os; open({str(tmp_path / 'sid')!r}, 'w').write(str(os.getsid(0)))"
    assert ssh.hold([sys.executable, "-c", script], 30).code == 0
    assert int((tmp_path / "sid").read_text()) != os.getsid(0)
    assert signal.getsignal(signal.SIGINT) is not None


@pytest.mark.parametrize(
    ("survey", "found"),
    [
        (Survey("/h", ((MINOR, "/usr/bin/p"),)), ("venv", "/usr/bin/p")),
        (Survey("/h", (("3.5", "/usr/bin/q"), (MINOR, "/usr/bin/p"))), ("venv", "/usr/bin/p")),
        (Survey("/h", ((MINOR, "/usr/bin/p"),), "/uv"), ("uv", "/usr/bin/p")),
        (Survey("/h", (("3.5", "/usr/bin/q"),), "/uv"), ("uv", MINOR)),
        (Survey("/h", (), "/uv"), ("uv", MINOR)),
    ],
)
def test_how_an_environment_is_made(survey: Survey, found: tuple[str, str]) -> None:
    assert arrival.method(survey, "gpu01") == found


@pytest.mark.parametrize(
    ("pythons", "words"),
    [
        ((), "there is no Python on gpu01\nhint: install python"),
        ((("3.5", "/a"), ("2.7", "/b")), f"gpu01 has Python 2.7, 3.5, and this kernel runs {MINOR}: values need the same"),
    ],
)
def test_a_host_on_which_none_can_be_made(pythons: tuple[tuple[str, str], ...], words: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=words):
        arrival.method(Survey("/h", pythons), "gpu01")


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("OSError: [Errno 28] No space left on device", DiskFull, "the disk of gpu01 is full.*\nhint: make room there"),
        ("The virtual environment was not created because ensurepip is not available", RuntimeUnavailable, "-venv"),
        ("ERROR: No matching distribution found for grpcio", RuntimeUnavailable, "cannot get the packages"),
        ("cat: /h/x: Permission denied", RuntimeUnavailable, "does not let files be written"),
        ("what nobody thought of", RuntimeUnavailable, "cannot be installed on gpu01: what nobody thought of"),
    ],
)
def test_what_a_host_says_while_installing(line: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        raise arrival._failed("gpu01", Said(1, "", f"noise\n{line}\n"))


def test_a_survey_is_read_among_what_an_account_prints() -> None:
    out = f"Welcome!\n{arrival.LACKS} python 3.9 /opt/my python\n{arrival.LACKS} uv - /uv\n{arrival.LACKS} base - /h/.warmcell\n"
    assert arrival.survey_of(out) == Survey("/h/.warmcell", (("3.9", "/opt/my python"),), "/uv")
    assert arrival.survey_of("Welcome!\n") is None


def test_the_same_source_is_the_same_wheel() -> None:
    assert wheel.build() == wheel.build()
