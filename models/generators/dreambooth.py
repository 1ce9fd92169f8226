"""A pretrained Stable Diffusion taught the classes of a dataset by words: DreamBooth, with LoRA or with all weights.

Ruiz et al., "DreamBooth", CVPR 2023 (arXiv:2208.12242): a rare token for what is to be learned (section 3.2), and images of the model
itself, trained on beside the new ones, so that it forgets less (section 3.3). Farooq et al., "Derm-T2IM", 2024 (arXiv:2401.05159), do
this for dermoscopy.
"""

import copy
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from models.generators import Material
from models.learning import autoencoder
from models.learning.diffusion import Diffusion, DiffusionConfig
from models.learning.drawn import Drawn
from models.learning.phantom_base import PhantomBase
from models.learning.prompts import Prompts
from models.learning.training import Batches
from schema.errors import SynthmillError
from schema.params import Sample, Section, nearest

AT_ONCE = 16
"""Images that go through the network together when nothing is trained: 64 of 512 x 512 pixels would not fit a GPU."""
TARGETS = {"unet": ["to_q", "to_k", "to_v", "to_out.0"], "text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj"]}
"""The linear maps of attention, as diffusers and transformers call them."""
PROMPTS_KEPT = 1024
"""Encoded prompts that are kept: some 0.2 MB each for Stable Diffusion 1.5."""


class Lora(Section):
    """Low-rank adapters instead of all weights; merged into the weights that are saved."""

    rank: int = Field(default=16, ge=1)
    alpha: float | None = Field(default=None, gt=0, description="their scale times the rank; the rank itself unless given")
    targets: list[str] | None = Field(default=None, min_length=1, description="linear maps of the U-Net; those of attention unless given")


class Prior(Section):
    """Prior preservation: images that the base makes of `class_prompt` before training starts, and goes on learning from."""

    weight: float = Field(default=0.0, ge=0, description="of their loss; 0 is none, 1 is usual and doubles the time of a step")
    images: int = Field(default=200, ge=1)
    steps: int = Field(default=20, ge=1, le=1000, description="network evaluations an image")
    guidance: float = Field(default=7.5, ge=0, le=20)


class Config(DiffusionConfig):
    kind: Literal["dreambooth"] = "dreambooth"
    base: str | PhantomBase = Field(description="the folder or hub id of a Stable Diffusion, or drawn phantoms to pretrain a small one on")
    revision: str | None = Field(
        default=None, description="the commit of a hub id, or how a folder's digest begins; without it the base can change"
    )
    prediction: Literal["base"] = Field(default="base", description="as the base was trained")
    schedule: Literal["base"] = Field(default="base", description="as the base was trained")
    timesteps: int = Field(default=1000, ge=10, description="those of the base")
    tokens: dict[str, str] | None = Field(default=None, description="class: the word that stands for it; rare ones are found unless given")
    prompt: str = Field(min_length=1, max_length=300, description="template of every image's prompt, clauses parted by commas")
    class_prompt: str = Field(default="a photograph of {class_noun}", min_length=1, max_length=300, description="what the prior is made of")
    class_noun: str = Field(default="image", min_length=1, max_length=100, description="the kind of thing that all classes are")
    prior: Prior = Prior()
    lora: Lora | None = Field(default=Lora(), description="null trains all weights")
    train_text_encoder: bool = False
    gradient_checkpointing: bool = Field(default=False, description="less memory, slower steps")
    optimizer: Literal["adamw", "adamw8bit"] = Field(default="adamw", description="adamw8bit takes bitsandbytes and a CUDA GPU")
    batch_size: int = Field(default=4, ge=1)
    lr: float = Field(default=1e-4, gt=0, description="peak learning rate: about 1e-4 for LoRA, 5e-6 for all weights of a large base")

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        words = [word.lower() for word in (self.tokens or {}).values()]
        if len({*words}) != len(words):
            raise ValueError("tokens must differ from one another")
        if strange := [word for word in words if not word or any(mark in word for mark in " ,{}\t\n")]:
            raise ValueError(f"a token is one word, without commas and braces: {strange[0]!r} is not")
        return self


