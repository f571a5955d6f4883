"""Where figures go, and the small helpers that benchmarks share."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Report:
    """Prints figures and ratios as they come, and keeps the ratios for the table at the end."""

    def __init__(self) -> None:
        self.ratios: list[tuple[str, float, float]] = []

    def figure(self, text: str) -> None:
        """One line that a ratio is made of."""
        print(f"  {text}", flush=True)

    def ratio(self, name: str, value: float, goal: float) -> None:
        """The outcome of one benchmark against its goal; higher is better."""
        self.ratios.append((name, value, goal))
        print(f"ratio {name} {value:.3f} goal {goal:g}", flush=True)


def interleaved(rounds: int, *runs: Callable[[], float]) -> list[float]:
    """The median of each run over `rounds` rounds, all runs once a round, so that noise meets all alike."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, values in zip(runs, taken, strict=True):
            values.append(run())
    return [statistics.median(values) for values in taken]
