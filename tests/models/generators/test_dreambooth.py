"""What DreamBooth adds to a diffusion: words, a base, a prior, and weights that plain diffusers draws the same images with."""

import re
import shutil
import socket

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.generators import Material, Shape
from models.generators.ddpm import Config as PixelConfig
from models.generators.ddpm import Plugin as Pixels
from models.generators.dreambooth import Config, Plugin
from models.learning.stable_diffusion import load
from schema.conditions import Condition
from schema.errors import SynthmillError
from schema.params import Sample
from tasks import weights
from tests.models.learning.test_stable_diffusion import save_small

SHAPE = Shape(16, 16, 3, 2, (2,))
LABELS = ["nevus", "melanoma"]
SEX = [Condition(attribute="sex", values=["female", "male"])]
PHANTOMS = {
    "phantoms": "dermoscopy",
    "n": 8,
    "autoencoder": {"steps": 2, "channels": [8, 8, 8], "batch_size": 4},
    "steps": 3,
    "batch_size": 4,
    "channels": [8, 16],
    "text_width": 16,
}
TRAINED = {"prompt": "a photograph of {token} nevus, {sex}", "steps": 2, "batch_size": 4, "timesteps": 50, "warmup": 0, "lr": 0.01}
PLAN = Sample(n=2, batch_size=2, shard_size=2, steps=3, sampler="ddim")
TOLD = np.array([[0, 0], [1, 1]])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("base") / "stable-diffusion")


