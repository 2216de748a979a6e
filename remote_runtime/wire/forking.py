"""The zygote's protocol: one JSON object per packet on a SOCK_SEQPACKET socket, descriptors beside it.

    engine --{"op": "keeper", "worker_id", "socket", "secret", "directory", "log"}--> zygote
           <--{"op": "started", "worker_id", "pid"}--
           <--{"op": "exited", "worker_id", "pid", "code", "signal", "peak_bytes"}--, later
    keeper --{"op": "user", "worker_id"} + [channel, stdout, stderr, tail]--> zygote
           <--{"op": "started", "worker_id", "pid"} + [pidfd, where the system has them]--
           <--{"op": "exited", ...}--, later
           <--{"op": "orphaned"}--, when the engine connection that asked for this keeper is closed
    anyone --{"op": "hello"}--> zygote <--{"op": "hello", "pid", "imported", "workers", "start", "why"}--
    anyone <--{"op": "refused", "asked", "worker_id", "message"}--: what was asked cannot be done

A keeper that is spawned, and no fork, reads the engine's request as the first packet on its own socket.

A keeper's socket appears under its name when the keeper serves and its first user process waits: a file that
exists is a warm worker.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

PACKET_BYTES = 128 * 1024
"""Longest packet; an order is a few paths."""

_FDS_MOST = 8

AUTO, FORK, SPAWN = "auto", "fork", "spawn"

STARTS = (AUTO, FORK, SPAWN)
"""Ways in which children of a zygote start."""

STOPPED, START_FAILED, LEASE, STRANDED = 0, 70, 71, 72

EXIT_REASONS: Mapping[int, str] = {
    STOPPED: "stopped",
    START_FAILED: "start-failed",
    LEASE: "lease",
    STRANDED: "killed",
}
"""A keeper's exit code -> why it ended. STRANDED: no user process, and no zygote left to fork one."""


def send(sock: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one packet.

    Args:
        sock: A connected SOCK_SEQPACKET socket.
        message: What JSON can hold, at most `PACKET_BYTES` long.
        fds: Descriptors to hand over; the caller keeps and closes its own copies.

    Raises:
        OSError: The peer is gone, or a non-blocking socket is full.
        ValueError: The message is too long.
    """
    packet = json.dumps(message, separators=(",", ":")).encode()
    if len(packet) > PACKET_BYTES:
        raise ValueError(f"a packet of {len(packet)} bytes is longer than {PACKET_BYTES}")
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([packet], beside, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one packet.

    Returns:
        The message and the descriptors that came with it, which the caller then owns; None when the peer has
        closed.

    Raises:
        BlockingIOError: Nothing is there, on a non-blocking socket.
        ValueError: The packet is no JSON object; its descriptors are closed.
    """
    room = socket.CMSG_SPACE(_FDS_MOST * array.array("i").itemsize)
    try:
        packet, beside, flags, _ = sock.recvmsg(PACKET_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None
    fds = _descriptors(beside)
    if not packet:
        return _closed(fds)
    try:
        return _parsed(packet, flags), fds
    except ValueError:
        _closed(fds)
        raise


def _parsed(packet: bytes, flags: int) -> dict[str, Any]:
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise ValueError("a packet is longer than the protocol allows")
    message = json.loads(packet)
    if not isinstance(message, dict):
        raise ValueError(f"a packet holds a {type(message).__name__}, expected an object")
    return message


def _descriptors(beside: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def _closed(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
