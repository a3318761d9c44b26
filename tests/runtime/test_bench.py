# SPDX-License-Identifier: Apache-2.0
"""What `--bench` and `--trace` say of a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime.__main__ import main
from edge_trt_runtime.bench import Summary, measure, sample_inputs
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.timing import Timing, trace_events
from tests.support.bundles import Draft, node, relu_draft, self_tested, spec


def two_segments(folder: Path) -> Path:
    draft = Draft(
        inputs=[spec("x", ["n", 4]), spec("i", ["n"], "int64")],
        outputs=[spec("y", ["n", 4]), spec("j", ["n"], "int64")],
        results={"y": "b", "j": "i"},
        dims={"n": Range(1, 3, 8)},
        values=[spec("a", ["n", 4]), spec("b", ["n", 4])],
    )
    draft.network("first", ["x"], ["a"], [node("Relu", "x", "a")])
    draft.network("second", ["a"], ["b"], [node("Neg", "a", "b")])
    return draft.write(folder / "m.edge")


def test_a_summary_is_in_milliseconds() -> None:
    summary = Summary.of([i / 1000 for i in range(1, 102)])
    assert [*summary] == pytest.approx([1, 51, 51, 91, 96, 100, 101])


def test_measured_runs(tmp_path: Path) -> None:
    with edge_trt_runtime.load(two_segments(tmp_path)) as session:
        bench = measure(session, 0.05)
        assert bench.runs >= 10
        assert [*bench.stages] == ["compute"]
        assert [*bench.segments] == ["first (host)", "second (host)"]
        assert 0 < bench.latency.min <= bench.latency.median <= bench.latency.p99
        assert bench.throughput == pytest.approx(1e3 / bench.latency.mean, rel=0.5)
        inputs = sample_inputs(session)
        assert {name: array.shape for name, array in inputs.items()} == {"x": (3, 4), "i": (3,)}
        timings = session.profile(inputs)
        assert [(t.kind, t.lane, t.name) for t in timings] == [
            ("segment", "host", "first"), ("segment", "host", "second"),
        ]  # fmt: skip
        assert 0 <= timings[0].start <= timings[0].end <= timings[1].start <= timings[1].end


def test_the_recorded_inputs_are_taken(tmp_path: Path) -> None:
    with edge_trt_runtime.load(self_tested(tmp_path)) as session:
        expected = np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)
        np.testing.assert_array_equal(sample_inputs(session)["x"], expected)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = str(two_segments(tmp_path))
    table, trace = tmp_path / "bench.json", tmp_path / "trace.json"
    assert main([bundle, "--bench", "0.01", "--json", str(table), "--trace", str(trace)]) == 0
    out = capsys.readouterr().out
    assert "runs on the CPU" in out
    assert all(word in out for word in ("per second", "median", "latency", "second (host)"))
    found = json.loads(table.read_text())
    assert found["runs"] >= 10
    assert found["segments_ms"]["first (host)"]["p95"] > 0
    events = json.loads(trace.read_text())["traceEvents"]
    assert [(e["tid"], e["name"]) for e in events] == [
        ("host", "segment first"), ("host", "segment second"),
    ]  # fmt: skip
    assert main([bundle, "--trace", str(tmp_path / "no/where.json")]) == 1
    assert "can't be written (No such file or directory)" in capsys.readouterr().err


def test_a_trace_is_in_microseconds() -> None:
    (event,) = trace_events([Timing("upload", "gpu", "x", 0.001, 0.003)])["traceEvents"]
    assert (event["ts"], event["dur"], event["cat"]) == (1000, pytest.approx(2000), "upload")


def test_a_closed_session_is_not_profiled(tmp_path: Path) -> None:
    session = edge_trt_runtime.load(relu_draft().write(tmp_path / "m.edge"))
    session.close()
    with pytest.raises(edge_trt_runtime.EngineError, match="closed"):
        session.profile({})
