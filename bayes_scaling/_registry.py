"""Name -> object, with "did you mean"."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from bayes_scaling.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """The objects of one kind, by name, in the order they were registered.

    Parameters
    ----------
    kind : str
        What is registered, as it should read in an error ("law", "data set").

    Examples
    --------
    >>> from bayes_scaling._registry import Registry
    >>> colours = Registry("colour")
    >>> colours.add("teal", "#008080")
    '#008080'
    >>> colours["teal"]
    '#008080'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register `item` and return it; a name can be taken once."""
        if name in self._items:
            msg = f"{self.kind} {name!r} is registered already"
            raise ValueError(msg)
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Register what the decorator stands on."""
        return lambda item: self.add(name, item)

    def __getitem__(self, name: str) -> T:
        """Look a name up; an unknown one is an error that says what was meant."""
        if name in self._items:
            return self._items[name]
        raise UnknownNameError(self.kind, name, self._items, did_you_mean(name, self._items))

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._items)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        """Say whether a name is registered."""
        return name in self._items


def did_you_mean(name: object, allowed: Iterable[object]) -> str:
    """Write a hint such as `` Did you mean 'nuts'?`` or nothing when no name is near."""
    names = [str(a) for a in allowed]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
