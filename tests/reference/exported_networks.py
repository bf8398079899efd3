"""Small reward networks as users write them, and what each is exported with."""

import sys

import torch
import torch.nn.functional as F
from torch import nn

import clip_folder
from parity_tool import ROOT
from random_weights import randomise

sys.path.insert(0, str(ROOT / "plugins/exported"))

LENGTH = clip_folder.LENGTH


class Layer(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(mixed)
        hidden = self.up(self.norm2(x))
        return x + self.down(hidden * torch.sigmoid(1.702 * hidden))


class ClipLike(nn.Module):
    """Two towers, the resize inside, pooled at the end token, a logit scale."""

    def __init__(self, vocabulary=102, width=48, side=32, patch=8, layers=2):
        super().__init__()
        self.side = side
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.token = nn.Parameter(torch.zeros(width))
        self.places = nn.Parameter(torch.zeros((side // patch) ** 2 + 1, width))
        self.vision = nn.ModuleList(Layer(width, 4, False) for _ in range(layers))
        self.post, self.vision_out = nn.LayerNorm(width), nn.Linear(width, 24, bias=False)
        self.words, self.word_places = nn.Embedding(vocabulary, width), nn.Parameter(torch.zeros(LENGTH, width))
        self.text = nn.ModuleList(Layer(width, 4, True) for _ in range(layers))
        self.final, self.text_out = nn.LayerNorm(width), nn.Linear(width, 24, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("mean", torch.tensor([0.48, 0.46, 0.41]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.27, 0.26, 0.28]).view(3, 1, 1))

    def forward(self, frames, tokens):
        x = F.interpolate(frames, size=(self.side, self.side), mode="bicubic", antialias=True, align_corners=False)
        x = self.patches((x - self.mean) / self.std).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], 1, -1), x], 1) + self.places
        for layer in self.vision:
            x = layer(x)
        image = F.normalize(self.vision_out(self.post(x[:, 0])), dim=-1)
        t = self.words(tokens) + self.word_places
        for layer in self.text:
            t = layer(t)
        t = self.final(t)[torch.arange(tokens.shape[0], device=tokens.device), tokens.argmax(-1)]
        return self.logit_scale.exp() * (image * F.normalize(self.text_out(t), dim=-1)).sum(-1, keepdim=True)


class GroupNormCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 32, 3, 2, 1),
                                  nn.GroupNorm(8, 32), nn.SiLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(32, 2)

    def forward(self, x):
        return self.head(self.body(x * 2 - 1).flatten(1))


class SmallVit(nn.Module):
    """torch's own encoder, over the patches that fit: sizes are computed in the graph."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True, norm_first=True,
                                                                        activation="gelu"), 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 1)

    def forward(self, x):
        height, width = x.shape[-2:]
        x = self.patches(x[..., :height // 8 * 8, :width // 8 * 8]).flatten(2).transpose(1, 2)
        return self.head(self.encoder(x).mean(1)) + 0.1 * (height / width)


class InPlaceCnn(nn.Module):
    """BatchNorm with running numbers, and activations that write over their input."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
                                  nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Hardswish(inplace=True), nn.Dropout(0.5))

    def forward(self, x):
        return self.body(x).mean((2, 3))[:, :1]


class ByFactors(nn.Module):
    """Interpolates by factors, once with the sizes said too."""

    def forward(self, x):
        x = F.interpolate(x * 2 - 1, scale_factor=(1.5, 0.5), mode="bicubic", antialias=True)
        sizes = [x.shape[2] * 2, x.shape[3] * 3]
        return torch.ops.aten._upsample_bilinear2d_aa(x, sizes, False, 2.0, 3.0).square().mean((1, 2, 3))[:, None]


class InstanceNorms(nn.Module):
    """By the picture's own statistics and by kept ones; whole repeats, and integers that are divided."""

    def __init__(self):
        super().__init__()
        self.conv, self.own = nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True)
        self.kept = nn.InstanceNorm2d(16, affine=True, track_running_stats=True)

    def forward(self, x):
        x = self.kept(self.own(self.conv(x)).tanh().repeat_interleave(2, 1))
        places = torch.arange(16, device=x.device)
        return (x.relu().mean((2, 3)) * (places // 3 + places % 5)).sum(1, keepdim=True) / 50


class CentreSquare(nn.Module):
    def forward(self, x):
        height, width = x.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return x[..., top:top + side, left:left + side].square().mean((1, 2, 3))[:, None]


class Flicker(nn.Module):
    """Of videos [B,F,3,H,W]."""

    def forward(self, frames):
        change = (frames[:, 1:] - frames[:, :-1]).square().mean((1, 2, 3, 4))
        return torch.stack([-change, frames.mean((1, 2, 3, 4))], 1)


class Masked(nn.Module):
    """Reads the tokens and which of them are padding."""

    def __init__(self, vocabulary=102):
        super().__init__()
        self.words, self.look = nn.Embedding(vocabulary, 8), nn.Conv2d(3, 8, 4, 4)

    def forward(self, frames, tokens, token_mask):
        mask = token_mask[..., None].to(frames.dtype)
        text = (self.words(tokens) * mask).sum(1) / mask.sum(1)
        return (text * self.look(frames).tanh().mean((2, 3))).sum(-1, keepdim=True)


class Tower(nn.Module):
    """Pixels of 32 x 32 as an image processor makes them."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 12, 8, 8), nn.Linear(12 * 16, 1)

    def forward(self, pixels):
        return self.head(torch.tanh(self.conv(pixels)).flatten(1))


class PickLike(nn.Module):
    """CLIPModel of transformers with its resize, as people score with it."""

    def __init__(self):
        super().__init__()
        self.clip = clip_folder.make_model(0)
        self.register_buffer("mean", torch.tensor([0.48, 0.46, 0.41]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.27, 0.26, 0.28]).view(3, 1, 1))

    def forward(self, frames, tokens, token_mask):
        pixels = (F.interpolate(frames, size=(32, 32), mode="bicubic", antialias=True) - self.mean) / self.std
        image = self.clip.get_image_features(pixel_values=pixels).pooler_output
        text = self.clip.get_text_features(input_ids=tokens, attention_mask=token_mask).pooler_output
        return 4 * (F.normalize(image, dim=-1) * F.normalize(text, dim=-1)).sum(-1, keepdim=True)


def ready(module, seed=0):
    return randomise(module, seed).eval().requires_grad_(False)


PROVENANCE = {"licence": "Apache-2.0", "source": "random weights of a test"}
NETWORKS = {
    "clip_like": (ClipLike, dict(tokenizer=True)),
    "group_norm_cnn": (GroupNormCnn, dict(dimensions=["sharp", "calm"])),
    "small_vit": (SmallVit, {}),
    "in_place_cnn": (InPlaceCnn, {}),
    "by_factors": (ByFactors, {}),
    "instance_norms": (InstanceNorms, {}),
    "centre_square": (CentreSquare, dict(ranges={"score": (0, 1)})),
    "flicker": (Flicker, dict(kind="videos", frames=(2, 16), dimensions=["still", "bright"])),
    "masked": (Masked, dict(tokenizer=True, token_mask=True)),
    "transformers_clip": (PickLike, dict(tokenizer=True, token_mask=True)),
    "tower": (Tower, dict(preprocess="smooth", processor=True)),
}
