"""What a small Stable Diffusion is pretrained on where no pretrained one can be had: drawn phantoms of a modality, which show nobody."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from models import phantoms
from models.generators import Material, Shape
from models.learning.autoencoder import AutoencoderConfig, build_autoencoder, objection, train_autoencoder
from schema.conditions import Condition
from schema.params import Section

if TYPE_CHECKING:
    from models.generators.dreambooth import Plugin
    from models.learning.stable_diffusion import Parts

UNSAID = 0.1
"""Share of phantoms whose kind is not said, and of those of which nothing is: the base must know the plain and the empty prompt too."""
KIND = "phantom"
"""The condition that says which of the modality's labels a phantom shows."""


class BaseAutoencoder(AutoencoderConfig):
    path: ClassVar[str] = "train.base.autoencoder"

    steps: int = Field(ge=1)


class PhantomBase(Section):
    phantoms: str = Field(description="the modality: chest, fundus, dermoscopy, oct or head")
    n: int = Field(default=2000, ge=1, description="phantoms drawn, the labels of the modality in turn")
    autoencoder: BaseAutoencoder
    steps: int = Field(ge=1, description="of the U-Net and the text encoder, once the autoencoder stands")
    batch_size: int = Field(default=32, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=50, ge=0)
    channels: list[int] = Field(
        default=[32, 64, 96], min_length=1, description="feature maps of the U-Net at each resolution of the latents"
    )
    text_width: int = Field(default=64, ge=4, multiple_of=4, description="of what the text encoder says of each token")
    text_length: int = Field(default=32, ge=8, le=77, description="tokens of the longest prompt, start and end included")
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"
    seed: int = Field(default=0, ge=0, description="decides the phantoms and the first weights")

    @property
    def total_steps(self) -> int:
        return self.autoencoder.steps + self.steps

    def objection(self, height: int, width: int) -> str | None:
        """Why no base for images of this size can be made of it; None where it can."""
        try:
            phantoms.load(self.phantoms)
        except ValueError as error:
            return f"train.base.phantoms: {error}"
        if self.autoencoder.perceptual:
            return "train.base.autoencoder.perceptual is not for a base of phantoms: take it out"
        return objection(self.autoencoder, height, width)

    def condition(self) -> Condition:
        return Condition(attribute=KIND, values=list(phantoms.load(self.phantoms).labels))

    def draw(self, height: int, width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels, uint8 n x height x width x channels, and the place of each phantom's label, int64 n."""
        modality = phantoms.load(self.phantoms)
        places = np.arange(self.n) % len(modality.labels)
        pixels = np.empty((self.n, height, width, channels), dtype=np.uint8)
        for number, place in enumerate(places):
            picture = modality.draw([self.seed, number], modality.labels[place], height, width)[0]["image"]
            picture = picture.reshape(height, width, -1)
            pixels[number] = picture if picture.shape[2] == channels or channels == 3 else picture.mean(2, keepdims=True).round()
        return pixels, places


def recoloured(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Every second image in colours of another world: its channels exchanged, and each of a gamma of its own (1/2 to 2).

    Phantoms have the palette of their modality and hardly more, and an autoencoder gives back no colour that it has never seen."""
    made = pixels.copy()
    for number in range(1, len(pixels), 2):
        random = np.random.default_rng([seed, 7, number])
        gamma = 2.0 ** random.uniform(-1, 1, 3)
        made[number] = (255 * (pixels[number][:, :, random.permutation(3)] / 255.0) ** gamma).round().astype(np.uint8)
    return made


def pretrain(outer: "Plugin", state: dict[str, Any], checkpoint, step) -> "Parts":
    """A small Stable Diffusion for the images of `outer` that has learned to draw phantoms: its autoencoder first, then the text encoder
    and the U-Net, by the training of `outer` itself with all weights and no tokens.

    `state`: what `checkpoint` was given last, or what `outer` keeps once the base stands (`parts`)."""
    import torch

    from models.learning.stable_diffusion import restore, tiny

    asked, shape = outer.config.base, outer.shape
    inner = _inner(outer)
    words = dict.fromkeys(word for one in (outer, inner) for word in one.wording([]).words())

    def parts_round(vae: Any) -> "Parts":
        torch.manual_seed(asked.seed)
        return tiny(words, vae, asked.channels, asked.text_width, asked.text_length, outer.config.timesteps, asked.prediction)

    if "parts" in state:
        return restore(parts_round(build_autoencoder(asked.autoencoder, shape.height, shape.width, 3)), state["parts"])
    pixels, places = asked.draw(shape.height, shape.width, shape.channels)
    if "vae" in state:
        vae = build_autoencoder(asked.autoencoder, shape.height, shape.width, 3)
        vae.load_state_dict(state["vae"])
        vae.register_to_config(scaling_factor=state["scaling_factor"])
    else:
        vae = train_autoencoder(
            recoloured(pixels, asked.seed) if shape.channels == 3 else pixels.repeat(3, axis=3),
            asked.autoencoder,
            outer.device,
            state.get("autoencoder"),
            lambda kept: checkpoint({"autoencoder": kept, "step": kept["step"]}),
            step,
        )
    stands = {"vae": {name: each.cpu() for name, each in vae.state_dict().items()}, "scaling_factor": vae.config.scaling_factor}
    inner.given = parts_round(vae)
    before = asked.autoencoder.steps
    inner.fit(
        Material(pixels, np.stack([np.zeros_like(places), places], axis=1), np.arange(len(pixels))),
        state.get("base"),
        lambda kept: checkpoint({**stands, "base": kept, "step": before + kept["step"]}),
        lambda number, metrics: step(before + number, metrics),
    )
    inner.base.unet = inner.network.unet
    return inner.base


def _inner(outer: "Plugin") -> "Plugin":
    """The generator that learns the phantoms: of one class, told which label each shows."""
    asked, config, shape = outer.config.base, outer.config, outer.shape
    kind = asked.condition()
    taught = type(config)(
        base=asked,
        prompt=f"{config.class_prompt}, {{{KIND}}}",
        class_prompt=config.class_prompt,
        class_noun=config.class_noun,
        timesteps=config.timesteps,
        class_dropout=UNSAID,
        lora=None,
        train_text_encoder=True,
        steps=asked.steps,
        batch_size=asked.batch_size,
        lr=asked.lr,
        warmup=asked.warmup,
        checkpoint_every=config.checkpoint_every,
        mixed_precision=config.mixed_precision,
        seed=asked.seed,
    )
    only = Shape(shape.height, shape.width, shape.channels, 1, (len(kind.values),))
    return type(outer)(taught, only, outer.device, [config.class_noun], [kind])
