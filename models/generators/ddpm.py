"""Denoising diffusion in pixel space, class-conditional, on diffusers' `UNet2DModel`.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (arXiv:2006.11239): the forward process (eq. 4),
the simple loss (eq. 14). Nichol, Dhariwal, "Improved DDPM", 2021 (arXiv:2102.09672): the cosine schedule (eq. 17).
Salimans, Ho, "Progressive Distillation", 2022 (arXiv:2202.00512): v prediction (section 4).
"""

import copy
import itertools
import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from models.generators import Generator
from schema.params import Sample, Section

CHUNK = 64
"""Images whose losses are taken at once: on a CPU four times as many took 2.5 to 4 times as long an image, for they leave its cache."""


class Config(Section):
    kind: Literal["ddpm"] = "ddpm"
    channels: list[int] = Field(default=[16, 32, 64], min_length=1, description="feature maps at each resolution, the finest first")
    layers_per_block: int = Field(default=1, ge=1)
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    schedule: Literal["squaredcos_cap_v2", "linear"] = Field(default="squaredcos_cap_v2", description="squaredcos_cap_v2 is the cosine one")
    timesteps: int = Field(default=1000, ge=10)
    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-3, gt=0, description="peak learning rate; warm-up is linear and the decay a cosine to zero")
    warmup: int = Field(default=50, ge=0, description="steps of warm-up")
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    mixed_precision: Literal["no", "bf16"] = Field(default="bf16", description="on a GPU only; a CPU always computes in float32")
    checkpoint_every: int = Field(default=100, ge=1, description="steps between states from which a killed run resumes")
    class_balance: bool = Field(default=True, description="every batch holds the classes in equal shares, for the rare ones' sake")
    class_dropout: float = Field(default=0.0, ge=0, lt=1, description="share of images whose class is withheld, for guidance when sampling")
    seed: int = Field(default=0, ge=0)


