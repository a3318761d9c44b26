# SPDX-License-Identifier: Apache-2.0
"""What the emission of engines needs of a plan: the device of every layer, by region.

    {
      "network": "block0", "regime": "weak", "precision": "int8", "cores": "split",
      "regions": [
        {"device": "gpu",   "layers": ["sigmoid", "topk"]},
        {"device": "dla:0", "layers": ["conv1", "relu"], "fp16": ["relu"]}
      ]
    }

Every layer of the network without its quantization layers (`without_quantization`) is in exactly
one region. A region on DLA is convex, has one batch size, and becomes one loadable; regions on the
GPU hold what lies between, in execution order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from edge_trt.placement.regimes import Regime
from edge_trt.placement.rule import Precision

Device = Literal["gpu", "dla:0", "dla:1"]
Cores = Literal["one", "split", "pipeline"]
"""How two cores are used: only one; both hold every loadable and take runs in turn; or each holds
some of the loadables, and a run passes from one to the other."""


@dataclass(frozen=True, slots=True)
class Region:
    """Layers that run together.

    Attributes:
        device: where.
        layers: names, in execution order.
        fp16: those that compute in fp16 although the network is int8.
    """

    device: Device
    layers: tuple[str, ...]
    fp16: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where the layers of one network run.

    Attributes:
        network: its name.
        regime: how TensorRT serves the DLA.
        precision: of the layers on DLA.
        cores: how two cores are used.
        regions: all of the network.
    """

    network: str
    regime: Regime
    precision: Precision
    cores: Cores
    regions: tuple[Region, ...]

    @property
    def devices(self) -> dict[str, Device]:
        """The device of every layer, by its name."""
        return {layer: region.device for region in self.regions for layer in region.layers}

    @property
    def loadables(self) -> int:
        """How many loadables it has; with `split` each core holds them all."""
        return sum(region.device != "gpu" for region in self.regions)

    def as_dict(self) -> dict[str, Any]:
        """JSON values, as above."""
        regions = [
            {"device": r.device, "layers": list(r.layers)}
            | ({"fp16": list(r.fp16)} if r.fp16 else {})
            for r in self.regions
        ]
        return {
            "network": self.network,
            "regime": self.regime,
            "precision": self.precision,
            "cores": self.cores,
            "regions": regions,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Assignment:
        """What `as_dict` gave.

        Raises:
            KeyError: a part is missing.
        """
        regions = tuple(
            Region(r["device"], tuple(r["layers"]), tuple(r.get("fp16", ())))
            for r in data["regions"]
        )
        return cls(data["network"], data["regime"], data["precision"], data["cores"], regions)


def everything_on_gpu(
    network: str, layers: Iterable[str], regime: Regime, precision: Precision
) -> Assignment:
    """The assignment without DLA."""
    return Assignment(network, regime, precision, "one", (Region("gpu", tuple(layers)),))
