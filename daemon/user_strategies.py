"""Strategy kinds of this machine: those of taped, those of installed packages, those of a folder.

A package offers kinds under the entry-point group `taped.strategies`; each entry is a class or a module.
A folder offers every `*.py` in it whose name does not begin with an underscore. Such code runs inside
the daemon and may do all that the daemon may: files that anybody on the machine can write are refused.

The code that was loaded is told byte for byte, so that the hash of the daemon's code covers it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Parameter, Strategy
from schemas.errors import TapedError

GROUP = "taped.strategies"
MAX_FILES = 1_000
MAX_FILE_BYTES = 1_000_000
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MODULE_PREFIX = "taped_user_strategies_"


class UserStrategyError(TapedError):
    """A module of strategies cannot be loaded, must not be, or holds none that can run.

    Attributes:
        place: the file or entry point.
    """

    def __init__(self, place: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{place}: {problem}", hint=hint)
        self.place = place


@dataclass(slots=True)
class Kinds:
    """Strategy classes by kind, and the code that did not come with taped.

    Attributes:
        classes: by kind; taped's own first.
        places: where a kind that is not taped's own came from.
        sources: name and content of each file of such code, in the order of its loading.
    """

    classes: dict[str, type[Strategy]] = field(default_factory=lambda: dict(STRATEGIES))
    places: dict[str, str] = field(default_factory=dict)
    sources: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, place: str, found: Mapping[str, type[Strategy]]) -> None:
        """Take the strategies of one place.

        Raises:
            UserStrategyError: a kind is another's already, or there is none.
        """
        if not found:
            raise UserStrategyError(
                place, "holds no strategy", hint="a strategy is a subclass of Strategy with a kind"
            )
        for kind, cls in found.items():
            if kind in self.classes:
                owner = self.places.get(kind, "taped itself")
                raise UserStrategyError(
                    place, f"kind {kind!r} is that of {owner}", hint="give it another name"
                )
            self.classes[kind] = cls
            self.places[kind] = place


def load_kinds(folder: Path | None = None) -> Kinds:
    """Return all strategy kinds.

    Args:
        folder: of strategies of one's own; None for none.

    Raises:
        UserStrategyError: the first thing that is wrong.
    """
    kinds = Kinds()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        _load_entry(kinds, entry)
    if folder is not None:
        for path in _files(folder):
            _load_file(kinds, path)
    return kinds


def _files(folder: Path) -> list[Path]:
    try:
        _refuse_writable(str(folder), folder.stat())
        paths = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    except OSError as error:
        raise UserStrategyError(str(folder), f"cannot be read: {error.strerror}") from error
    if not folder.is_dir():
        raise UserStrategyError(str(folder), "is no folder")
    if len(paths) > MAX_FILES:
        raise UserStrategyError(str(folder), f"holds {len(paths)} files, at most {MAX_FILES} are read")
    return paths


def _load_file(kinds: Kinds, path: Path) -> None:
    place = str(path)
    content = _read(path)
    name = _MODULE_PREFIX + path.stem
    module = ModuleType(name)
    module.__file__ = place
    # Dataclasses look their module up by name.
    sys.modules[name] = module
    try:
        # What was read is what runs: the file may be another by the time it is hashed.
        exec(compile(content, place, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # the user's own code
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserStrategyError(place, f"cannot be loaded: {_told(error, place)}") from error
    kinds.add(place, dict(_strategies(place, module)))
    kinds.sources.append((path.name, content))


def _load_entry(kinds: Kinds, entry: EntryPoint) -> None:
    place = f"entry point {entry.name} = {entry.value}"
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:
        raise UserStrategyError(place, f"cannot be loaded: {_told(error, '')}") from error
    module = found if isinstance(found, ModuleType) else sys.modules.get(getattr(found, "__module__", ""))
    if module is None:
        raise UserStrategyError(place, "is neither a class nor a module")
    if isinstance(found, ModuleType):
        kinds.add(place, dict(_strategies(place, module)))
    else:
        kinds.add(place, dict(_checked(place, found)))
    kinds.sources += [(f"{entry.name}/{path.name}", _read(path)) for path in _package_files(module)]


def _package_files(module: ModuleType) -> list[Path]:
    """Return the files of a module, or all of the package that it is in: code calls code."""
    root = sys.modules.get(module.__name__.partition(".")[0], module)
    if hasattr(root, "__path__"):
        folders = [Path(folder) for folder in root.__path__]
        return sorted(path for folder in folders for path in folder.rglob("*.py"))[:MAX_FILES]
    return [] if module.__file__ is None else [Path(module.__file__)]


def _strategies(place: str, module: ModuleType) -> Iterator[tuple[str, type[Strategy]]]:
    for value in list(vars(module).values()):
        is_own = isinstance(value, type) and value.__module__ == module.__name__
        if is_own and issubclass(value, Strategy) and "kind" in vars(value):
            yield from _checked(place, value)


def _checked(place: str, cls: Any) -> Iterator[tuple[str, type[Strategy]]]:
    if not (isinstance(cls, type) and issubclass(cls, Strategy)):
        raise UserStrategyError(place, f"{cls!r:.100} is no subclass of Strategy")
    kind = getattr(cls, "kind", None)
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        problem = f"the kind of {cls.__name__} is {kind!r:.100}"
        raise UserStrategyError(place, problem, hint="up to 64 small letters, digits and underscores")
    if not all(isinstance(parameter, Parameter) for parameter in cls.parameters):
        raise UserStrategyError(place, f"the parameters of {cls.__name__} are not all of class Parameter")
    yield kind, cls


def _read(path: Path) -> bytes:
    """Return a file's content, if nobody but its owner and group can have written it."""
    try:
        with path.open("rb") as file:
            _refuse_writable(str(path), os.fstat(file.fileno()))
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserStrategyError(str(path), f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UserStrategyError(str(path), f"is longer than {MAX_FILE_BYTES:,} bytes")
    return content


def _refuse_writable(place: str, status: os.stat_result) -> None:
    if status.st_mode & stat.S_IWOTH:
        raise UserStrategyError(
            place, "anybody on this machine can write it, and its code trades", hint=f"chmod o-w {place}"
        )


def _told(error: BaseException, place: str) -> str:
    """Return what went wrong, with the line of the file where it did."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == place:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = "" if line is None else f"line {line}: "
    return f"{where}{type(error).__name__}: {error}"[:500]
