"""A kernel with another Python gets an image with it, where the machine has that Python; else the table says so."""

from __future__ import annotations

import asyncio
import glob
import os
import subprocess
import sys
from pathlib import Path

import pytest

from remote_runtime.engines.base import EngineSettings
from remote_runtime.engines.building import Context
from remote_runtime.engines.process import ProcessEngine
from remote_runtime.engines.venvs import VenvBuilder
from remote_runtime.gateway import matching
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire import versions
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import Base, ImageSpec, Step
from remote_runtime.wire.specs import OWN, Environment
from tests.gateway import running
from tests.gateway.running import Refused
from tests.images.wheels import OPTIONS, wheel

OTHER = "3.12" if sys.version_info[:2] != (3, 12) else "3.11"


def other_python() -> str:
    """Return an interpreter with another minor version; tests are skipped where there is none."""
    found = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{OTHER}*/bin/python")) + glob.glob(f"/usr/bin/python{OTHER}")
    return found[0] if found else pytest.skip(f"this machine has no Python {OTHER}")


class Engine(ProcessEngine):
    """The process engine on a machine with another Python, which only images are made of."""

    def __init__(self, settings: EngineSettings, python: str) -> None:
        super().__init__(settings)
        self._environments.builder = VenvBuilder(settings.state / "images", lambda minor: python)

    async def admit(self, environment: Environment) -> Environment:
        if environment.python:
            raise Failed("not-found", f"there is no Python {environment.python}")
        return await super().admit(environment)


def kernel(python: str) -> pb.Versions:
    told = pb.Versions()
    told.CopyFrom(versions.here())
    told.python = python
    return told


def test_an_image_with_its_python_is_made_by_itself(tmp_path: Path) -> None:
    engine = Engine(EngineSettings(tmp_path, tmp_path), other_python())
    environment = asyncio.run(matching.admitted(engine, OWN, kernel(f"{OTHER}.1")))
    python = engine.builder.interpreter(environment.image)
    done = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
    assert done.stdout.strip() == OTHER


def test_the_same_python_and_what_was_asked_for_stay(tmp_path: Path) -> None:
    engine = ProcessEngine(EngineSettings(tmp_path, tmp_path))
    assert asyncio.run(matching.admitted(engine, OWN, versions.here())) == OWN
    spec = ImageSpec(Base(python=matching.OWN))
    asyncio.run(engine.builder.build(spec, Context(tmp_path), lambda news: None))
    asked = Environment(image=spec.digest)
    assert asyncio.run(matching.admitted(engine, asked, kernel("3.99.0"))) == asked


def test_where_there_is_none_the_table_says_so_before_anything_runs(tmp_path: Path) -> None:
    gateway = running.start(tmp_path)
    try:
        stub = gateway.channel().unary_stream(
            "/warmcell.v1.Gateway/Open", pb.OpenRequest.SerializeToString, pb.OpenUpdate.FromString
        )
        with pytest.raises(Exception) as refused:
            list(stub(pb.OpenRequest(versions=kernel("3.99.0"), target="cpu", session="s"), metadata=gateway.metadata))
        failure = Refused(refused.value).failure
        assert failure.code == "version-mismatch" and "3.99.0" in failure.message
    finally:
        gateway.stop()
        for channel in gateway.channels:
            channel.close()


def test_packages_are_installed_for_the_other_python(tmp_path: Path) -> None:
    python = other_python()
    wheel(tmp_path / "wheels", "tiny_one")
    builder = VenvBuilder(tmp_path / "images", lambda minor: python)
    step = Step("pip", ("tiny_one",), (*OPTIONS.split(), "--find-links", str(tmp_path / "wheels")))
    built = asyncio.run(builder.build(ImageSpec(Base(python=OTHER), (step,)), Context(tmp_path), lambda news: None))
    words = [builder.interpreter(built.digest), "-c", "import sys, tiny_one; print(tiny_one.VERSION, sys.version_info[1])"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, capture_output=True, text=True, env=clean)
    assert done.stdout.split() == ["1.0", OTHER.split(".")[1]]
