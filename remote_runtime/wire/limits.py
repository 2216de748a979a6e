"""Every bound of the wire and of a run, with its unit and its reason."""

from __future__ import annotations

PROTOCOL = 1
"""Version of the frames and messages; both ends must agree exactly."""

KIB = 1024
MIB = 1024 * KIB

CHUNK_BYTES = 1 * MIB
"""Size of one data frame: large enough for gRPC to run near memcpy speed, small enough to let an interrupt pass."""

INLINE_BYTES = 64 * KIB
"""A bundle without buffers up to this size travels inside its control message: one frame for a small cell."""

SHARED_BYTES = 64 * KIB
"""On one host a buffer from this size on travels in shared memory; a smaller one is copied sooner than mapped."""

CONTENT_BYTES = 1 * MIB
"""From this size on a part of a bundle is known by what it holds, and does not travel to a session that holds it."""

CACHE_BYTES = 1024 * MIB
"""The most that a session keeps of what was sent to it and nothing there holds any more."""

CACHE_RAM_SHARE = 1 / 16
"""The part of a worker's memory that it may take for that, where this is less."""
SEALED_BYTES = 2 * MIB
"""From this size on it is quicker to ask the system whether shared memory was written to than to hash it."""

SEGMENT_BYTES = 64 * MIB
"""Smallest file of shared memory; its pages exist only once they were needed."""

WARM_BYTES = 16 * MIB
"""Shared memory made ready before anything is sent: little enough for every idle session."""

ARENA_RAM_SHARE = 0.25
"""The part of the machine's memory that one direction of one session may use as shared memory."""

ARENA_IDLE_S = 60.0
"""A file of shared memory that holds nothing for so long is given back."""

FRAME_LIMIT_BYTES = 64 * MIB
"""Longest frame accepted; a display larger than this is refused by the worker before it is sent."""

NAME_RETURN_BYTES = 8 * MIB
"""A result up to this size comes back by itself; a larger one stays remote as a handle."""

TOTAL_RETURN_BYTES = 64 * MIB
"""All results of one run that come back by themselves, together."""

UPDATE_BYTES = 512 * MIB
"""Changes of inputs that one run writes back, together; what is beyond stays newer in the session."""

SIZE_GATE_BYTES = 512 * MIB
"""A larger value captured by itself stops before it is sent, until it is named by -i."""

OUTPUT_LIMIT_BYTES = 64 * MIB
"""Stream text kept and shown per run; what is cut beyond it is counted and said."""

LOG_KEEP_BYTES = 256 * MIB
"""Memory for the event logs of one worker; the oldest ended runs go first."""

FILE_PIECE_BYTES = 2 * MIB
"""Of a file that travels: some in flight keep a fast line busy, and an interrupt waits for none of them long."""

FILES_KEEP_S = 7 * 24 * 3600.0
"""How long a session's working directory outlives the session."""

KEEP_S = 15 * 60.0
"""How long a run outlives a vanished client, and its log outlives its end."""

LEASE_TTL_S = 120.0
"""A worker that hears neither its gateway nor a client for so long ends itself."""

RENEW_S = 5.0
"""How often the gateway renews each lease and reads the worker's state."""

INTERRUPT_GRACE_S = 5.0
"""From the first interrupt to the kill of a user process that ignores it."""

UNIX_PATH_BYTES = 107
"""Longest AF_UNIX path Linux accepts."""
