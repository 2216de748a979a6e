"""What a session asks for, in real containers: images, directories of the host, volumes, no network, another Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runtime.engines import hardening
from tests.containers import engine
from tests.containers.conftest import container_of, remote, settings
from tests.images.wheels import OPTIONS, wheel
from tests.kernels import LiveKernel, kernel_of, stop_runtime
from tests.worlds.conftest import listed


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Two directories that the admin lists: `in` to be read, `out` to be written too."""
    folder = Path(tempfile.mkdtemp(prefix="wc-data"))
    folder.chmod(0o755)
    for name in ("in", "out"):  # on the host anybody may write both
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    (folder / "in" / "rows.csv").write_text("1,2,3")
    (folder / "in" / "rows.csv").chmod(0o666)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Path]:
    """A runtime of these tests' own; when it was stopped, nothing is left but the worker's image."""
    if engine.absent():
        pytest.skip(engine.absent())
    directory = tmp_path_factory.mktemp("environments")
    listed(directory, ro=str(data / "in"), rw=str(data / "out"))
    before, images = engine.shared(), tags()
    yield directory
    stop_runtime(directory)
    assert engine.left_by(directory) == []
    assert engine.shared() <= before
    for tag in tags() - images:
        engine.docker("rmi", "-f", tag)


def tags() -> set[str]:
    """Return the names of the images that gateways have built."""
    found = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    return {tag for tag in found if tag.startswith("warmcell-image")}


@pytest.fixture(scope="module")
def kernel(own: Path) -> Iterator[LiveKernel]:
    with kernel_of(own, **settings()) as live:
        live.run("from warmcell import Image, Volume\nslim = Image.debian_slim()")
        yield live


def use(kernel: LiveKernel, words: str) -> str:
    """Choose where cells run and return what is told of it."""
    shown = kernel.run(f"%gpu use {words}", 180)
    assert shown.status == "ok", shown.traceback
    return shown.result


def stop(kernel: LiveKernel) -> None:
    """End the session that the last cell ran in."""
    shown = kernel.run("%gpu stop", 60)
    assert shown.status == "ok", shown.traceback


def tried(kernel: LiveKernel, statement: str) -> str:
    """Run a statement in the container and return the name of its error, "" where it was done."""
    return remote(kernel, "import errno", "try:", f"    {statement}", "except OSError as e:", "    print(errno.errorcode[e.errno], end='')")


def test_a_package_of_an_image_is_there_and_the_own_image_stays_as_it_was(kernel: LiveKernel, own: Path, tmp_path: Path) -> None:
    wheel(tmp_path, "tiny_inside")
    kernel.run(
        f"tiny = slim.pip_install('tiny_inside', extra_options='{OPTIONS} --find-links {tmp_path}')"
        ".env({'MARK': 'of the image', 'PYTHONPATH': '/opt/more'})"
    )
    assert "tiny (" in use(kernel, "--reset --image tiny --session imaged")
    probe = ("import importlib.util, os, sys", "print(bool(importlib.util.find_spec('tiny_inside')), os.environ.get('MARK'), '/opt/more' in sys.path)")
    assert remote(kernel, *probe) == "True of the image True\n"
    imaged = engine.inspect(container_of(own))
    assert imaged["Config"]["Image"].startswith("warmcell-image-")
    assert (imaged["HostConfig"]["ReadonlyRootfs"], imaged["HostConfig"]["CapDrop"]) == (True, ["ALL"])
    use(kernel, "--reset --session plain")
    assert remote(kernel, *probe) == "False None False\n"
    use(kernel, "--reset --image tiny --session imaged")
    assert remote(kernel, *probe) == "True of the image True\n"
    stop(kernel)


def test_files_of_an_image_are_the_session_s_to_change_also_in_a_directory_that_was_there(kernel: LiveKernel, tmp_path: Path) -> None:
    (tmp_path / "conf.txt").write_text("from the image")
    use(kernel, "--reset --session furnished")
    remote(kernel, "open('mine.txt', 'w').write('kept')")
    stop(kernel)
    kernel.run(f"filed = slim.add_local_file({str(tmp_path / 'conf.txt')!r}, 'deep/conf.txt', copy=True)")
    use(kernel, "--reset --image filed --session furnished")
    assert remote(kernel, "print(open('deep/conf.txt').read(), open('mine.txt').read())") == "from the image kept\n"
    assert tried(kernel, "open('deep/conf.txt', 'a').write('!'); open('deep/new', 'w').close()") == ""
    stop(kernel)


def test_a_mount_is_read_only_unless_it_is_listed_and_asked_for_to_be_written(kernel: LiveKernel, data: Path) -> None:
    told = use(kernel, f"--reset --mount {data}/in:inputs --mount {data}/out:/data/out --mount {data}/out:seen:ro --session mounted")
    assert "cannot hold that" not in told
    assert remote(kernel, "print(open('inputs/rows.csv').read())") == "1,2,3\n"
    for path in ("inputs/new", "inputs/rows.csv", "seen/new"):
        assert tried(kernel, f"open({path!r}, 'a').write('x')") == "EROFS"
    assert tried(kernel, "open('/data/out/result', 'w').write('written')") == ""
    assert (data / "out" / "result").read_text() == "written"
    assert (data / "out" / "result").stat().st_uid == hardening.user()
    assert sorted(path.name for path in (data / "in").iterdir()) == ["rows.csv"]
    stop(kernel)


