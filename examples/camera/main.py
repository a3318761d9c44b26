# SPDX-License-Identifier: Apache-2.0
"""Looks for digits in a video as a robot does with its camera: in real time, without torch.

    python examples/camera/main.py

The detector of examples/detection becomes a bundle, and a video of moving digits is written, which
is then played at its own rate, and once more too fast for the model. What becomes of frames for
which there is no time is the policy of the stream. Each time this program runs itself so:

    python examples/camera/main.py BUNDLE --source digits.y4m --policy latest

which is what a robot does, and works for any bundle with one image input (`edge_trt build --image`)
and any source: a video, the number of a camera, `csi:0` of a Jetson, a pipeline of GStreamer, or
`-` for Y4M on standard input. It needs edge_trt_runtime, and OpenCV for what is no Y4M. Ctrl-C ends
it with the table so far.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

POLICIES = ("block", "latest", "drop-oldest")


def main() -> int:
    """Plays a source through a bundle, or everything."""
    words = parser()
    typed = words.parse_args()
    if typed.bundle is not None:
        from robot import run

        return run(typed)
    if typed.source is not None:
        words.error("--source needs a bundle: main.py BUNDLE --source ...")
    from demo import demonstrate

    return demonstrate(typed)


def parser() -> ArgumentParser:
    """The command line, as of examples/program.py, which the robot lacks the libraries for."""
    title, *_ = (__doc__ or "").split("\n")
    parser = ArgumentParser(prog="examples/camera/main.py", description=title)
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="write the last table there too")
    add = parser.add_argument_group("the demonstration").add_argument
    add("--quick", action="store_true", help="a shorter video, for a first look")
    add("--output", type=Path, metavar="FOLDER", default=Path("build", "camera"),
        help="where bundle and videos go (default: %(default)s)")  # fmt: skip
    add = parser.add_argument_group("the robot").add_argument
    add("bundle", nargs="?", help="a bundle with one image input")
    add("--source", help="see examples/camera/sources.py (default: 0, the first camera)")
    add("--policy", choices=POLICIES, default="latest", help="default: %(default)s")
    add("--depth", type=int, default=2, help="frames that run at once (default: %(default)s)")
    add("--deadline", type=float, metavar="S", help="seconds after which a result is of no use")
    add("--fps", type=float, help="rate of the source, in place of its own")
    add("--no-pacing", dest="pacing", action="store_false", help="files as fast as they are read")
    add("--loop", action="store_true", help="play a file again when it is over")
    add("--limit", type=int, metavar="N", help="end after so many frames of the source")
    add("--device", default="auto", help="as of edge_trt_runtime.load (default: %(default)s)")
    add("--threads", type=int, help="CPU threads of a run")
    add("--film", type=Path, metavar="FILE", help="write what was shown, as Y4M")
    add("--found", type=Path, metavar="FILE", help="write what was found, as .npz")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
