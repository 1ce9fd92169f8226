"""Stable Diffusion as diffusers keeps it: a text encoder, an autoencoder and a U-Net that sees the text.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv:2112.10752), section 3.3. `load` takes
a pretrained one, `tiny` builds a small one of the same classes with random weights.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.learning.tokens import build_tokenizer
from schema.digest import sha256_file, sha256_json

WEIGHTS = {"text_encoder": "model", "vae": "diffusion_pytorch_model", "unet": "diffusion_pytorch_model"}
"""The parts that have weights, and what the file of them is called before `.safetensors`."""
CLASSES = {
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "text_encoder": ("CLIPTextModel",),
    "vae": ("AutoencoderKL",),
    "unet": ("UNet2DConditionModel",),
}
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


@dataclass
class Parts:
    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    scheduler: Any

    def components(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def factor(self) -> int:
        """Pixels a side that become one of a latent."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def check(self) -> None:
        """Raises ValueError where the parts do not fit each other."""
        seen, said = self.unet.config.cross_attention_dim, self.text_encoder.config.hidden_size
        if seen != said:
            raise ValueError(
                f"its U-Net listens to text of width {seen} and its text encoder speaks {said}: they belong to different models"
            )
        ends = {self.unet.config.in_channels, self.unet.config.out_channels, self.vae.config.latent_channels}
        if len(ends) != 1 or self.vae.config.in_channels != 3:
            raise ValueError("its U-Net does not take and give what its autoencoder makes of an RGB image: is it for inpainting?")
        if self.unet.config.addition_embed_type or self.unet.config.class_embed_type:
            raise ValueError("its U-Net asks for more than text: only Stable Diffusion 1 and 2 can be trained on")
        if len(self.tokenizer) > self.text_encoder.config.vocab_size:
            raise ValueError(f"its tokenizer has {len(self.tokenizer)} words and its text encoder {self.text_encoder.config.vocab_size}")
        if self.scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
            raise ValueError(f"its U-Net predicts {self.scheduler.config.prediction_type}: only epsilon and v_prediction can be trained on")


def state_of(parts: Parts) -> dict[str, Any]:
    """A copy of the weights of the parts, and of the scale of the latents; `restore` takes it."""
    weights = {name: {key: each.detach().cpu().clone() for key, each in getattr(parts, name).state_dict().items()} for name in WEIGHTS}
    return {**weights, "scaling_factor": parts.vae.config.scaling_factor}


def restore(parts: Parts, state: dict[str, Any]) -> Parts:
    for name in WEIGHTS:
        getattr(parts, name).load_state_dict(state[name])
    parts.vae.register_to_config(scaling_factor=state["scaling_factor"])
    return parts


def load(base: str, revision: str | None = None) -> Parts:
    """The Stable Diffusion in a local folder, or of this id on the Hugging Face hub: in float32, on the CPU, nothing trained.

    `revision`: the commit of a hub id, or of a folder how its `digest_of` begins. Reads safetensors alone: a pickle could run code and is
    never opened. Raises ValueError, saying what to do, for anything else.
    """
    folder, here = Path(base).expanduser(), Path(base).expanduser().is_dir()
    folder = folder if here else _fetch(base, revision)
    try:
        kinds = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{base} has no model_index.json: it must be the folder that a diffusers pipeline was saved in") from None
    except ValueError as error:
        raise ValueError(f"{base}: model_index.json cannot be read ({error}): fetch the folder again") from None
    if kinds.get("_class_name") != "StableDiffusionPipeline":
        raise ValueError(
            f"{base} is a {kinds.get('_class_name')}, and only a StableDiffusionPipeline can be trained on (Stable Diffusion 1 and 2)"
        )
    for name, allowed in CLASSES.items():
        kind = (kinds.get(name) or [None, None])[1]
        if kind not in allowed:
            raise ValueError(f"{base}: its {name} is a {kind}, where {allowed[0]} is needed")
    for name in (*CLASSES, "scheduler"):
        _check_files(base, folder, name)
    if here and revision is not None and not (found := digest_of(folder)).startswith(revision):
        raise ValueError(f"{base} holds other files than train.revision {revision!r} names: theirs is {found}")
    parts = Parts(**{name: _open(base, folder, name) for name in (*CLASSES, "scheduler")})
    try:
        parts.check()
    except ValueError as error:
        raise ValueError(f"{base}: {error}") from None
    return parts


def digest_of(folder: Path) -> str:
    """What the files of a Stable Diffusion's parts are told from others by, wherever the folder stands."""
    files = sorted(path for name in (*CLASSES, "scheduler") for path in (folder / name).glob("*") if path.suffix not in PICKLES)
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files if path.is_file()])


