# SPDX-License-Identifier: Apache-2.0
"""Counts of runs as Prometheus reads them."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError, InputError, Metrics
from tests.support.bundles import relu_draft

LINE = re.compile(r'(# (HELP|TYPE) .*|[a-z_]+\{([a-z]+="(\\.|[^"\\])*",?)+\} [0-9.e+-]+)')
X = {"x": np.ones((1, 4), np.float32)}


def values(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)}


def test_runs_and_errors_are_counted(tmp_path: Path) -> None:
    metrics = Metrics()
    with edge_trt_runtime.load(relu_draft().write(tmp_path / "m.edge"), threads=1) as session:
        session.run(X)  # not watched yet
        metrics.watch(session, 'a "b"\n')
        threads = [
            threading.Thread(target=lambda: [session.run(X) for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(session.stream([X] * 7))) == 7
        for _ in range(3):
            with pytest.raises(InputError):
                session.run({})
        with pytest.raises(EngineError, match="watched already"):
            metrics.watch(session, 'a "b"\n')
        text = metrics.text()
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    found = values(text)
    label = 'session="a \\"b\\"\\n"'
    assert found[f"edge_trt_run_seconds_count{{{label}}}"] == 207
    assert found[f'edge_trt_run_seconds_bucket{{{label},le="+Inf"}}'] == 207
    assert 0 < found[f"edge_trt_run_seconds_sum{{{label}}}"] < 60
    assert found[f'edge_trt_errors_total{{{label},error="InputError"}}'] == 3
    buckets = [v for key, v in found.items() if "_bucket" in key]
    assert buckets == sorted(buckets)


def test_a_run_is_in_the_bucket_of_its_time(tmp_path: Path) -> None:
    metrics = Metrics()
    with edge_trt_runtime.load(relu_draft().write(tmp_path / "m.edge")) as session:
        metrics.watch(session, "m")
        (observer,) = session._observers  # pyright: ignore[reportPrivateUsage]
        for seconds in (0.001, 0.0011, 9.0):
            observer(seconds, None)
        found = values(metrics.text())
    bounds = {"0.001": 1, "0.002": 2, "5.0": 2, "+Inf": 3}
    for bound, count in bounds.items():
        assert found[f'edge_trt_run_seconds_bucket{{session="m",le="{bound}"}}'] == count
