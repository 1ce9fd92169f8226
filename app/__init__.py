"""The doors: the command line and its reference. Nothing here decides a result."""
