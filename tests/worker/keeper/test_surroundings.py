"""What a user process inherits, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.worker import scrub
from tests.worker.keeper.conftest import Start, zygote_in_folder
from tests.worker.keeper.link import STANDIN, LiveKeeper, text_of

NAMES = {
    "AWS_SECRET_ACCESS_KEY": True,
    "HF_TOKEN": True,
    "api-key": True,
    "DB_PASSWORD_2": True,
    "OPENAI_APIKEY": True,
    "WARMCELL_URL": True,
    "WARMCELL_HOME": True,
    "MONKEY": False,
    "KEYBOARD_LAYOUT": False,
    "TOKENIZERS_PARALLELISM": False,
    "PATH": False,
    "SSH_AUTH_SOCK": False,
}


@pytest.mark.parametrize("name", NAMES)
def test_which_variables_are_secrets(name: str) -> None:
    assert scrub.is_secret(name) is NAMES[name]
    assert scrub.scrubbed({name: "x"}) == ({} if NAMES[name] else {name: "x"})


@pytest.fixture(scope="module", params=["fork", "spawn"])
def worker(request: pytest.FixtureRequest) -> Iterator[LiveKeeper]:
    with zygote_in_folder(STANDIN, "--start", request.param, MY_TOKEN="hunter2", WARMCELL_TOKEN="hunter2", PLAIN="seen") as zygote:
        keeper = zygote.keeper().claim()
        yield keeper
        keeper.close()


def printed(keeper: LiveKeeper, expression: str) -> str:
    client = keeper.client()
    found = text_of(list(client.run(f"channel.text(str({expression}))", expression[:80]).events(expression[:80])))
    client.close()
    return found


def test_secrets_do_not_reach_user_code(worker: LiveKeeper) -> None:
    assert printed(worker, "os.environ.get('PLAIN')") == "seen"
    assert "hunter2" not in printed(worker, "dict(os.environ)")
    assert "hunter2" not in printed(worker, "open('/proc/self/environ').read()")
    assert "hunter2" not in printed(worker, "open(f'/proc/{os.getppid()}/environ').read()")
    assert printed(worker, "'GRPC_VERBOSITY' in os.environ") == "False"


def test_a_user_process_holds_its_own_descriptors_only(worker: LiveKeeper) -> None:
    assert printed(worker, "len(os.listdir('/proc/self/fd'))") == "6"  # 0, 1, 2, channel, tail, and the listing's


def test_a_user_process_leads_its_own_session_and_dies_first(worker: LiveKeeper) -> None:
    assert printed(worker, "os.getsid(0) == os.getpid() == os.getpgid(0)") == "True"
    assert printed(worker, "open('/proc/self/oom_score_adj').read().strip()") == "500"
    assert printed(worker, "__import__('resource').getrlimit(4)") == "(0, 0)"
    assert printed(worker, "os.read(0, 9)") == "b''"


@pytest.mark.parametrize(
    ("devices", "visible"),
    [
        ([pb.Device(id="cpu", model="cpu")], ""),
        ([pb.Device(id="sim-A100-0", model="A100", simulated=True)], ""),
    ],
    ids=["cpu", "simulated"],
)
def test_no_gpu_is_visible_that_was_not_leased(start: Start, devices: list[pb.Device], visible: str) -> None:
    keeper = start().claim(devices=devices)
    assert printed(keeper, "os.environ['CUDA_VISIBLE_DEVICES']") == visible
    assert list(keeper.client().welcome.devices) == devices
