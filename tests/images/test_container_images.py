"""What a Docker engine makes of a spec: real layers, probed for what must not be in them."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_proxy.image import Image
from remote_runtime.engines.building import Built, Context, Login, StepBegun
from remote_runtime.wire.failures import Failed
from tests.images.wheels import registry, wheel

docker_steps = pytest.importorskip("remote_runtime.engines.docker_steps", reason="the docker SDK is absent")
from remote_runtime.engines.docker_builder import DockerBuilder  # noqa: E402

OWN = ".".join(map(str, sys.version_info[:2]))
SLIM = Image.debian_slim()


def base() -> str:
    """Return a worker's image that the engine has; tests are skipped where there is none."""
    door = docker_steps.StepDoor()
    try:
        tags = [tag for image in door.api.images("warmcell-worker") for tag in image["RepoTags"] or ()]
    except Exception as error:
        pytest.skip(f"no Docker engine answers: {error}")
    finally:
        door.close()
    mine = [tag for tag in tags if f":py{OWN}-" in tag]
    return mine[0] if mine else pytest.skip(f"the engine has no worker's image with Python {OWN}")


class Workshop:
    """A builder, what it has said, and what it leaves at the engine."""

    def __init__(self, root: Path, tag: str) -> None:
        self.root, self.said, self.base = root, [], tag
        self.builder = DockerBuilder(root / "images", lambda python: tag)
        self.digests: set[str] = set()

    def build(self, image: Image) -> Built:
        plan = image.plan()
        self.digests.update(plan.spec.layers if ":" in plan.spec.base.name else (*plan.spec.layers, f"file-{plan.spec.base.name}"))
        files = self.root / "files"
        files.mkdir(exist_ok=True)
        for digest, source in plan.sources.items():
            (files / digest).write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        logins = tuple(Login(login.host, login.user, login.password) for login in plan.logins)
        return asyncio.run(self.builder.build(plan.spec, Context(files, plan.secrets, logins), self.said.append))

    def run(self, built: Built, script: str) -> list[str]:
        lines: list[str] = []
        recipe = docker_steps.Recipe(self.builder.tag(built.digest), script)
        stage = docker_steps.Stage(self.builder.door, recipe)
        try:
            assert stage.run(lines.append) == 0, lines
        finally:
            stage.remove()
        return lines

    @property
    def lines(self) -> str:
        return "\n".join(news for news in self.said if isinstance(news, str))

    def clear(self) -> None:
        for digest in self.digests:
            if self.builder.door.facts(self.builder.tag(digest)) is not None:
                self.builder.door.api.remove_image(self.builder.tag(digest), force=True)
        self.builder.door.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(tmp_path, base())
    yield shop
    shop.clear()


@pytest.fixture
def fresh() -> Image:
    """An image that no earlier test has built."""
    return SLIM.env({"FRESH": uuid.uuid4().hex})


def test_every_kind_of_step(shop: Workshop, fresh: Image, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "tiny_one")
    (tmp_path / "f.txt").write_text("from here")
    (tmp_path / "mod_here.py").write_text("WHO = 'module'\n")
    sys.path.insert(0, str(tmp_path))

    def leave(text: str) -> None:
        import tiny_one

        open("made.txt", "w").write(text + tiny_one.VERSION)

    try:
        image = (
            fresh.pip_install("tiny_one", find_links=str(tmp_path / "wheels"), extra_options="--no-index --no-deps")
            .env({"GREETING": 'he said "$5"'}).add_local_file(tmp_path / "f.txt", "in/f.txt")
            .add_local_file(tmp_path / "f.txt", "/srv/f.txt").add_local_python_source("mod_here")
            .workdir("in").run_commands('echo "$GREETING $(cat f.txt)" > said.txt').run_function(leave, args=("v",))
        )  # fmt: skip
        built = shop.build(image)
    finally:
        sys.path.remove(str(tmp_path))
    said = shop.run(built, 'cat /srv/f.txt; echo; python -c "import tiny_one, mod_here; print(tiny_one.VERSION, mod_here.WHO)"')
    assert said == ["from here", "1.0 module"]
    session = tmp_path / "session"
    session.mkdir()
    shop.builder.furnish(built.digest, session)
    assert (session / "in/said.txt").read_text() == 'he said "$5" from here\n'
    assert (session / "in/made.txt").read_text() == "v1.0"
    more = asyncio.run(shop.builder.compare(built, fresh.plan().spec.digest))
    assert more.added == ("tiny_one 1.0",) and not more.changed and not more.live
    again = [news.reused for news in shop.said if isinstance(news, StepBegun)]
    shop.said.clear()
    shop.build(image)
    assert not any(again) and all(news.reused for news in shop.said if isinstance(news, StepBegun))


