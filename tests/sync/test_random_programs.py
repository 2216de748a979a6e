"""A program whose cells run here and there does what it does in one plain kernel: names, values, aliases, output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from jupyter_client.manager import start_new_kernel

from tests.kernels import LiveKernel, environment, live_kernel
from tests.sync.programs import Step, compare, programs

Kernels = tuple[LiveKernel, LiveKernel]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernels]:
    home: Path = tmp_path_factory.mktemp("home")
    manager, client = start_new_kernel(kernel_name="python3", env=environment(home))
    try:
        with live_kernel(home) as warm:
            warm.run("%%gpu cpu -q\n0")
            yield LiveKernel(manager, client), warm
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


RULES = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    derandomize=True,
)


@pytest.mark.timeout(600)
@settings(RULES, max_examples=40)
@given(program=programs)
def test_programs_do_what_they_do_in_one_kernel(kernels: Kernels, program: list[Step]) -> None:
    compare(*kernels, program)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@settings(RULES, max_examples=3000, derandomize=False)
@given(program=programs)
def test_many_programs_do_what_they_do_in_one_kernel(kernels: Kernels, program: list[Step]) -> None:
    compare(*kernels, program)
