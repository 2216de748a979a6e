"""The examples of docs/images.md, run one after the other in a real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels import LiveKernel, live_kernel

PAGE = Path(__file__).resolve().parents[2] / "docs/images.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    with live_kernel(tmp_path_factory.mktemp("page")) as kernel:
        yield kernel


def test_every_example_does_what_the_page_says(kernel: LiveKernel) -> None:
    printed = ""
    for block in BLOCKS:
        shown = kernel.run(block, 110)
        assert not shown.traceback, f"{block}\n{shown.traceback}"
        printed += shown.text()
    assert "hello from the image 123.0 million made while it was built" in printed
    assert "True\n" in printed and "ImageError · step 1 of 1" in printed and "looking for it" in printed
