# SPDX-License-Identifier: Apache-2.0
"""Kernel timings that one build leaves to the next, in a file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from edge_trt.engines.tensorrt.flavours import Flavour
from edge_trt.errors import BuildError


class TimingCache:
    """A timing cache file while one build uses it.

    Attributes:
        state: What became of it, for the report: empty when none was asked for; `unused by ...`,
            `new`, `reused`, or `replaced` when the file came from another GPU or version.
    """

    def __init__(self, path: str | None, flavour: Flavour) -> None:
        self.path = Path(path) if path else None
        self.state = ""
        if self.path is not None and not flavour.has_timing_cache:
            self.path, self.state = None, f"unused by {flavour.name}, which measures no kernels"

    def attach(self, config: Any) -> None:
        """Gives the file's content, or an empty cache, to a builder configuration.

        Raises:
            BuildError: the file can't be read.
        """
        if self.path is None:
            return
        try:
            data = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise BuildError(f"timing cache {self.path} can't be read: {error}") from error
        cache = config.create_timing_cache(data)
        if cache is not None and config.set_timing_cache(cache, False):
            self.state = "reused" if data else "new"
            return
        config.set_timing_cache(config.create_timing_cache(b""), False)
        self.state = "replaced"

    def store(self, config: Any) -> None:
        """Writes the cache back, grown by this build; the old file stays whole if that fails.

        Raises:
            BuildError: the file can't be written.
        """
        if self.path is None:
            return
        partial = self.path.with_name(f"{self.path.name}.tmp-{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(memoryview(config.get_timing_cache().serialize()))
            partial.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise BuildError(f"timing cache {self.path} can't be written: {error}") from error
