"""The status line, the receipt and the notices: what they say, and that they can be turned off."""

from __future__ import annotations

import pytest

from jupyter_ext import receipt as receipts
from jupyter_ext.receipt import RunFacts
from tests.kernels import LiveKernel
from tests.notebook.conftest import RUN_MIME, notices, receipt, users


@pytest.fixture(autouse=True)
def defaults(kernel: LiveKernel) -> None:
    kernel.run("%config GpuMagics.receipt = True\n%config GpuMagics.status_line = True")


def test_the_receipt_tells_device_times_bytes_and_names(kernel: LiveKernel) -> None:
    kernel.run("given = 3; doomed = 1")
    shown = kernel.run("%%gpu\nmade = given\ndel doomed\nlarge = bytearray(9_000_000)")
    facts = receipt(shown)
    assert facts["status"] == "ok" and facts["devices"] == ["cpu"] and not facts["simulated"]
    assert (facts["sent"], facts["bound"], facts["deleted"]) == (["doomed", "given"], ["made"], ["doomed"])
    assert facts["kept"]["large"] >= 9_000_000
    assert facts["sent_bytes"] > 0 and facts["received_bytes"] > 0
    assert all(facts[name] is not None for name in ("wait_s", "send_s", "run_s", "fetch_s", "total_s"))


def test_the_same_facts_stand_in_the_outputs_metadata(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\n1")
    outputs = [output for output in shown.outputs if RUN_MIME in output.get("data", {})]
    assert [output["metadata"]["warmcell"] for output in outputs] == [output["data"][RUN_MIME] for output in outputs]
    assert "text/html" in outputs[0]["data"] and outputs[0]["data"]["text/plain"].startswith("✓ cpu")


def test_an_error_has_a_receipt_too(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nhalf = 1\n1 / 0")
    assert (receipt(shown)["status"], receipt(shown)["bound"]) == ("error", ["half"])


@pytest.mark.parametrize("off", ["%%gpu -q\n1", "%config GpuMagics.receipt = False\n"])
def test_it_can_be_turned_off(kernel: LiveKernel, off: str) -> None:
    if not off.startswith("%%gpu"):
        kernel.run(off)
        off = "%%gpu\n1"
    shown = kernel.run(off)
    assert receipt(shown) == {} and len(users(shown)) == 1


def test_a_quick_cell_has_no_status_line(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\n1")
    assert not any("◐" in output.get("data", {}).get("text/plain", "") for output in shown.outputs)


def test_a_slow_cell_has_one_that_becomes_the_receipt(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nimport time; time.sleep(1.2)")
    ours = [o for o in shown.outputs if o["type"] in ("display_data", "update_display_data")]
    assert [o["type"] for o in ours][0] == "display_data" and {o["type"] for o in ours[1:]} == {"update_display_data"}
    assert len({o["transient"]["display_id"] for o in ours}) == 1
    assert "running" in ours[0]["data"]["text/plain"] and RUN_MIME in ours[-1]["data"]


def test_the_status_line_of_a_quiet_trait_leaves_nothing_behind(kernel: LiveKernel) -> None:
    kernel.run("%config GpuMagics.receipt = False")
    shown = kernel.run("%%gpu\nimport time; time.sleep(0.8)")
    ours = [o for o in shown.outputs if o["type"] in ("display_data", "update_display_data")]
    assert ours[-1]["data"]["text/html"] == ""


def test_a_pending_clear_is_not_set_off_by_the_receipt(kernel: LiveKernel) -> None:
    shown = kernel.run("%%gpu\nfrom IPython.display import clear_output\nprint('stays'); clear_output(wait=True)")
    assert [output["type"] for output in users(shown)] == ["stream", "clear_output"]
    assert receipt(shown) == {}


def test_a_status_line_that_was_cleared_away_is_shown_anew(kernel: LiveKernel) -> None:
    cell = "%%gpu\nimport time\nfrom IPython.display import clear_output\ntime.sleep(0.8); clear_output(); time.sleep(0.8)"
    shown = kernel.run(cell)
    ours = [o for o in shown.outputs if o["type"] == "display_data"]
    assert len({o["transient"]["display_id"] for o in ours}) == 2


def test_a_dry_run_sends_nothing_and_says_what_would_travel(kernel: LiveKernel) -> None:
    kernel.run("base = 2\ndef helper(): return base\nimport threading; lock = threading.Lock()")
    before = kernel.run("%gpu ps").result
    shown = kernel.run("%%gpu --dry-run\nout = helper(), lock, absent")
    rows = {line.split()[0]: line for line in shown.result.splitlines()[2:] if line.strip()}
    assert "read" in rows["helper"] and "used by helper" in rows["base"]
    assert "cannot travel" in rows["lock"] and "absent" in rows["absent"]
    assert kernel.run("%gpu ps").result.splitlines()[0] == before.splitlines()[0]


def test_an_iterator_that_travels_is_noticed(kernel: LiveKernel) -> None:
    kernel.run("pairs = zip([1], [2])")
    assert any("`pairs` is an iterator" in notice for notice in notices(kernel.run("%%gpu\nlist(pairs)")))


LINES = {
    "✓ 2 × A100 (simulated) · 0.5 s": RunFacts(status="ok", devices=["A100", "A100"], simulated=True, total_s=0.5),
    "✗ - · error · -": RunFacts(status="error"),
    "kept remote model (1.3 GB)": RunFacts(status="ok", kept={"model": 1_300_000_000}),
    "kept remote thing (-)": RunFacts(status="ok", kept={"thing": None}),
    "sent x": RunFacts(status="ok", sent=["x"]),
    "set a, b, c, d, e, f, g, h, 2 more": RunFacts(status="ok", bound=list("abcdefghij")),
    "run 11.1 s": RunFacts(status="ok", run_s=11.1),
    "↑ 3.1 MB ↓ 12 kB": RunFacts(status="ok", sent_bytes=3_100_000, received_bytes=12_000),
}


@pytest.mark.parametrize("part", LINES)
def test_what_the_line_says(part: str) -> None:
    assert part in receipts.line(LINES[part])


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (999_600, "1.0 MB"), (1.3e9, "1.3 GB"), (None, "-")],
)
def test_sizes(size_bytes: int | None, text: str) -> None:
    assert receipts.size_text(size_bytes) == text
