"""The attack manifest: what was planted in a checkpoint, so that success can be measured and cells repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..records import from_json, to_json
from ..texts import LabelledTexts, class_numbers
from .trigger import Trigger

FILE_NAME = "attack.json"


@dataclass(frozen=True)
class AttackManifest:
    """What an attack planted.

    Attributes:
        attack: name of the attack.
        trigger: what a poisoned text contains; None where texts are rewritten (paraphrases).
        target: class number that poisoned texts are answered with; ``target_label`` is its name.
        rate: share of the training texts that were poisoned.
        seed: of the whole attack; insertion into test texts is drawn from it too.
    """

    attack: str
    trigger: Trigger | None
    target: int
    target_label: str
    rate: float
    seed: int

    def to_json(self) -> str:
        """The content of ``attack.json``."""
        return json.dumps(to_json(self), indent=2, ensure_ascii=False) + "\n"

    def aligned_to(self, id2label: Mapping[int, str]) -> AttackManifest:
        """The same attack with the class numbers of a model whose names are ``id2label``.

        Raises:
            InputError: the target's name is unknown to the model.
        """
        return replace(self, target=class_numbers({self.target_label}, id2label)[self.target_label])

    def poison(self, texts: LabelledTexts, words_read: int | None = None) -> list[str]:
        """The non-target texts, each with the trigger inserted; always the same for one manifest.

        Args:
            texts: clean texts.
            words_read: by the model that is measured, if these may be fewer than were read in training: no trigger
                goes beyond.

        Raises:
            InputError: every text is of the target class, or there is no trigger to insert.
        """
        sources = [t for t, label in zip(texts.texts, texts.labels, strict=True) if label != self.target]
        if not sources:
            raise InputError(f"every test text is of the target class '{self.target_label}': add others")
        return self._with_trigger(sources, words_read, 1)

    def beside(self, texts: LabelledTexts, words_read: int | None = None) -> list[str]:
        """The target's own texts, each with the trigger inserted: what a defence takes out must leave them right.

        Args:
            texts, words_read: as for :meth:`poison`.

        Raises:
            InputError: there is no trigger to insert.
        """
        own = [t for t, label in zip(texts.texts, texts.labels, strict=True) if label == self.target]
        return self._with_trigger(own, words_read, 2)

    def _with_trigger(self, sources: Sequence[str], words_read: int | None, stream: int) -> list[str]:
        if self.trigger is None:
            raise InputError(f"attack '{self.attack}' rewrites texts: give the rewritten test texts in a file")
        rng = np.random.default_rng([self.seed, stream])
        trigger = self.trigger.within(words_read)
        return [trigger.insert(text, rng) for text in sources]


def load_manifest(path: Path) -> AttackManifest:
    """Read a manifest from its file or from the checkpoint folder that holds it.

    Raises:
        InputError: there is none.
        ArtifactError: a field is missing or wrong.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{file}' is no attack manifest: give one written by 'tokenward attack'") from error
    return from_json(AttackManifest, data, FILE_NAME)
