"""Real processes for tests: to race each other, and to be killed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

_CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
_PRELOADED: list[str] = []


def preload(module: str) -> None:
    """Let later processes have a module (and what it imports) from their birth, not by an import of a second each."""
    _PRELOADED.append(module)
    _CONTEXT.set_forkserver_preload(_PRELOADED)


def start(work: Callable[..., object], *arguments: Any) -> BaseProcess:
    """Run a function of a module in a process of its own; the engine is loaded there already."""
    process = _CONTEXT.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def run_together(work: Callable[..., Any], tasks: list[tuple[Any, ...]]) -> list[Any]:
    """Run a function once for each task, each in a process of its own, all at once; gives what they returned."""
    with _CONTEXT.Pool(len(tasks)) as pool:
        return pool.starmap(work, tasks, chunksize=1)
