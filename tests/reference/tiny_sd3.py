"""Small Stable Diffusion 3 pipelines with random weights, saved by diffusers and transformers themselves."""

import json

import diffusers
import torch
import transformers
from diffusers import StableDiffusion3Pipeline

import t5_tokenizer_parity
from random_weights import randomise
from tokenizer_parity import BOS, EOS, word_vocabulary, write_files

LENGTH = 12  # tokens of a prompt


def make_tokenizer(folder, layout, pad):
    """Saves a tokenizer of whole words as `tokenizer.json` or as `files` (vocab.json and merges.txt)."""
    vocabulary, merges = word_vocabulary()
    if layout == "json":
        tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=pad, model_max_length=LENGTH)
        tokenizer.save_pretrained(folder)
        assert (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").exists()
        return
    config = {"model_max_length": LENGTH, "bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": pad,
              "tokenizer_class": "CLIPTokenizer"}
    write_files(folder, vocabulary, merges, tokenizer_config=config)


def text_encoder(seed, width, heads, layers, projection, activation="quick_gelu"):
    vocabulary, _ = word_vocabulary()
    config = transformers.CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=heads, projection_dim=projection, max_position_embeddings=LENGTH, hidden_act=activation,
        bos_token_id=vocabulary[BOS], eos_token_id=vocabulary[EOS], pad_token_id=vocabulary[EOS])
    model = randomise(transformers.CLIPTextModelWithProjection(config), seed)
    with torch.no_grad():  # rows of a table, not a matrix that multiplies
        for name, parameter in model.named_parameters():
            if "embedding" in name:
                parameter.mul_(parameter.shape[1] ** 0.5)
    return model


def t5_encoder(seed, width, kind="T5", **changes):
    config = dict(vocab_size=800, d_model=width, d_kv=8, d_ff=2 * width, num_layers=2, num_heads=3,
                  feed_forward_proj="gated-gelu")
    config = getattr(transformers, f"{kind}Config")(**{**config, **changes})
    model = randomise(getattr(transformers, f"{kind}EncoderModel")(config), seed)
    with torch.no_grad():  # rows of tables, not matrices; unscaled attention wants small queries
        model.shared.weight.mul_(width**0.5)
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
            if name.endswith(".q.weight"):
                parameter.mul_(0.35)
    return model


def t5_tokenizer(folder):
    t5_tokenizer_parity.write(folder, spiece__model=t5_tokenizer_parity.train(0))
    return transformers.T5Tokenizer.from_pretrained(folder)


def make_transformer(seed, widths, **changes):
    """`widths`: of the text features side by side, and of the pooled outputs side by side."""
    heads, head_dim = changes.pop("heads", 2), changes.pop("head_dim", 8)
    config = dict(sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2, pos_embed_max_size=8,
                  joint_attention_dim=widths[0] + 5, pooled_projection_dim=widths[1], attention_head_dim=head_dim,
                  num_attention_heads=heads, caption_projection_dim=heads * head_dim)
    return randomise(diffusers.SD3Transformer2DModel(**{**config, **changes}), seed)


def make_vae(seed, **changes):
    config = dict(block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4, layers_per_block=1,
                  use_quant_conv=False, use_post_quant_conv=False, scaling_factor=1.5305, shift_factor=0.0609)
    config.update(changes)
    levels = len(config["block_out_channels"])
    vae = diffusers.AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * levels,
                                  up_block_types=("UpDecoderBlock2D",) * levels, **config)
    randomise(vae, seed)
    with torch.no_grad():  # pictures of N(0, 0.4^2) around gray: few pixels reach black or white, where errors vanish
        vae.decoder.conv_out.weight.mul_(0.4)
    return vae


def make_folder(folder, *, transformer=None, vae=None, first=None, second=None, t5=None, tokenizers=("json", "json"),
                shift=3.0, seed=0):
    """Saves a pipeline, with T5 when `t5` holds its settings, and returns it as diffusers loads it."""
    first = {"width": 16, "heads": 2, "layers": 2, "projection": 12, **(first or {})}
    second = {"width": 24, "heads": 3, "layers": 3, "projection": 20, "activation": "gelu", **(second or {})}
    sources = folder.parent / f"{folder.name}-tokenizers"
    sources.mkdir()
    for name, layout, pad in [("first", tokenizers[0], EOS), ("second", tokenizers[1], "a</w>")]:
        make_tokenizer(sources / name, layout, pad)
    t5_parts = dict(text_encoder_3=None, tokenizer_3=None)
    if t5 is not None:
        t5_parts = dict(text_encoder_3=t5_encoder(seed + 4, first["width"] + second["width"] + 5, **t5),
                        tokenizer_3=t5_tokenizer(sources / "third"))
    pipe = StableDiffusion3Pipeline(
        transformer=make_transformer(seed, (first["width"] + second["width"], first["projection"] + second["projection"]),
                                     **(transformer or {})),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=make_vae(seed + 1, **(vae or {})),
        text_encoder=text_encoder(seed + 2, **first), tokenizer=transformers.CLIPTokenizer.from_pretrained(sources / "first"),
        text_encoder_2=text_encoder(seed + 3, **second),
        tokenizer_2=transformers.CLIPTokenizer.from_pretrained(sources / "second"),
        **t5_parts)
    pipe.save_pretrained(folder, safe_serialization=True)
    for name, layout, source in [("tokenizer", tokenizers[0], "first"), ("tokenizer_2", tokenizers[1], "second")]:
        if layout == "files":  # as repositories of before transformers 5 hold them
            for path in (folder / name).iterdir():
                path.unlink()
            for path in (sources / source).iterdir():
                (folder / name / path.name).write_bytes(path.read_bytes())
    return load(folder)


def load(folder):
    absent = {} if (folder / "text_encoder_3").exists() else dict(text_encoder_3=None, tokenizer_3=None)
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, **absent)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def read_json(path):
    return json.loads(path.read_text())
