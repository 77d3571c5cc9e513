"""Where a process counts, and what its `/metrics` shows.

One process counts in its own memory. Several behind one socket count into files of one folder, one set for each process
(prometheus_client's multiprocess mode), and each of them shows the sum. A process that is started again goes on in the files
of the one whose number it has: nothing is forgotten, and however often one dies there are no more files.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MultiProcessValue

from server.cli.lifeline import FOLDER

_PID = ".pid"


@dataclass(frozen=True)
class Figures:
    """Counters are made in `counted`; `/metrics` shows `shown`. `first` is one process of a server: what only one need do, it does."""

    counted: CollectorRegistry
    shown: CollectorRegistry
    first: bool


def of_the_only_process() -> Figures:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return Figures(registry, registry, first=True)


def of_process(number: int) -> Figures:
    """Return those of one of several processes; before any counter is made."""
    folder = Path(os.environ[FOLDER])
    counting = MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]  # it has no types
    prometheus_client.values.ValueClass = counting
    (folder / f"{number}{_PID}").write_text(str(os.getpid()))
    shown = CollectorRegistry()
    MultiProcessCollector(shown, str(folder))  # type: ignore[no-untyped-call]  # it has no types
    shown.register(Processes(folder))
    return Figures(CollectorRegistry(), shown, first=number == 1)


class Processes(Collector):
    """Memory, CPU time and files of every process, each under its number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for file in sorted(self._folder.glob(f"*{_PID}")):
            for metric in ProcessCollector(pid=_reading(file), registry=None).collect():
                family = merged.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    family.add_sample(sample.name, {"process": file.stem}, sample.value)
        return merged.values()


def _reading(file: Path) -> Callable[[], str]:
    return lambda: file.read_text() if file.exists() else ""
