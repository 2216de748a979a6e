"""What a user may set, as traits: `%config GpuMagics.receipt = False`, or `c.GpuMagics.receipt` in a config file.

Precedence, nearest first: an option on the magic line, `%gpu use`, a trait, the environment, `warmcell.toml`, the
default. Traits left empty say nothing, so the levels below them speak.
"""

from __future__ import annotations

from traitlets import Bool, Float, Int, Unicode
from traitlets.config import Configurable

from remote_runtime.wire import limits


class GpuSettings(Configurable):
    """The traits of `%gpu` and `%%gpu`."""

    url = Unicode("", help="Address of the runtime (http or https). Empty: the embedded one.").tag(
        config=True
    )
    token = Unicode("", help="Token of the runtime. Empty: from the environment or the token file.").tag(
        config=True
    )
    trust = Unicode(
        "", help="What is taken from workers: `all`, or `data` alone. Empty: from the environment or a file."
    ).tag(config=True)
    target = Unicode("", help="Target of a cell that names none. Empty: any.").tag(config=True)
    session = Unicode("", help="Name of the session. Empty: one per notebook and target.").tag(config=True)
    idle_s = Float(
        0.0,
        min=0,
        help="Seconds without a run after which a session is released. 0: only when somebody waits.",
    ).tag(config=True)
    receipt = Bool(True, help="Show one line after each run: device, times, bytes, names.").tag(config=True)
    status_line = Bool(True, help="Show one line while a run takes longer than half a second.").tag(
        config=True
    )
    name_limit_bytes = Int(
        limits.NAME_RETURN_BYTES, min=0, help="A result up to this size in bytes comes back by itself."
    ).tag(config=True)
    total_limit_bytes = Int(
        limits.TOTAL_RETURN_BYTES,
        min=0,
        help="All results of one run up to this size in bytes come back by themselves.",
    ).tag(config=True)
    size_gate_bytes = Int(
        limits.SIZE_GATE_BYTES,
        min=0,
        help="A larger captured value, in bytes, stops the cell until named by -i.",
    ).tag(config=True)
    keep_s = Float(limits.KEEP_S, min=0, help="Seconds a run outlives a vanished kernel.").tag(config=True)
