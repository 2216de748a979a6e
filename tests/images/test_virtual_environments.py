"""What the process engine makes of a spec: real environments, made by real pip."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy.image import Image
from kernel_proxy.statedir import start_ticks
from remote_runtime.engines import installers
from remote_runtime.engines.building import Built, Context, Login, StepBegun
from remote_runtime.engines.venvs import VenvBuilder
from remote_runtime.wire.failures import Failed
from tests.images.wheels import OPTIONS, registry, wheel
from tests.worker.keeper.link import until

SLIM = Image.debian_slim()


class Workshop:
    """A builder, and what its builds have said."""

    def __init__(self, root: Path, host: dict[str, str] | None = None) -> None:
        self.root, self.said = root, []
        self.builder = VenvBuilder(root / "images", lambda minor: sys.executable, host)

    def build(self, image: Image) -> Built:
        return asyncio.run(self.building(image))

    async def building(self, image: Image) -> Built:
        plan = image.plan()
        files = self.root / "files"
        files.mkdir(exist_ok=True)
        for digest, source in plan.sources.items():
            (files / digest).write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        logins = tuple(Login(login.host, login.user, login.password) for login in plan.logins)
        return await self.builder.build(plan.spec, Context(files, plan.secrets, logins), self.said.append)

    def run(self, built: Built, code: str) -> str:
        words = [self.builder.interpreter(built.digest), "-c", code]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(words, capture_output=True, text=True, check=True, env=clean).stdout.strip()

    @property
    def steps(self) -> list[tuple[int, bool]]:
        return [(news.number, news.reused) for news in self.said if isinstance(news, StepBegun)]

    @property
    def lines(self) -> str:
        return "\n".join(news for news in self.said if isinstance(news, str))

    @property
    def layers(self) -> list[Path]:
        return sorted((self.root / "images/layers").iterdir())


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "tiny_one")
    wheel(folder, "tiny_two")
    wheel(folder, "tiny_two", "2.0")
    return folder


def packages(wheels: Path, *names: str, on: Image = SLIM, how: str = "pip_install") -> Image:
    return getattr(on, how)(*names, find_links=str(wheels), extra_options=OPTIONS)


def test_packages_files_variables_commands_and_functions(shop: Workshop, wheels: Path, tmp_path: Path) -> None:
    def leave(text: str) -> None:
        import tiny_one

        open("made.txt", "w").write(text + tiny_one.VERSION)

    (tmp_path / "here.txt").write_text("from here")
    image = (
        packages(wheels, "tiny_one").env({"GREETING": "hello"}).add_local_file(tmp_path / "here.txt", "in/there.txt")
        .workdir("in").run_commands('echo "$GREETING $(cat there.txt)" > said.txt').run_function(leave, args=("v",))
    )  # fmt: skip
    built = shop.build(image)
    assert shop.run(built, "import tiny_one, os; print(tiny_one.VERSION, os.environ['GREETING'])") == "1.0 hello"
    session = tmp_path / "session"
    session.mkdir()
    shop.builder.furnish(built.digest, session)
    assert (session / "in/said.txt").read_text() == "hello from here\n"
    assert (session / "in/made.txt").read_text() == "v1.0"


def test_what_the_image_does_not_name_is_the_runtimes_own(shop: Workshop) -> None:
    import cloudpickle

    built = shop.build(SLIM)
    assert shop.run(built, "import cloudpickle; print(cloudpickle.__file__)") == cloudpickle.__file__
    assert shop.run(built, "import sys; print(sys.prefix)") == str(shop.layers[0])


def test_layers_are_made_once(shop: Workshop, wheels: Path) -> None:
    one = packages(wheels, "tiny_one")
    first = shop.build(one)
    stamps = {path: (path / "layer.json").stat().st_mtime_ns for path in shop.layers}
    shop.said.clear()
    again = shop.build(one.env({"A": "1"}))
    assert shop.steps == [(1, True), (2, False)]
    assert {path: (path / "layer.json").stat().st_mtime_ns for path in stamps} == stamps
    assert asyncio.run(shop.builder.find(again.digest)) and first.digest != again.digest


def test_two_images_that_begin_alike_make_what_they_share_once(shop: Workshop, tmp_path: Path) -> None:
    shared = SLIM.run_commands(f"echo made >> {tmp_path}/count; sleep 0.2; echo x > here")

    async def both() -> list[Built]:
        return await asyncio.gather(*(shop.building(shared.run_commands(f"cat here; echo {n}")) for n in "ab"))

    built = asyncio.run(both())
    assert (tmp_path / "count").read_text() == "made\n" and len({each.digest for each in built}) == 2


def test_a_step_that_fails_is_named_with_its_last_lines_and_leaves_nothing(shop: Workshop) -> None:
    image = SLIM.env({"A": "1"}).run_commands("echo before", "echo the reason >&2; exit 7")
    with pytest.raises(Failed) as failed:
        shop.build(image)
    assert failed.value.code == "image"
    assert "step 2 of 2, `run echo before" in failed.value.message and "exit code 7" in failed.value.message
    assert failed.value.message.endswith("the reason") and failed.value.hint
    assert len(shop.layers) == 2
    assert asyncio.run(shop.builder.find(image.plan().spec.digest)) is None


def test_packages_that_cannot_be_had_are_told_by_pip(shop: Workshop, wheels: Path) -> None:
    with pytest.raises(Failed, match="No matching distribution found for tiny_absent"):
        shop.build(packages(wheels, "tiny_absent"))


def test_a_cancelled_build_ends_what_it_has_started(shop: Workshop, tmp_path: Path) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(shop.building(SLIM.run_commands(f"sleep 61 & echo $! > {tmp_path}/pid; wait")))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    until(lambda: start_ticks(int((tmp_path / "pid").read_text())) is None, "the end of what the step had started")
    assert len(shop.layers) == 1


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (SLIM.apt_install("ffmpeg"), "Debian packages ffmpeg"),
        (Image.from_registry("python:3.11"), "begin with python:3.11"),
        (Image.from_local("mine:1"), "begin with mine:1"),
        (SLIM.workdir("/app"), "put files at /app"),
        (SLIM.add_local_file(__file__, "/etc/passwd"), "put files at /etc/passwd"),
    ],
)
def test_what_would_change_the_machine_is_refused_with_the_reason(shop: Workshop, image: Image, why: str) -> None:
    with pytest.raises(Failed) as refused:
        asyncio.run(shop.builder.check(image.plan().spec))
    assert refused.value.code == "unsupported" and why in refused.value.message and refused.value.hint


def test_a_dockerfile_is_refused(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(Failed, match="begin with a Dockerfile"):
        asyncio.run(shop.builder.check(Image.from_dockerfile(tmp_path / "Dockerfile").plan().spec))


def test_what_was_added_can_go_into_a_running_session_unless_it_changes_something(shop: Workshop, wheels: Path) -> None:
    one = shop.build(packages(wheels, "tiny_one", "tiny_two==1.0"))
    base = asyncio.run(shop.builder.compare(one, ""))
    assert base.added == ("tiny-one 1.0", "tiny-two 1.0") and not base.changed and base.live
    other = shop.build(packages(wheels, "tiny_two==2.0", on=packages(wheels, "tiny_one", "tiny_two==1.0")))
    more = asyncio.run(shop.builder.compare(other, one.digest))
    assert more.changed == ("tiny-two 1.0 -> 2.0",) and not more.added and not more.live
    assert shop.run(other, "import tiny_two; print(tiny_two.VERSION)") == "2.0"


def everything_in(root: Path) -> Iterator[tuple[Path, bytes]]:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def test_a_password_is_in_no_layer_and_no_log(shop: Workshop, wheels: Path) -> None:
    password = "pa55-w0rd-of-the-index"
    with registry(wheels, "joe", password) as (host, served):
        image = SLIM.pip_install("tiny_one", index_url=f"http://joe:{password}@{host}/simple", extra_options="--no-deps")
        built = shop.build(image)
    assert served and shop.run(built, "import tiny_one; print(tiny_one.VERSION)") == "1.0"
    assert password not in shop.lines and password not in json.dumps(shop.steps)
    assert [path for path, content in everything_in(shop.root) if password.encode() in content] == []


def test_a_secret_is_there_for_its_step_alone(shop: Workshop) -> None:
    value = "s3cret-for-one-step"
    image = SLIM.run_commands('echo "token is $STEP_VALUE"; test -n "$STEP_VALUE"', secrets=[{"STEP_VALUE": value}])
    built = shop.build(image.run_commands('test -z "$STEP_VALUE"'))
    assert "token is ***" in shop.lines and value not in shop.lines
    assert [path for path, content in everything_in(shop.root) if value.encode() in content] == []
    assert shop.run(built, "import os; print(os.environ.get('STEP_VALUE'))") == "None"


def test_a_secret_that_a_step_prints_as_it_fails_is_left_out_of_the_failure(shop: Workshop) -> None:
    with pytest.raises(Failed) as failed:
        shop.build(SLIM.run_commands("echo $STEP_VALUE; false", secrets=[{"STEP_VALUE": "s3cret-x"}]))
    assert "s3cret" not in failed.value.message + json.dumps(dict(failed.value.detail))


def test_the_hosts_pip_configuration_holds_for_pip(tmp_path: Path, wheels: Path) -> None:
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    shop = Workshop(tmp_path, {**plain, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})
    built = shop.build(SLIM.pip_install("tiny_one", extra_options="--no-deps"))
    assert shop.run(built, "import tiny_one; print(tiny_one.VERSION)") == "1.0"


def test_the_hosts_pip_configuration_is_told_to_uv(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://i/s\nextra-index-url = https://e/1\n  https://e/2\ncert = /ca.pem\n")
    host = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": str(tmp_path), "PIP_FIND_LINKS": "/a /b"}
    told = installers.variables_of(host)
    assert told["UV_DEFAULT_INDEX"] == "https://i/s" and told["UV_INDEX"] == "https://e/1 https://e/2"
    assert told["SSL_CERT_FILE"] == "/ca.pem" and told["UV_FIND_LINKS"] == "/a,/b"


def test_variables_of_the_runtime_are_not_for_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    host = {"WARMCELL_TOKEN": "t", "PIP_TARGET": "/x", "PYTHONPATH": "/y", "HTTPS_PROXY": "http://p", "PIP_CERT": "/ca"}
    told = installers.variables_of(host)
    assert not {"WARMCELL_TOKEN", "PIP_TARGET", "PYTHONPATH"} & set(told)
    assert told["HTTPS_PROXY"] == "http://p" and told["PIP_CERT"] == "/ca"


@pytest.mark.skipif(not installers.uv_path(), reason="uv is not on this machine (`pip install uv`)")
def test_uv_installs_where_it_is(shop: Workshop, wheels: Path) -> None:
    built = shop.build(SLIM.uv_pip_install("tiny_one", find_links=str(wheels), extra_options=OPTIONS))
    assert shop.run(built, "import tiny_one; print(tiny_one.VERSION)") == "1.0"
    assert "+ tiny-one==1.0" in shop.lines


def test_where_uv_is_not_pip_installs_and_it_is_said(
    shop: Workshop, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installers, "uv_path", lambda: "")
    built = shop.build(packages(wheels, "tiny_one", how="uv_pip_install"))
    assert "uv is not on this machine: pip installs" in shop.lines
    assert shop.run(built, "import tiny_one; print(tiny_one.VERSION)") == "1.0"


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted by root alone")
def test_a_full_disk_has_words_and_leaves_no_half_layer(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        shop = Workshop(small)
        with pytest.raises(Failed) as failed:
            shop.build(SLIM.run_commands("head -c 9000000 /dev/zero > large"))
        assert failed.value.code == "disk-full" and "step 1 of 1" in failed.value.message
        assert len(shop.layers) == 1
        assert shop.build(SLIM.run_commands("echo small > file")).digest
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize("digest", ["../../etc", "", "a" * 63, "A" * 64])
def test_what_is_no_digest_names_no_image(shop: Workshop, digest: str) -> None:
    with pytest.raises(Failed) as refused:
        shop.builder.interpreter(digest)
    assert refused.value.code == "not-found"


def test_files_of_an_image_never_replace_or_leave_a_sessions_own(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("image's")
    built = shop.build(SLIM.add_local_file(tmp_path / "f", "own.txt").add_local_file(tmp_path / "f", "link/f"))
    session, outside = tmp_path / "session", tmp_path / "outside"
    session.mkdir()
    outside.mkdir()
    (session / "own.txt").write_text("mine")
    (session / "link").symlink_to(outside)
    shop.builder.furnish(built.digest, session)
    assert (session / "own.txt").read_text() == "mine" and not list(outside.iterdir())


