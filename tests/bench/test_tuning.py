"""Tuning takes what pays and nothing else, keeps it, and leaves the artifact alone; no timing is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tokenward.artifact import load_artifact
from tokenward.bench import tuning
from tokenward.bench.alternation import System
from tokenward.bench.tuning import tune
from tokenward.runtime.session import FUSIONS, SessionSettings
from tokenward.runtime.tuning import stored


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_everything_is_tried_and_the_outcome_kept(tiny_artifact: Path) -> None:
    artifact = load_artifact(tiny_artifact)
    report = tune(artifact, seconds=1)
    tried = " ".join(trial.what for trial in report.trials)
    for part in (*FUSIONS, "sleep", "given back"):
        assert part in tried
    found = stored(artifact)
    assert found is not None
    assert (found.tuned, found.folder) == (report.tuned, report.folder)
    assert load_artifact(tiny_artifact).digest == artifact.digest


class ByTheBook:
    """Stands for the clock: what each settings cost, and from which round on."""

    def __init__(self, cost: Callable[[SessionSettings], Sequence[float]]) -> None:
        self._cost = cost
        self._settings: dict[str, SessionSettings] = {}

    def pass_over(self, artifact: object, settings: SessionSettings) -> Callable[[], object]:
        run = lambda: settings  # noqa: E731
        return run

    def alternate(self, systems: Sequence[System], rounds: int, **_: object) -> dict[str, list[float]]:
        return {system.name: list(self._cost(system.run())) for system in systems}


def tuned_by(cost: Callable[[SessionSettings], Sequence[float]], folder: Path, monkeypatch: pytest.MonkeyPatch):
    book = ByTheBook(cost)
    monkeypatch.setattr(tuning, "pass_over", book.pass_over)
    monkeypatch.setattr(tuning, "alternate", book.alternate)
    monkeypatch.setattr(tuning, "_optimized", lambda *_: None)
    return tune(load_artifact(folder), seconds=1)


def test_what_pays_is_taken_and_added_up(tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(settings: SessionSettings) -> Sequence[float]:
        once = 10 - 2 * (not settings.spinning) - ("BiasGeluFusion" in settings.disabled) + 3 * (not settings.arena)
        return [once] * 4

    report = tuned_by(cost, tiny_artifact, monkeypatch)
    assert report.tuned.settings == SessionSettings(spinning=False, disabled=("SkipLayerNormFusion", "BiasGeluFusion"))
    assert {trial.what for trial in report.trials if trial.taken} == {
        "without BiasGeluFusion",
        "threads without work sleep",
    }
    assert report.tuned.cost == pytest.approx(0.7)


def test_noise_is_not_taken_for_a_gain(tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less by one part in a hundred, or less at the median but more in a round of four."""

    def cost(settings: SessionSettings) -> Sequence[float]:
        if settings.disabled == ():
            return [9.9] * 4
        return [10.0] * 4 if settings.spinning else [9.0, 9.0, 13.0, 13.0]

    report = tuned_by(cost, tiny_artifact, monkeypatch)
    assert report.tuned.settings == SessionSettings()
    assert report.tuned.cost == 1.0
    assert not any(trial.taken for trial in report.trials)
