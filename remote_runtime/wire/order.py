"""What travels, and in which order: each value after all that its code needs.

    values -> what their code mentions -> more values -> order

Code that runs while a value is rebuilt (`__setstate__`, `__hash__`, a metaclass) looks up globals; those
must have arrived by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

Expand = Callable[[Mapping[str, str]], Mapping[str, object]]
"""Names that code mentions, each with the variable whose code it is -> values of those that shall travel."""


class Plan:
    """Values by name, which grow by what their code mentions.

    Args:
        values: What shall travel from the start.
        expand: Asked once about each name that code mentions.
    """

    def __init__(self, values: Mapping[str, object], expand: Expand | None) -> None:
        self.values = dict(values)
        self._expand = expand
        self._mentions: dict[str, dict[str, None]] = {}
        self._asked: set[str] = set()

    def learn(self, name: str, mentions: Mapping[str, None]) -> list[str]:
        """Take in what the code in a value mentions.

        Args:
            name: The variable that holds the value.
            mentions: Names of globals.

        Returns:
            Names that travel from now on.
        """
        self._mentions.setdefault(name, {}).update(mentions)
        unknown = [n for n in mentions if n not in self.values and n not in self._asked]
        if not unknown or self._expand is None:
            return []
        self._asked.update(unknown)
        found = self._expand(dict.fromkeys(unknown, name))
        self.values.update(found)
        return list(found)

    def mentions(self) -> dict[str, tuple[str, ...]]:
        """Return what the code in each value mentions."""
        return {name: tuple(mentioned) for name, mentioned in self._mentions.items() if mentioned}

    def needs(self, name: str) -> set[str]:
        """Return the other names that travel and that code in a value may look up, through other code too."""
        return {*self._after_needs(name, set())} - {name}

    def order(self) -> list[str]:
        """Return all names, each after what it needs; who need each other stay as they came."""
        seen: set[str] = set()
        return [found for name in list(self.values) for found in self._after_needs(name, seen)]

    def _after_needs(self, name: str, seen: set[str]) -> Iterator[str]:
        """Yield what a name needs, then the name; nothing that was seen."""
        if name in seen:
            return
        seen.add(name)
        path = [(name, iter(self._mentions.get(name, ())))]
        while path:
            at, needed = path[-1]
            step = next((n for n in needed if n in self.values and n not in seen), None)
            if step is None:
                path.pop()
                yield at
            else:
                seen.add(step)
                path.append((step, iter(self._mentions.get(step, ()))))
