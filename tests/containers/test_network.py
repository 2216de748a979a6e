"""What a container's network reaches: addresses of this test's own, in a name space that stands for the world."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote_runtime.engines import hardening, network
from tests.containers import engine
from tests.containers.conftest import container_of, remote, settings, sh
from tests.kernels import LiveKernel, kernel_of, stop_runtime

WORLD, PRIVATE, LINK_LOCAL = "203.0.113.7", "10.93.7.7", "169.254.93.7"
"""Documentation's addresses, a private one and a link-local one: none of them leaves this machine."""

HERE, THERE = "198.51.100.1", "198.51.100.2"
"""The two ends of the link to it; a machine that uses these addresses itself skips the tests."""

PORT = 8099
SERVER = f"""
import socket
s = socket.create_server(("0.0.0.0", {PORT})); print("up", flush=True)
while True:
    c, _ = s.accept(); c.sendall(b"hello"); c.close()
"""


@pytest.fixture(scope="module")
def world() -> Iterator[None]:
    """A name space behind a link of its own, which listens on all three addresses."""
    if engine.absent() or network.possible():
        pytest.skip(engine.absent() or network.possible())
    taken = sh("ip -4 route show; ip -4 addr show")
    if any(address.rpartition(".")[0] in taken for address in (HERE, WORLD, PRIVATE, LINK_LOCAL)):
        pytest.skip("this machine uses the addresses of these tests itself")
    name = "wc-world"
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    with _space(name):
        command = ["ip", "netns", "exec", name, "python3", "-c", SERVER]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None and server.stdout.readline() == b"up\n"
            yield
            server.kill()


@contextmanager
def _space(name: str) -> Iterator[None]:
    sh(f"ip netns add {name} && ip link add {name} type veth peer name world0 netns {name}")
    try:
        sh(f"ip addr add {HERE}/30 dev {name} && ip link set {name} up")
        inside = [f"ip addr add {address}/32 dev world0" for address in (WORLD, PRIVATE, LINK_LOCAL)]
        inside += [f"ip addr add {THERE}/30 dev world0", "ip link set world0 up", "ip link set lo up", f"ip route add default via {HERE}"]
        sh(" && ".join(f"ip netns exec {name} {line}" for line in inside))
        sh(" && ".join(f"ip route add {address}/32 via {THERE}" for address in (WORLD, PRIVATE, LINK_LOCAL)))
        yield
    finally:
        sh(f"ip netns del {name}; ip link del {name} 2>/dev/null || true")


def heard(kernel: LiveKernel, address: str, port: int) -> str:
    """Return what a cell hears from an address, or the name of the error."""
    return remote(
        kernel,
        "import socket",
        "try:",
        f"    with socket.create_connection(({address!r}, {port}), timeout=2) as c: print(c.recv(9).decode(), end='')",
        "except OSError as error:",
        "    print(type(error).__name__, end='')",
    )


@contextmanager
def listening(address: str) -> Iterator[int]:
    """Listen on an address of this machine; yields the port."""
    with socket.create_server((address, 0)) as server:
        server.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    with server.accept()[0] as found:
                        found.sendall(b"hello")
                except TimeoutError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


def gateway_of(home: Path) -> str:
    """Return the host's own address on the workers' bridge."""
    found = engine.inspect(container_of(home))["NetworkSettings"]["Networks"]
    return next(iter(found.values()))["Gateway"]


def test_the_internet_is_open_and_other_networks_are_closed(world: None, kernel: LiveKernel) -> None:
    for address in (WORLD, PRIVATE, LINK_LOCAL):
        with socket.create_connection((address, PORT), timeout=2) as here:  # from the host all three answer
            assert here.recv(9) == b"hello"
    assert heard(kernel, WORLD, PORT) == "hello"
    assert heard(kernel, PRIVATE, PORT) in ("ConnectionRefusedError", "OSError")
    assert heard(kernel, LINK_LOCAL, PORT) in ("ConnectionRefusedError", "OSError")


def test_the_host_and_with_it_the_gateway_are_closed(world: None, kernel: LiveKernel, home: Path) -> None:
    remote(kernel, "pass")
    address = gateway_of(home)
    with listening(address) as port:
        with socket.create_connection((address, port), timeout=2) as here:
            assert here.recv(9) == b"hello"
        assert heard(kernel, address, port) in ("ConnectionRefusedError", "OSError")
    with listening(HERE) as port:
        assert heard(kernel, HERE, port) in ("ConnectionRefusedError", "OSError")


def test_another_worker_is_closed(world: None, kernel: LiveKernel, home: Path) -> None:
    first = "import socket, threading\nserver = socket.create_server(('0.0.0.0', 8098))\nthreading.Thread(target=server.accept, daemon=True).start()"
    shown = kernel.run(f"%%gpu cpu\n{first}\nprint(socket.gethostbyname(socket.gethostname()))")
    neighbour = shown.text().strip()
    assert ipaddress.ip_address(neighbour) in ipaddress.ip_network("172.16.0.0/12")
    assert heard(kernel, neighbour, 8098) in ("OSError", "TimeoutError", "ConnectionRefusedError")


def test_without_a_network_there_is_none_and_cells_run(tmp_path: Path) -> None:
    if engine.absent():
        pytest.skip(engine.absent())
    options = settings()["WARMCELL_ENGINE_OPTIONS"] + ",network=none"
    try:
        with kernel_of(tmp_path, **settings(WARMCELL_ENGINE_OPTIONS=options)) as kernel:
            assert remote(kernel, "import os", "print(os.listdir('/sys/class/net'))") == "['lo']\n"
            assert heard(kernel, WORLD, PORT) == "OSError"
    finally:
        stop_runtime(tmp_path)
    assert engine.left_by(tmp_path) == []


def test_name_servers_in_a_closed_range_stay_open_for_names_alone() -> None:
    text = "nameserver 169.254.169.254\nnameserver 127.0.0.53\nnameserver fe80::1\nsearch x\n"
    assert network.resolvers(text) == ["169.254.169.254"]
    rules = network.rules(["169.254.0.0/16"], ["169.254.169.254"])
    words = [" ".join(rule) for rule in rules]
    opened = [i for i, rule in enumerate(words) if "--dport 53 -j RETURN" in rule]
    assert max(opened) < words.index("-d 169.254.0.0/16 -j REJECT")


def test_the_listed_ranges_hold_every_private_address() -> None:
    ranges = [ipaddress.ip_network(text) for text in hardening.PRIVATE]
    for address in ("10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "127.0.0.1"):
        assert any(ipaddress.ip_address(address) in one for one in ranges)
