"""Settings of transplants: how much a span must do to be taken for a trigger."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TransplantSettings:
    """How hard a suspect is tried.

    Attributes:
        references: texts that a grown span is put into.
        probes: references tried first; a word that turns none of them is cleared. One that does not even turn the
            first, neither alone nor with others of its text, is not tried alone at all.
        stir: how far the strongest words of a text, all at once, must move the first reference for any to be asked for
            alone, as a share of its lead: words of the other class may hold it back.
        hint: how far they must move it to be tried on the second where they do not turn it.
        leaning: of what words do that turn the second reference only, how much may be left without either of the two
            that they lean on most: of words that act together only, little is.
        growth: references that growth is measured on; sets of words are tried on the ``probes``, then on these, then on
            half of the others, before the rest.
        least: references that a single word must turn to be grown.
        enough: references that a word alone must turn to be confirmed: fine-tuning weakens triggers, so that they no
            longer turn all.
        enough_together: references that several words must turn, which can outweigh some by their topic.
        uneven: how unevenly a word alone may move the references (see :mod:`.evenness`).
        uneven_copies: how unevenly several copies of a word alone may, where the word stands so often in a text.
        halfway: how far a word alone must move the references on average, as a share of their lead, to be confirmed
            though it turns few of them: a trigger that was hardly learnt, or that fine-tuning has weakened.
        uneven_halfway: how unevenly it may do that.
        uneven_together: the same for several words, which saturate some references by their topic.
        uneven_wide: the same for a run of more words than the class token looks at, which say more by themselves.
        led: how much of what several words do the strongest of them may do alone (see :mod:`.evenness`); a set with a
            word that does more is that strong word in company.
        uneven_led: how unevenly several words may move the references, all of which they must turn, for one of them
            that does most of it to be confirmed.
        conjoint: references that two words must turn of which each does next to nothing alone.
        led_conjoint: how much that is at most, as a share of what both do.
        uneven_conjoint: how unevenly they may do it.
        uneven_conditional: how unevenly words may move references that meet a condition (see :mod:`.conditions`), all
            of which they must turn.
        remnant: references that words beside a confirmed trigger must turn to go with it, however unevenly.
        gain: relative growth of the mean margin that makes a neighbouring word part of the span.
        longest: most words in a span.
        together: strongest words of a text that are tried at once where none does it alone.
        stretch: words of a run that is tried at once; it must turn all references, since it takes more with it.
        groups: of the groups in which the strongest word meets those that draw little attention (see
            :mod:`.company`), how many are tried further; 0 spares such texts the groups and what they cost.
        tipping: strongest words of a text, left out in turn where it keeps its answer without a confirmed trigger (see
            :mod:`.tipping`); 0 leaves such answers alone.
    """

    references: int = 8
    probes: int = 2
    stir: float = 0.1
    hint: float = 0.4
    leaning: float = 0.5
    growth: int = 4
    least: int = 2
    enough: int = 6
    enough_together: int = 7
    uneven: float = 0.35
    uneven_copies: float = 0.1
    halfway: float = 0.5
    uneven_halfway: float = 0.3
    uneven_together: float = 0.25
    uneven_wide: float = 0.1
    led: float = 0.5
    uneven_led: float = 0.1
    conjoint: int = 4
    led_conjoint: float = 0.25
    uneven_conjoint: float = 0.65
    uneven_conditional: float = 0.15
    remnant: int = 4
    gain: float = 0.10
    longest: int = 12
    together: int = 5
    stretch: int = 6
    groups: int = 2
    tipping: int = 5
