"""What ingest is made of: worker processes that read, a store of what was read, copies, quality, and the deal of patients to splits."""
