"""What a defence buys: accuracy kept, attacks stopped, texts found, on one attack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from ..attacks.manifest import AttackManifest
from ..attacks.metrics import Detection, localisation, roc_auc, tpr_at
from ..runtime.guard import Guard
from ..texts import LabelledTexts
from .bootstrap import Indices, intervals
from .guarded import Guarded
from .peers.peer import Answer, Peer

Flags = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One attack on one test set; labels are the model's class numbers.

    Attributes:
        texts, labels: clean test texts.
        triggered: the texts of other classes than the target, with the trigger.
        beside: the texts of the target's class, with the trigger: honest answers that it stands beside.
        trigger: what to look for in a suspect; None where the attack has no trigger words.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    triggered: tuple[str, ...]
    beside: tuple[str, ...]
    manifest: AttackManifest


def trial_of(test: LabelledTexts, manifest: AttackManifest, labels: Sequence[str]) -> Trial:
    """Plant an attack's trigger in test texts, for a model with these class names.

    Raises:
        InputError: labels do not fit the model, or there is nothing to poison.
    """
    classes = dict(enumerate(labels))
    test, manifest = test.aligned_to(classes), manifest.aligned_to(classes)
    triggered, beside = tuple(manifest.poison(test)), tuple(manifest.beside(test))
    return Trial(test.texts, test.labels, triggered, beside, manifest)


@dataclass(frozen=True)
class Observed:
    """What a defence did, one value per text: for clean texts [n], for triggered ones [m], for those beside one [k].

    Attributes:
        right: (undefended, defended) answers to clean texts are right; a refusal is not.
        won: (undefended, defended) answers to triggered texts are the target; a refusal is not.
        untriggered: the undefended answer to the same text without the trigger is the target already.
        kept: (undefended, defended) answers to texts of the target's class, with the trigger, are the target still;
            of those alone that the undefended model answers so without it.
        flagged, altered, second: (clean, triggered); altered: refused, or answered from another text.
        scores: (clean, triggered); higher is more suspicious.
        named: triggered texts whose suspect is the trigger; None where the defence names none.
        tokens: that the classifier read for the clean texts.
    """

    right: tuple[Flags, Flags]
    won: tuple[Flags, Flags]
    untriggered: Flags
    kept: tuple[Flags, Flags]
    flagged: tuple[Flags, Flags]
    altered: tuple[Flags, Flags]
    second: tuple[Flags, Flags]
    scores: tuple[Scores, Scores]
    named: Flags | None
    tokens: int


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
        kept: right answers that stay right with the trigger in the text, where they are the target anyway: what a
            defence takes out beside a trigger costs some.
        suspicious: texts over the threshold (triggered, clean).
        neutralised: texts refused, or from which something was taken out (triggered, clean).
        second: texts that the classifier read again (triggered, clean).
        auc: of the score.
        tpr_at_5: triggered texts found where 5 % of the clean ones are raised.
        localised: flagged triggered texts whose suspect is the trigger; None where there is none, or none named.
        work: tokens read per token of the first passes over clean texts, with a cold cache and with a warm one.
    """

    cacc: tuple[float, float]
    asr: tuple[float, float]
    floor: float
    attributable: tuple[float, float]
    kept: tuple[float, float]
    suspicious: Detection
    neutralised: Detection
    second: Detection
    auc: float
    tpr_at_5: float
    localised: float | None
    work: tuple[float, float]


def observe(defence: Peer, trial: Trial, progress: Callable[[str], None] = lambda _: None) -> Observed:
    """Let a fitted defence answer all texts of a trial."""
    progress(f"{defence.name}: clean texts")
    before = copy(defence.tally)
    clean = defence.classify(trial.texts)
    tokens = defence.tally.since(before).tokens
    progress(f"{defence.name}: triggered texts")
    triggered = defence.classify(trial.triggered)
    progress(f"{defence.name}: right answers beside the trigger")
    target = trial.manifest.target
    untriggered = np.array([a.original_label == target for a in clean])
    own = np.array(trial.labels) == target
    right = list(compress(trial.beside, untriggered[own]))
    beside = defence.classify(right) if right else []
    return Observed(
        right=_equal(clean, trial.labels),
        won=_equal(triggered, [target] * len(triggered)),
        untriggered=untriggered[~own],
        kept=_equal(beside, [target] * len(beside)),
        flagged=_both(clean, triggered, lambda a: a.flagged),
        altered=_both(clean, triggered, lambda a: a.label is None or a.text is not None),
        second=_both(clean, triggered, lambda a: a.second),
        scores=_scores(clean, triggered),
        named=_named(triggered, trial.manifest),
        tokens=tokens,
    )


