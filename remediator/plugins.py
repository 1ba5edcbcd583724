"""Registries: values found in a package's modules, and in other distributions.

To add one, add a file; no list is kept.
"""

import sys
from collections.abc import Iterator, MutableMapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar

from .errors import ConfigurationError

T = TypeVar("T")


def values(package: ModuleType, kind: type[T]) -> Iterator[T]:
    """Every value of the type that a module of the package defines, by the modules' names.

    After them, what other distributions bring by entry points in a group of the package's name.
    Raises: ConfigurationError where one of those cannot be had.
    """
    seen: set[int] = set()
    for item in sorted(iter_modules(package.__path__), key=lambda item: item.name):
        for value in vars(import_module(f"{package.__name__}.{item.name}")).values():
            if isinstance(value, kind) and id(value) not in seen:  # another module may import it
                seen.add(id(value))
                yield value
    for point in sorted(entry_points(group=package.__name__), key=lambda point: point.name):
        yield _loaded(point, kind)


def _loaded(point: EntryPoint, kind: type[T]) -> T:
    """The value of an entry point. Raises: ConfigurationError."""
    where = f"{point.group} `{point.name}` of {point.dist.name if point.dist else 'a distribution'}"
    try:
        value = point.load()
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"cannot load {where}: {why}; fix or remove it") from error
    if not isinstance(value, kind):
        what = type(value).__name__
        raise ConfigurationError(f"cannot use {where}: it is of type {what}, not {kind.__name__}")
    return value


class Registry(MutableMapping[str, T]):
    """The values of a type by their names, found when they are first asked for.

    Then every module is there.

    Raises: ConfigurationError where what another distribution brings cannot be used, or two have
    one name.
    """

    def __init__(self, package: str, kind: type[T]) -> None:
        self._package, self._kind = package, kind

    @cached_property
    def _found(self) -> dict[str, T]:
        found: dict[str, T] = {}
        for value in values(sys.modules[self._package], self._kind):
            name = str(getattr(value, "name", ""))
            if name in found:
                what = f"two of type {self._kind.__name__} are called `{name}`"
                raise ConfigurationError(f"{what}; rename or remove one")
            found[name] = value
        return found

    def __getitem__(self, name: str) -> T:
        return self._found[name]

    def __setitem__(self, name: str, value: T) -> None:
        self._found[name] = value

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)
