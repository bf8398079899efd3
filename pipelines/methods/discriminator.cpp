#include "pipelines/methods/discriminator.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/models/features.h"
#include "engine/optim/gradients.h"

namespace thalweg {
namespace {

// Width of the features, found by asking the network once.
int64_t features_of(const Training& t) {
  const c10::NoGradGuard no_grad;
  auto sizes = t.shape.sizes();
  sizes.insert(sizes.begin(), 1);
  const auto options = at::TensorOptions(t.model->latent_dtype()).device(t.device());
  const auto sigma_B = at::full({1}, 0.5, at::TensorOptions(at::kDouble).device(t.device()));
  return heard(t.policy.velocity(), at::zeros(sizes, options), {sigma_B, sigma_B, -1, {0}}, t.unconditional)
      .tokens.size(2);
}

TensorMap head_of(const Training& t, int64_t width) {
  const auto in = features_of(t);
  auto parameters = initial_parameters({{"first.weight", {width, in}, Init::kaiming_uniform, in},
                                        {"first.bias", {width}, Init::zeros},
                                        {"second.weight", {1, width}, Init::kaiming_uniform, width},
                                        {"second.bias", {1}, Init::zeros}},
                                       t.seed());
  for (auto& [name, tensor] : parameters) tensor = tensor.to(t.device(), t.model->latent_dtype());
  return leaves(parameters);
}

}  // namespace

void describe(Fields& f, DiscriminatorOptions& o) {
  f.optional_object(
      {"discriminator", "a head on the critic's features tells real pictures from the generator's"},
      o.present, [&](Fields& d) {
        d.variant({"name", "real pictures"}, o.data,
                  {{"teacher", "the guided teacher's own, of the same prompts",
                    [&](Fields& p) {
                      p.integer({"parts", "steps of the teacher for one of the generator"}, o.parts, 1, 1000);
                    }},
                   {"pictures", "files; each line of /prompts/train is {\"file_name\": ..., \"prompt\": ...}",
                    [&](Fields& p) { describe(p, o.pictures); }}});
        d.integer({"width", "of the head"}, o.width, 1, 65536);
        d.number({"weight", "of its loss beside the critic's"}, o.weight, 0.0, 1e3);
        d.number({"generator_weight", "of its verdict in the generator's loss"}, o.generator_weight, 0.0,
                 1e3);
        d.object({"optimizer", "the head's own"}, [&](Fields& g) { describe(g, o.optimizer); });
      });
}

void check(const DiscriminatorOptions& o) {
  if (const auto& folder = pictures_of(o).folder; !folder.empty())
    require_file(folder, "/method/discriminator/folder");
  if (o.present && o.optimizer.learning_rate == 0.0)
    throw Error("/method/discriminator/optimizer/learning_rate",
                "must be above 0: a head that does not learn tells nothing apart");
}

PictureSource pictures_of(const DiscriminatorOptions& o) {
  if (!o.present || o.data != "pictures") return {};
  auto source = o.pictures;
  source.keys = {"file_name"};
  return source;
}

Heard heard(const Velocity& velocity, const at::Tensor& x, const Step& step, const Conditioning& c) {
  const FeatureScope scope;
  const auto v = velocity(x, step, c);
  return {v, scope.tokens_BLD().defined() ? scope.tokens_BLD() : v.flatten(1).unsqueeze(1)};
}

Discriminator::Discriminator(const DiscriminatorOptions& options, Training& training)
    : o_(options),
      t_(training),
      head_(training.roles.add("discriminator", training.space, head_of(training, options.width),
                               Learning{options.optimizer, 0.0})) {}

void Discriminator::draw(const Walks& walks, int64_t iteration, const GroupPlan& plan,
                         const Velocity& guided) {
  if (o_.data == "pictures") {
    std::vector<int64_t> lines;
    for (const auto& batch : walks.batches())
      for (const auto& row : batch.rows) lines.push_back(row.prompt);
    const auto of_lines = t_.pictures.latents_NKCFHW.select(1, 0);
    real_BCFHW_ = on_device(of_lines.index_select(0, at::tensor(lines, at::kLong)), t_.device());
    return;
  }
  const auto sampler = [parts = o_.parts](const SamplerInput& in) { return walk(in, parts); };
  std::vector<at::Tensor> of_batches;
  for (const auto& batch : draw_unscored_groups(t_, iteration, plan, guided, sampler))
    of_batches.push_back(batch.trajectory.x0_BCFHW);
  real_BCFHW_ = at::cat(of_batches);
}

at::Tensor Discriminator::critic_loss(const Heard& fake, const Velocity& critic, const Renoised& r,
                                      const WalkedStep& w) const {
  const auto all = real_BCFHW_.slice(0, w.begin, w.begin + w.x.size(0));
  const auto finite_B = all.isfinite().flatten(1).all(1);
  const auto tau = per_sample(r.step.sigma_B, all);
  const auto x_tau = (1.0 - tau) * used_rows(all, finite_B) + tau * r.noise;
  const auto of_real = at::softplus(-logit(heard(critic, x_tau, r.step, r.conditioning).tokens));
  return o_.weight * (at::softplus(logit(fake.tokens)) + at::where(finite_B, of_real, 0.0));
}

at::Tensor Discriminator::generator_loss(const at::Tensor& x, const Velocity& critic,
                                         const Renoised& r) const {
  const auto tau = per_sample(r.step.sigma_B, x);
  const auto x_tau = (1.0 - tau) * x + tau * r.noise;
  return o_.generator_weight * at::softplus(-logit(heard(critic, x_tau, r.step, r.conditioning).tokens));
}

at::Tensor Discriminator::logit(const at::Tensor& tokens_BLD) const {
  const auto& p = head_.parameters();
  const auto tokens = tokens_BLD.to(p.at("first.weight").scalar_type());
  const auto hidden = at::silu(
      at::linear(at::layer_norm(tokens, {tokens.size(2)}), p.at("first.weight"), p.at("first.bias")));
  return at::linear(hidden, p.at("second.weight"), p.at("second.bias")).flatten(1).mean(1);
}

}  // namespace thalweg
