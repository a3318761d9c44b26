# SPDX-License-Identifier: Apache-2.0
"""Pin the sister distributions in built wheels.

`edge-trt`, `edge-trt-runtime` and `edge-trt-jetson` are released together. A wheel asks for
exactly its own version of the other two; an editable install finds them on its path
(`dev-mode-dirs` in pyproject.toml) and must not ask a package index for them.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SISTERS = ("edge-trt-runtime", "edge-trt-jetson")


class PinSisters(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            exact = self.metadata.version
            build_data["dependencies"].extend(f"{name}=={exact}" for name in SISTERS)
