# syntax=docker/dockerfile:1
# SPDX-License-Identifier: Apache-2.0
# A bundle behind HTTP on a Jetson with JetPack 6 (L4T 36), from the root of the repository:
#
#   docker build -f jetson/docker/jetpack6.Dockerfile -t edge-trt .
#   docker run --rm --runtime nvidia -p 8500:8500 -v /opt/models:/models:ro edge-trt
#
# The base has the TensorRT of JetPack 6.1 and 6.2 (10.3). Plans run on the TensorRT release that built them: build
# the bundle's engines in this image, or on a board of the same JetPack. /sys and the files of L4T, mounted
# read-only, let it tell the board and its power: see docs/board.md.
ARG BASE=nvcr.io/nvidia/l4t-jetpack:r36.4.0

FROM ${BASE} AS wheels
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential python3-dev python3-pip \
 && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml hatch_build.py README.md LICENSE /src/
COPY edge_trt /src/edge_trt
COPY calibration /src/calibration
COPY runtime /src/runtime
COPY jetson /src/jetson
ENV CUDA_ROOT=/usr/local/cuda PATH=/usr/local/cuda/bin:${PATH}
WORKDIR /src
RUN python3 -m pip wheel --no-cache-dir --wheel-dir /wheels \
    './runtime[jetson,cpu]' ./jetson .

FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-pip python3-libnvinfer \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 --groups video robot
COPY --from=wheels /wheels /wheels
# hadolint ignore=DL3013
RUN python3 -m pip install --no-cache-dir --no-index --find-links /wheels \
    'edge-trt-runtime[jetson,cpu]' edge-trt-jetson edge-trt
USER 1000
WORKDIR /home/robot
EXPOSE 8500
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD \
    ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8500/health')"]
ENTRYPOINT ["python3", "-m", "edge_trt_runtime.server", "--host", "0.0.0.0"]
CMD ["/models/model.edge"]
