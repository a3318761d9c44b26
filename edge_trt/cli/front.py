# SPDX-License-Identifier: Apache-2.0
"""The half of `edge_trt build` that needs PyTorch, in a process of its own.

PyTorch with a captured model and TensorRT's builder each take several hundred megabytes. One after
the other, in two processes, they never take them together: the first leaves a bundle without plans,
the second builds these exactly as a board does.

    with started() as front:
        front.compile(Request(model="timm:resnet50", ..., output=portable), progress, warn, beside)
        bundle = read_bundle(portable, leaving=True)
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import msgspec

from edge_trt.errors import EdgeTrtError

Progress = Callable[[str, float, str], None]


INTERRUPTED = 130
"""Status of the process after Ctrl-C."""


class Request(msgspec.Struct):
    """What to compile: texts as on the command line, and where the bundle shall be."""

    model: str
    inputs: list[str]
    images: list[str]
    options: dict[str, Any]
    output: str
    keep: str = ""  # a file for the ranges of int8, in case that something fails afterwards


class Message(msgspec.Struct):
    """One line from the process: how far it is, what it warns of, why it failed, or its end."""

    stage: str = ""
    fraction: float = 0.0
    note: str = ""
    warning: str = ""
    error: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Front:
    """The process, and what it writes its messages to."""

    process: subprocess.Popen[bytes]
    messages: BinaryIO

    def compile(
        self,
        request: Request,
        progress: Progress,
        warn: Callable[[str], None],
        beside: Future[None],
    ) -> None:
        """Compiles up to a bundle without plans, and waits for it and for what is done beside it.

        Args:
            request: what to compile.
            progress: as for `edge_trt.compile`.
            warn: called with each warning.
            beside: work of this process; when it fails, the other process is ended.

        Raises:
            EdgeTrtError: what either failed with.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already: its status says more
            self.process.stdin.write(msgspec.json.encode(request))
            self.process.stdin.close()
        beside.add_done_callback(lambda work: work.exception() and self.process.terminate())
        with self._ending(warn):
            last = self._follow(progress, warn)
            status = 0 if last.done else self.process.wait()
        beside.result()
        if status in (INTERRUPTED, -signal.SIGINT):
            raise KeyboardInterrupt
        if last.error:
            raise EdgeTrtError(last.error)
        if not last.done:
            raise EdgeTrtError(
                f"the process that compiled the model ended with status {status}",
                hint="it may have run out of memory"
                if status < 0
                else "EDGE_TRT_DEBUG=1 shows more",
            )

    @contextmanager
    def _ending(self, warn: Callable[[str], None]) -> Generator[None]:
        """Lets the process write what it has when this one is interrupted, and waits for it.

        SIGTERM counts as Ctrl-C; further signals go on to the process.
        """
        main_thread = threading.current_thread() is threading.main_thread()
        before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        own = before[signal.SIGTERM] is signal.SIG_DFL and main_thread
        try:
            if own:
                signal.signal(signal.SIGTERM, signal.default_int_handler)
            yield
        except (KeyboardInterrupt, SystemExit):
            for number in before if main_thread else ():
                signal.signal(number, self._pass_on)
            self.process.terminate()
            with suppress(msgspec.DecodeError):  # half a line may have been read
                self._follow(_unseen, warn)
            self.process.wait()
            raise
        finally:
            for number, handler in before.items() if main_thread else ():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.process.terminate()

    def _follow(self, progress: Progress, warn: Callable[[str], None]) -> Message:
        """Passes on what the process says; returns its last word, which is empty if it has none."""
        for line in self.messages:
            message = msgspec.json.decode(line, type=Message)
            if message.stage:
                progress(message.stage, message.fraction, message.note)
            if message.warning:
                warn(message.warning)
            if message.error or message.done:
                return message
        return Message()


def _unseen(stage: str, fraction: float, note: str) -> None:
    """Watches nothing: nobody waits any more."""


@contextmanager
def started() -> Generator[Front]:
    """Starts the process, which imports PyTorch at once, and ends it if the block fails."""
    reading, writing = os.pipe()
    # Modules are found where this process finds them: `-m` would look in the current folder first,
    # where a file may have the name of one.
    # Until it compiles, Ctrl-C ends it without a word: this process says that it was interrupted.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        f"import sys; sys.path[:] = {sys.path!r}; import edge_trt.cli.front as f; f.run()"
    )
    command = [sys.executable, "-c", program, str(writing)]
    with (
        os.fdopen(reading, "rb") as messages,
        subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writing]) as process,
    ):
        os.close(writing)
        try:
            yield Front(process, messages)
        except BaseException:  # Ctrl-C above all: nobody waits for the result any more
            process.terminate()
            raise


def main() -> int:
    """Reads a request from standard input; messages go to the file descriptor that is named."""
    # This process lives for one build: what is garbage at its end need not be looked for before.
    # Importing torch and tracing a model take a fifth less time so.
    gc.disable()
    with suppress(ImportError):  # told when it is needed
        import edge_trt.capture.export  # noqa: F401 (PyTorch, while the request is on its way)
    asked = sys.stdin.buffer.read()
    if not asked:
        return 1  # the command was refused, and says why
    request = msgspec.json.decode(asked, type=Request)
    with os.fdopen(int(sys.argv[1]), "wb", buffering=0) as out:

        def show_warning(message: Warning | str, *_: object) -> None:
            _send(out, Message(warning=str(message)))

        warnings.showwarning = show_warning
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # what it has is written
            _compile(request, out)
        except KeyboardInterrupt:
            return INTERRUPTED
        except Exception as error:
            if os.environ.get("EDGE_TRT_DEBUG") == "1":
                raise
            from edge_trt.cli import explain

            _send(out, Message(error=explain(error)))
            return 1
        _send(out, Message(done=True))
    return 0


def _compile(request: Request, out: BinaryIO) -> None:
    from edge_trt.bundle.save import save_bundle
    from edge_trt.cli.inputs import parse_inputs
    from edge_trt.options import CompileOptions
    from edge_trt.pipeline import compile_networks
    from edge_trt.stages import Stages

    def progress(stage: str, fraction: float, note: str) -> None:
        _send(out, Message(stage, fraction, note))

    stages = Stages(progress)
    inputs = parse_inputs(request.inputs, request.images)
    options = CompileOptions(**request.options)
    keep = Path(request.keep) if request.keep else None
    bundle = compile_networks(request.model, inputs, options, stages, keep)
    save_bundle(bundle, request.output, durable=False)


def _send(out: BinaryIO, message: Message) -> None:
    out.write(msgspec.json.encode(message) + b"\n")


def run() -> None:
    """`main`, and the end of the process."""
    ended = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(ended)  # what this process holds need not be taken apart before it goes
