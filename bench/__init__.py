"""Benchmarks. Each prints a small table of ratios within one run, so that the machine's speed cancels."""
