"""Denoising diffusion of any kind: what is the same whether pixels or latents are noised, and whatever network sees the noise.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (arXiv:2006.11239): the forward process (eq. 4),
the simple loss (eq. 14). Nichol, Dhariwal, "Improved DDPM", 2021 (arXiv:2102.09672): the cosine schedule (eq. 17).
Salimans, Ho, "Progressive Distillation", 2022 (arXiv:2202.00512): v prediction (section 4). Hang et al., "Efficient Diffusion
Training via Min-SNR Weighting Strategy", 2023 (arXiv:2303.09556): the weights of the timesteps (section 3.4).
"""

import hashlib
import itertools
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from models.generators import Generator, Material
from models.learning.drawn import Drawn
from models.learning.training import Batches, Training, TrainingConfig
from schema.conditions import WITHHELD
from schema.errors import SynthmillError
from schema.params import Sample
from schema.privacy import Privacy

if TYPE_CHECKING:
    import torch

CHUNK = 64
"""Images whose losses are taken at once: on a CPU four times as many took 2.5 to 4 times as long an image, for they leave its cache."""


class DiffusionConfig(TrainingConfig):
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    schedule: Literal["squaredcos_cap_v2", "linear"] = Field(default="squaredcos_cap_v2", description="squaredcos_cap_v2 is the cosine one")
    timesteps: int = Field(default=1000, ge=10)
    snr_gamma: float | None = Field(
        default=None, gt=0, description="min-SNR weighting: the signal-to-noise ratio from which a timestep weighs no more; 5 is usual"
    )
    horizontal_flip: bool = Field(default=False, description="mirror half of the images; never where left and right differ, as in a chest")
    class_balance: bool | None = Field(
        default=None, description="every batch holds the classes in equal shares, for the rare ones' sake; on unless training is private"
    )
    class_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of images of which nothing is said, and of each further condition: for guidance and omission",
    )
    privacy: Privacy | None = Field(default=None, description="differential privacy by DP-SGD")


