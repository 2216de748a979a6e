"""Where in a segment something lies: free ranges, taken by best fit and merged when they come back. Pure.

    take(size) -> offset --...--> give(offset, size) -> merged with its free neighbours
"""

from __future__ import annotations

from collections.abc import Iterator


class Space:
    """The free ranges of one segment.

    Args:
        size_bytes: All of it, free at first.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.free_bytes = 0
        self._sizes: dict[int, int] = {}  # start -> size, the range that came back last at the end
        self._starts: dict[int, int] = {}  # end -> start
        self._add(0, size_bytes)

    @property
    def idle(self) -> bool:
        """Whether nothing is taken."""
        return self.free_bytes == self.size_bytes

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the free ranges as offset and size."""
        yield from self._sizes.items()

    def take(self, size_bytes: int) -> int | None:
        """Take the low end of the smallest range that has room; of equals, the one that came back last.

        The low end has been used before, so its pages exist; the smallest leaves large ranges whole.

        Returns:
            The offset, None where no range has room.
        """
        fitting = [(size, -age, start) for age, (start, size) in enumerate(self._sizes.items()) if size >= size_bytes]
        if not fitting:
            return None
        size, _, start = min(fitting)
        self._remove(start)
        if size > size_bytes:
            self._add(start + size_bytes, size - size_bytes)
        return start

    def give(self, offset: int, size_bytes: int) -> None:
        """Take back what was taken."""
        start, end = offset, offset + size_bytes
        if start in self._starts:
            start = self._starts[start]
            self._remove(start)
        if end in self._sizes:
            end += self._remove(end)
        self._add(start, end - start)

    def _add(self, start: int, size_bytes: int) -> None:
        self._sizes[start], self._starts[start + size_bytes] = size_bytes, start
        self.free_bytes += size_bytes

    def _remove(self, start: int) -> int:
        size_bytes = self._sizes.pop(start)
        del self._starts[start + size_bytes]
        self.free_bytes -= size_bytes
        return size_bytes
