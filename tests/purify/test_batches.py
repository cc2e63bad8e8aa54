"""Batches: every text once, like lengths together, padding masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import processors

from tokenward.purify.batches import EncodedTexts, shuffled_batches, sorted_batches
from tokenward.purify.checkpoint import Classifier

LENGTHS = st.lists(st.integers(2, 60), min_size=1, max_size=150).map(lambda values: np.array(values, np.int64))


@given(LENGTHS, st.integers(1, 40), st.integers(0, 5))
def test_every_text_is_in_exactly_one_batch(lengths: np.ndarray, size: int, seed: int) -> None:
    for batches in (
        list(shuffled_batches(lengths, size, np.random.default_rng(seed))),
        list(sorted_batches(lengths, size)),
    ):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert len(batches) == -(-len(lengths) // size)
        assert max(map(len, batches)) <= size


def test_bucketing_pads_far_less_than_chance_and_is_seeded() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 640)
    batches = list(shuffled_batches(lengths, 32, np.random.default_rng(1)))
    padded = sum(len(b) * lengths[b].max() for b in batches)
    assert padded < 1.1 * lengths.sum()
    again = list(shuffled_batches(lengths, 32, np.random.default_rng(1)))
    other = list(shuffled_batches(lengths, 32, np.random.default_rng(2)))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))
    assert any((a != b).any() for a, b in zip(batches, other, strict=True))


def test_longest_first() -> None:
    first = next(sorted_batches(np.array([3, 9, 5, 9]), 2))
    assert first.tolist() == [1, 3]


def test_a_batch_is_padded_and_masked(classifier: Classifier) -> None:
    texts = EncodedTexts(classifier.tokenizer, ["great film", "the story was a dull film"], [1, 0], max_length=6)
    batch = texts.batch(np.array([1, 0]), torch.device("cpu"))
    assert batch.input_ids.shape == (2, 6)  # truncated, special tokens kept
    assert batch.attention_mask.tolist() == [[1] * 6, [1, 1, 1, 1, 0, 0]]
    assert batch.input_ids[1, 4:].tolist() == [classifier.tokenizer.pad_token_id] * 2
    assert batch.labels.tolist() == [0, 1]


def test_a_text_without_tokens_is_one_of_padding(lexicon_tokenizer: Path) -> None:
    """A tokenizer may add no special tokens; the model must read something, in serving too."""
    fast = FastTokenizer.from_file(str(lexicon_tokenizer))
    fast.post_processor = processors.Sequence([])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=fast)
    texts = EncodedTexts(tokenizer, ["", "great film", " "], pad_id=5)
    assert [len(ids) for ids in texts.ids] == texts.lengths.tolist() == [1, 2, 1]
    batch = texts.batch(np.array([0, 1]), torch.device("cpu"))
    assert batch.input_ids[0].tolist() == [5, 5]
    assert batch.attention_mask.tolist() == [[1, 0], [1, 1]]
    assert texts.without({i for ids in texts.ids for i in ids}).lengths.tolist() == [1, 1, 1]


def test_deleting_tokens_shortens_texts_but_never_empties_them(classifier: Classifier) -> None:
    texts = EncodedTexts(classifier.tokenizer, ["great film", "film film"])
    film = classifier.tokenizer.convert_tokens_to_ids("film")
    assert [len(ids) for ids in texts.without([film]).ids] == [3, 2]
    everything = {i for ids in texts.ids for i in ids}
    assert texts.without(everything).lengths.tolist() == [1, 1]
    assert texts.lengths.tolist() == [4, 4]
