"""What a container's network lets through: rules as a table, put into the host's packet filter where that can be.

    bridge, blocked ranges, resolvers -> rules -> iptables: chain per installation, entered from FORWARD and INPUT

The internet is open, so that a model can be fetched on the day it appears. The host, and with it the gateway, other
workers and the listed ranges are closed. Writing rules needs root; where the gateway has not got it, `held` says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from remote_runtime.wire.failures import Failed

ENTRIES = ("DOCKER-USER", "INPUT")
"""Chains through which a container's packets come: on their way elsewhere, and to the host itself."""

BRIDGE_OPTIONS = {"com.docker.network.bridge.enable_icc": "false"}
"""Two containers of one bridge do not see each other."""

NOT_HELD = (
    "the gateway is not root, so it cannot write packet filter rules: workers reach this machine's services and its "
    "private networks; set the engine's network to none where that matters"
)

_WAIT_S = "5"


def chain_name(bridge: str) -> str:
    """Return the name of an installation's chain."""
    return bridge.upper()


def rules(blocked: Sequence[str], resolvers: Sequence[str]) -> list[list[str]]:
    """Return what a chain does with a packet from a container, in order.

    Args:
        blocked: Ranges that are closed.
        resolvers: Name servers, which may lie in such a range; their one port is open.
    """
    found = [["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "RETURN"]]
    for resolver in resolvers:
        found += [["-d", resolver, "-p", kind, "--dport", "53", "-j", "RETURN"] for kind in ("udp", "tcp")]
    found += [["-d", network, "-j", "REJECT"] for network in blocked]
    return [*found, ["-m", "addrtype", "--dst-type", "LOCAL", "-j", "REJECT"], ["-j", "RETURN"]]


def entry(chain: str, bridge: str) -> list[str]:
    """Return the rule that sends what a bridge's containers send into a chain."""
    return ["-i", bridge, "-j", chain]


def resolvers(text: str) -> list[str]:
    """Return the name servers of a resolv.conf that a container asks by itself; the host's own are asked for it."""
    words = [line.split() for line in text.splitlines()]
    found = [w[1] for w in words if len(w) > 1 and w[0] == "nameserver"]
    return [address for address in found if ":" not in address and not address.startswith("127.")]


def possible() -> str:
    """Return why no rule can be written here, "" where it can."""
    if os.getuid() != 0:
        return NOT_HELD
    return "" if shutil.which("iptables") else "iptables is not installed: workers reach this machine's networks"


def close(bridge: str, blocked: Sequence[str]) -> None:
    """Put an installation's rules in place, and write them anew where they are.

    Args:
        bridge: Its interface on the host.
        blocked: Ranges that are closed.

    Raises:
        Failed: They could not be written; no container may start then.
    """
    chain = chain_name(bridge)
    text = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
    if not _holds("-n", "-L", chain):
        _iptables("-N", chain)
    for through in ENTRIES:
        if not _holds("-n", "-L", through):
            _iptables("-N", through)
        if not _holds("-C", through, *entry(chain, bridge)):
            _iptables("-I", through, *entry(chain, bridge))
    # One call: in between there is no moment in which a packet meets half of the rules.
    lines = [f"-A {chain} {' '.join(rule)}" for rule in rules(blocked, resolvers(text))]
    _restore("\n".join(["*filter", f":{chain} - [0:0]", *lines, "COMMIT", ""]))


def open_again(bridge: str) -> None:
    """Take an installation's rules away; where there are none, nothing happens."""
    chain = chain_name(bridge)
    for through in ENTRIES:
        _holds("-D", through, *entry(chain, bridge))
    _holds("-F", chain)
    _holds("-X", chain)


def _holds(*words: str) -> bool:
    return subprocess.run(["iptables", "-w", _WAIT_S, *words], capture_output=True).returncode == 0


def _iptables(*words: str) -> None:
    _checked(["iptables", "-w", _WAIT_S, *words], "")


def _restore(text: str) -> None:
    _checked(["iptables-restore", "--noflush", "-w", _WAIT_S], text)


def _checked(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Failed("unavailable", f"the workers' network could not be closed: `{' '.join(command)}` says {said[0]}",
                     "set the engine's network to none, or see `iptables -S`")  # fmt: skip
