"""Which contents a session holds, as others know it: the keeper, for those who come, and each kernel.

    Welcome.stock -> begin;  FromWorker.stock, what changed -> take;  holds -> whether a content need not travel

What is known here may be gone there: whoever relies on it must be able to send the content after all.
"""

from __future__ import annotations

from remote_runtime.wire import messages_pb2 as pb

_Key = tuple[bytes, int]


class Stock:
    """Contents by digest and size. One thread changes it while another asks."""

    def __init__(self) -> None:
        self._held: frozenset[_Key] = frozenset()
        self._sizes: frozenset[int] = frozenset()

    def begin(self, stock: pb.Stock) -> None:
        """Take all that is held, in place of what was known."""
        self._hold(frozenset(map(_key, stock.added)))

    def take(self, stock: pb.Stock) -> None:
        """Take what changed."""
        self._hold(self._held.difference(map(_key, stock.gone)).union(map(_key, stock.added)))

    def all(self) -> pb.Stock:
        """Return all that is held."""
        return stock_of(self._held)

    def holds(self, digest: bytes, size_bytes: int) -> bool:
        """Tell whether a content is held."""
        return (digest, size_bytes) in self._held

    def has_size(self, size_bytes: int) -> bool:
        """Tell whether some content of this size is held."""
        return size_bytes in self._sizes

    def _hold(self, keys: frozenset[_Key]) -> None:
        self._sizes = frozenset(size_bytes for _, size_bytes in keys)
        self._held = keys


def stock_of(added: frozenset[_Key], gone: frozenset[_Key] = frozenset()) -> pb.Stock:
    """Write what is held, or what changed in it."""
    told = [[pb.Content(digest=digest, size_bytes=size) for digest, size in keys] for keys in (added, gone)]
    return pb.Stock(added=told[0], gone=told[1])


def _key(content: pb.Content) -> _Key:
    return content.digest, content.size_bytes
