"""How a figure is taken and shown: the median of some runs with their range, and what a unit cost which process."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from statistics import median

import psutil

from tests.harness.process import Process

RUNS = 3


def say(name: str, figure: str) -> None:
    print(f"{name:<72} {figure}", flush=True)


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    took = [0.0]
    start = time.perf_counter()
    yield took
    took[0] = time.perf_counter() - start


def spread(values: Collection[float], unit: str, digits: int = 0) -> str:
    """The median and, of several, the range."""
    low, high = min(values), max(values)
    among = f"   ({low:,.{digits}f} to {high:,.{digits}f})" if len(values) > 1 else ""
    return f"{median(values):>10,.{digits}f} {unit}{among}"


async def rate(work: Callable[[], Awaitable[int]], process: Process | None = None) -> str:
    """Units of work a second; and what one costs the process."""
    rates, costs = [], []
    for _ in range(RUNS):
        before = cpu_seconds(process)
        with stopwatch() as took:
            count = await work()
        rates.append(count / took[0])
        costs.append((cpu_seconds(process) - before) / count)
    cost = "" if process is None else f"   {median(costs) * 1000:.2f} ms of the {process.name}'s CPU each"
    return f"{spread(rates, '/s')}{cost}"


def cpu_seconds(process: Process | None) -> float:
    """What a process has used so far, without its children."""
    if process is None:
        return 0.0
    used = psutil.Process(process.pid).cpu_times()
    return float(used.user + used.system)


def family_seconds(process: Process) -> float:
    """What a process and its children that live have used so far."""
    whole = 0.0
    root = psutil.Process(process.pid)
    for one in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used = one.cpu_times()
            whole += used.user + used.system
    return whole


def postgres_seconds() -> float:
    """What PostgreSQL's own processes on this machine have used so far."""
    whole = 0.0
    for one in psutil.process_iter(["name", "cpu_times"]):
        if one.info["name"] in {"postgres", "postmaster"} and one.info["cpu_times"] is not None:
            whole += one.info["cpu_times"].user + one.info["cpu_times"].system
    return whole
