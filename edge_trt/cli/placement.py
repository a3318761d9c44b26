# SPDX-License-Identifier: Apache-2.0
"""``placement.json`` as tables: devices of layers, reasons, and estimates by power mode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge_trt.cli.console import print_table, print_text
from edge_trt.cli.estimates import LEGEND, Notes, asked_for_all, print_estimates
from edge_trt.cli.regions import Modules, print_regions
from edge_trt_runtime.errors import BundleError, EdgeTrtError

if TYPE_CHECKING:
    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.manifest import Engine

UNSURE = {
    "default": "the power mode it starts in",
    "idle_watts": "its idle power",
    "gpu_mhz": "GPU clock",
    "gpu_sms": "GPU units that are on",
    "dla_mhz": "DLA clock",
    "emc_mhz": "memory clock",
}
"""What a person reads for values that no source confirmed."""


def read_placement(bundle: OpenBundle) -> dict[str, Any]:
    """The placement of a bundle.

    Raises:
        EdgeTrtError: it has none.
        BundleError: it is damaged.
    """
    from edge_trt.bundle.layout import PLACEMENT

    if PLACEMENT not in bundle.manifest.files:
        raise EdgeTrtError(
            f"{bundle.root} was built without a placement on DLA",
            hint="build it with --dla auto and a board with DLA as the target",
        )
    try:
        return dict(json.loads(bundle.read(PLACEMENT)))
    except (ValueError, TypeError) as error:
        raise BundleError(
            f"{PLACEMENT} of {bundle.root} is malformed: {error}",
            bundle=bundle.root,
            file=PLACEMENT,
            hint="build the bundle again",
        ) from error


def print_placement(
    placement: Mapping[str, Any],
    engines: Sequence[Engine] = (),
    modules: Modules | None = None,
    see: str = "",
) -> None:
    """Print the placement of every target, and what became of it in the engines.

    Args:
        placement: as in `placement.json`.
        engines: those of the bundle.
        modules: where the layers come from.
        see: the command that shows all layers, if they are shown here only where that is short.
    """
    targets: Mapping[str, Mapping[str, Any]] = placement.get("targets", {})
    for name, target in targets.items():
        if not target["networks"]:
            print_text(f"DLA on {name}: none, {target['reason']}")
            continue
        _print_head(name, target)
        print_regions(name, target["networks"], modules or {}, see)
        _print_reasons(target)
        _print_engines(name, target, [engine for engine in engines if engine.target == name])
    if any(target["networks"] for target in targets.values()):
        print_text(LEGEND)
        print_text(placement["estimates"])


def _print_head(name: str, target: Mapping[str, Any]) -> None:
    unsure = "" if target["certain"] else " (not confirmed)"
    print_text(f"DLA on {name}: {target['reason']}{unsure}")
    goal = "everything on DLA" if asked_for_all(target) else f"best {target['objective']}"
    print_text(
        f"Planned for L4T {target['l4t']}, {target['mode']}, {goal}; another "
        "JetPack is planned for on the board, another mode with --dla-mode"
    )
    if assumed := target.get("assumes"):
        print_text(f"Nothing was calibrated; taken for granted: {assumed}")
    if target["unsure"]:
        words = [UNSURE.get(str(name), str(name)) for name in target["unsure"]]
        print_text(f"Not confirmed for this board: {', '.join(words)}")
    networks: Sequence[Mapping[str, Any]] = target["networks"]
    rows = [_summary(network, target) for network in networks]
    columns = ["network", "runs as", "#GPU", "#DLA0", "#DLA1", "#loadables", "#transitions"]
    print_table(f"Placement for {name}", columns, rows)


def _print_reasons(target: Mapping[str, Any]) -> None:
    for network in target["networks"]:
        _print_network(network, target)
    if target["rewritten"]:
        kinds: dict[str, int] = {}
        for recipe in target["rewritten"].values():
            kinds[recipe] = kinds.get(recipe, 0) + 1
        parts = ", ".join(f"{count} {recipe}" for recipe, count in kinds.items())
        print_text(f"Rewritten for DLA, with the same numbers: {parts}")


def _summary(network: Mapping[str, Any], target: Mapping[str, Any]) -> tuple[object, ...]:
    layers = network["layers"]
    cores = network["assignment"]["cores"]
    chosen = _alternative(network["modes"][0], network["chosen"])
    core0, core1 = layers["dla:0"], layers["dla:1"]
    if cores == "split" and core0:
        core1 = f"{core0} (in turn)"
    words = {"pipeline": ", two cores as a pipeline", "split": ", two cores in turn"}
    return (
        network["network"], network["chosen"] + words.get(cores, ""), layers["gpu"], core0, core1,
        network["loadables"], chosen["transitions"],
    )  # fmt: skip


def _print_refused(network: Mapping[str, Any]) -> None:
    """Print the rules that refuse layers: what is not allowed, then an example of each."""
    refused: Sequence[Mapping[str, Any]] = network["refused"]
    if not refused:
        return
    rows = [(r["rule"], r["count"], r["attribute"], r["value"], r["limit"]) for r in refused]
    columns = ["rule", "#layers", "attribute", "value", "allowed"]
    print_table(f"Not for DLA in {network['network']}", columns, rows)
    for r in refused:
        print_text(f"{r['rule']}: {r['example']}" + (f": {r['fix']}" if r["fix"] else ""))


def _print_network(network: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    _print_refused(network)
    if network["not_worth_it"]:
        count = network["not_worth_it"]
        what = "1 layer that a DLA takes runs" if count == 1 else f"{count} layers run"
        print_text(f"{what} on the GPU because that is better in the whole")
    if network["without_scale"]:
        count = network["without_scale"]
        what = "1 convolution lacks" if count == 1 else f"{count} convolutions lack"
        print_text(
            f"{what} an int8 scale around it and would compute in fp16 on a DLA, far slower (G10): "
            "build from the model with --dla, which gives every tensor one"
        )
    if count := network.get("not_rewritten", 0):
        what = "1 layer stays as it is" if count == 1 else f"{count} layers stay as they are"
        print_text(
            f"{what} that a DLA may take in another form: a finished bundle is not rewritten, a "
            "build from the model with --dla does it where that is better"
        )
    for doubt in network["doubts"]:
        print_text(
            f"{doubt['rule']}: to be confirmed on the board for {doubt['count']} layers on DLA, "
            f"the first is {doubt['first']} (source: {doubt['source']})"
        )
    if not network["exact"]:
        print_text(
            "The limit of loadables binds: this placement is the best found, not proved the best"
        )
    print_estimates(network, target)


def _print_engines(name: str, target: Mapping[str, Any], engines: Sequence[Engine]) -> None:
    """Print what is planned for each engine beside what it has, where that says anything."""
    found = {(engine.segment, engine.stream): engine for engine in engines}
    notes = Notes()
    rows = [row for entry in target["networks"] for row in _engine_rows(entry, found, notes)]
    if engines or any(network["streams"] for network in target["networks"]):
        columns = ["network", "stream", "#runs/s", "#to DLA", "#loadables", "engine", "#on DLA",
                   "#loadables", "not as planned"]  # fmt: skip
        title = "runs/s, layers to DLA and loadables as planned, then as they are"
        print_table(f"Engines for {name}: {title}", columns, rows)
        notes.print()


def _engine_rows(
    network: Mapping[str, Any], found: Mapping[tuple[str, int], Engine], notes: Notes
) -> Iterator[tuple[object, ...]]:
    from edge_trt.placement.side_by_side import assignments, planned_rates

    streams, rates = assignments(network), planned_rates(network)
    for number, assignment in enumerate(streams, 1):
        rate = f"{rates[number - 1]:g}" if rates else ""
        on_dla = sum(device != "gpu" for device in assignment.devices.values())
        *built, moved = _built(found.get((network["network"], number)))
        which = f"{network['network']}, stream {number}"
        yield (
            network["network"], number if rates else "1, alone", rate, on_dla,
            assignment.loadables, *built, notes.mark(f"{which}: {moved}") if moved else "",
        )  # fmt: skip


def _built(engine: Engine | None) -> tuple[object, ...]:
    """What an engine says of itself: whether it is there, layers, loadables, what moved."""
    if engine is None:
        return "not built yet", "", "", ""
    details = engine.details
    moved = [
        f"{words} {details[key]}"
        for key, words in (("dla_refused", "refused:"), ("dla_fell_back", "moved to the GPU:"))
        if key in details
    ]
    fell_back = str(details.get("dla_fell_back", ""))
    on_dla = int(details.get("dla_layers", 0)) - len([*filter(None, fell_back.split(", "))])
    loadables = details.get("dla_loadables", "" if "dla_core" in details else 0)
    return "built", on_dla, loadables, "; ".join(moved)


def _alternative(mode: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(a for a in mode["alternatives"] if a["name"] == name)
