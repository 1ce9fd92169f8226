"""The words that every other package speaks: params, records, shards, verdicts, releases, errors. Imports nothing of ours."""
