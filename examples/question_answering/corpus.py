# SPDX-License-Identifier: Apache-2.0
"""Passages about people, and questions whose answer is a piece of the passage.

Made from templates by a seed: names, places and years meet in ways that were never seen before, so
that a reader has to read.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import numpy as np

NAMES = (
    "ada", "bela", "carl", "dora", "emil", "fay", "gus", "hana", "ivo", "jana", "kofi", "lena",
    "max", "nora", "olga", "paul", "quinn", "rosa", "sven", "tara", "udo", "vera", "wim", "yara",
)  # fmt: skip
VALUES = {
    "place": (
        "lisbon", "oslo", "new delhi", "cape town", "quito", "kyoto", "san jose", "turin", "accra",
        "the hague", "riga", "hong kong", "lima", "fort william", "tunis", "perth",
    ),
    "job": (
        "taxi driver", "baker", "judge", "piano teacher", "nurse", "truck driver", "painter",
        "maths teacher", "pilot", "tax lawyer", "farmer", "bus driver", "dentist", "cook",
    ),
    "pet": ("momo", "rex", "little joe", "luna", "old sam", "pip", "coco", "big blue", "nemo"),
}  # fmt: skip
FACTS = {
    "place": ("{name} lives in {value} .", "the home of {name} is in {value} ."),
    "job": ("{name} works as a {value} .", "the job of {name} is that of a {value} ."),
    "year": ("{name} was born in {value} .", "the year of birth of {name} is {value} ."),
    "pet": ("{name} has a dog called {value} .", "the dog of {name} is {value} ."),
}
QUESTIONS = {
    "place": ("where does {name} live ?", "in which town is {name} at home ?"),
    "job": ("what does {name} work as ?", "what is the job of {name} ?"),
    "year": ("when was {name} born ?", "what year was {name} born in ?"),
    "pet": ("what is the dog of {name} called ?", "who is the dog of {name} ?"),
}
PAD, START, END = "[pad]", "[start]", "[end]"


@dataclass(frozen=True)
class Sample:
    """A passage, a question, and what is right."""

    passage: str
    question: str
    answer: str

    @property
    def tokens(self) -> list[str]:
        """What a reader gets: the question, then the passage."""
        return [START, *words(self.question), END, *words(self.passage), END]

    @property
    def segments(self) -> list[int]:
        """0 for the question, 1 for the passage."""
        first = len(words(self.question)) + 2
        return [int(i >= first) for i in range(len(self.tokens))]

    @property
    def span(self) -> tuple[int, int]:
        """Places of the first and the last token of the answer."""
        wanted, tokens = words(self.answer), self.tokens
        # The fact that answers stands once; its value may stand in another fact too.
        name = next(word for word in words(self.question) if word in NAMES)
        facts = [i for i, t in enumerate(tokens) if t == name and self.segments[i]]
        starts = [i for i in range(len(tokens)) if tokens[i : i + len(wanted)] == wanted]
        start = next(i for i in starts for fact in facts if i > fact and "." not in tokens[fact:i])
        return start, start + len(wanted) - 1


def words(text: str) -> list[str]:
    """Words, punctuation marks, and the digits of numbers one by one."""
    return re.findall(r"[a-z]+|\d|[^\w\s]", text.lower())


def sample(seed: int, people: int | None = None) -> Sample:
    """A passage on some people (two to six), and a question on one of them."""
    rng = random.Random(seed)
    names = rng.sample(NAMES, people or rng.randint(2, 6))
    facts = [
        (name, kind, _value(rng, kind))
        for name in names
        for kind in rng.sample(sorted(FACTS), rng.randint(1, 2))
    ]
    rng.shuffle(facts)
    passage = " ".join(rng.choice(FACTS[k]).format(name=n, value=v) for n, k, v in facts)
    name, kind, answer = rng.choice(facts)
    return Sample(passage, rng.choice(QUESTIONS[kind]).format(name=name), answer)


def _value(rng: random.Random, kind: str) -> str:
    return str(rng.randint(1900, 2024)) if kind == "year" else rng.choice(VALUES[kind])


def _vocabulary() -> dict[str, int]:
    texts = [*NAMES, *"0123456789"]
    for table in (VALUES, FACTS, QUESTIONS):
        texts += [text for group in table.values() for text in group]
    known = sorted({word for text in texts for word in words(re.sub(r"\{\w+\}", "", text))})
    return {word: i for i, word in enumerate([PAD, START, END, *known])}


VOCABULARY = _vocabulary()


def encoded(samples: list[Sample]) -> dict[str, np.ndarray]:
    """Samples as a batch of int64: `ids` and `segments`, padded to the longest."""
    length = max(len(s.tokens) for s in samples)
    batch = {key: np.zeros((len(samples), length), np.int64) for key in ("ids", "segments")}
    for row, one in enumerate(samples):
        batch["ids"][row, : len(one.tokens)] = [VOCABULARY[t] for t in one.tokens]
        batch["segments"][row, : len(one.tokens)] = one.segments
    return batch


def decoded(one: Sample, start: np.ndarray, end: np.ndarray, longest: int = 4) -> str:
    """The piece of the passage with the highest score: that of its first and of its last token.

    Args:
        one: the sample.
        start: scores of every token as the first one of the answer, [tokens or more].
        end: the same as the last one.
        longest: of so many tokens at most.
    """
    count = len(one.tokens)
    scores = start[:count, None] + end[None, :count]
    allowed = np.triu(np.ones_like(scores)) - np.triu(np.ones_like(scores), longest)
    first, last = np.unravel_index(np.where(allowed > 0, scores, -np.inf).argmax(), scores.shape)
    return " ".join(one.tokens[first : last + 1])