def _fetch(base: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if not re.fullmatch(r"[\w.\-]+/[\w.\-]+", base):
        raise ValueError(f"{base!r} is neither a folder here nor an id of the hub (owner/name)")
    wanted = ["model_index.json", "tokenizer/*", "scheduler/*.json", *(f"{name}/config.json" for name in WEIGHTS)]
    for name, stem in WEIGHTS.items():
        wanted += [f"{name}/{stem}.safetensors", f"{name}/{stem}-*-of-*.safetensors", f"{name}/{stem}.safetensors.index.json"]
    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=wanted, etag_timeout=10))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at {revision}" if revision else ""
        raise ValueError(
            f"the hub has no {base}{at}, or not for you ({type(error).__name__}): check the id, or give a local folder"
        ) from None
    except (OSError, HfHubHTTPError) as error:
        raise ValueError(
            f"{base} is no folder here, and the hub cannot be reached ({type(error).__name__}): give the folder of a copy, "
            f"or run once where the hub can be reached"
        ) from None


def _check_files(base: str, folder: Path, name: str) -> None:
    place = folder / name
    if not place.is_dir():
        raise ValueError(f"{base} has no folder {name}: fetch it whole")
    if name in WEIGHTS and not any(place.glob(f"{WEIGHTS[name]}*.safetensors")):
        pickles = sorted(path.name for path in place.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise ValueError(
                f"{base}: {name} is kept as a pickle ({pickles[0]}), which can run code and is never opened: "
                f"take a revision with .safetensors, or convert it where you trust it"
            )
        raise ValueError(f"{base}: {name} has no {WEIGHTS[name]}.safetensors: fetch it whole")


def _open(base: str, folder: Path, name: str) -> Any:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        if name == "tokenizer":
            return CLIPTokenizer.from_pretrained(folder / name, local_files_only=True)
        if name == "scheduler":
            return DDIMScheduler.from_pretrained(folder / name, local_files_only=True)
        kind = {"text_encoder": CLIPTextModel, "vae": AutoencoderKL, "unet": UNet2DConditionModel}[name]
        part, told = kind.from_pretrained(folder / name, local_files_only=True, use_safetensors=True, output_loading_info=True)
    except Exception as error:  # What a broken file raises depends on where it broke: any of it means the same to a person.
        raise ValueError(f"{base}: its {name} cannot be read ({_first_line(error)}): fetch it again") from error
    if told["missing_keys"] or told["mismatched_keys"]:
        lacking = sorted([*told["missing_keys"], *map(str, told["mismatched_keys"])])
        raise ValueError(f"{base}: its {name} lacks {len(lacking)} of its weights, {lacking[0]} first: fetch it again")
    forget_place(part)
    return part.float().eval().requires_grad_(False)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def forget_place(part: Any) -> None:
    """Takes out where a part was read from, which would be saved with it: it is a path of this machine."""
    if hasattr(part, "register_to_config"):
        part.register_to_config(_name_or_path="")
    else:
        part.config._name_or_path = ""


def tiny(
    words: Iterable[str],
    vae: nn.Module,
    channels: Sequence[int],
    text_width: int,
    text_length: int = 77,
    timesteps: int = 1000,
    prediction: str = "epsilon",
) -> Parts:
    """A small Stable Diffusion round this autoencoder, its vocabulary holding `words`; torch's own generator draws the weights."""
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = build_tokenizer(words, text_length)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=text_width,
            intermediate_size=4 * text_width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # Of unit variance: words that pretraining never meets must be as far apart as those it does, and CLIP's 0.02 leaves them alike.
    nn.init.normal_(text_encoder.get_input_embeddings().weight)
    depth = len(channels)
    crossing = [depth == 1 or place < depth - 1 for place in range(depth)]
    unet = UNet2DConditionModel(
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        layers_per_block=1,
        block_out_channels=tuple(channels),
        down_block_types=tuple("CrossAttnDownBlock2D" if here else "DownBlock2D" for here in crossing),
        up_block_types=tuple("CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(crossing)),
        cross_attention_dim=text_width,
        attention_head_dim=math.gcd(4, *channels),
        norm_num_groups=math.gcd(8, *channels),
    )
    # The schedule of Stable Diffusion 1, as the scheduler_config.json of its checkpoints has it, stretched where there are fewer steps: it
    # must end in noise, for what can still be seen there is not learned from words.
    scale = 1000 / timesteps
    scheduler = DDIMScheduler(
        num_train_timesteps=timesteps,
        beta_schedule="scaled_linear",
        beta_start=min(0.00085 * scale, 0.1),
        beta_end=min(0.012 * scale, 0.9),
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    return Parts(tokenizer, text_encoder.eval(), vae, unet.eval(), scheduler)


class Denoiser(nn.Module):
    """The U-Net, and the text encoder where that is trained with it."""

    def __init__(self, unet: nn.Module, text_encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, states: torch.Tensor | None = None, ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Told by the text's `states`, N x L x D, or by its token `ids`, N x L."""
        if ids is not None:
            distinct, back = ids.unique(dim=0, return_inverse=True)
            states = self.text_encoder(distinct)[0][back]
        return self.unet(noisy, timesteps, encoder_hidden_states=states).sample
