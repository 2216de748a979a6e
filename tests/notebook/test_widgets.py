"""Widgets of a remote cell live in the front end: their models, their moves, their callbacks, their end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernels import LiveKernel, Shown
from tests.notebook.conftest import code, kernel_in, receipt, users, value

VIEW = "application/vnd.jupyter.widget-view+json"


def opened(shown: Shown, model: str) -> str:
    """The comm of the only model of a kind that a cell has made."""
    found = [o["comm_id"] for o in shown.outputs if o["type"] == "comm_open" and o["data"]["state"]["_model_name"] == model]
    assert len(found) == 1, found
    return found[0]


def states(shown: Shown, comm_id: str) -> list[dict[str, Any]]:
    """What a cell told of a model, in order."""
    found = [o["data"] for o in shown.outputs if o["type"] in ("comm_open", "comm_msg") and o["comm_id"] == comm_id]
    return [data["state"] for data in found if "state" in data]


def move(kernel: LiveKernel, comm_id: str, **state: Any) -> None:
    kernel.send_comm(comm_id, {"method": "update", "state": state, "buffer_paths": []})


def late_text(kernel: LiveKernel, text: str) -> dict[str, Any]:
    """The late display that holds a text."""
    kinds = ("display_data", "update_display_data")
    return kernel.wait_for(lambda m: m["msg_type"] in kinds and text in m["content"]["data"].get("text/plain", ""))


def test_a_slider_of_a_remote_cell_shows_and_its_model_comes_first(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider")
    kinds = [o["type"] for o in shown.outputs]
    assert kinds.index("comm_open") < kinds.index("execute_result")
    result = next(o for o in shown.outputs if o["type"] == "execute_result")
    assert result["data"][VIEW]["model_id"] == opened(shown, "IntSliderModel")


def test_a_slider_that_is_moved_changes_the_remote_value_seen_by_the_next_cell(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider")
    move(kernel, opened(shown, "IntSliderModel"), value=42)
    assert users(kernel.run("%%gpu\nslider.value"))[0]["data"]["text/plain"] == "42"


def test_a_cell_moves_a_slider_that_another_has_made(kernel: LiveKernel) -> None:
    comm_id = opened(kernel.run("%%gpu\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)"), "IntSliderModel")
    assert states(kernel.run("%%gpu\nslider.value = 7"), comm_id) == [{"value": 7}]


def test_a_buttons_print_goes_to_the_late_display_of_its_cell(kernel: LiveKernel) -> None:
    request = kernel.start("%%gpu\nimport ipywidgets\nb = ipywidgets.Button()\nb.on_click(lambda b: print('clicked'))\nb")
    button = opened(kernel.finish(request), "ButtonModel")
    kernel.run("'another cell'")
    kernel.send_comm(button, {"method": "custom", "content": {"event": "click"}})
    assert late_text(kernel, "clicked")["parent_header"]["msg_id"] == request


def test_an_error_of_a_callback_is_shown_there_too(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nimport ipywidgets\nb = ipywidgets.Button()\nb.on_click(lambda b: 1 / 0)\nb")
    kernel.send_comm(opened(shown, "ButtonModel"), {"method": "custom", "content": {"event": "click"}})
    assert "ZeroDivisionError" in late_text(kernel, "ZeroDivisionError")["content"]["data"]["text/html"]


def test_messages_wait_while_a_cell_computes_and_come_before_the_next(kernel: LiveKernel) -> None:
    comm_id = opened(kernel.run("%%gpu\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)"), "IntSliderModel")
    request = kernel.start("%%gpu\nimport time\ntime.sleep(0.3)\nslider.value")
    move(kernel, comm_id, value=9)
    assert users(kernel.finish(request))[0]["data"]["text/plain"] == "3"
    assert users(kernel.run("%%gpu\nslider.value"))[0]["data"]["text/plain"] == "9"


def test_tqdm_for_notebooks_reaches_its_end(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nfrom tqdm.notebook import tqdm\nfor _ in tqdm(range(5)): pass")
    bar = states(shown, opened(shown, "FloatProgressModel"))
    assert bar[-1] == {"bar_style": "success"} and {"value": 5.0} in bar
    assert any(VIEW in o.get("data", {}) for o in shown.outputs)


def test_interact_runs_its_function_there_and_shows_what_it_prints_in_its_own_output(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nfrom ipywidgets import interact\n@interact(n=(0, 10))\ndef f(n=2):\n    print('square', n * n)")
    slider, output = opened(shown, "IntSliderModel"), opened(shown, "OutputModel")
    assert states(shown, output)[-1]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "square 4\n"}]
    move(kernel, slider, value=5)
    told = kernel.wait_for(lambda m: m["content"].get("comm_id") == output and "square 25" in str(m["content"]["data"]))
    assert [row["text"] for row in told["content"]["data"]["state"]["outputs"]] == ["square 25\n"]


def test_an_output_widget_takes_what_its_with_shows_and_nothing_else(kernel: LiveKernel) -> None:
    shown = kernel.run(code("""
        %%gpu
        import ipywidgets
        out = ipywidgets.Output()
        with out:
            print('inside'); display('shown')
        print('outside')
        """))
    rows = states(shown, opened(shown, "OutputModel"))[-1]["outputs"]
    assert [row["output_type"] for row in rows] == ["stream", "display_data"] and rows[0]["text"] == "inside\n"
    assert shown.text() == "outside\n"
    assert users(kernel.run("%%gpu\nlen(out.outputs)"))[0]["data"]["text/plain"] == "2"


def test_buffers_travel_both_ways(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nimport ipywidgets")
    request = kernel.start("%%gpu\nimage = ipywidgets.Image(value=bytes(range(256)) * 4)")
    message = kernel.wait_for(lambda m: m["content"].get("data", {}).get("state", {}).get("_model_name") == "ImageModel")
    assert [bytes(b) for b in message["buffers"]] == [bytes(range(256)) * 4]
    kernel.wait_for(lambda m: m["parent_header"].get("msg_id") == request and m["content"].get("execution_state") == "idle")
    kernel.client.get_shell_msg(timeout=30)
    content = {"comm_id": message["content"]["comm_id"], "data": {"method": "update", "state": {}, "buffer_paths": [["value"]]}}
    kernel.client.session.send(kernel.client.shell_channel.socket, "comm_msg", content, buffers=[b"new"])
    assert value(kernel, "get_ipython().run_line_magic('gpu', '(bytes(image.value))')") == b"new"


def test_a_message_too_large_to_travel_fails_at_its_line(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nimport ipywidgets\nipywidgets.Image(value=bytes(40 << 20))")
    assert shown.error["ename"] == "ValueError" and "at most 32 MiB" in shown.traceback
    assert kernel.run("%%gpu\n1").status == "ok"


def test_a_closed_widget_closes_in_the_front_end(kernel: LiveKernel) -> None:
    comm_id = opened(kernel.run("%%gpu\nimport ipywidgets\nbox = ipywidgets.Checkbox()"), "CheckboxModel")
    shown = kernel.run("%%gpu\nbox.close()")
    assert comm_id in [o["comm_id"] for o in shown.outputs if o["type"] == "comm_close"]


def test_a_widget_of_the_notebook_is_refused_in_one_sentence(kernel: LiveKernel) -> None:
    kernel.run("import ipywidgets\nhere = ipywidgets.IntSlider()")
    shown = kernel.run("%%gpu\nhere.value")
    assert "a widget" in shown.traceback and "hint: make it inside the cell" in shown.traceback


def test_a_widget_that_a_cell_binds_stays_there(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nimport ipywidgets\nkept = ipywidgets.IntSlider(4)")
    assert "Handle" in value(kernel, "type(kept).__name__")


def test_an_attached_run_does_not_open_its_widgets_twice(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nimport ipywidgets\nipywidgets.IntSlider(3)")
    again = kernel.run(f"%gpu attach {receipt(shown)['run_id']}")
    assert again.status == "ok" and not [o for o in again.outputs if o["type"] == "comm_open"]


@pytest.fixture
def own_kernel(home: Path) -> Iterator[LiveKernel]:
    with kernel_in(home) as kernel:
        yield kernel


def test_widgets_close_when_the_extension_is_taken_out(own_kernel: LiveKernel) -> None:
    comm_id = opened(own_kernel.run("%%gpu\nimport ipywidgets\nipywidgets.IntSlider(3)"), "IntSliderModel")
    shown = own_kernel.run("%unload_ext warmcell")
    assert comm_id in [o["comm_id"] for o in shown.outputs if o["type"] == "comm_close"]


def test_widgets_close_when_their_process_dies(own_kernel: LiveKernel) -> None:
    comm_id = opened(own_kernel.run("%%gpu\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)"), "IntSliderModel")
    shown = own_kernel.run("%%gpu\nimport os\nos._exit(3)")
    assert comm_id in [o["comm_id"] for o in shown.outputs if o["type"] == "comm_close"]


def test_a_background_runs_widgets_open_when_it_is_attached(own_kernel: LiveKernel) -> None:
    own_kernel.run("%%gpu --bg=job\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider")
    own_kernel.run("job.result()")
    comm_id = opened(own_kernel.run("job.attach()"), "IntSliderModel")
    move(own_kernel, comm_id, value=8)
    assert users(own_kernel.run("%%gpu\nslider.value"))[0]["data"]["text/plain"] == "8"


def test_interact_draws_its_figures_into_its_own_output(kernel: LiveKernel) -> None:
    shown = kernel.run(code("""
        %%gpu
        import matplotlib.pyplot as plt
        from ipywidgets import interact
        @interact(n=(1, 5))
        def draw(n=2):
            plt.plot(range(n)); plt.show()
        """))
    rows = states(shown, opened(shown, "OutputModel"))[-1]["outputs"]
    assert ["image/png" in row["data"] for row in rows] == [True]
    assert not [o for o in users(shown) if "image/png" in o.get("data", {})]
