"""A release as a torch dataset. Imported only when asked for: torch takes seconds to import."""

import pyarrow as pa
import torch

from schema.record import decode_png


class Images(torch.utils.data.Dataset):
    """Item i is (float32 tensor C x H x W in 0..1, class index). The table holds PNGs and is decoded item by item."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        pixels = decode_png(self.table["image"][index]["bytes"].as_py())
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).to(torch.float32) / 255
        return image, self.table["label"][index].as_py()
