# SPDX-License-Identifier: Apache-2.0
"""Measuring bundles on the machine that runs them.

Modules:
    record: what one measurement says, as JSON.
    measure: the measurement: latency, throughput, energy.
    machine: the machine, its state before and after, and what makes figures doubtful.
    compare: two records, with confidence intervals.
    chart: a record as a picture.
"""
