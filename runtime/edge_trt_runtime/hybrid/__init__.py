# SPDX-License-Identifier: Apache-2.0
"""Running a bundle over several devices: who runs where, in what order, in which memory.

::

    place      segment -> lane (gpu, dla:0, dla:1, host), with the reason of every "host"
    schedule   lanes -> operations in one static order, with events where lanes meet
    memory     operations -> an offset for every value in one device and one pinned arena
    frame      one run in flight: arenas, streams, captured graphs

All of it happens once, at load. A run walks a list.
"""