class Diffusion(Generator):
    """A generator that noises what `encode` gives, learns to see the noise, and decodes what it has denoised."""

    scheduler: Any
    network: "torch.nn.Module"
    """Ready to sample from: moving averages, in eval mode."""

    @classmethod
    def objections(cls, config, shape, plan):
        if plan.steps > config.timesteps:
            return f"sample.steps ({plan.steps}) is more than train.timesteps ({config.timesteps})"
        if plan.guidance != 1 and config.class_dropout == 0:
            return f"sample.guidance {plan.guidance:g} needs train.class_dropout above 0 (0.1 is usual)"
        if plan.negative_prompt:
            return f"sample.negative_prompt is for train.kind dreambooth, and {cls.kind} reads no words: take it out"
        if plan.leave_out and config.class_dropout == 0:
            return f"sample.leave_out ({', '.join(plan.leave_out)}) needs train.class_dropout above 0 (0.1 is usual)"
        if config.privacy and config.class_balance:
            return "train.class_balance makes batches that are no Poisson draws, so train.privacy would promise nothing: leave it out"
        if config.privacy and plan.prevalence != "uniform":
            return "sample.prevalence must be uniform with train.privacy: how often each class is in training is not hidden by any noise"
        return None

    first: dict[str, "torch.Tensor"] | None = None
    """The weights that training begins from, where `start` was given some."""

    def components(self):
        return {"unet": self.network, "scheduler": self.scheduler}

    def adopt(self, components):
        self.network = components["unet"].to(self.device).eval().requires_grad_(False)
        self.scheduler = components["scheduler"]

    def start(self, components):
        theirs, ours = components["unet"].state_dict(), self.build_network().state_dict()
        for name in sorted({*theirs, *ours}):
            sizes = [tuple(state[name].shape) if name in state else "none" for state in (theirs, ours)]
            if sizes[0] != sizes[1]:
                raise ValueError(f"its weights do not fit this network: {name} is {sizes[0]} there and {sizes[1]} here")
        learned, asked = components["scheduler"].config, self.build_scheduler().config
        for name in ("prediction_type", "num_train_timesteps", "beta_schedule"):
            if learned[name] != asked[name]:
                raise ValueError(f"it was trained with {name} {learned[name]}, and here {asked[name]} is asked for")
        self.first = theirs

    @abstractmethod
    def build_network(self) -> "torch.nn.Module":
        """The network with the weights that training begins from."""

    @abstractmethod
    def encode(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """What is noised: uint8 N x H x W x C to float N x c x h x w, about -1..1 or of unit variance, on the device. Draws nothing."""

    @abstractmethod
    def decode(self, latents: "torch.Tensor") -> np.ndarray:
        """Images from what `encode` gave: uint8, N x H x W x C."""

    @abstractmethod
    def predict(
        self, network: "torch.nn.Module", noisy: "torch.Tensor", timesteps: "torch.Tensor", conditions: "torch.Tensor"
    ) -> "torch.Tensor":
        """What the network says of noisy latents: N x c x h x w. `conditions` int64, N x (1 + K), on the device."""

    def latent_size(self) -> tuple[int, int, int]:
        """Channels, height and width of what is noised."""
        return self.shape.channels, self.shape.height, self.shape.width

    def store(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """What training draws its batches from, a row for each image: encoded once and for all where encoding costs anything."""
        return pixels

    def stored(self, rows: "torch.Tensor", flipped: "torch.Tensor") -> "torch.Tensor":
        """Latents of rows of the store; those at `flipped` (bool, N) are mirrored."""
        import torch

        return self.encode(torch.where(flipped[:, None, None, None], rows.flip(2), rows) if flipped.any() else rows)

    def build_scheduler(self):
        from diffusers import DDPMScheduler

        # The linear schedule is that of 1000 timesteps; fewer must end in noise as well, for sampling begins there.
        scale = 1000 / self.config.timesteps
        return DDPMScheduler(
            num_train_timesteps=self.config.timesteps,
            beta_start=min(1e-4 * scale, 0.1),
            beta_end=min(0.02 * scale, 0.9),
            beta_schedule=self.config.schedule,
            prediction_type=self.config.prediction,
        )

    def build_training(self, network: "torch.nn.Module", resume: dict[str, Any] | None) -> Training:
        return Training(network, self.config, resume)

    def fit(self, material, resume, checkpoint, step):
        import torch

        torch.manual_seed(self.config.seed)
        self.scheduler = self.build_scheduler()
        network = self.build_network()
        if self.first is not None:
            network.load_state_dict(self.first)
        training = self.build_training(network.to(self.device), resume)
        drawn = Drawn(self, material)
        (self._fit_privately if self.config.privacy else self._fit_plainly)(training, drawn, material, resume, checkpoint, step)
        self.network = training.average.eval().requires_grad_(False)

    def _fit_plainly(self, training: Training, drawn: Drawn, material: Material, _resume, checkpoint, step) -> None:
        import torch

        classes = material.conditions[:, 0]
        balanced = self.config.class_balance is not False
        groups = [np.flatnonzero(classes == one) for one in np.unique(classes)] if balanced else [np.arange(len(classes))]
        batches = Batches(groups, self.config.batch_size, self.config.seed)
        network = torch.compile(training.network) if self.config.compile else training.network
        training.run(
            lambda training, number: training.descend(self.objective(network, drawn, batches.rows(number), number)), checkpoint, step
        )

    def objective(self, network: "torch.nn.Module", drawn: Drawn, rows: np.ndarray, number: int) -> "torch.Tensor":
        """What step `number` descends, a scalar, for the batch of these rows."""
        return drawn.losses(network, rows, number).mean()

    def _fit_privately(self, training: Training, drawn: Drawn, material: Material, resume, checkpoint, step) -> None:
        from models.learning import private

        config = self.config
        whose = material.patients if config.privacy.unit == "patient" else np.arange(len(material.pixels))
        owners = np.unique(whose, return_inverse=True)[1]
        try:
            plan = private.plan(config.privacy, owners.max() + 1, config.batch_size, config.steps)
            steps = private.PrivateSteps(
                training.network, training.optimizer, config.privacy, plan, owners, int(resume["secret"], 16) if resume else None
            )
        except ValueError as error:
            raise SynthmillError(f"train.privacy cannot be kept: {error}") from None

        def update(_training: Training, number: int) -> dict[str, Any]:
            return steps.step(number, steps.draw(number), lambda rows, turns: drawn.losses_by_entry(steps.network, rows, turns, number))

        # In words, since a state is loaded as weights are, where a number holds 64 bits.
        training.run(update, lambda state: checkpoint({**state, "secret": f"{steps.state()['secret']:x}"}), step, until=plan.steps)
        steps.close()
        self.account = steps.account(plan.steps)

    def sample(self, seeds, conditions, plan: Sample):
        import torch

        scheduler = self.build_sampler(plan)
        if plan.spacing == "quadratic":
            scheduler.set_timesteps(
                timesteps=quadratic_timesteps(self.scheduler.config.num_train_timesteps, plan.steps), device=self.device
            )
        else:
            scheduler.set_timesteps(plan.steps, device=self.device)
        # The noise is drawn on the CPU, so that a seed means the same image whatever the device.
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        latents = torch.stack([torch.randn(self.latent_size(), generator=generator) for generator in generators]).to(self.device)
        latents = latents * scheduler.init_noise_sigma
        told = torch.from_numpy(np.asarray(conditions)).to(self.device)
        extra = {"eta": plan.eta} if plan.sampler == "ddim" else {}
        with torch.inference_mode():
            for timestep in scheduler.timesteps:
                output = self.guided(scheduler.scale_model_input(latents, timestep), timestep.expand(len(seeds)), told, plan)
                latents = scheduler.step(output, timestep, latents, generator=generators, **extra).prev_sample
            return self.decode(latents)

    def guided(self, noisy, timesteps, conditions, plan: Sample):
        """Classifier-free guidance: the prediction with the conditions moved away from the one without (Ho and Salimans 2022,
        arXiv:2207.12598, eq. 6, with weight 1 + w); a weight of 1 is the plain prediction."""
        import torch

        told = self.seen(self.network, noisy, timesteps, conditions)
        if plan.guidance == 1:
            return told
        withheld = self.seen(self.network, noisy, timesteps, torch.full_like(conditions, WITHHELD))
        return withheld + plan.guidance * (told - withheld)

    def losses(self, images, conditions, timesteps, seed):
        import torch

        result = np.empty((len(images), len(timesteps)))
        with torch.inference_mode():
            for column, timestep in enumerate(timesteps):
                generator = self._noise_source(seed, timestep)
                for rows, clean, told in self._chunks(images, conditions):
                    noise = torch.randn(clean.shape, generator=generator).to(self.device)
                    loss = self.loss(self.network, clean, told, noise, self._at(timestep, clean), exact=True)
                    result[rows, column] = loss.double().cpu().numpy()
        return result

    def proximal_errors(self, images, conditions, timesteps):
        import torch

        result = np.empty((len(images), len(timesteps)))
        with torch.inference_mode():
            for rows, clean, told in self._chunks(images, conditions):
                seen = self._noise(clean, self._at(0, clean), told)
                for column, timestep in enumerate(timesteps):
                    times = self._at(timestep, clean)
                    again = self._noise(self.scheduler.add_noise(clean, seen, times), times, told)
                    result[rows, column] = (again - seen).double().abs().pow(4).mean(dim=(1, 2, 3)).pow(0.25).cpu().numpy()
        return result

    def reconstruct(self, images, conditions, timestep, steps, seed):
        import torch

        # The steps lie at equal distances from the noised image down to the clean one.
        path = torch.linspace(timestep, 0, steps + 1).round().long().tolist()
        alphas = self.scheduler.alphas_cumprod.to(self.device)
        generator = self._noise_source(seed, timestep)
        made = []
        with torch.inference_mode():
            for _, clean, told in self._chunks(images, conditions):
                noise = torch.randn(clean.shape, generator=generator).to(self.device)
                image = self.scheduler.add_noise(clean, noise, self._at(timestep, clean))
                for now, after in itertools.pairwise(path):
                    seen = self._noise(image, self._at(now, clean), told)
                    guess = (image - (1 - alphas[now]).sqrt() * seen) / alphas[now].sqrt()
                    if self.bounded:
                        guess = guess.clamp(-1, 1)
                    # Song, Meng, Ermon 2021 (arXiv:2010.02502), eq. 12 with no noise added; the last step ends at the guess itself.
                    image = guess if after == 0 else alphas[after].sqrt() * guess + (1 - alphas[after]).sqrt() * seen
                made.append(self.decode(image))
        return np.concatenate(made)

    def loss(self, network, clean, conditions, noise, timesteps, exact: bool = False) -> "torch.Tensor":
        """Squared error of the prediction, a number for each image."""
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        target = self.scheduler.get_velocity(clean, noise, timesteps) if self._sees_velocity else noise
        return (self.seen(network, noisy, timesteps, conditions, exact) - target).square().mean(dim=(1, 2, 3))

    def seen(self, network, noisy, timesteps, conditions, exact: bool = False) -> "torch.Tensor":
        """`predict` in float32; computed in bfloat16 on a GPU where the config says so, and never if `exact`: a verdict must not
        depend on the device's short numbers."""
        import torch

        # Nor where privacy counts on the norm of every gradient.
        short = self.device.type == "cuda" and self.config.mixed_precision == "bf16" and not exact and not self.config.privacy
        with torch.autocast(self.device.type, torch.bfloat16, enabled=short):
            return self.predict(network, noisy, timesteps, conditions).float()

    def weights_of(self, timesteps: "torch.Tensor") -> "torch.Tensor":
        """Min-SNR weights of the loss at these timesteps (Hang et al. 2023, section 3.4; for v prediction as in its appendix)."""
        alphas = self.scheduler.alphas_cumprod.to(self.device)[timesteps]
        snr = alphas / (1 - alphas)
        return snr.clamp(max=self.config.snr_gamma) / (snr + 1 if self._sees_velocity else snr)

    def build_sampler(self, plan: Sample):
        from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

        clipped = {"clip_sample": self.bounded}
        if plan.sampler == "dpm-solver++":
            return DPMSolverMultistepScheduler.from_config(
                self.scheduler.config, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing"
            )
        if plan.sampler == "ddim":
            return DDIMScheduler.from_config(self.scheduler.config, timestep_spacing="trailing", **clipped)
        return DDPMScheduler.from_config(self.scheduler.config, timestep_spacing="trailing", **clipped)

    bounded = True
    """Whether it is pixels that are noised: a guess out of -1..1 can be pulled back, and to encode them costs nothing."""

    @property
    def _sees_velocity(self) -> bool:
        return self.scheduler.config.prediction_type == "v_prediction"

    def _noise_source(self, seed: int, timestep: int) -> "torch.Generator":
        import torch

        return torch.Generator().manual_seed(seed * 1_000_003 + timestep)

    def _chunks(self, images, conditions):
        """(rows, latents, conditions) on the device, CHUNK images at a time."""
        import torch

        for start in range(0, len(images), CHUNK):
            rows = slice(start, start + CHUNK)
            yield rows, self._remembered(images[rows]), torch.from_numpy(conditions[rows]).to(self.device)

    def _remembered(self, images: np.ndarray) -> "torch.Tensor":
        """`encode`, which attacks ask of the same images for one timestep after the other; kept for as long as the network is."""
        import torch

        if self.bounded:
            return self.encode(torch.from_numpy(images))
        network, kept = self.__dict__.get("_kept", (None, {}))
        if network is not self.network:
            kept = {}
            self._kept = (self.network, kept)
        name = hashlib.sha256(images.tobytes()).digest()
        if name not in kept:
            kept[name] = self.encode(torch.from_numpy(images))
        return kept[name]

    def _at(self, timestep: int, images):
        import torch

        return torch.full((len(images),), timestep, device=self.device)

    def _noise(self, noisy, timesteps, conditions):
        """The noise that the network sees, whatever it was trained to predict (Salimans and Ho 2022, section 4, for v)."""
        output = self.seen(self.network, noisy, timesteps, conditions, exact=True)
        if not self._sees_velocity:
            return output
        alphas = self.scheduler.alphas_cumprod.to(self.device)[timesteps].view(-1, 1, 1, 1)
        return alphas.sqrt() * output + (1 - alphas).sqrt() * noisy


def to_unit(pixels: "torch.Tensor") -> "torch.Tensor":
    """uint8 N x H x W x C to float N x C x H x W in -1..1."""
    return (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()


def to_pixels(images: "torch.Tensor") -> np.ndarray:
    """float N x C x H x W in -1..1 to uint8 N x H x W x C."""
    import torch

    return ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def quadratic_timesteps(train: int, steps: int) -> list[int]:
    """`steps` timesteps of `train`, falling, dense where there is little noise (Song, Meng, Ermon, "Denoising diffusion implicit
    models", ICLR 2021, appendix D.2); fewer where two would be one."""
    return sorted({round((train - 1) * (k / steps) ** 2) for k in range(1, steps + 1)}, reverse=True)
