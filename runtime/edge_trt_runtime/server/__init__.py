# SPDX-License-Identifier: Apache-2.0
"""A bundle behind HTTP, for processes of the same machine that don't speak Python.

    python -m edge_trt_runtime.server model.edge --port 8500

Modules:
    arrays: bodies of requests as arrays, and back.
    service: what the server answers to each path.
    http: the same over HTTP, on a port or a Unix socket.
    notify: what systemd wants to be told.
"""
