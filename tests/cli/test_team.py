"""Two users on one runtime, as they go about it: `user`, `login`, `logout`, from one shell to another."""

from __future__ import annotations

import json
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy import trust
from kernel_proxy.errors import NotFound, SettingsError, Unauthorized
from kernel_proxy.runtime import connect
from kernel_proxy.settings import load_settings
from tests.cli.conftest import Shell
from tests.client.sweep import sweep

HOST = socket.gethostname()


@pytest.fixture(scope="module")
def server() -> Iterator[Shell]:
    """A team's runtime, with TLS of its own."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        shell = Shell(Path(directory) / "state")
        shell.more["line"] = json.dumps(shell.json("up", "--host", "0.0.0.0"))
        yield shell
        shell("down", "--force")
        sweep(directory)


@pytest.fixture
def line(server: Shell) -> dict[str, str]:
    found = json.loads(server.more["line"])
    return {**found, "https": f"https://localhost:{found['http'].rpartition(':')[2]}"}


@pytest.fixture
def laptop(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")


def typed(shell: Shell, text: str, *words: str) -> tuple[int, str, str]:
    process = shell.start(*words, stdin=-1)
    out, err = process.communicate(text, timeout=60)
    return process.returncode, out, err


def log_in(server: Shell, laptop: Shell, line: dict[str, str], name: str, *scopes: str) -> str:
    token = server.json("user", "add", name, *(w for s in scopes for w in ("--scope", s)))["token"]
    done = typed(laptop, token, "login", line["https"], "--token-stdin", "--fingerprint", line["fingerprint"])
    assert done[0] == 0, done[2]
    assert f"as {name} (" in done[1]
    return token


def test_up_tells_what_others_need(server: Shell, line: dict[str, str]) -> None:
    assert line["fingerprint"] == trust.fingerprint(Path(line["ca"]).read_text())
    again = server("up").stdout
    assert f"warmcell login https://{HOST}:" in again and line["fingerprint"] in again


def test_a_user_logs_in_and_sees_the_own_sessions_alone(server: Shell, laptop: Shell, line: dict[str, str]) -> None:
    log_in(server, laptop, line, "ana")
    settings = load_settings({"home": laptop.home}, {}, [])
    assert (settings.url, settings.embedded) == (line["https"], False)
    here, there = connect(settings), connect(load_settings({"home": server.home}, {}, []), start=False)
    here.open("cpu", "team", "", {}), there.open("cpu", "team", "", {})
    assert [s["user"] for s in laptop.json("ps")["sessions"]] == ["ana"]
    assert len(server.json("ps")["sessions"]) == 2
    assert "USER" in server("ps").stdout and "USER" not in laptop("ps").stdout
    here.release("team")
    with pytest.raises(NotFound):
        here.release("team")
    there.release("team"), here.close(), there.close()


def test_files_of_a_login_are_private_and_go_with_it(server: Shell, laptop: Shell, line: dict[str, str]) -> None:
    token = log_in(server, laptop, line, "bob")
    files = [path for path in laptop.home.rglob("*") if path.is_file()]
    assert len(files) == 2 and {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert laptop("logout").stdout.startswith(f"logged out of {line['https']}")
    assert not any(token in path.read_text() for path in laptop.home.rglob("*") if path.is_file())
    assert not list((laptop.home / "ca").iterdir())
    assert laptop("logout").stdout == "not logged in to a runtime\n"
    assert load_settings({"home": laptop.home}, {}, []).embedded


def test_a_token_goes_to_its_own_address_only(server: Shell, laptop: Shell, line: dict[str, str]) -> None:
    token = log_in(server, laptop, line, "cleo")
    home = {"home": laptop.home}
    assert load_settings(home, {}, []).token == token
    assert load_settings({**home, "url": line["https"] + "/"}, {}, []).token == token
    for environment in ({"WARMCELL_URL": "https://elsewhere:1"}, {"WARMCELL_URL": line["https"] + "0"}):
        other = load_settings(home, environment, [])
        assert (other.url, other.token, other.ca_file) == (environment["WARMCELL_URL"], "", "")
    assert load_settings({**home, "url": ""}, {}, []).embedded
    assert load_settings(home, {"WARMCELL_TOKEN": "given"}, []).token == "given"


@pytest.mark.parametrize("words", ["none", "another"])
def test_an_authority_that_nobody_has_compared_gets_no_token(server: Shell, laptop: Shell, line: dict[str, str], words: str) -> None:
    more = ["--fingerprint", "AB:" * 31 + "AB"] if words == "another" else []
    code, _, err = typed(laptop, "wc_12345678_x", "login", line["https"], "--token-stdin", *more)
    assert code == 1 and line["fingerprint"] in err and "hint: " in err
    assert not laptop.home.exists()


def test_a_file_is_as_good_as_a_fingerprint(server: Shell, laptop: Shell, line: dict[str, str]) -> None:
    code, out, err = typed(laptop, line["token"], "login", line["https"], "--token-stdin", "--ca", line["ca"], "--json")
    assert code == 0, err
    assert json.loads(out)["scopes"] == ["admin"]
    assert laptop.json("user", "list")["tokens"]  # an admin needs no shell on the server


@pytest.mark.parametrize("token", ["", "wrong", "wc_00000000_x", "\x00"])
def test_a_wrong_token_is_not_stored(server: Shell, laptop: Shell, line: dict[str, str], token: str) -> None:
    code, _, err = typed(laptop, token, "login", line["https"], "--token-stdin", "--ca", line["ca"])
    assert code == 1 and "token" in err and "hint: " in err
    assert not [path for path in laptop.home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("url", ["gpu01", "ftp://gpu01", "http://gpu01:80", "https://127.0.0.1:1", "https://"])
def test_addresses_that_will_not_do(laptop: Shell, url: str) -> None:
    code, _, err = typed(laptop, "t", "login", url, "--token-stdin")
    assert code == 1 and "hint: " in err and "Traceback" not in err


def test_a_name_that_the_certificate_is_not_for(server: Shell, laptop: Shell, line: dict[str, str]) -> None:
    url = line["https"].replace("localhost", "127.9.9.9")
    code, _, err = typed(laptop, line["token"], "login", url, "--token-stdin", "--ca", line["ca"])
    assert code == 1 and "is not for this address" in err and "--tls-name" in err


def test_asked_on_a_terminal_the_user_decides(line: dict[str, str], tmp_path: Path) -> None:
    asked: list[str] = []
    with pytest.raises(SettingsError, match="is not trusted, and nothing was sent"):
        trust.authority(line["https"], tmp_path, "", "", lambda found: bool(asked.append(found)))
    assert asked == [line["fingerprint"]]
    kept = trust.authority(line["https"], tmp_path, "", "", lambda found: True)
    assert Path(kept).read_bytes() == Path(line["ca"]).read_bytes()


def test_a_machine_that_trusts_it_keeps_nothing(line: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", line["ca"])
    assert ssl.create_default_context().get_ca_certs()
    assert trust.authority(line["https"], tmp_path, "", "", lambda found: False) == ""


def test_revoking_by_name_by_id_and_what_it_says(server: Shell, laptop: Shell, line: dict[str, str]) -> None:
    log_in(server, laptop, line, "dan")
    second = server.json("user", "token", "dan", "--expires", "2h")
    assert server("user", "revoke", second["token_id"]).stdout == f"1 token revoked: {second['token_id']}\n"
    assert laptop("status").returncode == 0
    assert "1 token revoked: wc_" in server("user", "revoke", "dan").stdout
    done = laptop("status")
    assert done.returncode == 1 and "expired or revoked" in done.stderr and "warmcell login" in done.stderr
    listed = server("user", "list", "--all").stdout
    assert listed.count("dan ") == 2 and listed.count("revoked 2") >= 2
    assert "dan " not in server("user", "list").stdout
    with pytest.raises(Unauthorized):
        connect(load_settings({"home": laptop.home}, {}, []))


def test_a_user_is_no_admin(server: Shell, laptop: Shell, line: dict[str, str]) -> None:
    log_in(server, laptop, line, "eve", "run", "publish")
    for words in (("user", "add", "friend"), ("user", "list"), ("user", "revoke", "ana")):
        done = laptop(*words)
        assert done.returncode == 1 and "needs a token with the scope admin" in done.stderr
        assert "hint: ask an admin" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "root friend"), "cannot be a user's name"),
        (("token", "nobody"), "there is no user or token nobody"),
        (("revoke", "nobody"), "there is no user or token nobody"),
        (("revoke", "wc_00000000"), "there is no user or token wc_00000000"),
        (("add", "x", "--expires", "soon"), "'soon' is no duration"),
        (("add", "x", "--expires", "0d"), "'0d' is no duration"),
        (("add", "x", "--scope", "root"), "'root' is not one of"),
    ],
)
def test_mistakes_are_said_running_or_not(server: Shell, warmcell: Shell, words: tuple[str, ...], said: str) -> None:
    for shell in (server, warmcell):
        done = shell("user", *words)
        assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr


def test_users_are_added_before_the_first_start(warmcell: Shell) -> None:
    token = warmcell.json("user", "add", "ana", "--expires", "30d")["token"]
    assert warmcell.gateway is None
    line = warmcell.json("up")
    away = Shell(warmcell.home.parent / "elsewhere", {"WARMCELL_URL": line["http"], "WARMCELL_TOKEN": token})
    assert away.json("status")["caller"]["user"] == "ana"
    assert "ana" in warmcell("user", "list").stdout
    warmcell("down")
