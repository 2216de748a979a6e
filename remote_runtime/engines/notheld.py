"""What the process engine does not hold apart, in the words of its page in the docs."""

from __future__ import annotations

NOT_HELD: tuple[tuple[str, str], ...] = (
    ("user", "A worker runs as the user who started the runtime, with all of that user's rights."),
    (
        "files",
        "It reads and writes every file of that user, the runtime's records and tokens included.",
    ),
    ("network", "It reaches every network that the machine reaches, and every service on it."),
    (
        "neighbours",
        "It can signal, kill and trace that user's other processes: other workers, the gateway, a kernel.",
    ),
    (
        "devices",
        "CUDA_VISIBLE_DEVICES is a convention: code that changes it reaches every GPU of the machine.",
    ),
    ("gpu memory", "Nothing limits how much memory of a GPU a worker takes."),
    ("processor", "Nothing limits its share of the processor, the disk or the disk's bandwidth."),
    ("processes", "A process that leaves the worker's process group can outlive the session."),
    ("read-only", "A mount or a volume that is to be read only can be written all the same, where that user may."),
    ("secrets", "A variable or a secret of one session can be read by every process of that user."),
    ("caches", "Every session of one user writes the same model cache."),
)
"""What stands between two workers on other engines and not on this one: key -> the sentence in the docs."""
