"""The maths: torch and numpy. No files, no params.yaml, no orchestration."""
