"""Benchmarks and the testing of the gates: each is one command, `./mill bench <name>`."""