class Plugin(Diffusion):
    kind = "dreambooth"
    Config = Config
    parts: ClassVar = {
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
        "text_encoder": "CLIPTextModel",
        "tokenizer": "CLIPTokenizer",
        "scheduler": "DDIMScheduler",
    }
    bounded = False
    base: Any = None
    """The `Parts` that training begins from, and what is not trained of them."""
    given: Any = None
    shelf: dict[str, Any]
    """The weights of the base once it was pretrained; siblings share it, and pretrain but once."""
    borrows = False
    prior: Drawn | None = None
    learning_text = False

    def __init__(self, config, shape, device, labels=(), conditions=()):
        super().__init__(config, shape, device, labels or [f"class-{number}" for number in range(shape.classes)], conditions)
        self.shelf: dict[str, Any] = {}

    def sibling(self, config):
        sibling = super().sibling(config)
        sibling.shelf, sibling.borrows = self.shelf, bool(self.shelf)
        return sibling

    @classmethod
    def objections(cls, config, shape, plan):
        if isinstance(config.base, PhantomBase):
            if objection := config.base.objection(shape.height, shape.width):
                return objection
        elif shape.height % 8 or shape.width % 8:
            return f"images of {shape.height} x {shape.width} cannot become latents of a Stable Diffusion: sides must be multiples of 8"
        if config.privacy and config.prior.weight:
            return "train.prior takes a second batch in every step, which the account of train.privacy does not know: set prior.weight 0"
        if config.privacy and config.train_text_encoder:
            return "train.privacy cannot be with train_text_encoder: images share a prompt, so none has a gradient of its own"
        if config.privacy and config.gradient_checkpointing:
            return "train.gradient_checkpointing computes twice what train.privacy watches once: leave it out, and lower physical_batch"
        if config.prior.weight and config.prior.steps > config.timesteps:
            return f"train.prior.steps ({config.prior.steps}) is more than train.timesteps ({config.timesteps})"
        # A text-to-image model knows the empty prompt already, and a prompt of one's own can stand where it stood.
        return super().objections(config, shape, plan.model_copy(update={"guidance": 1.0, "negative_prompt": ""}))

    @classmethod
    def misworded(cls, config, labels, conditions):
        tokens = config.tokens or {}
        for label in tokens:
            if label not in labels:
                return f"train.tokens names {label!r}{nearest(label, labels)}, which is no class: they are {', '.join(labels)}"
        if config.tokens and (lacking := [label for label in labels if label not in tokens]):
            return f"train.tokens has no word for {', '.join(lacking)}: name one for each class, or none"
        try:
            Prompts(config.prompt, config.class_prompt, config.class_noun, labels, list(labels), conditions)
        except ValueError as error:
            return str(error)
        return None

    @property
    def total_steps(self):
        return (self.config.base.total_steps if self._pretrains else 0) + self.config.steps

    @property
    def _pretrains(self) -> bool:
        return self.given is None and isinstance(self.config.base, PhantomBase) and not self.borrows

    def components(self):
        return {**self.base.components(), "unet": self.network.unet}

    def pipeline(self):
        from diffusers import StableDiffusionPipeline

        return StableDiffusionPipeline(**self.components(), safety_checker=None, feature_extractor=None, requires_safety_checker=False)

    def adopt(self, components):
        from models.learning.stable_diffusion import Denoiser, Parts

        self._take(Parts(**components))
        self.network = Denoiser(self.base.unet).eval()

    def start(self, components):
        from models.learning.stable_diffusion import Parts

        given = Parts(**copy.deepcopy(components))
        given.check()
        if self.shape.height % given.factor or self.shape.width % given.factor:
            raise ValueError(
                f"its latents are {given.factor} times smaller than images, and these are {self.shape.height} x {self.shape.width}"
            )
        if given.scheduler.config.num_train_timesteps != self.config.timesteps:
            raise ValueError(
                f"it has {given.scheduler.config.num_train_timesteps} timesteps, and train.timesteps is {self.config.timesteps}"
            )
        self.given = given

    def fit(self, material, resume, checkpoint, step):
        from models.learning.stable_diffusion import Denoiser, state_of
        from models.learning.tokens import add_tokens, token_ids
        from models.learning.tuning import merged

        config, state = self.config, resume or {}
        try:
            self._take(self._begin(state, checkpoint, step))
            before, kept = self.total_steps - config.steps, {}
            if self._pretrains:
                self.shelf |= state_of(self.base)
                kept["parts"] = self.shelf
            add_tokens(self.base.tokenizer, self.base.text_encoder, self.prompts.tokens, config.seed)
            token_ids(self.base.tokenizer, self.prompts.longest())  # better too long now than when such a one is drawn
        except ValueError as error:
            raise SynthmillError(f"train.base: {error}") from None
        if config.prior.weight:
            kept["prior"] = state["prior"] if "prior" in state else self._draw_prior()
            self.prior = self._prior_of(kept["prior"])
        self.learning_text = config.train_text_encoder
        super().fit(
            material,
            state.get("fit"),
            lambda fit: checkpoint({**kept, "fit": fit, "step": before + fit["step"]}),
            lambda number, metrics: step(before + number, metrics),
        )
        self.learning_text, self.prior = False, None
        if config.train_text_encoder:
            self.base.text_encoder = merged(self.network.text_encoder).eval()
        self.network = Denoiser(merged(self.network.unet)).eval().requires_grad_(False)
        height, width = self.latent_size()[1:]
        # What plain diffusers draws where no size is asked for.
        self.network.unet.register_to_config(sample_size=height if height == width else (height, width))
        self._encoded.clear()

    def objective(self, network, drawn, rows, number):
        loss = super().objective(network, drawn, rows, number)
        if self.prior is None:
            return loss
        # Ruiz et al. 2023, section 3.3: the loss of the new images and, weighted, that of as many of the base's own.
        theirs = self.prior.losses(network, self._prior_batches.rows(number), number, turn=1).mean()
        return loss + self.config.prior.weight * theirs

    def build_network(self):
        from models.learning.stable_diffusion import Denoiser
        from models.learning.tuning import with_lora

        config, lora = self.config, self.config.lora
        unet, text_encoder = self.base.unet, self.base.text_encoder if config.train_text_encoder else None
        if config.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
            if text_encoder is not None:
                text_encoder.gradient_checkpointing_enable()
        if lora is None:
            return Denoiser(unet, text_encoder).requires_grad_(True)
        try:
            unet = with_lora(unet, lora.rank, lora.alpha or lora.rank, lora.targets or TARGETS["unet"])
        except ValueError as error:
            raise SynthmillError(f"train.lora.targets: {error}") from None
        if text_encoder is not None:
            text_encoder = with_lora(text_encoder, lora.rank, lora.alpha or lora.rank, TARGETS["text_encoder"])
        return Denoiser(unet, text_encoder)

    def build_training(self, network, resume):
        from models.learning.tuning import Tuning

        return Tuning(network, self.config, resume)

    def build_scheduler(self):
        return self.base.scheduler

    def latent_size(self):
        factor = self.base.factor
        return self.base.vae.config.latent_channels, self.shape.height // factor, self.shape.width // factor

    def encode(self, pixels):
        """The mean of what the autoencoder gives for an image, not a draw from it: an image has one latent."""
        return autoencoder.encode(self.base.vae, pixels.expand(-1, -1, -1, 3))

    def decode(self, latents):
        images = autoencoder.decode(self.base.vae, latents)
        return images.mean(3, keepdims=True).round().astype(np.uint8) if self.shape.channels == 1 else images

    def store(self, pixels):
        """Latents, encoded once: float N x 1 x c x h x w, or N x 2 with those of the mirrored image."""
        import torch

        ways = [pixels, pixels.flip(2)] if self.config.horizontal_flip else [pixels]
        return torch.stack([torch.cat([self.encode(part).cpu() for part in way.split(64)]) for way in ways], dim=1)

    def stored(self, rows, flipped):
        import torch

        return rows[torch.arange(len(rows)), flipped.long()].to(self.device)

    def predict(self, network, noisy, timesteps, conditions):
        """`conditions` are codes, or prompts."""
        import torch

        prompts = conditions if isinstance(conditions, list) else [self.prompts.of(row) for row in conditions.tolist()]
        if self.learning_text:
            from models.learning.tokens import token_ids

            return network(noisy, timesteps, ids=token_ids(self.base.tokenizer, prompts).to(self.device))
        states = self._states(prompts)
        if torch.is_grad_enabled():
            return network(noisy, timesteps, states)
        parts = zip(noisy.split(AT_ONCE), timesteps.split(AT_ONCE), states.split(AT_ONCE), strict=True)
        return torch.cat([network(*part) for part in parts])

    def guided(self, noisy, timesteps, conditions, plan: Sample):
        told = self.seen(self.network, noisy, timesteps, conditions)
        if plan.guidance == 1:
            return told
        away = self.seen(self.network, noisy, timesteps, [plan.negative_prompt] * len(noisy))
        return away + plan.guidance * (told - away)

    def _states(self, prompts: list[str]):
        """What the text encoder says of each prompt, N x L x D in float32; each prompt is encoded once."""
        import torch

        from models.learning.tokens import token_ids

        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._encoded]
        if len(self._encoded) + len(new) > PROMPTS_KEPT:
            self._encoded.clear()
            new = list(dict.fromkeys(prompts))
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            for prompt in new:  # One by one, so that what a prompt becomes does not depend on those beside it.
                ids = token_ids(self.base.tokenizer, [prompt]).to(self.device)
                self._encoded[prompt] = self.base.text_encoder(ids)[0][0]
        return torch.stack([self._encoded[prompt] for prompt in prompts])

    def _take(self, base) -> None:
        """Makes these parts the ones to work with, and finds the words for the classes in their vocabulary."""
        from models.learning.stable_diffusion import forget_place
        from models.learning.tokens import rare_tokens

        config = self.config
        for part in (base.text_encoder, base.vae, base.unet):
            forget_place(part.to(self.device).eval().requires_grad_(False))
        self.base, self.scheduler, self._encoded = base, base.scheduler, {}
        if config.tokens:
            tokens = [config.tokens[label] for label in self.labels]
        else:
            tokens = rare_tokens(base.tokenizer, len(self.labels)) if "{token}" in config.prompt else []
        self.prompts = self.wording(tokens)

    def wording(self, tokens: list[str]) -> Prompts:
        config = self.config
        return Prompts(config.prompt, config.class_prompt, config.class_noun, self.labels, tokens, self.conditions)

    def _begin(self, state: dict[str, Any], checkpoint, step):
        """The base: what `start` was given, what is read, or what is pretrained on phantoms."""
        from models.learning import stable_diffusion

        config = self.config
        if self.given is not None:
            return self.given
        if isinstance(config.base, PhantomBase):
            from models.learning.phantom_base import pretrain

            return pretrain(self, {"parts": self.shelf} if self.borrows else state, checkpoint, step)
        base = stable_diffusion.load(config.base, config.revision)
        trained = base.scheduler.config.num_train_timesteps
        if trained != config.timesteps:
            raise ValueError(f"{config.base} has {trained} timesteps: set train.timesteps to that")
        return base

    def _draw_prior(self):
        """Images that the base makes of `class_prompt`, each from a seed of its own: uint8, n x H x W x C."""
        import torch

        from models.learning.stable_diffusion import Denoiser

        config, asked = self.config, self.config.prior
        self.network = Denoiser(self.base.unet).eval()
        seeds = np.random.default_rng([config.seed, 3]).integers(2**62, size=asked.images)
        plan = Sample(n=asked.images, steps=asked.steps, guidance=asked.guidance)
        parts = [self.sample(few, np.tile(self.prompts.prior, (len(few), 1)), plan) for few in np.split(seeds, range(32, len(seeds), 32))]
        return torch.from_numpy(np.concatenate(parts))

    def _prior_of(self, pixels) -> Drawn:
        everyone = np.arange(len(pixels))
        self._prior_batches = Batches([everyone], self.config.batch_size, self.config.seed + 1)
        return Drawn(self, Material(pixels.numpy(), np.tile(self.prompts.prior, (len(pixels), 1)), everyone))
