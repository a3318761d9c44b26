# SPDX-License-Identifier: Apache-2.0
"""All errors that edge_trt raises on purpose.

::

    EdgeTrtError                everything below
    ├── BundleError             runtime: damaged, edited, too new, or a path that leaves the bundle
    ├── InputError              runtime: wrong name, shape, data type (also a ValueError)
    ├── EngineError             runtime: engine missing, could not be loaded, failed
    ├── CaptureError            the model could not be read or exported
    ├── UnsupportedError        operators without a converter where no fallback is allowed
    ├── ConversionError         a converter is wrong: a user's, or ours to be reported
    ├── BuildError              the engine builder refused a network
    └── OptionError             unknown option, target or operator (also a ValueError)
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_trt_runtime.errors import BundleError, EdgeTrtError, EngineError, InputError

__all__ = [
    "BuildError",
    "BundleError",
    "CaptureError",
    "ConversionError",
    "EdgeTrtError",
    "EngineError",
    "InputError",
    "OptionError",
    "UnsupportedError",
]


class CaptureError(EdgeTrtError):
    """The model could not be loaded, or torch.export could not take it.

    Attributes:
        source: ``file:line`` of the user's code where it failed, or empty.
    """

    def __init__(self, message: str, *, source: str = "", hint: str = "") -> None:
        """Store where in the user's code it failed."""
        super().__init__(message, hint=hint)
        self.source = source


class UnsupportedError(EdgeTrtError):
    """Nodes would fall back although that is forbidden.

    Attributes:
        refusals: One sentence per node: what, where, why. All of them at once.
    """

    def __init__(self, message: str, *, refusals: Sequence[str] = (), hint: str = "") -> None:
        """Store the sentences, which the text lists too."""
        super().__init__(message, hint=hint)
        self.refusals = tuple(refusals)

    def __str__(self) -> str:
        """Return the message, then one refusal a line."""
        return "\n  ".join([super().__str__(), *self.refusals])


class ConversionError(EdgeTrtError):
    """A converter or its condition failed, or gave another shape or type than PyTorch says.

    Attributes:
        node: Name of the graph node.
        module: Path of the module it comes from, such as ``layer1.0.conv1``.
        source: ``file:line`` of the user's code.
    """

    def __init__(
        self, message: str, *, node: str = "", module: str = "", source: str = "", hint: str = ""
    ) -> None:
        """Store which node failed and where it comes from."""
        super().__init__(message, hint=hint)
        self.node = node
        self.module = module
        self.source = source


class BuildError(EdgeTrtError):
    """The engine builder refused a network or ran out of something.

    Attributes:
        layer: Name of the layer, or empty.
        module: Path of the PyTorch module that the layer comes from, or empty.
        log: What the builder said, one entry per message.
    """

    def __init__(
        self,
        message: str,
        *,
        layer: str = "",
        module: str = "",
        log: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        """Store which layer was refused and what the builder said."""
        super().__init__(message, hint=hint)
        self.layer = layer
        self.module = module
        self.log = tuple(log)


class OptionError(EdgeTrtError, ValueError):
    """An option has a name or a value that does not exist, or is not available yet.

    Attributes:
        option: Name of the option, or empty.
        matches: Names that look like what was given, best first.
    """

    def __init__(
        self, message: str, *, option: str = "", matches: Sequence[str] = (), hint: str = ""
    ) -> None:
        """Store which option it was, and what may have been meant."""
        super().__init__(message, hint=hint)
        self.option = option
        self.matches = tuple(matches)
