# SPDX-License-Identifier: Apache-2.0
"""1,797 handwritten digits that scikit-learn carries, split once and for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Split = tuple[np.ndarray, np.ndarray]
"""Images [N, 1, 8, 8] as float32 from 0 to 1, and labels [N]."""


class Calibration:
    """Training images as `edge_trt build --calibration` takes them, which rate the result too."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Batches of images, without their labels."""
        (images, _), _ = splits()
        for start in range(0, len(images), 32):
            yield images[start : start + 32]

    def evaluate(self, run: Callable[[np.ndarray], np.ndarray]) -> float:
        """Percent of the held-out digits that a model gets right."""
        _, (images, labels) = splits()
        return 100 * float((run(images).argmax(1) == labels).mean())


batches = Calibration()


def splits() -> tuple[Split, Split]:
    """(training, held out): three quarters and one quarter, every digit in proportion."""
    # Only training and judging need scikit-learn, which is slow to import.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    parts = train_test_split(
        images, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    return (parts[0], parts[2]), (parts[1], parts[3])
