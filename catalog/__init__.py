"""What has been released, and the bytes of it.

    import catalog
    catalog.releases()                                          # every version, from git tags alone
    catalog.load("pneumonia", version="v1.0.0", as_="torch")    # fetched once, verified, then read from a cache
    catalog.search("chest x-rays with pneumonia, FID under 20").releases        # docs/search.md

Light to import: pyarrow, pandas, torch, SQLAlchemy and DVC come in only where they are used.
"""

from catalog.finder import search, search_images
from catalog.query import Filter
from catalog.reader import Report, get, load, verify
from catalog.versions import find, releases
from schema.release import Release

__all__ = ["Filter", "Release", "Report", "find", "get", "load", "releases", "search", "search_images", "verify"]