class Plugin(Generator):
    kind = "ddpm"
    Config = Config
    parts: ClassVar = {"unet": "UNet2DModel", "scheduler": "DDPMScheduler"}

    @classmethod
    def objections(cls, config, height, width, plan):
        grain = 2 ** (len(config.channels) - 1)
        if height % grain or width % grain:
            return f"images of {height} x {width} cannot be halved {len(config.channels) - 1} times: sides must be multiples of {grain}"
        if plan.steps > config.timesteps:
            return f"sample.steps ({plan.steps}) is more than train.timesteps ({config.timesteps})"
        if plan.guidance != 1 and config.class_dropout == 0:
            return f"sample.guidance {plan.guidance:g} needs train.class_dropout above 0 (0.1 is usual)"
        return None

    def components(self):
        return {"unet": self.unet, "scheduler": self.scheduler}

    def adopt(self, components):
        self.unet = components["unet"].to(self.device).eval().requires_grad_(False)
        self.scheduler = components["scheduler"]

    def fit(self, images, labels, resume, checkpoint, step):
        import torch

        config = self.config
        torch.manual_seed(config.seed)
        self.scheduler = self._build_scheduler()
        unet = self._build_unet().to(self.device)
        average = copy.deepcopy(unet).requires_grad_(False)
        optimizer = torch.optim.AdamW(unet.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        done = 0
        if resume is not None:
            unet.load_state_dict(resume["unet"])
            average.load_state_dict(resume["ema"])
            optimizer.load_state_dict(resume["optimizer"])
            rate.load_state_dict(resume["rate"])
            done = resume["step"]
        pixels = torch.from_numpy(images)
        classes = torch.from_numpy(labels)
        unet.train()
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)] if config.class_balance else [np.arange(len(labels))]
        for number in range(done, config.steps):
            index, noise, timesteps, withheld = self._draw(number, groups)
            clean = self._scale(pixels[index])
            shown = torch.where(withheld, self.shape.classes, classes[index]).to(self.device)
            loss = self._loss(unet, clean, shown, noise.to(self.device), timesteps.to(self.device)).mean()
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"the loss is {loss.item()} at step {number}: lower train.lr ({config.lr:g}) and run again")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(unet.parameters(), config.max_grad_norm)
            optimizer.step()
            rate.step()
            self._average(average, unet, number)
            step(number + 1, {"loss": loss.item(), "grad_norm": norm.item(), "lr": rate.get_last_lr()[0]})
            if (number + 1) % config.checkpoint_every == 0 or number + 1 == config.steps:
                checkpoint(
                    {
                        "unet": unet.state_dict(),
                        "ema": average.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "rate": rate.state_dict(),
                        "step": number + 1,
                    }
                )
        self.adopt({"unet": average, "scheduler": self.scheduler})

    def sample(self, seeds, labels, plan: Sample):
        import torch

        scheduler = self._build_sampler(plan)
        if plan.spacing == "quadratic":
            scheduler.set_timesteps(timesteps=quadratic_timesteps(self.config.timesteps, plan.steps), device=self.device)
        else:
            scheduler.set_timesteps(plan.steps, device=self.device)
        # The noise is drawn on the CPU, so that a seed means the same image whatever the device.
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        size = (self.shape.channels, self.shape.height, self.shape.width)
        image = torch.stack([torch.randn(size, generator=generator) for generator in generators]).to(self.device)
        image = image * scheduler.init_noise_sigma
        classes = torch.from_numpy(np.asarray(labels)).to(self.device)
        extra = {"eta": plan.eta} if plan.sampler == "ddim" else {}
        with torch.inference_mode():
            for timestep in scheduler.timesteps:
                output = self._guided(scheduler.scale_model_input(image, timestep), timestep.expand(len(seeds)), classes, plan.guidance)
                image = scheduler.step(output, timestep, image, generator=generators, **extra).prev_sample
        return self._pixels(image)

    def losses(self, images, labels, timesteps, seed):
        import torch

        result = np.empty((len(images), len(timesteps)))
        with torch.inference_mode():
            for column, timestep in enumerate(timesteps):
                generator = self._noise_source(seed, timestep)
                for rows, clean, classes in self._chunks(images, labels):
                    noise = torch.randn(clean.shape, generator=generator).to(self.device)
                    loss = self._loss(self.unet, clean, classes, noise, self._at(timestep, clean), exact=True)
                    result[rows, column] = loss.double().cpu().numpy()
        return result

    def proximal_errors(self, images, labels, timesteps):
        import torch

        result = np.empty((len(images), len(timesteps)))
        with torch.inference_mode():
            for rows, clean, classes in self._chunks(images, labels):
                seen = self._noise(clean, self._at(0, clean), classes)
                for column, timestep in enumerate(timesteps):
                    times = self._at(timestep, clean)
                    again = self._noise(self.scheduler.add_noise(clean, seen, times), times, classes)
                    result[rows, column] = (again - seen).double().abs().pow(4).mean(dim=(1, 2, 3)).pow(0.25).cpu().numpy()
        return result

    def reconstruct(self, images, labels, timestep, steps, seed):
        import torch

        # The steps lie at equal distances from the noised image down to the clean one.
        path = torch.linspace(timestep, 0, steps + 1).round().long().tolist()
        alphas = self.scheduler.alphas_cumprod.to(self.device)
        generator = self._noise_source(seed, timestep)
        made = []
        with torch.inference_mode():
            for _, clean, classes in self._chunks(images, labels):
                noise = torch.randn(clean.shape, generator=generator).to(self.device)
                image = self.scheduler.add_noise(clean, noise, self._at(timestep, clean))
                for now, after in itertools.pairwise(path):
                    seen = self._noise(image, self._at(now, clean), classes)
                    guess = ((image - (1 - alphas[now]).sqrt() * seen) / alphas[now].sqrt()).clamp(-1, 1)
                    # Song, Meng, Ermon 2021 (arXiv:2010.02502), eq. 12 with no noise added; the last step ends at the guess itself.
                    image = guess if after == 0 else alphas[after].sqrt() * guess + (1 - alphas[after]).sqrt() * seen
                made.append(self._pixels(image))
        return np.concatenate(made)

    def _noise_source(self, seed: int, timestep: int):
        import torch

        return torch.Generator().manual_seed(seed * 1_000_003 + timestep)

    def _chunks(self, images, labels):
        """(rows, pixels in -1..1, classes) on the device, CHUNK images at a time."""
        import torch

        for start in range(0, len(images), CHUNK):
            rows = slice(start, start + CHUNK)
            yield rows, self._scale(torch.from_numpy(images[rows])), torch.from_numpy(labels[rows]).to(self.device)

    def _at(self, timestep: int, images):
        import torch

        return torch.full((len(images),), timestep, device=self.device)

    def _noise(self, noisy, timesteps, classes):
        """The noise that the network sees, whatever it was trained to predict (Salimans and Ho 2022, section 4, for v)."""
        output = self._predict(self.unet, noisy, timesteps, classes, exact=True)
        if self.config.prediction == "epsilon":
            return output
        alphas = self.scheduler.alphas_cumprod.to(self.device)[timesteps].view(-1, 1, 1, 1)
        return alphas.sqrt() * output + (1 - alphas).sqrt() * noisy

    def _pixels(self, images):
        """float N x C x H x W in -1..1 to uint8 N x H x W x C."""
        import torch

        return ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def _build_unet(self):
        from diffusers import UNet2DModel

        depth = len(self.config.channels)
        # Attention only at the coarsest of the resolutions: it costs the square of the number of pixels.
        attention = [False] * (depth - 1) + [depth > 1]
        return UNet2DModel(
            sample_size=(self.shape.height, self.shape.width),
            in_channels=self.shape.channels,
            out_channels=self.shape.channels,
            layers_per_block=self.config.layers_per_block,
            block_out_channels=tuple(self.config.channels),
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
            attention_head_dim=min(64, self.config.channels[-1]),
            norm_num_groups=math.gcd(8, *self.config.channels),
            # The last one stands for a class that is withheld.
            num_class_embeds=self.shape.classes + 1,
        )

    def _build_scheduler(self):
        from diffusers import DDPMScheduler

        return DDPMScheduler(
            num_train_timesteps=self.config.timesteps, beta_schedule=self.config.schedule, prediction_type=self.config.prediction
        )

    def _build_sampler(self, plan: Sample):
        from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

        if plan.sampler == "dpm-solver++":
            return DPMSolverMultistepScheduler.from_config(
                self.scheduler.config, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing"
            )
        if plan.sampler == "ddim":
            return DDIMScheduler.from_config(self.scheduler.config, timestep_spacing="trailing")
        return DDPMScheduler.from_config(self.scheduler.config)

    def _rate(self, step: int) -> float:
        """Share of the peak learning rate: linear warm-up, then half a cosine down to zero."""
        if step < self.config.warmup:
            return (step + 1) / self.config.warmup
        return 0.5 * (1 + math.cos(math.pi * (step - self.config.warmup) / max(1, self.config.steps - self.config.warmup)))

    def _draw(self, step: int, groups: list[np.ndarray]):
        """Batch, noise, timesteps and withheld classes of a step, from the seed and the step alone: nothing to save when a run is
        stopped. The groups take turns in a batch, and each is gone through whole, in a new order each time."""
        import torch

        size = self.config.batch_size
        turns, places = np.divmod(np.arange(step * size, (step + 1) * size), len(groups))
        index = np.empty(size, dtype=np.int64)
        for place, group in enumerate(groups):
            epochs, positions = np.divmod(turns[places == place], len(group))
            orders = {epoch: np.random.default_rng([self.config.seed, 1, place, epoch]).permutation(group) for epoch in np.unique(epochs)}
            index[places == place] = [orders[epoch][position] for epoch, position in zip(epochs, positions, strict=True)]
        generator = torch.Generator().manual_seed(int(np.random.default_rng([self.config.seed, 2, step]).integers(2**63)))
        noise = torch.randn((size, self.shape.channels, self.shape.height, self.shape.width), generator=generator)
        timesteps = torch.randint(0, self.config.timesteps, (size,), generator=generator)
        return torch.from_numpy(index), noise, timesteps, torch.rand(size, generator=generator) < self.config.class_dropout

    def _scale(self, pixels):
        """uint8 N x H x W x C to float N x C x H x W in -1..1, on the device."""
        return (pixels.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()

    def _predict(self, unet, noisy, timesteps, classes, exact: bool = False):
        """`exact`: in float32 wherever it runs, since a verdict must not depend on the device's short numbers."""
        import torch

        short = self.device.type == "cuda" and self.config.mixed_precision == "bf16" and not exact
        with torch.autocast(self.device.type, torch.bfloat16, enabled=short):
            return unet(noisy, timesteps, class_labels=classes).sample.float()

    def _guided(self, noisy, timesteps, classes, weight: float):
        """Classifier-free guidance: the prediction with the class moved away from the one without (Ho and Salimans 2022,
        arXiv:2207.12598, eq. 6, with weight 1 + w); a weight of 1 is the plain prediction."""
        import torch

        shown = self._predict(self.unet, noisy, timesteps, classes)
        if weight == 1:
            return shown
        withheld = self._predict(self.unet, noisy, timesteps, torch.full_like(classes, self.shape.classes))
        return withheld + weight * (shown - withheld)

    def _loss(self, unet, clean, classes, noise, timesteps, exact: bool = False):
        """Squared error of the prediction, a number for each image."""
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        target = noise if self.config.prediction == "epsilon" else self.scheduler.get_velocity(clean, noise, timesteps)
        return (self._predict(unet, noisy, timesteps, classes, exact) - target).square().mean(dim=(1, 2, 3))

    def _average(self, average, unet, step: int) -> None:
        """Exponential moving average of the weights, its decay rising from 0.1 so that the start is soon forgotten."""
        import torch

        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(average.state_dict().values(), unet.state_dict().values(), strict=True):
                mean.lerp_(now, 1 - decay)


def quadratic_timesteps(train: int, steps: int) -> list[int]:
    """`steps` timesteps of `train`, falling, dense where there is little noise (Song, Meng, Ermon, "Denoising diffusion implicit
    models", ICLR 2021, appendix D.2); fewer where two would be one."""
    return sorted({round((train - 1) * (k / steps) ** 2) for k in range(1, steps + 1)}, reverse=True)
