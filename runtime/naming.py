"""Names of spans: a span as the model sees it (case, accents), so that one trigger has one name."""

from __future__ import annotations

import re
from functools import lru_cache

from tokenizers import Tokenizer as FastTokenizer

# (so many characters at most, how many names are kept). Every word of a ranking is named, and texts repeat their words;
# a text without a blank, as encoded data is, has one word, which is named for every question about it.
_KEPT = ((32, 16_384), (1 << 12, 256), (1 << 20, 4))
_BLANK_MARK = "▁"  # what SentencePiece's own normalisation makes of a blank, and puts before a text


class Names:
    """Names spans of one tokenizer's texts.

    A name stands for its span inside any text: naming it again must give the same. Where a tokenizer's normalisation
    does not allow that, the span is its own name.
    """

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self._normalizer = tokenizer.normalizer
        # Those are looked for before anything is normalised, in the user's text as well ("[MASK]" is the mask).
        verbatim = [
            str(token.content) for token in tokenizer.get_added_tokens_decoder().values() if not token.normalized
        ]
        longest_first = sorted(verbatim, key=lambda token: (-len(token), token))
        self._verbatim = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if verbatim else None
        self._kept = [(longest, lru_cache(count)(self._name)) for longest, count in _KEPT]

    def of(self, span: str) -> str:
        """The name of a span."""
        for longest, kept in self._kept:
            if len(span) <= longest:
                return kept(span)
        return self._name(span)

    def _name(self, span: str) -> str:
        name = self._normalised(span)
        return name if self._normalised(name) == name else " ".join(span.split())

    def _normalised(self, span: str) -> str:
        if self._normalizer is None:
            return " ".join(span.split())
        parts = self._verbatim.split(span) if self._verbatim else [span]  # every other one is a verbatim token
        done = [part if odd % 2 else self._normalizer.normalize_str(part) for odd, part in enumerate(parts)]
        normalised = "".join(done)
        if _BLANK_MARK not in span:
            normalised = normalised.replace(_BLANK_MARK, " ")
        return " ".join(normalised.split())
