"""The watermark is in the images before any gate sees them, and the release stage finds it again or lets nothing out."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.ndimage import gaussian_filter

from models.watermark import embed, is_marked
from schema.errors import GateFailed
from schema.params import Sample, Watermark
from schema.record import encode_png, synthetic_schema
from tasks import sample, watermarks
from tasks.exports import Draft

N = 40


def images(edge: int = 48) -> list[np.ndarray]:
    drawn = [gaussian_filter(np.random.default_rng(seed).normal(size=(edge, edge, 1)), (4, 4, 0)) for seed in range(N)]
    return [np.clip(128 + 60 * image / image.std(), 0, 255).astype(np.uint8) for image in drawn]


def draft(folder, pixels) -> Draft:
    blank = {"label": 0, "label_name": "a", "seed": 0, "sha256": ""}
    rows = [{"id": str(n), "image": {"bytes": encode_png(image), "path": None}, **blank} for n, image in enumerate(pixels)]
    pq.write_table(pa.Table.from_pylist(rows, schema=synthetic_schema(["a"])), folder / "shard.parquet")
    return Draft("tiny", ["a"], [folder / "shard.parquet"], len(rows))


def test_a_mark_that_outlives_jpeg_and_resizing_is_let_out_with_its_shares(tmp_path):
    shares = watermarks.check("tiny", draft(tmp_path, map(embed, images())), Watermark(detected=0.99))
    assert shares == dict.fromkeys(watermarks.TRIALS, 1.0)


def test_images_without_it_are_refused_with_the_share_that_has_it(tmp_path):
    pixels = images()
    pixels[: N // 2] = map(embed, pixels[: N // 2])
    release = draft(tmp_path, pixels)
    with pytest.raises(GateFailed, match=r"its watermark is found as it is in 50\.0%, after JPEG .* in 50\.0%.*asks for 99\.0%"):
        watermarks.check("tiny", release, Watermark())
    assert watermarks.check("tiny", release, Watermark(detected=0.5))["as it is"] == 0.5
    assert watermarks.check("tiny", release, None) is None


def test_a_large_release_is_looked_at_at_equal_distances(tmp_path, monkeypatch):
    """Of the images that are looked at, two have the mark: every 14th of 40 is number 0, 14 and 28."""
    monkeypatch.setattr(watermarks, "MOST", 3)
    pixels = [embed(image) if number in (0, 28) else image for number, image in enumerate(images())]
    assert watermarks.check("tiny", draft(tmp_path, pixels), Watermark(detected=0.1))["as it is"] == pytest.approx(2 / 3)


def test_what_is_drawn_is_marked_image_by_image(tmp_path):
    """Whatever batch or shard an image is drawn in, its marked pixels are those of the image marked alone."""
    pixels = images()

    class Drawn:
        conditions: list = []  # noqa: RUF012

        def sample(self, seeds, told, plan):
            return np.stack([pixels[seed % N] for seed in seeds])

    shares = sample.Shares(np.ones(1), [])
    plans = [Sample(n=20, batch_size=4, shard_size=8, watermark=mark) for mark in (None, {"detected": 0.9})]
    plain, marked = (sample.draw(Drawn(), plan, 0, 20, shares, lambda _: None)[0] for plan in plans)
    np.testing.assert_array_equal(plain, pixels[:20])
    np.testing.assert_array_equal(marked, [embed(image) for image in pixels[:20]])
    assert all(map(is_marked, marked))
