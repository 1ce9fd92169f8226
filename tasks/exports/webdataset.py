"""WebDataset: train-000000.tar, train-000001.tar, ..., in each a pair <id>.png and <id>.json for every record.

Read by `webdataset.WebDataset` and `datasets.load_dataset("webdataset", ...)`. Written by Python's tarfile: the package's own TarWriter
loads torch and adds nothing to it here.
"""

import io
import tarfile
from contextlib import ExitStack
from pathlib import Path

from pydantic import Field

from schema.digest import canonical_json
from schema.section import Section
from tasks.exports import Export, Folder

BLOCK = tarfile.BLOCKSIZE


class Plugin(Export):
    kind = "webdataset"

    class Options(Section):
        shard_mb: int = Field(default=256, ge=1, description="how large a tar may be, in MB of 10^6 bytes")

    def fill(self, release: Folder, folder: Path, options: Options) -> None:
        """A record larger than `shard_mb` has a tar of its own."""
        number, tar = 0, None
        with ExitStack() as opened:
            for record in release.records():
                said = canonical_json({**record.said, "release": release.release.tag})
                members = {f"{record.id}.png": record.png, f"{record.id}.json": said.encode()}
                if tar is None or ended(tar.offset + sum(map(taken, members.values()))) > options.shard_mb * 10**6:
                    opened.close()
                    tar = opened.enter_context(tarfile.open(folder / f"train-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT))
                    number += 1
                for name, data in members.items():
                    tar.addfile(member(name, data), io.BytesIO(data))


def member(name: str, data: bytes) -> tarfile.TarInfo:
    """Of no time and no user: TarInfo's own defaults are 0 and empty."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    return entry


def taken(data: bytes) -> int:
    """Bytes of a member in a tar: a header and whole blocks."""
    return BLOCK + -(-len(data) // BLOCK) * BLOCK


def ended(size: int) -> int:
    """Bytes of a tar whose members take `size`: two empty blocks, then filled up to whole records."""
    return -(-(size + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
