# SPDX-License-Identifier: Apache-2.0
"""Runs a bundle where torch can't be imported, and writes outputs and timings.

    python classify.py model.edge inputs.npz outputs.npz

inputs.npz holds an array of samples under the input's name; each is run alone and timed.
"""

from __future__ import annotations

import sys
import time

sys.modules["torch"] = None  # type: ignore[assignment]  # from here on `import torch` fails

import numpy as np  # noqa: E402

import edge_trt_runtime  # noqa: E402


def main(bundle: str, source: str, target: str) -> None:
    """Runs every sample and saves outputs and seconds per call."""
    with edge_trt_runtime.load(bundle) as session:
        (spec,) = session.signature.inputs
        samples = np.load(source)[spec.name]
        for _ in range(10):
            session.run({spec.name: samples[:1]})
        seconds, outputs = [], []
        for sample in samples:
            start = time.perf_counter()
            outputs.append(session.run({spec.name: sample[None]}))
            seconds.append(time.perf_counter() - start)
    names = outputs[0]
    results = {name: np.concatenate([o[name] for o in outputs]) for name in names}
    np.savez(target, seconds=np.array(seconds), **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
