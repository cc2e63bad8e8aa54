"""Opens one artifact in optimum and in Tokenward and compares the logits of the same texts; `check.sh` runs it."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import transformers
from optimum.onnxruntime import ORTModelForSequenceClassification
from optimum.version import __version__ as optimum_version

import tokenward
from tokenward.runtime.engine import NEVER_SKIP
from tokenward.texts import iter_texts

TEXTS = 200
BATCH = 16
ALLOWED = 1e-4  # of the largest logit, in fp32; int8 shares the scale of its activations among a batch


def main(artifact: Path, source: Path) -> int:
    """Print the largest difference; exit code 1 where it is too large or a label differs."""
    texts = [text for text in islice(iter_texts(source), TEXTS) if text]
    guard = tokenward.load(artifact, engine="onnx")
    ours = np.stack([reading.logits for reading in guard.reader.read(texts, NEVER_SKIP)])

    model = ORTModelForSequenceClassification.from_pretrained(artifact)
    tokenizer = transformers.AutoTokenizer.from_pretrained(artifact, local_files_only=True, trust_remote_code=False)
    theirs = np.concatenate(
        [
            model(**tokenizer(texts[i : i + BATCH], padding=True, truncation=True, return_tensors="np"))["logits"]
            for i in range(0, len(texts), BATCH)
        ]
    )
    labels = [model.config.id2label[i] for i in theirs.argmax(axis=1).tolist()]
    same = np.mean([label == guard.labels[i] for label, i in zip(labels, ours.argmax(axis=1).tolist(), strict=True)])
    apart = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    print(f"optimum {optimum_version}, transformers {transformers.__version__}, {len(texts)} texts")
    print(f"labels the same on {same:.1%}; logits {apart:.1e} apart at most, in units of the largest")
    return 0 if same == 1 and apart <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
