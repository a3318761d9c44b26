# SPDX-License-Identifier: Apache-2.0
"""TensorRT's progress monitor as one number from 0 to 1."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Progress = Callable[[str, float, str], None]
"""Called with a stage (`emit`, `build`), how much of it is done (0 to 1), and what is going on."""


class _Phase:
    def __init__(self, steps: int) -> None:
        self.steps = max(steps, 1)
        self.done = 0
        self.current: _Phase | None = None

    def fraction(self) -> float:
        inner = self.current.fraction() if self.current and self.done < self.steps else 0.0
        return min((self.done + inner) / self.steps, 1.0)


class BuildProgress:
    """Turns nested phases with steps into a fraction that never falls, and stops the build.

    Errors in the callback end the build too; they are raised where the build was started, because
    none may pass through TensorRT.
    """

    def __init__(self, report: Progress | None) -> None:
        self.report = report
        self.error: BaseException | None = None
        self.cancelled = False
        self._phases: dict[str, _Phase] = {}
        self._root: _Phase | None = None
        self._reached = 0.0

    def cancel(self) -> None:
        """Ends the build at its next step."""
        self.cancelled = True

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        phase = self._phases[name] = _Phase(steps)
        outer = self._phases.get(parent or "")
        if outer is not None:
            outer.current = phase
        elif self._root is None:
            self._root = phase
        self._tell(name)

    def step(self, name: str, step: int) -> bool:
        """A step is complete; False asks TensorRT to stop."""
        phase = self._phases.get(name)
        if phase is not None:
            phase.done, phase.current = step + 1, None
        self._tell(name)
        return not self.cancelled

    def finish(self, name: str) -> None:
        """A phase is over."""
        phase = self._phases.pop(name, None)
        if phase is not None:
            phase.done = phase.steps
        self._tell(name)

    def _tell(self, text: str) -> None:
        if self.report is None or self.cancelled or self._root is None:
            return
        self._reached = max(self._reached, self._root.fraction())
        try:
            self.report("build", self._reached, text)
        except BaseException as error:
            self.error = error
            self.cancel()


def progress_monitor(trt: Any, progress: BuildProgress) -> Any:
    """A TensorRT progress monitor that feeds `progress`. Keep it as long as the build runs."""
    return _monitor_class(trt)(progress)


@functools.cache
def _monitor_class(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):
        """Method names are TensorRT's."""

        def __init__(self, progress: BuildProgress) -> None:
            trt.IProgressMonitor.__init__(self)
            self.progress = progress

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return self.progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            self.progress.finish(phase_name)

    return Monitor
