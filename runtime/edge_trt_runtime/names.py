# SPDX-License-Identifier: Apache-2.0
"""Suggestions for misspelt names, used in error texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


LONGEST_LIST = 24
"""More choices than that are not listed."""


def close_matches(word: str, choices: Iterable[str]) -> list[str]:
    """Return up to three choices that look like ``word``, best first, letter case ignored."""
    from difflib import get_close_matches  # only ever needed on the way to an error

    by_folded = {choice.casefold(): choice for choice in choices}
    return [by_folded[match] for match in get_close_matches(word.casefold(), by_folded, n=3)]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``"did you mean 'x'?"``, or the list of choices when none is close and it is short."""
    choices = list(choices)
    if matches := close_matches(word, choices):
        return f"did you mean {' or '.join(repr(match) for match in matches)}?"
    if len(choices) > LONGEST_LIST:
        return f"none of the {len(choices)} known names is close"
    return f"choose from {', '.join(repr(choice) for choice in choices)}" if choices else ""
