# SPDX-License-Identifier: Apache-2.0
"""The two steps of a build: rewrite networks before int8, place layers when they are finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from edge_trt.errors import OptionError
from edge_trt.network.graph import Network
from edge_trt.options import CompileOptions
from edge_trt.placement.place import Placed, Wish, placed, planned, rewritten, with_whole
from edge_trt.placement.planner import Alternative, Objective
from edge_trt.placement.regimes import Decision
from edge_trt.placement.report import of_site, report, without_dla
from edge_trt.placement.site import Site, site_of
from edge_trt.placement.together import within_a_core
from edge_trt.precision.range_names import key
from edge_trt_calibration import Ranges

NO_PRECISION = (
    "a DLA computes in int8 or fp16, and precision is 'fp32': add precision='int8' with "
    "calibration data"
)
NO_PRECISION_LEFT = (
    "a DLA computes in int8 or fp16, and this bundle is in fp32: build it from the model with "
    "--precision int8 and calibration data"
)

SET_ASIDE = Decision("strong", "it was built with --dla off")


@dataclass(slots=True)
class Placement:
    """The placement of one build.

    Attributes:
        options: of the build; `dla` is not None.
        recipes: recipe by the name of each rewritten layer, by target.
        whole: what every rewrite would make possible, by target and network.
        sites: where targets are, in place of what a host can know of them.
        finished: whether the networks are those of a bundle, which are not rewritten any more.
    """

    options: CompileOptions
    recipes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    whole: dict[tuple[str, str], Mapping[str, Alternative]] = field(
        default_factory=dict[tuple[str, str], Mapping[str, Alternative]]
    )
    sites: dict[str, Site | Decision] = field(default_factory=dict[str, "Site | Decision"])
    finished: bool = False

    def rewrite(self, network: Network) -> Network:
        """The network in the form that the targets with DLA need, one after the other."""
        for target, site in self._sites():
            if isinstance(site, Site) and self._wish is not None:
                found = rewritten(network, site, self._wish)
                network = found.network
                self.recipes.setdefault(target, {}).update(found.recipes)
                self.whole[target, network.name] = found.whole
        return network

    def check(self, networks: Sequence[Network]) -> None:
        """Refuses what can't be all on DLA before it is calibrated.

        Raises:
            OptionError: as `place`.
        """
        wish = self._wish
        if self.options.dla != "only" or wish is None:
            return
        for target, site in self._sites():
            if isinstance(site, Site):
                self._only(target, self._first_plans(target, site, wish, networks))

    def place(
        self,
        networks: Sequence[Network],
        ranges: Ranges | None = None,
        *,
        calibrated: bool = True,
    ) -> dict[str, Any]:
        """What `placement.json` holds.

        Args:
            networks: finished: of int8 with their quantization layers, or of fp16.
            ranges: those of int8; they are of more tensors than have quantization layers.
            calibrated: False for networks of int8 that have no quantization layers yet.

        Raises:
            OptionError: everything was to be on DLA, and can't be; the text has the reasons.
        """
        found: dict[str, dict[str, Any]] = {}
        for target, site in self._sites():
            recipes = self.recipes.get(target, {})
            if self.options.dla == "off":
                found[target] = without_dla(SET_ASIDE, self.options, recipes)
            elif isinstance(site, Decision):
                found[target] = without_dla(site, self.options, recipes)
            elif self._wish is None:
                why = NO_PRECISION if not self.finished else NO_PRECISION_LEFT
                found[target] = without_dla(site.decision, self.options, recipes, why)
            else:
                if calibrated:
                    plans = self._plans(target, site, self._wish, networks, ranges)
                else:
                    plans = self._first_plans(target, site, self._wish, networks)
                if self.options.dla == "only":
                    self._only(target, plans)
                found[target] = of_site(
                    site, self._wish, plans, recipes, finished=self.finished, calibrated=calibrated
                )
        return report(found)

    def _first_plans(
        self, target: str, site: Site, wish: Wish, networks: Sequence[Network]
    ) -> list[Placed]:
        """The plans of networks before calibration."""

        def plan(network: Network, limit: int) -> Placed:
            whole = self.whole.get((target, network.name))
            return with_whole(planned(network, site, wish, limit=limit), whole)

        return within_a_core([partial(plan, network) for network in networks])

    def _plans(
        self,
        target: str,
        site: Site,
        wish: Wish,
        networks: Sequence[Network],
        ranges: Ranges | None,
    ) -> list[Placed]:
        """The plans of finished networks."""
        many = len(networks) > 1

        def plan(network: Network, limit: int) -> Placed:
            steps = int8_steps(network, ranges, many=many)
            whole = self.whole.get((target, network.name))
            return placed(network, site, wish, ranged=steps, whole=whole, limit=limit)

        return within_a_core([partial(plan, network) for network in networks])

    @property
    def _wish(self) -> Wish | None:
        if self.options.precision not in ("int8", "fp16"):
            return None
        return Wish(
            str(self.options.dla),
            cast("Objective", self.options.dla_objective),
            self.options.precision,
        )

    def _sites(self) -> list[tuple[str, Site | Decision]]:
        mode = self.options.dla_mode
        return [(t, self.sites.get(t) or site_of(t, mode=mode)) for t in self.options.targets]

    def _only(self, target: str, plans: Sequence[Placed]) -> None:
        for plan in plans:
            if not plan.possible:
                why = plan.modes[0].alternatives[-1].why
                raise OptionError(
                    f"dla='only' can't be on {target}: {why}",
                    option="dla",
                    hint="use dla='auto', which leaves such layers to the GPU",
                )
        if not plans:
            raise OptionError(
                f"dla='only' can't be on {target}: TensorRT runs nothing of this model",
                option="dla",
                hint="use dla='auto'",
            )


def int8_steps(network: Network, ranges: Ranges | None, *, many: bool) -> dict[str, float]:
    """The int8 step of every tensor that has a range, by its name in the network."""
    if ranges is None:
        return {}
    names = [t.name for node in network.nodes for t in (*node.inputs, *node.outputs)]
    keys = {name: key(network.name, name, many=many) for name in names}
    return {n: ranges.tensors[k].scale for n, k in keys.items() if k in ranges.tensors}
