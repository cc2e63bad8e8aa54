"""What the demonstration measures: answers with and without the guard, what was detected, and the price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from .attacks.manifest import load_manifest
from .attacks.metrics import Detection, detection
from .bench.bare_onnx import BareOnnx
from .demo import Built
from .runtime.guard import Guard, load
from .runtime.verdict import Verdict
from .texts import LabelledTexts

EXAMPLES = 3
BLOCK = 100  # texts that guard and undefended model read in turn


@dataclass(frozen=True)
class Example:
    """One triggered text: its true label and its verdict (which holds the undefended answer, too)."""

    text: str
    truth: str
    verdict: Verdict


@dataclass(frozen=True)
class DemoFigures:
    """Shares are 0 to 1.

    Attributes:
        trigger: what triggered texts contain; ``target`` is the label it turns them to.
        cacc, asr: accuracy on clean texts and attack success, (undefended, defended).
        floor: share of the same texts that are answered with the target although they carry no trigger: the model's own
            errors, which no defence against triggers can undo.
        second_look: triggered and clean texts that the gate found suspicious.
        neutralised: triggered and clean texts from which something was taken out.
        undefended_rate, guarded_rate: clean texts per second, none of which the guard has seen before.
    """

    trigger: str
    target: str
    clean_texts: int
    triggered_texts: int
    cacc: tuple[float, float]
    asr: tuple[float, float]
    floor: tuple[float, float]
    second_look: Detection
    neutralised: Detection
    undefended_rate: float
    guarded_rate: float
    examples: tuple[Example, ...]


def measure(built: Built, test: LabelledTexts, progress: Callable[[str], None]) -> DemoFigures:
    """Measure everything on the test texts; ``progress`` is told what is being done."""
    manifest = load_manifest(built.model)
    guard = load(built.guarded)
    test = test.aligned_to(dict(enumerate(guard.labels)))
    target = guard.labels[manifest.target]
    triggered = manifest.poison(test)
    truths = [label for label in test.labels if label != manifest.target]
    progress(f"classifying {len(test)} clean texts with the guard and without")
    clean_verdicts, *seconds = _timed(guard, BareOnnx(built.undefended, guard.reader.tokenizer), test.texts)
    progress(f"classifying {len(triggered)} triggered texts")
    triggered_verdicts = guard.classify(triggered)
    guarded, undefended = (len(test) / s for s in seconds)
    return DemoFigures(
        trigger=" / ".join(manifest.trigger.phrases) if manifest.trigger else "",
        target=target,
        clean_texts=len(test),
        triggered_texts=len(triggered),
        cacc=_shares(clean_verdicts, [guard.labels[label] for label in test.labels]),
        asr=_shares(triggered_verdicts, [target] * len(triggered)),
        floor=_shares(
            [v for v, label in zip(clean_verdicts, test.labels, strict=True) if label != manifest.target],
            [target] * len(triggered),
        ),
        second_look=_detected(triggered_verdicts, clean_verdicts, lambda v: v.action != "passed"),
        neutralised=_detected(triggered_verdicts, clean_verdicts, lambda v: v.action == "neutralised"),
        undefended_rate=undefended,
        guarded_rate=guarded,
        examples=_examples(triggered, [guard.labels[truth] for truth in truths], triggered_verdicts),
    )


def _shares(verdicts: Sequence[Verdict], wanted: Sequence[str]) -> tuple[float, float]:
    """Shares of first answers and of enforced answers that are the wanted ones."""
    pairs = list(zip(verdicts, wanted, strict=True))
    return (
        sum(v.original_label == label for v, label in pairs) / len(pairs),
        sum(v.label == label for v, label in pairs) / len(pairs),
    )


def _detected(triggered: Sequence[Verdict], clean: Sequence[Verdict], test: Callable[[Verdict], bool]) -> Detection:
    return detection([test(v) for v in triggered], [test(v) for v in clean])


def _timed(guard: Guard, bare: BareOnnx, texts: Sequence[str]) -> tuple[list[Verdict], float, float]:
    """Verdicts on the texts, the seconds that they took, and those of the undefended model.

    They read the texts block by block, in turn and each first every other time, so that a slow moment of the machine
    hurts both alike.
    """
    blocks = [texts[start : start + BLOCK] for start in range(0, len(texts), BLOCK)]
    guard.classify(blocks[0], mode="off")  # warms up, and remembers nothing
    bare.classify(blocks[0])
    verdicts: list[Verdict] = []
    runs = (lambda block: verdicts.extend(guard.classify(block)), bare.classify)
    seconds = [0.0, 0.0]
    for number, block in enumerate(blocks):
        for which in (0, 1) if number % 2 else (1, 0):
            start = perf_counter()
            runs[which](block)
            seconds[which] += perf_counter() - start
    return verdicts, seconds[0], seconds[1]


def _examples(texts: Sequence[str], truths: Sequence[str], verdicts: Sequence[Verdict]) -> tuple[Example, ...]:
    """Short texts that the guard saved, of different classes where there are enough."""
    saved = [
        Example(text, truth, verdict)
        for text, truth, verdict in zip(texts, truths, verdicts, strict=True)
        if verdict.action == "neutralised" and verdict.label == truth != verdict.original_label
    ]
    saved.sort(key=lambda example: len(example.text))
    firsts = {example.truth: example for example in reversed(saved)}.values()
    others = [example for example in saved if example not in firsts]
    return tuple([*sorted(firsts, key=lambda example: len(example.text)), *others][:EXAMPLES])
