"""The catalog's database: an index over git tags, releases and records that can always be made again from them.

The only place that imports SQLAlchemy and Alembic. SQLite at data/catalog.db, or PostgreSQL by `SYNTHMILL_CATALOG_URL`.
"""
