"""What has been released, and the bytes of it.

    import catalog
    catalog.releases()                                          # every version, from git tags alone
    catalog.load("pneumonia", version="v1.0.0", as_="torch")    # fetched once, verified, then read from a cache

Light to import: pyarrow, pandas, torch and DVC come in only where they are used.
"""

from catalog.reader import Report, get, load, verify
from catalog.versions import find, recalled, releases, tombstones
from schema.release import Release, Tombstone

__all__ = ["Release", "Report", "Tombstone", "find", "get", "load", "recalled", "releases", "tombstones", "verify"]
