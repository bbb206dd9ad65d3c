"""How functions are compiled: by numba, kept on disk by the content of the files that are compiled.

Numba's own cache looks at place and age of the file of the function that is called, not of those that it calls; so it
is told to look at the content of all of them, and what one copy of the program compiled another one reads. The folder
lies beside them, or where that is read-only in the user's cache, or where NUMBA_CACHE_DIR says; where none can be
written, every process compiles anew. Source: numba.readthedocs.io, "Caching compiled functions".
"""

import fcntl
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching

F = TypeVar("F", bound=Callable[..., object])

HERE = Path(__file__).parent


@cache
def version() -> str:
    """The content of the files here that use this one, and the version of numba, as 16 hex digits."""
    texts = [path.read_bytes() for path in sorted(HERE.rglob("*.py"))]
    contents = b"".join(text for text in texts if b"programs.compiled import" in text)
    return hashlib.sha256(contents + numba.__version__.encode()).hexdigest()[:16]


def cache_folder() -> Path | None:
    """A folder for compiled code that can be written; None where there is none."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for parent in [Path(given)] if given else [HERE / "__pycache__", user / "arc-ttt"]:
        folder = parent / f"compiled-{version()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


class _ByContent(caching._CacheLocator):  # type: ignore[misc]
    """Where numba keeps a function, and the stamp that says whether that is of today's code."""

    def __init__(self, folder: Path, line: int):
        self._folder, self._line = folder, line

    @classmethod
    def from_function(cls, function: Callable[..., object], _file: str) -> Any:
        folder = cache_folder()
        return cls(folder, function.__code__.co_firstlineno) if folder else None

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return version()

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Content(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_ByContent,)


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _Content


def inner(function: F) -> F:
    """Compile with whoever calls it."""
    compiled: F = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return compiled


_waiting: list[tuple[numba.core.dispatcher.Dispatcher, object, int]] = []


def entry(signature: object, optimise: int = 2) -> Callable[[F], F]:
    """Compile with all that it calls for these types when `ready` says so, and keep it on disk.

    `optimise`: the level of LLVM's passes. Numba's own, 3, takes a sixth longer to compile and applies some 3 % more
    functions a second; 1 is for what is long to compile.
    """

    def compiled(function: F) -> F:
        if numba.config.DISABLE_JIT:
            return function
        dispatcher = numba.njit(error_model="numpy")(function)
        if cache_folder() is not None:
            dispatcher._cache = _Cache(function)
        _waiting.append((dispatcher, signature, optimise))
        result: F = dispatcher
        return result

    return compiled


def ready() -> None:
    """Compile, or read from disk, all that was marked as an entry so far.

    Processes that begin together share the work: what another one compiles is left for later, and read then.
    """
    if not _waiting:
        return
    warnings.filterwarnings("ignore", "First-class function type", numba.NumbaExperimentalFeatureWarning)
    folder, passed = cache_folder(), 0
    while _waiting:
        dispatcher, signature, optimise = _waiting.pop(0)
        with _alone(folder, dispatcher.py_func.__name__, wait=passed >= len(_waiting)) as alone:
            if alone:
                level, numba.config.OPT = numba.config.OPT, type(numba.config.OPT)(optimise)
                try:
                    dispatcher.compile(signature)
                finally:
                    numba.config.OPT = level
                dispatcher.disable_compile()
        passed = 0 if alone else passed + 1
        if not alone:
            _waiting.append((dispatcher, signature, optimise))


@contextmanager
def _alone(folder: Path | None, name: str, wait: bool) -> Iterator[bool]:
    """Whether no other process compiles this now; with `wait` only once that is so."""
    if folder is None:
        yield True
        return
    with (folder / f"{name}.lock").open("w") as file:
        alone = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            alone = False
        except OSError:
            pass  # no locks on this file system: every process compiles for itself
        yield alone
