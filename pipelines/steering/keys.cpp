#include "pipelines/steering/keys.h"

#include "pipelines/sampler_section.h"
#include "samplers/particles/outlook.h"
#include "samplers/particles/select.h"

namespace thalweg {

void describe_particles(Fields& f, const char* count_doc, ParticleOptions& o) {
  f.integer({"particles", count_doc}, o.particles, 1, 1024);
  f.choice(
      {"resampling",
       "how offspring are drawn; systematic and ssp round the expected number down or up, multinomial is "
       "noisier"},
      o.resampling, resampling_names());
  f.number({"ess_threshold",
            "particles are resampled where their effective sample size is below this share of them; 1: "
            "whenever weights differ, 0: never"},
           o.ess_threshold, 0.0, 1.0);
  f.choice({"returned",
            "which particles are handed back: one drawn by weight, the one with the highest reward, or all "
            "with their weights"},
           o.selection, selection_names());
}

void describe_lambda(Fields& f, double& lambda) {
  f.number({"lambda", "strength: samples of p(x) e^(lambda reward) are drawn"}, lambda, 0.0, 1e6);
}

void describe_value(Fields& f, std::string& value) {
  f.choice(
      {"value", "what is scored before the end: the clean estimate, or the noisy latents (process rewards)"},
      value, outlook_names());
}

void describe_window(Fields& f, const char* doc, int64_t& begin, int64_t& size) {
  f.object({"window", doc}, [&](Fields& w) { describe_window(w, begin, size); });
}

void describe_probes(Fields& f, SpsaOptions& o) {
  f.integer({"probes", "random directions in each step; each costs two rewards"}, o.probes, 1, 1024);
  f.number({"radius", "how far to both sides of the clean estimate, in latent units"}, o.radius, 1e-6, 10.0);
}

}  // namespace thalweg
