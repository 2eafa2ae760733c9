"""Load benchmarks: Bireme beside every other runtime that is installed, measured in the same run. ``python -m bench``.

Scenarios say what is measured, peers do it, the report says what came out. Every sample is kept as it was taken.
"""
