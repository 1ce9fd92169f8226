"""The same numbers from the same input: what torch must be told before it computes anything."""

import os

THREADS = 2
"""Sums are split over threads, so their count is part of the arithmetic and is fixed, not taken from the machine."""


def settle(threads: int = THREADS) -> None:
    """Makes torch deterministic in this process: thread count, algorithms, and cuBLAS' workspaces."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    # numpy's own algebra too: several gates side by side would fight over the cores, and sums would depend on their number.
    threadpool_limits(threads, user_api="blas")
    torch.use_deterministic_algorithms(True)
    # It would fill all new memory with NaN, a guard against reading what was never written that makes a step twice as long.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False


def pick_device(asked: str | None):
    """The torch device: the one asked for, else CUDA where there is one, else the CPU. Raises ValueError if it is not there."""
    import torch

    device = torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"the device {asked!r} was asked for, and torch sees no CUDA device here")
    return device
