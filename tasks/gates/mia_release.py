"""`mia-release`: can someone who holds nothing but the released images tell who was in the training set?"""

from typing import Literal

import numpy as np
from pydantic import Field

from tasks.gates._attack import AttackConfig, AttackGate


class Config(AttackConfig):
    kind: Literal["mia-release"] = "mia-release"
    components: int = Field(default=32, ge=1, le=256, description="principal components that densities are estimated on")


class Plugin(AttackGate):
    kind = "mia-release"
    Config = Config
    attacker = "Whoever holds the released images"
    method = (
        "Membership inference from the synthetic images alone, with real images of the same kind for comparison (the test images, neither "
        "members nor non-members). Two attacks: how much nearer an image lies to its nearest synthetic image than to its nearest "
        "comparison image (Chen et al. 2020, arXiv:1909.03935, calibrated), and DOMIAS (van Breugel et al. 2023, "
        "arXiv:2302.12580), the ratio of the densities of synthetic and of comparison images there, by Gaussian kernels on "
        "principal components. Members: training images; non-members: holdout images of other patients. Judged: the best attack. Null: the "
        "best attack on members against members, over random splits. Interval: 95 % bootstrap by patient, corrected for "
        "its bias. Beside it: what is told without the release."
    )

    def measure(self, real, synthetic):
        sets = {"training": real.train, "holdout": real.holdout, "test": real.test, "synthetic": synthetic}
        missing = [name for name, images in sets.items() if not len(images)]
        if missing:
            return self._unsettled(real, f"there is no {' and no '.join(missing)} image")
        if len({images.pixels.shape[1:] for images in sets.values()}) > 1:
            return self._unsettled(
                real, "the sets of images differ in size, and would be told apart by that; ingest and draw them at one size"
            )
        if (real.train.pixels == real.train.pixels[0]).all():
            return self._unsettled(real, "the training images are all the same, so none can be told from another")
        least = self.config.components + 1
        if len(synthetic) < least:
            few = f"{len(synthetic)} synthetic images are too few for a density on {self.config.components} components"
            return self._unsettled(real, f"{few}, which wants {least}")
        return super().measure(real, synthetic)

    def scores(self, candidates, real, synthetic):
        from models.density import Coordinates, log_density
        from models.neighbours import nearest, on_grid
        from tasks.progress import ticking

        images, comparison = candidates.images.pixels, real.test.pixels
        with ticking("gate mia-release", "nearest released and comparison images", 2 * len(images), "image") as ticker:
            near, far = (nearest(images, others, ticker.update).distance for others in (synthetic.pixels, comparison))
        flat = [on_grid(pixels).reshape(len(pixels), -1) for pixels in (synthetic.pixels, comparison, images)]
        space = Coordinates(np.concatenate(flat[:2]), self.config.components)
        released, compared, here = map(space.of, flat)
        return {
            # Half a grey level, the rounding of a pixel, keeps an exact copy from being infinitely near.
            "nearest neighbour distance ratio": np.log(far + 0.5) - np.log(near + 0.5),
            "density ratio (DOMIAS)": log_density(here, released) - log_density(here, compared),
        }
