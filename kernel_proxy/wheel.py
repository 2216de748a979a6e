"""This very installation as a wheel, for a host that has none: the package is nowhere else to be had.

    files of the four packages + what they need -> wheel(name, content, digest)

Its version carries a digest of its content, so that pip sees a changed source as another version.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from kernel_proxy.errors import RuntimeUnavailable
from kernel_proxy.settings import read_toml
from remote_runtime.wire.versions import VERSION

PACKAGES = ("warmcell", "jupyter_ext", "kernel_proxy", "remote_runtime")
_ROOT = Path(__file__).resolve().parents[1]
_TIME = (2020, 1, 1, 0, 0, 0)
_NEEDED = ("Requires-Dist", "Requires-Python")


@dataclass(frozen=True)
class Wheel:
    """A built wheel.

    Args:
        name: Its file name.
        content: Its bytes.
        digest: Of what is in it; the same for the same source.
    """

    name: str
    content: bytes
    digest: str


@lru_cache(maxsize=1)
def digest() -> str:
    """Return the digest of this installation, as hexadecimal digits."""
    found = hashlib.blake2b(digest_size=6)
    for path, content in _contents().items():
        found.update(f"{path}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def build() -> Wheel:
    """Build the wheel.

    Raises:
        RuntimeUnavailable: This installation does not know what it needs.
    """
    version = f"{VERSION}+{digest()}"
    info = f"warmcell-{version}.dist-info"
    files = {**_contents(), **{f"{info}/{name}": text.encode() for name, text in _info(version).items()}}
    record = "".join(f"{path},{_hash(content)},{len(content)}\n" for path, content in files.items())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(zipfile.ZipInfo(path, _TIME), content, zipfile.ZIP_DEFLATED)
    return Wheel(f"warmcell-{version}-py3-none-any.whl", out.getvalue(), digest())


def _contents() -> Mapping[str, bytes]:
    return {path.relative_to(_ROOT).as_posix(): path.read_bytes() for path in _files()}


def _files() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((_ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _info(version: str) -> Mapping[str, str]:
    needs, points = _checkout() or _installation()
    head = ["Metadata-Version: 2.1", "Name: warmcell", f"Version: {version}"]
    return {
        "METADATA": "\n".join([*head, *needs, ""]),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: warmcell\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "".join(f"[{group}]\n" + "\n".join(lines) + "\n\n" for group, lines in points.items()),
    }


def _checkout() -> tuple[list[str], Mapping[str, list[str]]] | None:
    """Return what a source checkout says it needs, and its entry points; an editable install may know less."""
    file = _ROOT / "pyproject.toml"
    if not file.is_file():
        return None
    project = read_toml(file).get("project", {})
    if project.get("name") != "warmcell":
        return None
    points = {"console_scripts": project["scripts"], **project["entry-points"]}
    needs = [f"Requires-Python: {project['requires-python']}"]
    needs += [f"Requires-Dist: {need}" for need in project["dependencies"]]
    return needs, {group: [f"{name} = {value}" for name, value in rows.items()] for group, rows in points.items()}


def _installation() -> tuple[list[str], Mapping[str, list[str]]]:
    try:
        ours = metadata.distribution("warmcell")
    except metadata.PackageNotFoundError:
        message = "this warmcell cannot be brought to a host: it was not installed, so what it needs is not known"
        raise RuntimeUnavailable(message, "install it here with pip, or install it on that host") from None
    points: dict[str, list[str]] = {}
    for point in ours.entry_points:
        points.setdefault(point.group, []).append(f"{point.name} = {point.value}")
    return [f"{key}: {value}" for key in _NEEDED for value in ours.metadata.get_all(key) or ()], points


def _hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
