# SPDX-License-Identifier: Apache-2.0
"""One bundle on all accelerators of a machine at once: the GPU and every DLA core.

Modules:
    lanes: which lanes a bundle has here.
    queue: which lane takes which run.
    batches: a batch cut into runs, and its results joined.
    pool: the pool itself.
    opening: opening a bundle as a pool.
"""
