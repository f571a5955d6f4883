"""Benchmarks: each prints the figures it is made of, then one line `ratio NAME VALUE goal GOAL` (higher is better).

A ratio compares with a limit or a peer measured in the same run, in interleaved rounds, by medians.
`python -m bench` runs all, `python -m bench NAME…` some.
"""
