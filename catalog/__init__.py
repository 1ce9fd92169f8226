"""What has been released, and the bytes of it.

    import catalog
    catalog.releases()                                          # every version, from git tags alone
    catalog.load("pneumonia", version="v1.0.0", as_="torch")    # fetched once, verified, then read from a cache
    catalog.stream("pneumonia", version="^1")                   # record batches: memory for a batch, not for the dataset
    catalog.compare("pneumonia@v1.0.0", "pneumonia@prod")       # what changed, gate by gate
    catalog.search("chest x-rays with pneumonia, FID under 20").releases        # docs/search.md

Light to import: pyarrow, pandas, torch, SQLAlchemy and DVC come in only where they are used.
"""

from catalog.compare import compare
from catalog.finder import search, search_images
from catalog.query import Filter
from catalog.reader import Report, get, load, stream, verify
from catalog.stages import promote
from catalog.versions import find, recalled, releases, tombstones
from schema.release import Release, Tombstone

__all__ = [
    "Filter",
    "Release",
    "Report",
    "Tombstone",
    "compare",
    "find",
    "get",
    "load",
    "promote",
    "recalled",
    "releases",
    "search",
    "search_images",
    "stream",
    "tombstones",
    "verify",
]
