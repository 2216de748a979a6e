"""What stands between a client and a runtime: a real nginx with TLS, and a proxy for those who may not go out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.connect.sshd import await_port, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or ""
WHY_NOT = "" if NGINX and shutil.which("openssl") else "needs nginx and openssl: run tests/rigs/nginx.sh"

UPGRADE = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'


def certificate(directory: Path) -> Path:
    """Make a certificate for localhost; its key lies beside it."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:hub.test,IP:127.0.0.1"]
    subprocess.run([*words, *names, "-out", cert, "-keyout", key], check=True, capture_output=True)
    return cert


@contextmanager
def nginx(directory: Path, gateway: str, prefix: str = "/", upgrade: str = UPGRADE, timeout_s: int = 60) -> Iterator[str]:
    """Serve a gateway's HTTP address behind TLS and a path, by HTTP/1.1 alone; yields the address for clients."""
    directory.mkdir(exist_ok=True)
    certificate(directory)
    port = free_port()
    (directory / "nginx.conf").write_text(
        f"""
        daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log info;
        events {{}}
        http {{
            access_log {directory}/access.log;
            client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
            server {{
                listen 127.0.0.1:{port} ssl;
                ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;
                location {prefix} {{
                    proxy_pass {gateway}/; proxy_http_version 1.1; proxy_read_timeout {timeout_s}s; {upgrade}
                }}
            }}
        }}
        """
    )
    process = subprocess.Popen([NGINX, "-c", str(directory / "nginx.conf"), "-p", str(directory)], stderr=subprocess.DEVNULL)
    try:
        await_port(port)
        yield f"https://localhost:{port}{prefix.rstrip('/')}"
    finally:
        process.terminate()
        process.wait()


@dataclass
class Proxy:
    """An HTTP proxy that knows CONNECT, and leads every name to this machine."""

    listening: socket.socket
    asked: list[str] = field(default_factory=list)
    refuse: bool = False
    cut: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listening.accept()
                self.cut.append(near)
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(1)
            method, where, _ = head.decode().split(" ", 2)
            self.asked.append(f"{method} {where}")
            if self.refuse or method != "CONNECT":
                near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2]))) as far:
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(far, near), daemon=True)
                back.start()
                pump(near, far)
                back.join()

    def hang_up(self) -> None:
        """Cut every connection."""
        for near in self.cut:
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
        self.cut.clear()


def pump(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            to.sendall(piece)
    with suppress(OSError):
        to.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy() -> Iterator[Proxy]:
    made = Proxy(socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        with suppress(OSError):
            made.listening.shutdown(socket.SHUT_RDWR)
        made.listening.close()
        made.hang_up()
        thread.join()


def sockets_of(directory: Path) -> list[str]:
    """The sockets that web tunnels of clients have left."""
    return [name for name in os.listdir(directory) if name.startswith("w")] if directory.exists() else []
