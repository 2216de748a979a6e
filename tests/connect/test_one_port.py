"""A runtime behind one HTTPS port: a real nginx that speaks HTTP/1.1 under a path, proxies on the way out, and words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel_proxy import embedded, statedir, webtunnel
from kernel_proxy.errors import RuntimeUnavailable, Unauthorized
from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.session import Session
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import payload, versions
from tests.client.roads import texts
from tests.client.sweep import sweep
from tests.connect import web
from tests.connect.sshd import until
from tests.kernels import kernel_of
from tests.notebook.conftest import value

pytestmark = pytest.mark.skipif(bool(web.WHY_NOT), reason=web.WHY_NOT)

PREFIX = "/user/ada/proxy/8000/"
RETURNS = pb.Returns(name_limit_bytes=1 << 30, total_limit_bytes=1 << 30)
NUMBERS = "import time\nfor i in range(200):\n    print(i, flush=True)\n    time.sleep(0.01)"
COUNTED = "".join(f"{i}\n" for i in range(200))
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
CAS = ("WARMCELL_CA", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@pytest.fixture(scope="module")
def gateway(place: Path) -> Iterator[statedir.Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(place))
        yield embedded.start(embedded.Launch(place / "state", imports="json"))[0]
    sweep(place)


@pytest.fixture(scope="module")
def front(place: Path, gateway: statedir.Gateway) -> Iterator[str]:
    with web.nginx(place / "nginx", gateway.http, PREFIX) as url:
        yield url


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This client is on another machine, and nobody has set a proxy or a bundle."""
    monkeypatch.setattr(versions, "host_id", lambda: "another machine")
    for name in (*PROXIES, *CAS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def reach(place: Path, gateway: statedir.Gateway, tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """Connect to an address; afterwards every session is released, and no socket is left here."""
    made: list[Runtime] = []

    def run(url: str, **more: str) -> Runtime:
        known = {"token": gateway.token, "home": tmp_path, "ca_file": str(place / "nginx" / "cert.pem"), **more}
        made.append(connect(Settings(url=url, **known)))  # type: ignore[arg-type]
        return made[-1]

    yield run
    for runtime in made:
        runtime.close()
    beside = connect(Settings(home=place / "state"), start=False)
    for info in beside.describe().sessions:
        beside.release(info.session_id, force=True)
    beside.close()
    assert web.sockets_of(statedir.runtime_dir(tmp_path)) == []


def opened(runtime: Runtime) -> Session:
    return runtime.open("cpu", "nb", "nb.ipynb", {})


def printed(session: Session, source: str) -> str:
    return "".join(texts(session.run(pb.Run(source=source, returns=RETURNS))))


def test_everything_goes_through_the_one_port(front: str, reach: Callable[..., Runtime], place: Path) -> None:
    runtime = reach(front)
    session = opened(runtime)
    sent = os.urandom(16 << 20)
    bundle = payload.pack({"sent": sent}, namespace={}).bundle
    assert [e.end.status for e in session.run(pb.Run(source="back = sent[::-1]", returns=RETURNS), bundle)][-1] == "ok"
    assert session.fetch("back") == sent[::-1]
    assert (runtime.http, runtime.is_far, session._attachment._line.same_host) == (front, True, False)
    runtime.close()
    until(lambda: f"GET {PREFIX}v1/tunnel HTTP/1.1" in (place / "nginx" / "access.log").read_text())


def test_the_query_of_an_address_is_kept_and_not_shown(front: str, reach: Callable[..., Runtime], place: Path) -> None:
    runtime = reach(f"{front}/?token=of-the-hub")
    assert runtime.http == f"{front}/" and runtime.describe().pid
    runtime.close()
    until(lambda: f"GET {PREFIX}v1/tunnel?token=of-the-hub" in (place / "nginx" / "access.log").read_text())


@pytest.mark.parametrize("name", CAS)
def test_a_certificate_is_trusted_by_what_the_environment_names(
    name: str, front: str, reach: Callable[..., Runtime], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeUnavailable, match="certificate verify failed"):
        reach(front, ca_file="")
    monkeypatch.setenv(name, str(place / "nginx" / "cert.pem"))
    assert reach(front, ca_file="").describe().pid


def test_a_wrong_token_opens_nothing(front: str, reach: Callable[..., Runtime], place: Path, tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match="does not accept the token"):
        reach(front, token="wrong")
    tunnel = webtunnel.WebTunnel(Settings(url=front, token="wrong", home=tmp_path, ca_file=str(place / "nginx" / "cert.pem")))
    with pytest.raises(Unauthorized, match=f"the runtime at {front} does not accept the token"):
        tunnel.open()
    tunnel.close()


def test_no_line_is_lost_when_connections_are_cut(
    front: str, reach: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web.proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        session = opened(reach(front.replace("localhost", "hub.test")))
        seen: list[pb.Event] = []
        for event in session.run(pb.Run(source=NUMBERS, returns=RETURNS)):
            seen.append(event)
            if len(seen) in (20, 60, 120):
                proxy.hang_up()
        assert "".join(texts(seen)) == COUNTED
        assert [e.end.status for e in seen if e.HasField("end")] == ["ok"]


def test_a_remote_runtime_is_reached_through_the_proxy(
    front: str, reach: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web.proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        url = front.replace("localhost", "hub.test")
        assert printed(opened(reach(url)), "print('far')") == "far\n"
        assert set(proxy.asked) == {f"CONNECT hub.test:{url.split(':')[2].split('/')[0]}"}


def test_this_machine_and_what_is_excepted_are_never_reached_through_it(
    front: str, gateway: statedir.Gateway, reach: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web.proxy() as proxy:
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert printed(opened(reach(front)), "print('near')") == "near\n"
        assert reach(gateway.http).describe().pid
        monkeypatch.setenv("NO_PROXY", "hub.test")
        with pytest.raises(RuntimeUnavailable, match="there is no runtime at https://hub.test"):
            reach(front.replace("localhost", "hub.test"))
        assert proxy.asked == []


def test_a_proxy_that_refuses_is_named_without_its_password(
    front: str, reach: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web.proxy() as proxy:
        proxy.refuse = True
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//ada:s3cret@"))
        with pytest.raises(RuntimeUnavailable, match=f"through the proxy {proxy.url}: .*407.*\nhint: .*NO_PROXY") as caught:
            reach(front.replace("localhost", "hub.test"))
    assert "s3cret" not in str(caught.value)


def test_a_front_that_passes_no_websockets_is_told_in_words(
    gateway: statedir.Gateway, reach: Callable[..., Runtime], place: Path
) -> None:
    with web.nginx(place / "plain", gateway.http, PREFIX, upgrade="") as url:
        words = rf"before {url} lets no websocket through: .*; nor can gRPC at .*\nhint: let it pass `Upgrade` .*{PREFIX}v1/tunnel"
        with pytest.raises(RuntimeUnavailable, match=words):
            reach(url, ca_file=str(place / "plain" / "cert.pem"))


def test_a_grpc_port_that_is_closed_leaves_the_other(gateway: statedir.Gateway, reach: Callable[..., Runtime], place: Path) -> None:
    with web.nginx(place / "bare", gateway.http) as url:
        runtime = reach(url, ca_file=str(place / "bare" / "cert.pem"))
        assert printed(opened(runtime), "print('here')") == "here\n" and runtime.is_far


@pytest.mark.parametrize(("ping_s", "is_kept"), [(0.3, True), (None, False)])
def test_a_silent_connection_outlives_the_patience_of_proxies(
    ping_s: float | None, is_kept: bool, gateway: statedir.Gateway, reach: Callable[..., Runtime], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webtunnel, "PING_S", ping_s)
    with web.nginx(place / f"short-{is_kept}", gateway.http, timeout_s=1) as url:
        session = opened(reach(url, ca_file=str(place / f"short-{is_kept}" / "cert.pem")))
        stream = session._attachment._stream
        assert printed(session, "import time; time.sleep(2.5); print('over')") == "over\n"
        assert (session._attachment._stream is stream) == is_kept


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_a_kernel_of_another_system(platform: str, front: str, gateway: statedir.Gateway, place: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join((str(root / "tests" / "elsewhere"), str(root)))
    told = {"WARMCELL_URL": front, "WARMCELL_TOKEN": gateway.token, "WARMCELL_CA": str(place / "nginx" / "cert.pem")}
    with kernel_of(tmp_path, PRETEND_PLATFORM=platform, PYTHONPATH=paths, **told) as kernel:
        shown = kernel.run("x = 20\n")
        shown = kernel.run("%%gpu cpu\nprint('far away')\ny = x + 1\ny * 2")
        assert (shown.text(), shown.result) == ("far away\n", "42"), shown.traceback
        assert value(kernel, "y") == 21
        assert value(kernel, "get_ipython().run_line_magic('gpu', 'connect').rows[0]") == ("runtime", front)


def test_the_command_line_remembers_an_https_address(front: str, gateway: statedir.Gateway, place: Path, tmp_path: Path) -> None:
    told = {"WARMCELL_TOKEN": gateway.token, "WARMCELL_CA": str(place / "nginx" / "cert.pem"), "WARMCELL_HOME": str(tmp_path)}
    run = lambda *words: subprocess.run(  # noqa: E731
        [sys.executable, "-m", "warmcell", *words], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    done = run("connect", front)
    assert done.stdout.startswith(f"cells run on {front}: Python 3."), done.stderr
    assert f'"pid": {gateway.pid}' in run("status", "--json").stdout
