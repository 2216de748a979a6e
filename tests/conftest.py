"""What holds for every test."""

from __future__ import annotations

import signal

# A runner that was itself started in the background passes on an ignored SIGINT, and tests here press Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
