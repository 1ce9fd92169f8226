"""What every test can ask for."""

import os
from pathlib import Path

import pytest

from schema.settings import quieten

quieten()
# Tests run two at a time: a second thread each would only wait for the others. What the stages fix is fixed by themselves.
os.environ.setdefault("OMP_NUM_THREADS", "1")

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real images: `SYNTHMILL_DATA`, or shared/data beside the checkout. Skips where there is none."""
    folder = Path(os.environ.get("SYNTHMILL_DATA") or CHECKOUT.parent / "shared" / "data").resolve()
    if not (folder / "README.md").is_file():
        pytest.skip(f"the real images are not at {folder}: set SYNTHMILL_DATA to run this test")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The chain as a whole first: it takes longest, and all else finds room beside it."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")
