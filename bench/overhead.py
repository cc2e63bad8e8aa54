"""What the defence costs, text in, answer out: the bare model, the guard in every mode, and the peers, in turn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from statistics import quantiles

from .alternation import Spread, System, alternate, spread
from .defence_names import BARE
from .overhead_systems import BEST, Contestant, Setup, Systems, check_setup
from .peak_memory import peak_memory
from .record import Metric, Row, timed
from .tally import Tally

BATCHES = (1, 32)
LONGEST = 10.0  # seconds: a system that needs more for one call is not run at that batch size
_GAIN = 4  # how much quicker a text may be in a batch than alone: what cannot keep LONGEST even so is not tried
_CALLS_FOR_P95 = 20
_BLOCKS_FOR_MEMORY = 2
_LATENCIES_KEPT = 400

Block = Sequence[str]


@dataclass
class _Cell:
    """One system at one batch size.

    Attributes:
        blocks: the calls that one run makes; slow systems make fewer of the same.
        rounds: seconds of every call, run by run, warm-up first.
        needed: seconds of one call, before the rounds.
        work: passes of the last run.
    """

    system: str
    contestant: Contestant
    batch: int
    blocks: Sequence[Block]
    rounds: list[list[float]] = field(default_factory=list)
    needed: float = 0.0
    work: Tally = field(default_factory=Tally)
    not_run: str | None = None

    @property
    def name(self) -> str:
        return f"{self.system}, batch {self.batch}"

    def run(self) -> None:
        before, seconds = copy(self.contestant.tally), []
        for block in self.blocks:
            start = time.perf_counter()
            self.contestant.classify(block)
            seconds.append(time.perf_counter() - start)
        self.rounds.append(seconds)
        self.work = self.contestant.tally.since(before)

    @property
    def texts(self) -> int:
        return sum(map(len, self.blocks))


def measure_overhead(
    setup: Setup,
    rounds: int = 5,
    seconds: float = 1.0,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Time every system of a setup on the same texts and count its passes; one row per system and batch size.

    Texts are shuffled once and cut into calls of 1 and of 32 texts, the same for all. Rounds alternate between the
    systems; each run makes as many of the calls as take about ``seconds``, so slow systems answer fewer texts. A ratio
    is taken round by round over those calls that both systems made. Peak memory is that of a process of its own while
    it answers.

    Args:
        setup: what is timed, and on what.
        rounds: timed runs of each cell; one more warms up and is left out.
        seconds: that a run of one cell should take; at least one call is made.
        seed: of the order of texts and of systems.
        progress: told what comes next.

    Raises:
        InputError, ArtifactError: see :func:`check_setup`.
    """
    check_setup(setup)
    texts = random.Random(seed).sample(setup.texts, len(setup.texts))
    systems = Systems(setup)
    cells: list[_Cell] = []
    for name in systems.names:
        progress(f"preparing {name}")
        contestant = systems.build(name)
        alone = None
        for batch in BATCHES:
            cells.append(_cell(name, contestant, texts, batch, seconds, alone))
            alone = cells[-1].needed / batch
    running = [cell for cell in cells if cell.not_run is None]
    alternate([System(c.name, c.run, c.contestant.prepare) for c in running], rounds, seed, progress=progress)
    bare = {cell.batch: cell for cell in cells if cell.contestant.labels == {"defence": BARE, "mode": BEST}}
    memory = _memory(setup, {cell.system: cell for cell in running}, progress)
    return [_row(cell, bare[cell.batch], memory) for cell in cells]


def steps(setup: Setup, rounds: int) -> int:
    """How often :func:`measure_overhead` reports progress, at most."""
    return len(Systems(setup).names) * (2 + len(BATCHES) * (rounds + 1))


def _cell(
    name: str, contestant: Contestant, texts: Sequence[str], batch: int, seconds: float, alone: float | None
) -> _Cell:
    """A cell with as many calls as fit, found by making one or two; ``alone``: seconds of a text in a smaller call."""
    blocks = [texts[start : start + batch] for start in range(0, len(texts), batch)]
    cell = _Cell(name, contestant, batch, blocks[:1])
    if alone is not None and alone * batch > _GAIN * LONGEST:
        cell.not_run = f"a text alone takes {alone:.1f} s: a call would take more than the {LONGEST:.0f} s it may take"
        return cell
    contestant.prepare()
    cell.run()
    if cell.rounds[0][0] < LONGEST / 4:
        cell.run()  # the first call of a session also allocates
    (cell.needed,) = cell.rounds.pop()
    cell.rounds.clear()
    if cell.needed > LONGEST:
        cell.not_run = f"one call takes {cell.needed:.0f} s, more than the {LONGEST:.0f} s that it may take"
    cell.blocks = blocks[: max(1, int(seconds / cell.needed))]
    return cell


def _memory(setup: Setup, cells: Mapping[str, _Cell], progress: Callable[[str], None]) -> dict[str, tuple[int, float]]:
    """Batch size and peak memory of each system, several at a time: a process needs no more for its neighbours."""

    def measure(cell: _Cell) -> tuple[int, float]:
        progress(f"memory of {cell.system}")
        return cell.batch, peak_memory(setup, cell.system, cell.blocks[:_BLOCKS_FOR_MEMORY])

    with ThreadPoolExecutor(min(4, setup.threads)) as pool:
        return dict(zip(cells, pool.map(measure, cells.values()), strict=True))


def _row(cell: _Cell, bare: _Cell, memory: dict[str, tuple[int, float]]) -> Row:
    labels = {**cell.contestant.labels, "batch": cell.batch}
    settings = dict(cell.contestant.settings)
    if cell.not_run is not None:
        return Row(labels, settings=settings, not_run=cell.not_run)
    rounds = cell.rounds[1:]
    calls = [1e3 * seconds for run in rounds for seconds in run]
    against = {} if bare.not_run else {"times_bare": timed(times(rounds, bare.rounds[1:]), "×", "higher")}
    metrics = {
        "texts_per_second": timed(spread([cell.texts / sum(run) for run in rounds]), "texts/s", "higher"),
        **against,
        "p50": timed(spread([1e3 * quantile(run, 50) for run in rounds]), "ms", "lower"),
        "forwards": Metric(cell.work.forwards / cell.texts, unit="per text"),
        "backwards": Metric(cell.work.backwards / cell.texts, unit="per text"),
        "language_model_forwards": Metric(cell.work.language_model / cell.texts, unit="per text"),
    }
    if len(calls) >= _CALLS_FOR_P95:
        metrics["p95"] = Metric(quantile(calls, 95), unit="ms", better="lower")
    if memory[cell.system][0] == cell.batch:
        metrics["memory"] = Metric(memory[cell.system][1], unit="MiB", better="lower")
    settings["texts"] = cell.texts
    return Row(labels, metrics, settings, {"latency": tuple(calls[:: 1 + len(calls) // _LATENCIES_KEPT])})


def times(rounds: Sequence[Sequence[float]], base: Sequence[Sequence[float]]) -> Spread:
    """How many times as fast as ``base`` a system is, round by round over the calls that both made."""
    shared = min(len(rounds[0]), len(base[0]))
    return spread([sum(b[:shared]) / sum(r[:shared]) for r, b in zip(rounds, base, strict=True)])


def quantile(values: Sequence[float], percent: int) -> float:
    """A percentile from 1 to 99, by linear interpolation."""
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]
