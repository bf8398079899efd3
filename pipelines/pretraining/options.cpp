#include "pipelines/pretraining/options.h"

#include "pipelines/resume.h"

namespace thalweg {

void describe(Fields& f, PretrainOptions& o) {
  f.choice({"family", "pipeline to make: Stable Diffusion 3, or Wan 2.1"}, o.family, {"sd3", "wan"});
  f.foreign({"architecture",
             "config.json of each component: transformer, vae, text_encoder, scheduler, and of sd3 "
             "text_encoder_2",
             true},
            o.architecture);
  f.object({"data", "pictures or clips to learn from"}, [&](Fields& d) {
    d.choice({"world", "generator of captions and of what they show; moving_scenes makes clips"},
             o.data.world, {"scenes", "moving_scenes"});
    d.integer({"images", "pictures or clips drawn before training"}, o.data.images, 1, 10000000);
    d.integer({"size", "pixels a side"}, o.data.size, 8, 4096);
    d.integer({"frames", "of a clip, 4 k + 1; a picture has one"}, o.data.frames, 1, 1025);
  });
  f.object({"vae", "the autoencoder's training"}, [&](Fields& v) {
    v.integer({"steps", "updates"}, o.vae.steps, 1, 10000000);
    v.integer({"batch_size", "pictures or clips an update"}, o.vae.batch_size, 1, 65536);
    v.number({"learning_rate", "AdamW, at the start"}, o.vae.learning_rate, 0.0, 1.0);
    v.number({"muon_learning_rate", "Muon, kernels of convolutions, at the start; 0: these are AdamW's too"},
             o.vae.muon_learning_rate, 0.0, 1.0);
    v.number({"kl_weight", "weight of the KL term at the start"}, o.vae.kl_weight, 0.0, 1e3);
    v.number({"final_kl_weight", "weight of the KL term in the second half"}, o.vae.final_kl_weight, 0.0,
             1e3);
    v.number({"object_weight", "weight of an object's pixels in the error; the ground has 1"},
             o.vae.object_weight, 1.0, 1e3);
    v.number({"crowded", "share of clips with five objects in each other's way (moving_scenes)"},
             o.vae.crowded, 0.0, 1.0);
  });
  f.object({"flow", "training of text encoders and transformer"}, [&](Fields& t) {
    t.integer({"steps", "updates"}, o.flow.steps, 1, 100000000);
    t.integer({"batch_size", "samples an update"}, o.flow.batch_size, 1, 65536);
    t.integer({"warmup_steps", "updates of linear warm-up"}, o.flow.warmup_steps, 0, 1000000);
    t.number({"muon_learning_rate", "Muon, matrices inside the blocks"}, o.flow.muon_learning_rate, 0.0, 1.0);
    t.number({"learning_rate", "AdamW, everything else"}, o.flow.learning_rate, 0.0, 1.0);
    t.number({"decay_fraction", "last part of the updates with a falling learning rate"},
             o.flow.decay_fraction, 0.0, 1.0);
    t.numbers(
        {"kinds",
         "percentages of the kinds of captions (moving_scenes: move, size, pop, turn, then, two) that the "
         "flow learns from, 100 together: more of what it finds hard; absent: as the world has them"},
        o.flow.kinds, 0.0, 100.0);
    t.number({"caption_dropout", "share of empty captions"}, o.flow.caption_dropout, 0.0, 1.0);
    t.number({"ema_decay", "average of the weights that is kept"}, o.flow.ema_decay, 0.0, 1.0);
    t.number({"max_grad_norm", "gradient clipping"}, o.flow.max_grad_norm, 1e-6, 1e6);
  });
  f.choice({"dtype", "dtype of the forward and backward passes"}, o.dtype, {"float32", "bfloat16"});
  f.choice({"save_dtype", "dtype of the written transformer and VAE; text encoders are written in float32"},
           o.save_dtype, {"float32", "float16", "bfloat16"});
  f.integer({"max_sequence_length", "T5's tokens of a prompt; of sd3: its zero tokens"},
            o.max_sequence_length, 0, 512);
  f.object({"checkpoint", "where a stopped run goes on"}, [&](Fields& c) {
    c.integer({"every", "updates between checkpoints"}, o.checkpoint_every, 1, 10000000);
    c.integer({"keep", "checkpoints kept"}, o.checkpoint_keep, 1, 1000);
  });
  f.integer({"threads", "intra-op threads"}, o.threads, 1, 1024);
  f.integer({"seed", "of data, weights and noise"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

Json pretrain_identity(const PretrainOptions& options) {
  PretrainOptions copy = options;
  return run_identity([&](Fields& f) { describe(f, copy); }, {});
}

Json autoencoder_identity(const PretrainOptions& options) {
  PretrainOptions own = options;
  own.architecture = {{"vae", options.architecture.value("vae", Json())}};
  own.flow = {};
  own.max_sequence_length = {};
  return pretrain_identity(own);
}

}  // namespace thalweg
