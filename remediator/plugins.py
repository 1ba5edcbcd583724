"""Values found in a package's modules: what is added is one file, and no list of them is kept."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def values(package: ModuleType, kind: type[T]) -> Iterator[T]:
    """Every value of the type that a module of the package defines, by the modules' names."""
    seen: set[int] = set()
    for item in sorted(iter_modules(package.__path__), key=lambda item: item.name):
        for value in vars(import_module(f"{package.__name__}.{item.name}")).values():
            if isinstance(value, kind) and id(value) not in seen:  # another module may import it
                seen.add(id(value))
                yield value
