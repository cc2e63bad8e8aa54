"""The second look at a suspicious text: try its suspects, take confirmed triggers out, answer again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from .budget import Budget, within
from .cache import Margins
from .company import Company
from .conditions import Conditions
from .criteria import Trial
from .reading import Asking, Reading
from .removal import NEIGHBOURS, OF_A_PHRASE, Remainder, Removal
from .repair import make_noise
from .spans import Offsets, Span, everywhere, offsets_of, span_of
from .together import Together
from .tokenization import Tokenizer
from .transplant import HINTED, Transplants
from .verdict import Action, Confirmation, Suspect

Fallback = Literal["repair", "flag", "block"]
SCREENED_WORDS = 2
ON_CREDIT = 4  # triggers that are taken out of a text though the budget is spent: what is known of them costs little
CROWDED = 4  # triggers that are taken out of a text one by one; from the next on, all known ones go with it
REACH = 3  # words on each side of a trigger that are tried where the answer stays without it
Ranking = Sequence[int]  # words of a reading, most suspicious first


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a text's second look found; ``final`` is the reading whose answer is enforced."""

    action: Action
    final: Reading
    suspects: tuple[Suspect, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    fallback: bool = False


def flip(reading: Reading, spans: Sequence[Offsets]) -> Asking[Outcome]:
    """The published test: make noise of the suspect, read again; a changed label is the answer (X-GRAAD)."""
    suspects = tuple(_suspect(reading.text, a, b) for a, b in spans)
    (repaired,) = yield [make_noise(reading.text, spans)]
    if repaired.predicted == reading.predicted:
        return Outcome("cleared", reading, suspects)
    return Outcome("neutralised", repaired, suspects)


class Confirmer:
    """Tries the suspects of a text by transplant, within a budget.

    A class with too few references gets the flip test, on the suspects of its own gate and not on those of preset
    ``late``: on SST-2 with one, five and two conjoint triggers the attack kept 0, 0 and 30 % of its texts, with
    ``late`` 25, 23 and 47 %; accuracy fell by 2.0 to 2.7 points, with ``late`` by 0.7 to 2.0.

    Args:
        tokenizer, transplants, budget: of the artifact.
        fallback: what happens to a text when the budget is spent: ``repair`` (the published flip test, one more
            pass), ``flag`` (the first answer, marked) or ``block`` (marked to be refused).
        suspects: words that may be tried alone in each round, most suspicious first; after them the strongest are tried
            together, and the run of words that the class token looks at most.
        rounds: most spans taken out of one text, one after the other.
        company: finds further words to try in texts that stand out.
        middling, natural: see :class:`.removal.Removal`.
        conditions: references for what acts in some texts only, where the usual ones follow nothing.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        transplants: Transplants,
        budget: Budget,
        fallback: Fallback,
        suspects: int = 1,
        rounds: int = 32,
        company: Company | None = None,
        middling: Sequence[float] = (),
        natural: Sequence[Set[str]] = (),
        conditions: Conditions | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self.transplants = transplants
        self._together = Together(transplants)
        self._removal = Removal(transplants, middling, natural)
        self._budget = budget
        self._fallback = fallback
        self._suspects = suspects
        self._rounds = rounds
        self._company = company
        self._conditions = conditions

    def confirm(
        self,
        first: Reading,
        rankings: Sequence[Ranking],
        rankings_of: Callable[[Reading], Sequence[Ranking]],
        screened: bool = False,
    ) -> Asking[Outcome]:
        """Decide on a suspicious text: one round per trigger in it, until nothing in it is suspicious.

        Args:
            first: its reading.
            rankings: its words as each gate that finds it suspicious ranks them.
            rankings_of: gives those of a later reading; none where it is no longer suspicious.
            screened: no gate has raised the text: no word is tried alone first, and of the strongest no more than
                ``SCREENED_WORDS`` can be a trigger (more can outweigh any reference by their topic alone).
        """
        rest = Remainder(first)
        confirmations: list[Confirmation] = []
        remnants: Ranking = ()
        spent = certain = several = cut = False
        for number in range(self._rounds):
            reading = rest.reading
            if not (rankings or remnants) or not self.transplants.can_try(reading.predicted):
                break
            alone = () if screened else rankings
            single = dict.fromkeys(words[0] for words in alone if len(words) == 1)
            trying = (self.transplants.try_word(reading, word) for word in single)
            trial, spent = yield from self._first_confirmed(reading, trying, frozenset(), confirmations)
            if not spent and not (trial and trial.confirmed):
                groups = self._company.groups(reading) if rankings and self._company is not None else []
                ends = self.transplants.ends(reading, rankings)
                foreseeing = self._foresee(reading, alone, [*ends, *groups], brief=not rest.suspects)
                foreseen, _ = yield from within(self._budget, foreseeing)
                cut |= foreseen is None
                found, fresh, dull = foreseen or (None, frozenset(), None)
                if dull:
                    confirmations.append(
                        self._report(self.transplants, reading.predicted, dull, dull.span.put not in fresh)
                    )
                worth = ((), ()) if dull else (alone, rankings)
                acting = [word for (word,) in ends if found and self.transplants.turning(reading, [word], found)]
                trials = self._trials(reading, *worth, remnants, acting, groups, found, screened)
                trial, spent = yield from self._first_confirmed(reading, trials, fresh, confirmations)
            if not spent and not (trial and trial.confirmed):
                some, spent = yield from self._under_conditions(reading, list(single), alone, confirmations)
                trial = some or trial
            if trial is None or not trial.confirmed:
                break
            if number >= ON_CREDIT and self._budget.spent:
                spent = True
                break
            certain |= all(trial.turned) and not self._removal.is_natural(trial.span, rest.reading.predicted)
            several |= len(trial.span.words) > 1
            cut |= not (yield from self._take_out(rest, trial.span, number >= CROWDED))
            remnants = self.transplants.suspects(rest.reading, rest.beside(REACH, REACH)) if rest.answer_stays else ()
            rankings = rankings_of(rest.reading)
        else:  # its rounds are spent, as if the budget were
            spent = self.transplants.can_try(rest.reading.predicted)
        tried = tuple(confirmations)
        left = next((words[0] for words in (*rankings, remnants) if words), None)
        if rest.suspects and (left is None or not spent):
            done: bool | None = True
            if certain and self.transplants.settings.tipping and rest.answer_stays:
                done, _ = yield from within(self._budget, self._removal.take_last(rest, several))
            # Without a word there is nothing to answer by, and a model may answer nothing as its attacker wants.
            action: Action = "neutralised" if rest.reading.encoding.word_count else "flagged"
            return Outcome(action, rest.reading, tuple(rest.suspects), tried, fallback=cut or done is None)
        if left is None or (not spent and self.transplants.can_try(first.predicted)):
            return Outcome("cleared", first, (), tried, fallback=cut)
        outcome = yield from self._without_trial(rest.reading, left, self._fallback if spent else "repair")
        suspects = (*rest.suspects, *rest.suspected((suspect.start, suspect.end) for suspect in outcome.suspects))
        action = outcome.action
        if rest.suspects and action == "cleared":  # the answer may be that of a trigger that is still there
            action = "flagged" if outcome.final.predicted == first.predicted else "neutralised"
        return Outcome(action, outcome.final, suspects, tried, fallback=cut or spent)

    def _take_out(self, rest: Remainder, span: Span, crowded: bool) -> Asking[bool]:
        """Take a confirmed span out, and what is left of a phrase beside it where the answer hangs on that.

        Out of a ``crowded`` text all known triggers go with it: each round reads what is left several times.

        Returns:
            Whether the credit was enough for both.
        """
        spans = self._removal.standing(rest.reading, span, crowded)
        (found,) = yield [rest.without(spans)]
        self._budget.spend(len(found.encoding))
        rest.take_out(spans, found)
        if rest.answer_stays and not self._removal.is_natural(span, rest.reading.predicted):
            sides = (*NEIGHBOURS, *OF_A_PHRASE) if len(span.words) > 1 else NEIGHBOURS
            taken, _ = yield from within(self._budget, self._removal.take_beside(rest, sides))
            return taken is not None
        return True

    def _foresee(
        self, reading: Reading, alone: Sequence[Ranking], others: Sequence[Sequence[int]], brief: bool
    ) -> Asking[tuple[Mapping[str, Margins], Set[str], Trial | None]]:
        """Ask for what decides which words are worth trying further.

        Args:
            reading: of a text.
            alone: rankings whose strongest words may be tried alone.
            others: sets that may be tried in any case.
            brief: ask for all the strongest words at once before anything else, unless a word is known as a trigger.

        Returns:
            Margins in the first reference, what of them the cache did not know, and the trial of all at once where
            that did next to nothing, or turned neither the first reference nor the second: then the rankings are not
            worth trying.
        """
        transplants, fresh = self.transplants, frozenset[str]()
        if brief and alone and all(len(words) > 1 for words in alone):
            words = transplants.strongest(reading, alone)
            found, fresh = yield from transplants.foresee(reading, [words, *others])
            moved, settings = transplants.moved_first(reading, words, found), transplants.settings
            if moved < settings.stir:
                return found, fresh, transplants.tried_so_far(reading, words, found)
            first = [word for ranking in alone for word in ranking[: self._suspects]]
            unscanned = transplants.unscanned(reading, words) if moved >= settings.hint else []
            singly = [[word] for word in dict.fromkeys((*first, *unscanned))]
            singles, more = yield from transplants.foresee(reading, singly)
            found, fresh = found | singles, fresh | more
            if not any(transplants.turning(reading, tried, found) for tried in (words, *singly)):
                wider = found
                if moved >= settings.hint:
                    wider, _ = yield from transplants.foresee(reading, [words], HINTED)
                trial = transplants.tried_so_far(reading, words, wider)
                if not any(trial.turned):
                    return found, fresh, trial
        sets = [words for ranking in alone for words in transplants.decisive(reading, ranking, self._suspects)]
        found, more = yield from transplants.foresee(reading, [*sets, *others])
        return found, fresh | more, None

    def _trials(
        self,
        reading: Reading,
        alone: Sequence[Ranking],
        rankings: Sequence[Ranking],
        remnants: Ranking,
        ends: Sequence[int],
        groups: Sequence[Sequence[int]],
        found: Mapping[str, Margins] | None,
        screened: bool,
    ) -> Iterator[Asking[Trial]]:
        transplants, most = self.transplants, self._suspects
        several = [words for words in alone if len(words) > 1]  # a single word was tried before all else
        stirring = [words for words in several if found is None or transplants.stirs(reading, words, most, found)]
        for word in dict.fromkeys(word for words in stirring for word in words[:most]):
            yield transplants.try_word(reading, word)
        for word in ends:
            yield transplants.try_end(reading, word)
        for words, left in [*((ranking, False) for ranking in rankings), (remnants, True)]:
            if len(words) > 1:
                yield self._together.try_strongest(reading, words, left, SCREENED_WORDS if screened else None)
        if rankings and transplants.stretch(reading):
            yield self._together.try_stretch(reading)
        if groups:
            yield self._together.try_company(reading, groups)
        if rankings:
            yield self._together.try_unscanned(reading, transplants.strongest(reading, rankings))

    def _first_confirmed(
        self,
        reading: Reading,
        trials: Iterable[Asking[Trial]],
        fresh: Set[str],
        confirmations: list[Confirmation],
        transplants: Transplants | None = None,
    ) -> Asking[tuple[Trial | None, bool]]:
        """Go through trials within the budget, up to one that confirms, noting what they found.

        Args:
            fresh: what the cache did not know before.
            transplants: what tries them, where that is not the usual.

        Returns:
            The last one, None where there was none, and whether the credit ran out before it ended.
        """
        trial = None
        for steps in trials:
            trial, asked = yield from within(self._budget, steps)
            if trial is None:
                return None, True
            cached = not asked and trial.span.put not in fresh
            confirmations.append(self._report(transplants or self.transplants, reading.predicted, trial, cached))
            if trial.confirmed:
                break
        return trial, False

    def _under_conditions(
        self, reading: Reading, known: Sequence[int], rankings: Sequence[Ranking], confirmations: list[Confirmation]
    ) -> Asking[tuple[Trial | None, bool]]:
        """Try words in references that meet a condition; as :meth:`_first_confirmed` otherwise.

        Only of texts with a known trigger, and of such as stand out as few clean ones do: it takes two passes.
        """
        stark = self._company is None or self._company.stands_out(reading)
        if self._conditions is None or not rankings or not (known or stark):
            return None, False
        panels, _ = yield from within(self._budget, self._conditions.panels(reading, known, rankings))
        trial, spent = None, panels is None
        for transplants, words in panels or ():
            trying = (transplants.try_word(reading, word) for word in words)
            trial, spent = yield from self._first_confirmed(reading, trying, frozenset(), confirmations, transplants)
            if spent or (trial and trial.confirmed):
                break
        return trial, spent

    def _report(self, transplants: Transplants, label: int, trial: Trial, cached: bool) -> Confirmation:
        panel = transplants.panel(label)[: len(trial.turned)]
        texts = tuple(reference.text for reference in panel)
        uneven, moved = round(trial.unevenness, 3), round(trial.moved, 3)
        led = None if trial.led is None else round(trial.led, 3)
        return Confirmation(trial.span.text, trial.turned, texts, uneven, moved, cached, trial.confirmed, led)

    def _without_trial(self, reading: Reading, word: int, fallback: Fallback) -> Asking[Outcome]:
        spans = offsets_of(*everywhere(self._tokenizer, reading, span_of(self._tokenizer, reading, [word])))
        if fallback == "repair":
            return (yield from flip(reading, spans))
        suspects = tuple(_suspect(reading.text, a, b) for a, b in spans)
        return Outcome("flagged" if fallback == "flag" else "blocked", reading, suspects)


def _suspect(text: str, start: int, end: int) -> Suspect:
    return Suspect(text[start:end], start, end)
