"""The engines compared, each a process: ``python -m benchmarks.speed.engines.NAME FOLDER``."""
