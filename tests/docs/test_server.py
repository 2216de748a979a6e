"""docs/server.md from the first block to the last: a gateway as its service runs it, TLS, a second user's notebook."""

from __future__ import annotations

import platform
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest

from tests.client.sweep import sweep
from tests.containers import engine
from tests.docs.story import Story, blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "server.md"
BLOCKS = blocks(PAGE)
SECTIONS = list(dict.fromkeys(block.section for block in BLOCKS))
ON_CONTAINERS = not engine.absent()
pytestmark = pytest.mark.timeout(300)  # the first to ask for it builds the worker's image
DOCKER = "--engine docker --engine-options variant=torch,memory=64g,cpus=8"
BY_HAND = [
    "%gpu connect ssh://gpu01",
    "apt-get install --yes docker.io iptables python3-venv",
    "apt-get install --yes nvidia-container-toolkit",
    "nvidia-ctk runtime configure --runtime=docker",
    "systemctl restart docker",
    "nvidia-smi",
    "python3 -m venv /opt/warmcell",
    "/opt/warmcell/bin/pip install 'warmcell[docker]'",
    "ln -s /opt/warmcell/bin/warmcell /usr/local/bin/warmcell",
    "/opt/warmcell/bin/python -m remote_runtime.engines.images --variant torch",
    "pip install warmcell",
    "journalctl --unit warmcell --follow",
    "/opt/warmcell/bin/pip install --upgrade 'warmcell[docker]'",
    "systemctl restart warmcell",
]
"""What cannot be run where tests run: it changes the machine, or needs a GPU, an index or a service manager."""


def free_port() -> str:
    with closing(create_server(("127.0.0.1", 0))) as listening:
        return str(listening.getsockname()[1])


def here(directory: Path) -> dict[str, str]:
    """Return the words of the page that hold on the reader's machines alone, and those that hold here."""
    (directory / "data").mkdir()
    (directory / "data" / "train.csv").write_text("1,2")
    (directory / "data").chmod(0o755)
    http, grpc = free_port(), free_port()
    return {
        DOCKER: "--engine docker --engine-options memory=512m,cpus=1" if ON_CONTAINERS else "--engine process",
        "init --system": f"init --http-port {http} --grpc-port {grpc}",  # a user's unit: /etc is left alone
        "gpu01:8470": f"localhost:{http}",
        "gpu01": "localhost",
        '"/data"': f'"{directory}/data"',
        "--mount /data": f"--mount {directory}/data",
    }


class Walk:
    """The page's sections, each told once and after those before it."""

    def __init__(self, story: Story) -> None:
        self.story, self._told = story, {}

    def section(self, name: str) -> dict[str, str]:
        """Return what each block of a section has shown."""
        for earlier in SECTIONS[: SECTIONS.index(name) + 1]:
            if earlier not in self._told:
                self._told[earlier] = {}
                self._tell(earlier)
        return self._told[name]

    def _tell(self, name: str) -> None:
        for block in (b for b in BLOCKS if b.section == name and b.how != "by-hand"):
            self._told[name][block.text] = self.story.tell(block)


@pytest.fixture(scope="module")
def walk() -> Iterator[Walk]:
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)  # workers in containers are another account, and mounts lie in it
        story, before = Story(directory, here(directory)), engine.user_images() if ON_CONTAINERS else set()
        story.state.mkdir(mode=0o700)
        (story.state / "warmcell.toml").write_text('simulate = "A100:1"\nimports = "numpy"\n')
        yield Walk(story)
        story.close()
        if ON_CONTAINERS and (made := engine.user_images() - before):
            engine.docker("rmi", "--force", *made)
        assert not ON_CONTAINERS or engine.left_by(story.state) == []
        sweep(directory)


def said(told: dict[str, str], part: str) -> str:
    """Return what was shown by the block that holds a text."""
    (found,) = (text for block, text in told.items() if part in block)
    return found


def test_what_is_left_to_the_reader_s_hands_is_listed() -> None:
    by_hand = [line for block in BLOCKS if block.how == "by-hand" for line in block.text.strip().splitlines()]
    assert by_hand == BY_HAND
    assert len(BLOCKS) == PAGE.read_text().count("\n```") // 2, "each block says where it is typed"


def test_the_service_starts_and_doctor_finds_nothing_wrong(walk: Walk) -> None:
    told = walk.section("The service")
    assert "shown this once" in said(told, "warmcell init")
    assert "A100" in said(told, "warmcell status") and "simulated" in said(told, "warmcell status")
    assert "https://" in said(told, "warmcell up")


def test_the_second_user_s_first_cell_comes_back(walk: Walk) -> None:
    told = walk.section("The second user")
    assert "as ben (run" in said(told, "warmcell login")
    ran_on = said(told, "platform.node()").removeprefix("ran on ").strip()
    assert ran_on and (ran_on != platform.node()) == ON_CONTAINERS
    assert said(told, '"total", total') == "total 45\n"


def test_a_user_sees_the_data_that_the_admin_lists(walk: Walk) -> None:
    assert said(walk.section("Data"), "os.listdir") == "inputs: ['train.csv']\n"


def test_a_secret_is_given_to_the_cell_that_names_it(walk: Walk) -> None:
    assert said(walk.section("Secrets"), "%%gpu --secret") == "has a token: True\n"


def test_a_user_s_own_image(walk: Walk) -> None:
    assert said(walk.section("Images"), 'os.environ["TEAM"]') == "team vision\n"


def test_a_share_of_a_device(walk: Walk) -> None:
    assert said(walk.section("Sharing devices"), "on a part of it") == "on a part of it\n"


def test_the_backup_holds_what_the_runtime_knows(walk: Walk) -> None:
    told = walk.section("From day to day")
    assert "ben" in said(told, "warmcell ps")
    archive = walk.story.homes["server"] / "warmcell-backup.tar.gz"
    assert archive.stat().st_mode & 0o077 == 0
    with tarfile.open(archive) as packed:
        names = packed.getnames()
    assert {".warmcell/store.db", ".warmcell/token", ".warmcell/tls/ca-key.pem", ".warmcell/gateway.toml"} <= {*names}
    assert ".warmcell/sessions" not in names


def test_the_walk_was_on_containers() -> None:
    if not ON_CONTAINERS:
        pytest.skip(f"{engine.absent()}; the page was walked on the process engine")
    assert any("--engine docker" in block.text for block in BLOCKS)
