// Parts of a ModelSize that families share.
#pragma once

#include <functional>
#include <string>

#include "engine/models/model_size.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "engine/weights/folder.h"

namespace thalweg {

/// By the headers of the component's files.
ComponentSize component_size(const ModelFolder& folder, const std::string& name);

/// Of the matrices among `specs`, each over as many tokens as `tokens_through` says of its name.
double matrix_flops(const std::vector<ParameterSpec>& specs,
                    const std::function<double(const std::string&)>& tokens_through);

/// Adds a text encoder that reads `tokens` tokens of a prompt.
void add_text_encoder(const ComponentSize& encoder, double tokens, ModelSize& size);

/// What a transformer's attention adds: `layers` of `heads` heads over `tokens` tokens in a row.
void add_attention(double layers, double heads, double width, double tokens, ModelSize& size);

/// With activation checkpointing each of `blocks` blocks keeps its `inputs` alone for the backward, and one
/// at a time what it computes again.
void keep_inputs_alone(double blocks, double inputs, ModelSize& size);

/// The VAE, latents and frames of a picture of that size.
void add_picture(const ModelFolder& folder, const AutoencoderKlConfig& vae, double latent_channels,
                 int64_t height, int64_t width, ModelSize& size);

}  // namespace thalweg
