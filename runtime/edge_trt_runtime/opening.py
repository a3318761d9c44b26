# SPDX-License-Identifier: Apache-2.0
"""Opening a bundle as a session."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING

from edge_trt_runtime.bundle import OpenBundle, open_bundle
from edge_trt_runtime.devices import check_device
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.keys import named_by_environment
from edge_trt_runtime.loaded import Options, load_engines
from edge_trt_runtime.nvtx import asked_for
from edge_trt_runtime.session import Session
from edge_trt_runtime.tensorrt.budget import bytes_of, plan_options

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from edge_trt_runtime.keys import TrustedKey


def load(
    path: str | os.PathLike[str] | OpenBundle,
    *,
    device: str = "auto",
    threads: int | None = None,
    frames: int = 2,
    graphs: bool = True,
    memory_budget: int | str | None = None,
    weight_streaming: int | str | None = None,
    persistent_cache: int | str | None = None,
    dla_core: int | None = None,
    stream: int = 1,
    watchdog: float | None = None,
    nvtx: bool | None = None,
    verify: bool = True,
    trusted_keys: Iterable[TrustedKey] | None = None,
    least_counter: int = 0,
) -> Session:
    """Open the bundle at ``path`` and make it ready to run.

    Args:
        path: The bundle's directory, or what :func:`verify_bundle` returned: its manifest and its
            signature are read again, and its files are not compared a second time.
        device: ``"cpu"``, a GPU such as ``"cuda:0"``, or ``"auto"``: the first GPU where PyCUDA
            is installed and the bundle has something that runs there, else the CPU.
        threads: CPU threads that one run may use; ``None`` leaves it to the library. For PyTorch
            segments this sets the number of the whole process.
        frames: How many runs may be in flight on a GPU at once, each with memory of its own that
            is allocated when it is first needed, and how many of :meth:`Session.submit` anywhere.
            More callers wait.
        graphs: Capture what runs on a GPU as CUDA graphs.
        memory_budget: Bytes, or text such as ``"2GB"``, that all TensorRT plans of this process
            may take on the GPU from now on; plans that no session uses stay loaded within it.
            ``None`` leaves what an earlier call or ``EDGE_TRT_MEMORY_BUDGET`` said. Each plan
            counts with the size of its file.
        weight_streaming: How much of the weights of each TensorRT plan stays on the GPU, as
            ``memory_budget`` or ``"auto"``; the rest is brought there while it runs. Plans have
            to be built for it.
        persistent_cache: How much of the GPU's L2 cache a TensorRT plan may keep activations
            in, likewise; GPUs without such a cache refuse it.
        dla_core: DLA core of the plans that run on one: 0 or 1. ``None`` is the one that they were
            built on. Two sessions of a bundle, one on each core, run at the same time.
        stream: Which of the placements that share the accelerators, where the bundle has several
            (see :func:`load_pool`, which runs all of them). A segment that has no plan of it that
            can be used here runs that of stream 1.
        watchdog: Seconds that a run may take, its first one and what it loads included. The
            caller of one that takes longer gets an error that says what was in flight, and the
            session takes no more runs: see :attr:`Session.broken` and :meth:`Session.reload`.
            Runs then happen in threads of their own. ``None`` waits for ever.
        nvtx: Put segments and copies into NVTX ranges, for Nsight Systems; ``None`` does so
            where the environment has ``EDGE_TRT_NVTX=1``.
        verify: Check size and sha256 of every file first. Without it only sizes are checked.
        trusted_keys: Public Ed25519 keys, as paths, as the bytes of such a file, or as
            ``Ed25519PublicKey``: only what one of them signed is taken, ``verify`` or not, and
            anything else is refused before it is decoded. ``None`` takes the paths in the
            environment variable ``EDGE_TRT_TRUSTED_KEYS``, or any bundle where that is not set.
        least_counter: The least counter that a bundle may have, so that an older one which was
            signed as well is refused.

    Returns:
        A session; use it as a context manager or call :meth:`Session.close`.

    Raises:
        BundleError: When the bundle is damaged, unsafe, too new, not signed by a trusted key, or
            older than ``least_counter``.
        EngineError: When the bundle has no engine for this machine or no such stream, a library is
            missing, or an option or a key is wrong, or something that a plan or this TensorRT
            lacks.
    """
    options = Options(
        device,
        threads,
        frames,
        graphs,
        bytes_of(memory_budget, "memory_budget"),
        plan_options(weight_streaming, persistent_cache, dla_core, stream),
        watchdog,
        asked_for(nvtx),
    )
    _check_options(options)
    open_checked = checked_opener(trusted_keys, least_counter, verify=verify)
    return Session(load_engines(open_checked(path), options), options, open_checked)


def checked_opener(
    trusted_keys: Iterable[TrustedKey] | None, least_counter: int, *, verify: bool
) -> Callable[[str | os.PathLike[str] | OpenBundle], OpenBundle]:
    """Return what opens a bundle and checks it, as :func:`load` says.

    Raises:
        EngineError: When a key in the environment is wrong.
    """
    keys = named_by_environment() if trusted_keys is None else trusted_keys
    if isinstance(keys, Iterator):
        keys = [*keys]  # they are asked for again at a reload

    def open_checked(path: str | os.PathLike[str] | OpenBundle) -> OpenBundle:
        known = path if isinstance(path, OpenBundle) else None
        place = path.root if isinstance(path, OpenBundle) else path
        bundle = open_bundle(place, trusted_keys=keys, least_counter=least_counter)
        if known and known.verified and known.manifest == bundle.manifest:
            bundle.verified = True
        elif verify or keys is not None:
            bundle.verify()
        return bundle

    return open_checked


def _check_options(options: Options) -> None:
    check_device(options.device)
    if options.threads is not None and not _is_count(options.threads):
        raise EngineError(f"threads is {options.threads!r}", hint="give 1 or more, or None")
    if not _is_count(options.frames):
        raise EngineError(f"frames is {options.frames!r}", hint="give 1 or more")
    seconds: object = options.watchdog
    if seconds is not None and not (isinstance(seconds, Real) and 0 < seconds <= TIMEOUT_MAX):
        raise EngineError(
            f"watchdog is {seconds!r}", hint="give seconds above 0, or None to wait for ever"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