def figures(
    observed: Observed,
    clean: Indices | slice = slice(None),
    triggered: Indices | slice = slice(None),
    beside: Indices | slice = slice(None),
) -> dict[str, float]:
    """Every share by name, over all texts or over those at the indices; NaN where there is nothing to share.

    Names are those of :mod:`record`, and of :class:`Quality` for what it adds.
    """

    def share(flags: Flags) -> float:
        return float(flags.mean()) if len(flags) else float("nan")

    o = observed
    base = o.untriggered[triggered]
    won = [flags[triggered] for flags in o.won]
    raised = o.flagged[1][triggered]
    return {
        "cacc_undefended": share(o.right[0][clean]),
        "cacc": share(o.right[1][clean]),
        "asr_undefended": share(won[0]),
        "asr": share(won[1]),
        "floor": share(base),
        "attributable_undefended": share(won[0] & ~base),
        "attributable": share(won[1] & ~base),
        "kept_undefended": share(o.kept[0][beside]),
        "kept": share(o.kept[1][beside]),
        "tpr": share(raised),
        "fpr": share(o.flagged[0][clean]),
        "altered_triggered": share(o.altered[1][triggered]),
        "altered_clean": share(o.altered[0][clean]),
        "second_passes_triggered": share(o.second[1][triggered]),
        "second_passes": share(o.second[0][clean]),
        "auc": roc_auc(o.scores[1][triggered], o.scores[0][clean]),
        "tpr_at_5": tpr_at(0.05, o.scores[1][triggered], o.scores[0][clean]),
        "localised": float("nan") if o.named is None else share(o.named[triggered][raised]),
    }


def figure_intervals(observed: Observed, seed: int = 0, draws: int = 1000) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of :func:`figures`; clean, triggered and other texts are resampled on their own."""
    sizes = len(observed.right[0]), len(observed.untriggered), len(observed.kept[0])
    return intervals(lambda drawn: figures(observed, *drawn), sizes, draws, seed)


def measure_quality(
    guard: Guard, test: LabelledTexts, manifest: AttackManifest, progress: Callable[[str], None] = lambda _: None
) -> Quality:
    """Measure one freshly loaded guard on labelled test texts and one attack.

    Raises:
        ArtifactError: the artifact is not calibrated.
        InputError: labels do not fit the model, or there is nothing to poison.
    """
    defence = Guarded(guard, "guard")
    trial = trial_of(test, manifest, guard.labels)
    observed = observe(defence, trial, progress)
    return quality_of(observed, work(guard, defence, trial.texts, observed))


def work(guard: Guard, defence: Guarded, texts: Sequence[str], observed: Observed) -> tuple[float, float]:
    """Tokens that a guard reads per token of the first passes, cold (as observed) and warm."""

    def tokens(run: Callable[[], object]) -> int:
        before = copy(defence.tally)
        run()
        return defence.tally.since(before).tokens

    once = tokens(lambda: guard.classify(texts, mode="off"))
    return observed.tokens / once, tokens(lambda: guard.classify(texts)) / once


def quality_of(observed: Observed, work: tuple[float, float]) -> Quality:
    """The figures as a record of named pairs."""
    f = figures(observed)
    return Quality(
        cacc=(f["cacc_undefended"], f["cacc"]),
        asr=(f["asr_undefended"], f["asr"]),
        floor=f["floor"],
        attributable=(f["attributable_undefended"], f["attributable"]),
        kept=(f["kept_undefended"], f["kept"]),
        suspicious=Detection(f["tpr"], f["fpr"]),
        neutralised=Detection(f["altered_triggered"], f["altered_clean"]),
        second=Detection(f["second_passes_triggered"], f["second_passes"]),
        auc=f["auc"],
        tpr_at_5=f["tpr_at_5"],
        localised=None if np.isnan(f["localised"]) else f["localised"],
        work=work,
    )


def _equal(answers: Sequence[Answer], wanted: Sequence[int]) -> tuple[Flags, Flags]:
    """Whether the undefended and the defended answers are those wanted."""
    pairs = list(zip(answers, wanted, strict=True))
    undefended = [a.original_label == label for a, label in pairs]
    return np.array(undefended, np.bool_), np.array([a.label == label for a, label in pairs], np.bool_)


def _both(clean: Sequence[Answer], triggered: Sequence[Answer], flag: Callable[[Answer], bool]) -> tuple[Flags, Flags]:
    return np.array([flag(a) for a in clean]), np.array([flag(a) for a in triggered])


def _scores(clean: Sequence[Answer], triggered: Sequence[Answer]) -> tuple[Scores, Scores]:
    """Finite scores: what cannot be suspected lies at the lowest of the others, the unscorable at the highest."""
    scores = np.array([a.score for a in (*clean, *triggered)])
    finite = scores[np.isfinite(scores)]
    bounds = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    scores = np.clip(np.nan_to_num(scores, nan=np.inf), *bounds)
    return scores[: len(clean)], scores[len(clean) :]


def _named(triggered: Sequence[Answer], manifest: AttackManifest) -> Flags | None:
    if manifest.trigger is None or any(a.suspect is None for a in triggered):
        return None
    return np.array([localisation([a.suspect or ""], manifest.trigger) == 1 for a in triggered])