def material(n: int = 8) -> Material:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    return Material(pixels, np.stack([np.arange(n) % 2, np.arange(n) // 2 % 2], axis=1), np.arange(n))


def made(base="", **changed) -> Plugin:
    return Plugin(
        Config(**{**TRAINED, "base": base if isinstance(base, dict) else str(base), **changed}), SHAPE, torch.device("cpu"), LABELS, SEX
    )


def fitted(base, **changed) -> Plugin:
    generator = made(base, **changed)
    generator.fit(material(), None, lambda _: None, lambda *_: None)
    return generator


def moved(before, after) -> set[str]:
    """Names of the weights that differ."""
    ours, theirs = before.state_dict(), after.state_dict()
    assert ours.keys() == theirs.keys()
    return {name for name in ours if not torch.equal(ours[name], theirs[name])}


def test_lora_moves_attention_alone_and_is_merged_into_plain_weights(base):
    start, end = load(str(base)), fitted(base, lora={"rank": 2})
    changed = moved(start.unet, end.components()["unet"])
    assert changed
    assert all(any(f".{target}." in name for target in ("to_q", "to_k", "to_v", "to_out")) for name in changed)
    assert type(end.components()["unet"]).__name__ == "UNet2DConditionModel"
    assert not moved(start.text_encoder, end.components()["text_encoder"])
    assert not moved(start.vae, end.components()["vae"])
    # A merged adapter of rank 2 changes a matrix by one of rank 2.
    name = next(name for name in changed if "to_q" in name)
    change = end.components()["unet"].state_dict()[name] - start.unet.state_dict()[name]
    assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 2


def test_all_weights_move_without_lora_and_the_text_encoder_where_asked(base):
    start, end = load(str(base)), fitted(base, lora=None, train_text_encoder=True, gradient_checkpointing=True)
    assert len(moved(start.unet, end.components()["unet"])) > 0.9 * len(start.unet.state_dict())
    assert moved(start.text_encoder, end.components()["text_encoder"])
    both = fitted(base, lora={"rank": 2}, train_text_encoder=True).components()
    changed = moved(start.text_encoder, both["text_encoder"])
    assert changed
    assert all("_proj." in name or "out_proj" in name for name in changed)


def test_plain_stable_diffusion_draws_the_same_image_from_the_saved_folder(base, tmp_path):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    ours = fitted(base)
    weights.save(ours, tmp_path, "digest", 0.1)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    plan = PLAN.model_copy(update={"guidance": 3.0, "negative_prompt": "melanoma"})
    latents = torch.stack([torch.randn(ours.latent_size(), generator=torch.Generator().manual_seed(seed)) for seed in (5, 6)])
    prompts = [ours.prompts.of(row) for row in TOLD.tolist()]
    assert prompts[0] == f"a photograph of {ours.prompts.tokens[0]} nevus, female"
    theirs = pipeline(
        prompts, negative_prompt=["melanoma"] * 2, latents=latents, num_inference_steps=3, guidance_scale=3.0, output_type="np"
    ).images
    assert np.abs(ours.sample(np.array([5, 6]), TOLD, plan) - (theirs * 255)).max() < 1.5


def test_guidance_leads_away_from_the_negative_prompt(base):
    generator, seeds = fitted(base), np.arange(2)
    plan = PLAN.model_copy(update={"guidance": 4.0})
    plain, led = (generator.sample(seeds, TOLD, plan.model_copy(update={"negative_prompt": text})) for text in ("", "melanoma"))
    assert not np.array_equal(plain, led)
    assert "negative_prompt is for train.kind dreambooth" in Pixels.objections(
        PixelConfig(steps=1, class_dropout=0.1), Shape(16, 16, 3, 2), plan.model_copy(update={"negative_prompt": "text"})
    )


def test_the_word_of_the_class_decides_what_is_drawn():
    """Dark and bright images, told apart by a token alone."""
    pixels = np.repeat(np.array([60, 195]), 32)[:, None, None, None] + np.random.default_rng(0).integers(-10, 10, (64, 16, 16, 1))
    phantoms = {
        "phantoms": "chest",
        "n": 64,
        "autoencoder": {"steps": 300, "channels": [16, 16, 16], "batch_size": 16, "lr": 4e-3, "warmup": 5, "kl_weight": 1e-7},
        "steps": 20,
        "batch_size": 16,
        "channels": [16, 32],
        "prediction": "v_prediction",
    }
    told = Config(
        base=phantoms,
        prompt="a {token} {class_noun}",
        class_prompt="a {class_noun}",
        class_noun="drawing",
        lora=None,
        train_text_encoder=True,
        steps=250,
        batch_size=16,
        lr=3e-3,
        warmup=10,
        timesteps=100,
        ema_decay=0.9,
        class_dropout=0.1,
    )
    shape = Shape(16, 16, 1, 2)
    taught = Plugin(told, shape, torch.device("cpu"), ["dark", "bright"])
    taught.fit(Material(pixels.astype(np.uint8), np.repeat([0, 1], 32)[:, None], np.arange(64)), None, lambda _: None, lambda *_: None)
    plan = Sample(n=8, batch_size=8, shard_size=8, steps=10)
    dark, bright = (taught.sample(np.arange(8), np.full((8, 1), code), plan).mean(axis=(1, 2, 3)) for code in (0, 1))
    # Each is as dark or bright as this autoencoder gives such images back.
    given_back = taught.decode(taught.encode(torch.from_numpy(pixels.astype(np.uint8)))).mean(axis=(1, 2, 3))
    assert np.abs(dark - given_back[:32].mean()).max() < 20
    assert np.abs(bright - given_back[32:].mean()).max() < 20
    assert given_back[32:].mean() - given_back[:32].mean() > 80


def test_the_prior_is_the_bases_own_images_and_weighs_as_asked(base):
    """The gradient of half a weight lies half way between those of none and of one: the loss is linear in it."""
    first = {}
    for weight in (0.0, 0.5, 1.0):
        said = []
        generator = made(base, steps=1, prior={"weight": weight, "images": 3, "steps": 2, "guidance": 2.0})
        generator.fit(material(), None, lambda _: None, lambda _, metrics, said=said: said.append(metrics["loss"]))
        first[weight] = said[0]
    assert first[1.0] > first[0.0]
    assert first[0.5] == pytest.approx((first[0.0] + first[1.0]) / 2, rel=1e-5)


def test_the_prior_is_the_same_each_time_and_goes_with_the_checkpoint(base):
    states = []
    for _ in range(2):
        generator = made(base, prior={"weight": 1.0, "images": 3, "steps": 2})
        generator.fit(material(), None, states.append, lambda *_: None)
    assert states[0]["prior"].shape == (3, 16, 16, 3)
    assert torch.equal(states[0]["prior"], states[1]["prior"])
    kept = states[0]["fit"]["network"]
    assert kept
    assert all("lora_" in name for name in kept)


@pytest.mark.parametrize("stop", [2, 4, 5, 6, 7])
def test_a_run_stopped_in_any_stage_resumes_to_the_same_weights(stop):
    """Two steps of the autoencoder, three of the base, two of DreamBooth."""
    config = {"base": PHANTOMS, "lora": {"rank": 2}, "prior": {"weight": 1.0, "images": 2, "steps": 2}, "checkpoint_every": 1}

    def run(resume=None, stop=None):
        generator, states, steps = made(**config), [], []

        def checkpoint(state):
            states.append({**state})
            if state["step"] == stop:
                raise KeyboardInterrupt

        try:
            generator.fit(material(), resume, checkpoint, lambda number, _: steps.append(number))
        except KeyboardInterrupt:
            return generator, states[-1], steps
        return generator, None, steps

    whole, _, steps = run()
    assert steps == list(range(1, whole.total_steps + 1)) == list(range(1, 8))
    _, state, before = run(stop=stop)
    resumed, _, after = run(resume=state)
    assert before + after == steps
    for name in ("unet", "vae", "text_encoder"):
        assert not moved(whole.components()[name], resumed.components()[name])


def test_a_base_of_phantoms_is_pretrained_once_for_all_siblings():
    generator = made(base=PHANTOMS)
    generator.fit(material(), None, lambda _: None, lambda *_: None)
    shadow, steps = generator.sibling(generator.config), []
    assert shadow.total_steps == 2
    shadow.fit(material(), None, lambda _: None, lambda number, _: steps.append(number))
    assert steps == [1, 2]
    assert not moved(generator.components()["unet"], shadow.components()["unet"])


def test_training_can_begin_from_a_model_of_its_own(base, tmp_path):
    earlier = fitted(base)
    weights.save(earlier, tmp_path / "earlier", "digest", 0.1)
    later = made("no/where")
    later.start(weights.components(tmp_path / "earlier", Plugin))
    assert later.total_steps == 2
    later.fit(material(), None, lambda _: None, lambda *_: None)
    assert moved(earlier.components()["unet"], later.components()["unet"])
    assert not moved(earlier.components()["vae"], later.components()["vae"])
    weights.save(later, tmp_path / "later", "digest", 0.1)
    assert not [path for path in (tmp_path / "later").rglob("*.json") if str(tmp_path) in path.read_text()]
    strange = Plugin(Config(**{**TRAINED, "base": "no/where", "timesteps": 60}), SHAPE, torch.device("cpu"), LABELS, SEX)
    with pytest.raises(ValueError, match=r"it has 50 timesteps, and train\.timesteps is 60"):
        strange.start(earlier.components())


def test_a_token_that_is_no_word_yet_is_added_and_comes_back_from_the_disk(base, tmp_path):
    generator = fitted(base, tokens={"nevus": "<nv>", "melanoma": "<mel>"})
    weights.save(generator, tmp_path, "digest", 0.1)
    again, _ = weights.open_model(tmp_path)
    assert again.prompts.of([1, -1]) == "a photograph of <mel> nevus"
    assert np.array_equal(again.sample(np.arange(2), TOLD, PLAN), generator.sample(np.arange(2), TOLD, PLAN))
    drawn = generator.sample(np.array([3, 3]), np.array([[0, 0], [1, 0]]), PLAN)
    assert not np.array_equal(drawn[0], drawn[1])


def test_the_latent_of_an_image_is_the_posteriors_mean_and_mirrored_with_it(base):
    generator = fitted(base, horizontal_flip=True)
    pixels = torch.from_numpy(material().pixels)
    store = generator.store(pixels)
    assert store.shape == (8, 2, 4, 4, 4)
    flipped = torch.tensor([True] * 8)
    assert torch.allclose(generator.stored(store, flipped), generator.encode(pixels.flip(2)), atol=1e-5)
    vae = generator.components()["vae"]
    unit = pixels.permute(0, 3, 1, 2) / 127.5 - 1
    assert torch.allclose(generator.encode(pixels), vae.encode(unit).latent_dist.mean * vae.config.scaling_factor, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base": {**PHANTOMS, "phantoms": "dermscopy"}}, "no phantom of 'dermscopy': the modalities are"),
        ({"base": {**PHANTOMS, "autoencoder": {"steps": 1, "channels": [8] * 6}}}, r"multiples of 32, since train\.base\.aut"),
        ({"prior": {"weight": 1.0}, "privacy": {}}, r"set prior\.weight 0"),
        ({"train_text_encoder": True, "privacy": {}}, "images share a prompt"),
        ({"timesteps": 10}, r"sample\.steps \(20\) is more than"),
    ],
)
def test_what_cannot_be_is_objected_to_before_anything_is_loaded(changed, message):
    if "privacy" in changed:
        changed = {**changed, "privacy": {"mechanism": "dp-sgd", "epsilon": 8, "delta": 1e-5, "max_grad_norm": 1}}
    config = Config(**{**TRAINED, "base": "some/where", **changed})
    plan = Sample(n=2, prevalence="uniform")
    assert re.search(message, Plugin.objections(config, Shape(16, 16, 3, 2, (2,)), plan))


def test_guidance_needs_no_dropout_since_the_base_knows_the_empty_prompt():
    plan = Sample(n=2, guidance=7.5, negative_prompt="text")
    config = Config(**{**TRAINED, "timesteps": 1000, "base": "some/where"})
    assert Plugin.objections(config, SHAPE, plan) is None
    assert "sides must be multiples of 8" in Plugin.objections(config, Shape(20, 20, 3, 2), plan)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tokens": {"nevus": "zkq", "melanoma": "ZKQ"}}, "tokens must differ"),
        ({"tokens": {"nevus": "two words"}}, "a token is one word"),
        ({"prediction": "epsilon"}, "Input should be 'base'"),
        ({"optimizer": "adam"}, "'adamw' or 'adamw8bit'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(changed, message):
    with pytest.raises(ValidationError, match=message):
        Config(**{**TRAINED, "base": "some/where", **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"tokens": {"nevus": "zkq", "melanom": "vhx"}},
            "'melanom' (did you mean 'melanoma'?), which is no class: they are nevus, melanoma",
        ),
        ({"tokens": {"nevus": "zkq"}}, "has no word for melanoma"),
        ({"prompt": "{token}, {site}"}, "has {site}"),
        ({"class_prompt": "a {label}"}, "train.class_prompt has {label}"),
    ],
)
def test_words_that_do_not_fit_the_dataset_are_told_beforehand(changed, message):
    assert message in Plugin.misworded(Config(**{**TRAINED, "base": "some/where", **changed}), LABELS, SEX)
    assert Plugin.misworded(Config(**TRAINED, base="some/where"), LABELS, SEX) is None


def test_what_goes_wrong_with_the_base_names_the_key(base, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror(-2, "no network")))
    with pytest.raises(SynthmillError, match=r"train\.base: no/where is no folder here, and the hub cannot be reached"):
        fitted("no/where")
    with pytest.raises(SynthmillError, match=r"train\.base: .* has 50 timesteps: set train\.timesteps to that"):
        fitted(base, timesteps=60)
    with pytest.raises(SynthmillError, match=r"train\.lora\.targets: .*to_nothing"):
        fitted(base, lora={"targets": ["to_nothing"]})
    with pytest.raises(SynthmillError, match=r"shorten train\.prompt"):
        fitted(base, prompt="{token} " + "xyz" * 40)
    broken = shutil.copytree(base, tmp_path / "broken")
    (broken / "unet" / "config.json").write_text("{")
    with pytest.raises(SynthmillError, match=r"train\.base: .*its unet cannot be read"):
        fitted(broken)


def test_the_eight_bit_optimizer_says_what_it_lacks(base):
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        with pytest.raises(SynthmillError, match="adamw8bit needs the package bitsandbytes"):
            fitted(base, optimizer="adamw8bit")
    else:
        pytest.skip("bitsandbytes is installed here")


@pytest.mark.parametrize("lora", [{"rank": 2}, None], ids=["LoRA", "all weights"])
def test_it_trains_with_differential_privacy(base, lora):
    budget = {"mechanism": "dp-sgd", "epsilon": 8.0, "delta": 1e-3, "max_grad_norm": 1.0, "unit": "image"}
    generator = fitted(base, lora=lora, privacy=budget, steps=2)
    assert generator.account.examples == 8
    assert generator.account.epsilon <= 8.0
    assert moved(load(str(base)).unet, generator.components()["unet"])
