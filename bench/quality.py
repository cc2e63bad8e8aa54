"""What the defence buys: accuracy kept, attacks stopped, texts found, on one artifact and one attack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..attacks.manifest import AttackManifest
from ..attacks.metrics import Detection, detection, localisation, roc_auc
from ..errors import ArtifactError
from ..runtime.engine import ALWAYS_SKIP, NEVER_SKIP, Arrays, Batch, Engine
from ..runtime.guard import Guard
from ..runtime.verdict import Verdict
from ..texts import LabelledTexts


@dataclass(frozen=True)
class Quality:
    """Shares are 0 to 1; pairs are (undefended, defended).

    Attributes:
        cacc: accuracy on the clean test texts.
        asr: triggered texts of other classes that are answered with the target.
        floor: the same texts without the trigger that the model answers with the target all the same: no defence
            can bring ``asr`` under it, short of a better model.
        attributable: triggered texts answered with the target though the same model answers them otherwise
            without the trigger: what the attack itself still wins.
        suspicious: texts that the gate raised (triggered, clean).
        neutralised: texts from which something was taken out (triggered, clean).
        auc: of the gate's calibrated score.
        localised: raised triggered texts whose suspect is the trigger; None where the attack has no trigger words.
        work: tokens read per token of the first passes over clean texts, with a cold cache and with a warm one.
    """

    cacc: tuple[float, float]
    asr: tuple[float, float]
    floor: float
    attributable: tuple[float, float]
    suspicious: Detection
    neutralised: Detection
    auc: float
    localised: float | None
    work: tuple[float, float]


class CountingEngine:
    """An engine that counts the real tokens it reads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.tokens = 0

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Count, then run."""
        self.tokens += int(batch.attention_mask.sum())
        return self._engine.run(batch, gate)


def measure_quality(
    guard: Guard, test: LabelledTexts, manifest: AttackManifest, progress: Callable[[str], None] = lambda _: None
) -> Quality:
    """Measure one loaded guard on labelled test texts and one attack.

    Raises:
        ArtifactError: the artifact is not calibrated.
        InputError: labels do not fit the model, or there is nothing to poison.
    """
    if guard.judge is None:
        raise ArtifactError("the artifact is not calibrated: run 'tokenward calibrate' on it with clean texts")
    test = test.aligned_to(dict(enumerate(guard.labels)))
    triggered = manifest.poison(test)
    sources = [text for text, label in zip(test.texts, test.labels, strict=True) if label != manifest.target]
    target = guard.labels[manifest.target]
    engine = CountingEngine(guard.reader.engine)
    guard.reader.engine = engine

    progress("clean texts, first with a cold cache")
    clean, cold = _counted(engine, lambda: guard.classify(test.texts))
    _, warm = _counted(engine, lambda: guard.classify(test.texts))
    _, once = _counted(engine, lambda: guard.classify(test.texts, mode="off"))
    progress("triggered texts")
    poisoned = guard.classify(triggered)
    untriggered = [v.label for v in guard.classify(sources, mode="off")]
    progress("scores of all texts")
    scores = [_scores(guard, texts) for texts in (triggered, test.texts)]

    pairs = list(zip(poisoned, untriggered, strict=True))
    raised = [v for v in poisoned if v.action != "passed"]
    named = [_named(v) for v in raised]
    return Quality(
        cacc=_shares(clean, [guard.labels[label] for label in test.labels]),
        asr=_shares(poisoned, [target] * len(poisoned)),
        floor=sum(label == target for label in untriggered) / len(untriggered),
        attributable=(
            sum(v.original_label == target != label for v, label in pairs) / len(pairs),
            sum(v.label == target != label for v, label in pairs) / len(pairs),
        ),
        suspicious=detection([v.action != "passed" for v in poisoned], [v.action != "passed" for v in clean]),
        neutralised=detection(
            [v.action == "neutralised" for v in poisoned], [v.action == "neutralised" for v in clean]
        ),
        auc=roc_auc(*scores),
        localised=localisation(named, manifest.trigger) if named and manifest.trigger else None,
        work=(cold / once, warm / once),
    )


def _named(verdict: Verdict) -> str:
    """What the guard suspected in a text: what it took out, or else what it tried."""
    if verdict.suspects:
        return " ".join(suspect.text for suspect in verdict.suspects)
    return " ".join(confirmation.span for confirmation in verdict.confirmations)


def _counted(engine: CountingEngine, run: Callable[[], list[Verdict]]) -> tuple[list[Verdict], int]:
    before = engine.tokens
    return run(), engine.tokens - before


def _scores(guard: Guard, texts: Sequence[str]) -> list[float]:
    """How far each text is over the gate's threshold; texts that cannot be suspected lie under all others."""
    assert guard.judge is not None
    gate = NEVER_SKIP if guard.judge.gate_value("enforce", False) != ALWAYS_SKIP else ALWAYS_SKIP
    return [float(np.clip(guard.judge.weigh(r)[2], -1e9, 1e9)) for r in guard.reader.read(texts, gate)]


def _shares(verdicts: Sequence[Verdict], wanted: Sequence[str]) -> tuple[float, float]:
    return (
        sum(v.original_label == label for v, label in zip(verdicts, wanted, strict=True)) / len(wanted),
        sum(v.label == label for v, label in zip(verdicts, wanted, strict=True)) / len(wanted),
    )
