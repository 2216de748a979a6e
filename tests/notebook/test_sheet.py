"""One display holds what a run shows late: in order, bounded, with what was cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_ext.sheet import PIECES_COUNT, TEXT_CHARACTERS, Sheet
from remote_runtime.wire import messages_pb2 as pb


def text(words: str, stderr: bool = False) -> pb.Event:
    return pb.Event(stream=pb.Stream(text=words, stderr=stderr))


def shown(data: dict[str, Any], display_id: str = "", update: bool = False) -> pb.Event:
    return pb.Event(display=pb.Display(mime=pb.Mime(data_json=json.dumps(data)), display_id=display_id, update=update))


def filled(*events: pb.Event) -> dict[str, Any]:
    sheet = Sheet()
    for event in events:
        sheet.feed(event)
    return sheet.bundle()


def test_text_alone_is_plain() -> None:
    assert filled(text("a"), text("b\n"), text("c")) == {"text/plain": "ab\nc"}


def test_stderr_and_markup_are_told_apart_and_escaped() -> None:
    html = filled(text("<out>"), text("\x1b[31m<err>\x1b[0m", stderr=True))["text/html"]
    assert html.startswith("<pre>&lt;out&gt;</pre><pre style=") and html.endswith("&lt;err&gt;</pre>")


def test_a_carriage_return_writes_over_its_line() -> None:
    assert filled(text("\r 1%"), text("\r 2%"), text("\r 3%\ndone"))["text/plain"] == " 3%\ndone"


@pytest.mark.parametrize(("wait", "left"), [(False, "b"), (True, "b")])
def test_a_clear_clears(wait: bool, left: str) -> None:
    assert filled(text("a"), pb.Event(clear=pb.Clear(wait=wait)), text("b"))["text/plain"] == left


def test_a_clear_that_waits_leaves_what_stands() -> None:
    assert filled(text("a"), pb.Event(clear=pb.Clear(wait=True)))["text/plain"] == "a"


def test_a_display_is_updated_in_its_place() -> None:
    found = filled(shown({"text/plain": "1"}, "d"), text("t"), shown({"text/plain": "2"}, "d", update=True))
    assert found["text/plain"] == "2\nt"


@pytest.mark.parametrize("kind", ["application/vnd.jupyter.widget-view+json", "text/markdown", "application/json"])
def test_what_html_cannot_hold_is_left_to_the_caller(kind: str) -> None:
    assert not Sheet().feed(shown({"text/plain": "p", kind: "x"}))


def test_an_update_of_what_stands_elsewhere_is_left_to_the_caller() -> None:
    assert not Sheet().feed(shown({"text/plain": "2"}, "elsewhere", update=True))


def test_an_image_stands_in_the_page() -> None:
    assert 'src="data:image/png;base64,AAAA"' in filled(shown({"image/png": "AAAA\n", "text/plain": "p"}))["text/html"]


def test_long_text_keeps_its_end_and_says_how_much_is_gone() -> None:
    found = filled(*[text(f"{n:9}\n") for n in range(TEXT_CHARACTERS // 5)])["text/plain"]
    head, _, rest = found.partition("\n")
    assert head.startswith("… ") and "no longer shown" in head and len(rest) <= TEXT_CHARACTERS
    assert rest.endswith(f"{TEXT_CHARACTERS // 5 - 1:9}\n")


def test_many_displays_keep_the_latest() -> None:
    found = filled(*[shown({"text/plain": f"<{n}>"}) for n in range(PIECES_COUNT + 5)])["text/plain"]
    assert "<4>" not in found and "<5>" in found and f"<{PIECES_COUNT + 4}>" in found


def test_what_the_worker_cut_is_said() -> None:
    assert "1,234 bytes" in filled(text("a"), pb.Event(cut=pb.Cut(dropped_bytes=1234)))["text/plain"]
