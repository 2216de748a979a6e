"""Small packages made on the spot, and a registry that asks for a password."""

from __future__ import annotations

import base64
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPTIONS = "--no-index --no-deps"
"""Words for pip: nothing but what a folder of the test holds."""


def wheel(folder: Path, name: str, version: str = "1.0", source: str = "") -> Path:
    """Write a wheel with one module."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source or f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


@contextmanager
def registry(folder: Path, user: str, password: str) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder of wheels as an index, to whoever shows the password; yields its host and the paths it served."""
    shown = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    served: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != shown:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.end_headers()
                return
            served.append(self.path)
            name = self.path.strip("/").split("/")[-1]
            file = folder / name
            if file.is_file():
                body, kind = file.read_bytes(), "application/octet-stream"
            else:
                found = [p.name for p in folder.glob("*.whl") if p.name.startswith(f"{name.replace('-', '_')}-")]
                body = "".join(f'<a href="/files/{each}">{each}</a>' for each in found).encode()
                kind = "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
