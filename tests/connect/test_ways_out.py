"""Which proxy and which certificates: tables of what the environment says, and where each address leads."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_proxy import outside
from kernel_proxy.discovery import is_behind, route
from kernel_proxy.errors import SettingsError
from kernel_proxy.settings import Settings

NAMES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://gpu.lab", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://gpu.lab/x", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://gpu.lab", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://gpu.lab", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://gpu.lab", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://gpu.lab", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".lab"}, "https://gpu.lab:8000", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, 10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, 10.0.0.0/8"}, "https://11.1.2.3", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "nonsense/8"}, "https://11.1.2.3", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost:8000", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://127.0.0.2:8000", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://[::1]:8000", None),
        ({"ALL_PROXY": "socks5://p:1"}, "https://localhost", None),
    ],
)
def test_which_proxy(environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert outside.proxy_for(url) == proxy


def test_a_proxy_of_another_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://ada:s3cret@p:1")
    with pytest.raises(SettingsError, match="the proxy for gpu.lab is socks5://p:1, and only HTTP proxies are spoken"):
        outside.proxy_for("https://gpu.lab")


@pytest.mark.parametrize(
    ("named", "environment", "bundle"),
    [
        ("", {}, ""),
        ("mine", {"WARMCELL_CA": "a", "SSL_CERT_FILE": "b"}, "mine"),
        ("", {"WARMCELL_CA": "a", "SSL_CERT_FILE": "b", "REQUESTS_CA_BUNDLE": "c"}, "a"),
        ("", {"SSL_CERT_FILE": "b", "REQUESTS_CA_BUNDLE": "c"}, "b"),
        ("", {"REQUESTS_CA_BUNDLE": "c"}, "c"),
    ],
)
def test_which_certificates(named: str, environment: dict[str, str], bundle: str) -> None:
    assert outside.ca_bundle(named, environment) == bundle


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://hub", "https://hub/v1/runtime"),
        ("https://hub/", "https://hub/v1/runtime"),
        ("https://hub/user/x/proxy/8000/", "https://hub/user/x/proxy/8000/v1/runtime"),
        ("https://hub/x?token=a", "https://hub/x/v1/runtime?token=a"),
    ],
)
def test_where_a_route_is(url: str, address: str) -> None:
    assert route(url, "/v1/runtime") == address


@pytest.mark.parametrize(
    ("url", "own", "behind"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", False),
        ("https://gpu.lab:8000/", "https://gpu.lab:8000", False),
        ("https://gpu.lab", "https://0.0.0.0:443", False),
        ("https://gpu.lab", "http://127.0.0.1:8000", True),
        ("http://localhost:9000", "http://127.0.0.1:8000", True),
        ("https://gpu.lab:8000/x/", "https://gpu.lab:8000", True),
        ("https://gpu.lab:8000?token=t", "https://gpu.lab:8000", True),
    ],
)
def test_whether_something_stands_between(url: str, own: str, behind: bool) -> None:
    record: dict[str, Any] = {"http": own}
    assert is_behind(record, Settings(url=url)) == behind


def test_a_proxy_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    assert is_behind({"http": "https://gpu.lab:8000"}, Settings(url="https://gpu.lab:8000"))
