# SPDX-License-Identifier: Apache-2.0
"""Kernel timings that one build leaves to the next, in a file.

Where none is named, all builds of one TensorRT for one GPU share a file in the user's cache folder:
what a board measured once it need not measure again.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_trt.engines.tensorrt.flavours import Flavour
from edge_trt.engines.tensorrt.settings import BuildSettings
from edge_trt.errors import BuildError


def with_timing_cache(settings: BuildSettings, flavour: Flavour, gpu: str) -> BuildSettings:
    """Settings with the shared timing cache of a flavour and a GPU, where they name none.

    Args:
        settings: What the user chose.
        flavour: What builds.
        gpu: Compute capability, such as `8.7`; without one nothing is shared.
    """
    if settings.timing_cache or not (flavour.has_timing_cache and gpu):
        return settings
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = f"{flavour.name}-{flavour.release}-sm{gpu.replace('.', '')}.timing"
    return replace(settings, shared_timing_cache=os.path.join(base, "edge_trt", name))


class TimingCache:
    """A timing cache file while one build uses it.

    Attributes:
        state: What became of it, for the report: empty when there is none; `unused by ...`, `new`,
            `reused`, `replaced` when the file came from another GPU or version, or `lost: ...`
            when a shared one can't be read or written, which fails no build.
    """

    def __init__(self, settings: BuildSettings, flavour: Flavour) -> None:
        name = settings.timing_cache or settings.shared_timing_cache
        self.path = Path(name) if name else None
        self.state = ""
        self._shared = not settings.timing_cache
        if self.path is not None and not flavour.has_timing_cache:
            self.path, self.state = None, f"unused by {flavour.name}, which measures no kernels"

    def attach(self, config: Any) -> None:
        """Gives the file's content, or an empty cache, to a builder configuration.

        Raises:
            BuildError: the file that the user named can't be read, or its folder does not exist.
        """
        if self.path is None:
            return
        if not self._shared and not self.path.parent.is_dir():  # seldom meant, and told early
            raise BuildError(
                f"timing cache {self.path}: its folder does not exist", hint="create it first"
            )
        try:
            data = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            self._failed(f"can't be read: {error}", error)
            return
        cache = config.create_timing_cache(data)
        if cache is not None and config.set_timing_cache(cache, False):
            self.state = "reused" if data else "new"
            return
        config.set_timing_cache(config.create_timing_cache(b""), False)
        self.state = "replaced"

    def store(self, config: Any) -> None:
        """Writes the cache back, grown by this build; the old file stays whole if that fails.

        What another build wrote in the meantime is kept too.

        Raises:
            BuildError: the file that the user named can't be written.
        """
        if self.path is None:
            return
        partial = self.path.with_name(f"{self.path.name}.tmp-{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            cache = config.get_timing_cache()
            if self.state != "replaced" and self.path.exists():
                other = config.create_timing_cache(self.path.read_bytes())
                if other is not None:
                    cache.combine(other, False)
            partial.write_bytes(memoryview(cache.serialize()))
            partial.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            self._failed(f"can't be written: {error}", error)

    def _failed(self, what: str, error: OSError) -> None:
        if not self._shared:
            raise BuildError(f"timing cache {self.path} {what}") from error
        self.path, self.state = None, f"lost: {what}"