def test_an_image_starts_what_it_is_told_as_its_parents_user(shop: Workshop, fresh: Image) -> None:
    built = shop.build(fresh.run_commands("true"))
    config, parent = (shop.builder.door.facts(tag)["Config"] for tag in (shop.builder.tag(built.digest), shop.base))
    assert (config["User"], config["Entrypoint"] or None, config["Cmd"]) == (parent["User"], None, ["python3"])
    assert set(parent["Env"]) < set(config["Env"])


def test_passwords_and_secrets_are_in_no_layer_and_no_log(shop: Workshop, fresh: Image, tmp_path: Path) -> None:
    password, secret = "pa55-w0rd-of-the-index", "s3cret-for-one-step"
    wheel(tmp_path / "wheels", "tiny_one")
    with registry(tmp_path / "wheels", "joe", password) as (host, served):
        image = fresh.pip_install("tiny_one", index_url=f"http://joe:{password}@{host}/simple", extra_options="--no-deps")
        image = image.run_commands('echo "it is $STEP_VALUE"', secrets=[{"STEP_VALUE": secret}])
        built = shop.build(image)
    assert served and "it is ***" in shop.lines
    saved = b"".join(shop.builder.door.api.get_image(shop.builder.tag(built.digest)))
    assert len(saved) > 1e6
    assert not [hidden for hidden in (password, secret) if hidden in shop.lines or hidden.encode() in saved]


def test_a_step_that_fails_is_named_and_leaves_nothing(shop: Workshop, fresh: Image) -> None:
    image = fresh.run_commands("echo the reason; exit 7")
    with pytest.raises(Failed, match="step 2 of 2, `run echo the reason; exit 7`, failed with exit code 7") as failed:
        shop.build(image)
    assert failed.value.message.endswith("the reason")
    assert asyncio.run(shop.builder.find(image.plan().spec.digest)) is None
    assert shop.builder.door.api.containers(all=True, filters={"label": f"warmcell.image={image.plan().spec.digest}"}) == []


def test_a_cancelled_build_leaves_no_container(shop: Workshop, fresh: Image) -> None:
    spec = fresh.run_commands("echo begun; sleep 63").plan().spec
    shop.digests.update(spec.layers)

    async def cancelled() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def say(news: object) -> None:
            if news == "begun":
                loop.call_soon_threadsafe(begun.set)

        task = asyncio.ensure_future(shop.builder.build(spec, Context(shop.root), say))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    found = shop.builder.door.api.containers(all=True, filters={"label": f"warmcell.image={spec.digest}"})
    assert found == [] and shop.builder.door.facts(shop.builder.tag(spec.digest)) is None


def test_a_local_tag_that_is_not_there_is_told(shop: Workshop) -> None:
    with pytest.raises(Failed) as refused:
        shop.build(Image.from_local("warmcell-absent:1"))
    assert refused.value.code == "not-found" and refused.value.hint


def test_a_dockerfile_begins_an_image(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/f.txt").write_text(uuid.uuid4().hex)
    (tmp_path / "Dockerfile").write_text("FROM warmcell-base:py3.11\nCOPY f.txt /srv/f.txt\n")
    if shop.builder.door.facts("warmcell-base:py3.11") is None:
        pytest.skip("the engine has no warmcell-base:py3.11")
    shop.builder = DockerBuilder(shop.root / "images", lambda python: shop.base, lambda python: ("cloudpickle",))
    image = Image.from_dockerfile(tmp_path / "Dockerfile", context_dir=tmp_path / "context")
    built = shop.build(image)
    assert built.python == "3.11"
    assert shop.run(built, "cat /srv/f.txt; echo; python -c 'import cloudpickle, sys; print(sys.prefix)'")[1] == "/opt/python"
