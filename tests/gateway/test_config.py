from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from remote_runtime.gateway.config import Config, check, is_loopback, parse
from remote_runtime.wire.failures import Failed

MUST = ["--state", "s", "--runtime-dir", "/tmp/r"]


def test_defaults_and_paths() -> None:
    config = parse(MUST)
    assert config == Config(Path("s").absolute(), Path("/tmp/r"))
    assert config.imports == ("numpy", "pandas", "torch")


def test_every_word_is_read() -> None:
    config = parse([*MUST, "--simulate", "A100:2", "--imports", " numpy , ", "--idle-exit-s", "0", "--max-workers", "3", "--ready-fd", "7"])
    assert (config.simulate, config.imports, config.idle_exit_s) == ("A100:2", ("numpy",), 0.0)
    assert (config.max_workers, config.ready_fd) == (3, 7)


@pytest.mark.parametrize("words", [["--min-warm", "-1"], ["--idle-exit-s", "inf"], ["--idle-exit-s", "x"], ["--unknown"]])
def test_words_that_cannot_be_read_end_with_code_2(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse([*MUST, *words])
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_what_is_loopback(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
    config = Config(Path("/s"), Path("/r"), host=host)
    assert check(config) is config
    assert config.own_tls is not is_one
    assert not replace(config, tls_cert="/c", tls_key="/k").own_tls


def test_half_a_certificate_is_refused() -> None:
    with pytest.raises(Failed, match="only one of --tls-cert and --tls-key"):
        check(Config(Path("/s"), Path("/r"), host="0.0.0.0", tls_cert="/c"))


def test_the_token_and_the_key_are_not_shown() -> None:
    assert "key.pem" not in repr(Config(Path("/s"), Path("/r"), tls_key="key.pem"))
