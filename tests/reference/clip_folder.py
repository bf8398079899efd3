"""Small CLIPModel folders with random weights, saved by transformers itself."""

import json

import torch
import transformers
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from random_weights import randomise
from tokenizer_parity import BOS, EOS, word_vocabulary

CASES = {
    "base": dict(seed=0),
    "gelu_wide_patches": dict(seed=1, activation="gelu", image=32, patch=16, heads=4, layers=3, resample=2),
    "uneven_patches": dict(seed=2, image=30, patch=7, projection=10, size={"shortest_edge": 36}, resample=1),
    "half_precision_in_shards": dict(seed=3, dtype=torch.float16, shards="20KB", legacy=True, image=48, patch=8),
    "square_resize": dict(seed=4, dtype=torch.bfloat16, size={"height": 32, "width": 32}, eps=1e-3),
}
LENGTH = 16  # tokens of a prompt
PROMPTS = ["a red circle", "two blue squares and a green triangle", "", "a small yellow circle left of a red square"]


def make_tokenizer(folder):
    vocabulary, merges = word_vocabulary()
    CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=EOS, model_max_length=LENGTH).save_pretrained(folder)


def make_model(seed, *, image=32, patch=8, width=32, layers=2, heads=2, projection=24, activation="quick_gelu",
               legacy=False, eps=1e-5):
    vocabulary, _ = word_vocabulary()
    shared = dict(hidden_act=activation, num_hidden_layers=layers, num_attention_heads=heads, layer_norm_eps=eps)
    config = CLIPConfig(
        projection_dim=projection,
        text_config=dict(vocab_size=len(vocabulary), hidden_size=24 * heads // 2, intermediate_size=48,
                         max_position_embeddings=LENGTH, bos_token_id=vocabulary[BOS],
                         eos_token_id=2 if legacy else vocabulary[EOS], pad_token_id=vocabulary[EOS], **shared),
        vision_config=dict(image_size=image, patch_size=patch, hidden_size=width, intermediate_size=2 * width, **shared))
    model = randomise(CLIPModel(config), seed)
    with torch.no_grad():  # rows of a table, not matrices that multiply
        for name, parameter in model.named_parameters():
            if "embedding" in name and "patch" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed + 1)))
        model.logit_scale.fill_(2.5 + 0.1 * seed)
    return model


def make_folder(folder, seed=0, *, dtype=torch.float32, size=None, resample=3, shards=None, **model_options):
    """Saves a model with its tokenizer and image processor; the model is handed back as the folder has it."""
    model = make_model(seed, **model_options)
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shards} if shards else {}))
    image = model.config.vision_config.image_size
    CLIPImageProcessorPil(size=size or {"shortest_edge": image}, crop_size=image, resample=resample).save_pretrained(folder)
    make_tokenizer(folder)
    return model.float().eval()


def make_folders(root):
    """Every case's folder and model, by name."""
    return {name: (root / name, make_folder(root / name, **case)) for name, case in CASES.items()}


def random_frames(seed, *shape):
    """Smooth colours with noise on them, [N,3,H,W] of `shape` (N, H, W): all weights of a resize matter."""
    generator = torch.Generator().manual_seed(seed)
    coarse = nn.functional.interpolate(torch.rand(shape[0], 3, 4, 4, generator=generator), shape[-2:], mode="bilinear")
    return (0.7 * coarse + 0.3 * torch.rand(shape[0], 3, *shape[-2:], generator=generator)).clamp(0, 1)


def image_processor(folder):
    return CLIPImageProcessorPil(**json.loads((folder / "preprocessor_config.json").read_text()))


def pil_pictures(frames):
    """Frames [N,3,H,W] in [0,1] as the 8-bit pictures that a peer's reward gets."""
    from PIL import Image

    levels = (frames * 255).round().clamp(0, 255).to(torch.uint8)
    return [Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()) for picture in levels]


def pixel_values(folder, frames):
    return image_processor(folder)(pil_pictures(frames), return_tensors="pt")["pixel_values"]


def token_ids(folder, prompts):
    return transformers.CLIPTokenizer.from_pretrained(folder)(
        prompts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")["input_ids"]


def unit_embeds(model, folder, pixels, prompts):
    """Image and text features of length 1, as CLIPModel's forward scales them."""
    ids = token_ids(folder, prompts)
    with torch.set_grad_enabled(pixels.requires_grad):
        done = model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids))
    return done.image_embeds, done.text_embeds.detach()
