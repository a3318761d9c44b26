# SPDX-License-Identifier: Apache-2.0
"""Questions answered from a passage, in batches and passages of any length.

    python examples/question_answering/main.py

A transformer encoder in the manner of BERT marks the piece of a passage that answers a question.
One bundle takes 1 to 8 questions of 16 to 160 tokens: the batch and the sequence are ranges, and
each run has the size that it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from corpus import Sample, decoded, encoded, sample
from model import trained

import edge_trt

sys.path.append(str(Path(__file__).parents[1]))

import torch_free
from program import arguments, console

FIRST = 10_000_000
"""Seed of the first question; train.py used smaller ones."""
Scores = list[np.ndarray]
"""Of a batch: scores of every token as first and as last one of the answer."""


def main() -> None:
    """Compiles the reader, answers questions without torch, and compares with eager PyTorch."""
    typed = arguments("question_answering", __doc__)
    path, model = typed.output / "reader.edge", trained()
    sizes = {"min": (1, 16), "opt": (4, 64), "max": (8, 160), "dtype": "int64"}
    inputs = [edge_trt.Input(("batch", "tokens"), name=n, **sizes) for n in ("ids", "segments")]
    compiled = edge_trt.compile(model, tuple(inputs), target=("cpu", "rtx"), fallback="forbid")
    compiled.save(path)

    batches = list(questions(40 if typed.quick else 400))
    feeds = [encoded(batch) for batch in batches]
    with torch.inference_mode():
        eager = [
            [t.numpy() for t in model(*map(torch.from_numpy, feed.values()))] for feed in feeds
        ]
    answers = torch_free.answer(path, feeds)
    got = [list(outputs.values()) for outputs in answers.outputs]
    for one, (first, last) in zip(batches[0], zip(*got[0], strict=True), strict=True):
        console.print(f"{one.passage}\n  [bold]{one.question}[/] {decoded(one, first, last)}")

    asked, lengths = sum(map(len, batches)), [feed["ids"].shape[1] for feed in feeds]
    typed.finish(
        f"{asked} questions in batches of 1 to 8, of {min(lengths)} to {max(lengths)} tokens",
        {
            "eager PyTorch": {"right answers": right(eager, batches)},
            torch_free.COLUMN: {
                "right answers": right(got, batches),
                "largest difference of a score": difference(got, eager),
                "networks for TensorRT": len(compiled.networks),
                **by_length(answers.seconds, feeds),
            },
        },
    )


def questions(count: int) -> Iterator[list[Sample]]:
    """So many batches: of one question, of two, and so on to eight, and again."""
    seed = FIRST
    for number in range(count):
        size = number % 8 + 1
        yield [sample(seed + i) for i in range(size)]
        seed += size


def right(scores: list[Scores], batches: list[list[Sample]]) -> float:
    """The share of questions that get the very words of the answer."""
    hits = [
        decoded(one, first, last).replace(" ", "") == one.answer.replace(" ", "")
        for batch, outputs in zip(batches, scores, strict=True)
        for one, first, last in zip(batch, *outputs, strict=True)
    ]
    return sum(hits) / len(hits)


def difference(got: list[Scores], eager: list[Scores]) -> float:
    """The largest one over all scores."""
    pairs = [(a, b) for x, y in zip(got, eager, strict=True) for a, b in zip(x, y, strict=True)]
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def by_length(seconds: np.ndarray, feeds: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """Median time per question of short and of long passages, as rows of a table."""
    each = [(s / len(f["ids"]), f["ids"].shape[1]) for s, f in zip(seconds, feeds, strict=True)]
    middle = int(np.median([length for _, length in each]))
    short, long = (
        [s for s, length in each if (length > middle) is after] for after in (False, True)
    )
    return {
        f"CPU ms per question, to {middle} tokens": float(np.median(short)) * 1e3,
        f"CPU ms per question, from {middle + 1} tokens": float(np.median(long)) * 1e3,
    }


if __name__ == "__main__":
    main()