def test_files_of_a_mount_are_listed_and_fetched_and_not_sent_where_it_is_read_only(kernel: LiveKernel, data: Path, tmp_path: Path) -> None:
    use(kernel, f"--reset --mount {data}/in:inputs --session mounted")
    remote(kernel, "pass")
    assert "rows.csv" in kernel.run("%gpu ls inputs").result
    kernel.run(f"%gpu download inputs/rows.csv {tmp_path}/back.csv")
    assert (tmp_path / "back.csv").read_text() == "1,2,3"
    (tmp_path / "up.txt").write_text("x")
    assert "may only read" in kernel.run(f"%gpu upload {tmp_path}/up.txt inputs/up.txt").error["evalue"]
    stop(kernel)


def test_two_sessions_share_a_volume_that_outlives_them(kernel: LiveKernel) -> None:
    kernel.run("made = Volume.from_name('models', create_if_missing=True)")
    use(kernel, "--reset --volume models --session first")
    assert tried(kernel, "open('models/a', 'w').write('one')") == ""
    use(kernel, "--reset --volume models:/data/weights --session second")
    assert remote(kernel, "print(open('/data/weights/a').read())") == "one\n"
    assert tried(kernel, "open('/data/weights/b', 'w').write('two')") == ""
    stop(kernel)
    use(kernel, "--reset --volume models --session first")
    assert remote(kernel, "print(open('models/b').read())") == "two\n"
    stop(kernel)
    assert kernel.run("sorted(e.path for e in made.listdir())", 120).result == "[b'a', b'b']"


def test_a_session_without_network_has_none_beside_one_that_has(kernel: LiveKernel) -> None:
    interfaces = ("import os", "print(sorted(os.listdir('/sys/class/net')))")
    use(kernel, "--reset --block-network --session quiet")
    assert remote(kernel, *interfaces) == "['lo']\n"
    assert tried(kernel, "import socket; socket.create_connection(('203.0.113.7', 80), timeout=2)") == "ENETUNREACH"
    use(kernel, "--reset --session loud")
    assert len(remote(kernel, *interfaces).split(",")) > 1
    stop(kernel)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--python conda:base", "a container has its own Python"),
        (f"--python {sys.executable}", "a container has its own Python"),
        ("--python venv:/srv/env", "a container has its own Python"),
        ("--python 3.99", "there is no container with Python 3.99 here: there is no image for python '3.99'"),
        ("--mount {data}/in:/opt/warmcell", "a worker's container needs its own /opt/warmcell"),
        ("--mount /etc", "does not offer the directory /etc"),
    ],
)
def test_what_no_container_can_be_is_refused_in_words(kernel: LiveKernel, data: Path, words: str, what: str) -> None:
    shown = kernel.run(f"%gpu use --reset {words.format(data=data)}")
    assert what in shown.error["evalue"] and "\nhint: " in shown.error["evalue"]
    kernel.run("%gpu use --reset")


def test_the_runtime_s_own_python_by_its_version_is_its_own_image(kernel: LiveKernel, own: Path) -> None:
    use(kernel, f"--reset --python {sys.version_info[0]}.{sys.version_info[1]} --session versioned")
    assert remote(kernel, "import sys", "print(*sys.version_info[:2])").split() == [str(n) for n in sys.version_info[:2]]
    assert engine.inspect(container_of(own))["Config"]["Image"].startswith("warmcell-worker:")
    stop(kernel)


def test_a_link_that_a_cell_puts_in_the_way_of_a_volume_is_not_followed(kernel: LiveKernel, data: Path) -> None:
    kernel.run("Volume.from_name('models', create_if_missing=True)")
    use(kernel, "--reset --session trap")
    remote(kernel, "import os", f"os.symlink({str(data / 'out')!r}, 'way')")
    stop(kernel)
    kernel.run("%gpu use --reset --volume models:way/planted --session trap")
    shown = kernel.run("%%gpu\n1", 90)
    assert "a link is in the way" in shown.traceback
    assert not os.path.lexists(data / "out" / "planted")
    kernel.run("%gpu use --reset")


def test_a_gateway_that_comes_later_adopts_a_worker_of_an_image(kernel: LiveKernel, own: Path) -> None:
    kernel.run("Volume.from_name('models', create_if_missing=True)\nmarked = slim.env({'MARK': 'adopted'})")
    use(kernel, "--reset --image marked --volume models --block-network --session kept")
    remote(kernel, "import os", "held = os.environ['MARK']")
    before = container_of(own)
    os.kill(json.loads((own / "gateway.json").read_text())["pid"], signal.SIGKILL)
    use(kernel, "--reset --session other")
    remote(kernel, "pass")
    use(kernel, "--reset --image marked --volume models --block-network --session kept")
    assert remote(kernel, "print(held, os.path.isdir('models'))") == "adopted True\n"
    assert before in engine.containers(own)
    stop(kernel)


def test_a_worker_leaves_no_link_and_no_mount_on_the_host(kernel: LiveKernel, own: Path, data: Path) -> None:
    use(kernel, f"--reset --mount {data}/out:deep/out --session tidy")
    assert tried(kernel, "open('deep/out/x', 'w').close(); open('mine', 'w').close()") == ""
    stop(kernel)
    (files,) = own.glob("**/sessions/tidy-*/files")
    assert sorted(str(path.relative_to(files)) for path in files.rglob("*")) == ["mine"]
    assert str(data) not in subprocess.run(["cat", "/proc/self/mounts"], capture_output=True, text=True, check=True).stdout
