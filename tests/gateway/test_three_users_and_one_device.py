"""Three users' clients at one real gateway with one device: who gets it when, while all of them want it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kernel_proxy.runtime import Runtime, connect
from kernel_proxy.settings import Settings
from remote_runtime.wire import messages_pb2 as pb
from tests.cli.conftest import Shell
from tests.client.sweep import sweep

LIMIT_S = 60.0
WISHES = ["ana", "ana", "ana", "ben", "ben", "cy"]
"""Who asks, in the order in which they come: one with many wishes first."""


class Left(Exception):
    """Somebody does not want to wait any longer."""


class Bench:
    """Everybody who waits for the one device, and the order in which they got it."""

    def __init__(self, server: Shell, directory: Path) -> None:
        self.url, self._directory = server.json("up")["http"], directory
        self.tokens = {user: server.json("user", "add", user)["token"] for user in dict.fromkeys(WISHES)}
        self.served: list[str] = []
        self.placed = [threading.Event() for _ in WISHES]
        self.threads: list[threading.Thread] = []

    def runtime(self, user: str) -> Runtime:
        return connect(Settings(url=self.url, token=self.tokens[user], home=self._directory / user), start=False)

    def sit_down(self, number: int, on_place: Callable[[int], None] = lambda place: None) -> None:
        """Let somebody begin to wait in a thread, and return when the gateway has told the place."""
        self.threads.append(threading.Thread(target=self._want, args=(number, on_place), daemon=True))
        self.threads[-1].start()
        assert self.placed[number].wait(LIMIT_S), f"wish {number} was told no place"

    def _want(self, number: int, on_place: Callable[[int], None]) -> None:
        def told(waiting: pb.Waiting) -> None:
            if waiting.place:
                self.placed[number].set()
                on_place(waiting.place)

        user, name = WISHES[number], f"wish-{number}"
        with closing(self.runtime(user)) as runtime:
            try:
                runtime.open("A100", name, "", {}, on_wait=told).close()
            except Left:
                return
            self.served.append(user)  # before it is given back, so nobody else can have been served meanwhile
            runtime.release(name)

    def run(self, holder: Runtime) -> list[str]:
        """Let go of the device, and return who was served in which order."""
        holder.release("holder")
        for thread in self.threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive(), f"after {self.served} somebody starves"
        return self.served


@pytest.fixture
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="wc-", dir="/tmp") as directory:
        server = Shell(Path(directory) / "state", {"WARMCELL_IMPORTS": ""})
        server.json("up", "--simulate", "A100:1")
        yield Bench(server, Path(directory))
        server("down", "--force")
        sweep(directory)


def test_turns_go_round_and_nobody_starves(bench: Bench) -> None:
    with closing(bench.runtime("cy")) as holder:
        holder.open("A100", "holder", "", {}).close()
        for number in range(len(WISHES)):
            bench.sit_down(number)
        assert bench.run(holder) == ["ana", "ben", "cy", "ana", "ben", "ana"]


def test_one_who_leaves_gives_way(bench: Bench) -> None:
    places: list[int] = []

    def leave_once_it_moves(place: int) -> None:
        places.append(place)
        if place != places[0]:
            raise Left

    with closing(bench.runtime("cy")) as holder:
        holder.open("A100", "holder", "", {}).close()
        for number in range(len(WISHES)):
            bench.sit_down(number, *([leave_once_it_moves] if number == 4 else []))
        assert bench.run(holder) == ["ana", "ben", "cy", "ana", "ana"]
        assert len(places) > 1, "the second of ben's wishes was told that it moved"
        assert not [s for s in holder.describe().sessions if s.name.startswith("wish")]
