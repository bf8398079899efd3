// Keys that steering methods share.
#pragma once

#include <string>

#include "engine/core/fields.h"
#include "samplers/guidance/spsa.h"
#include "samplers/particles/particles.h"

namespace thalweg {

/// "particles", "resampling", "ess_threshold", "returned". `count_doc`: of the first, which says what one
/// particle is.
void describe_particles(Fields& fields, const char* count_doc, ParticleOptions& particles);
/// "lambda": the tilt e^{lambda r}.
void describe_lambda(Fields& fields, double& lambda);

/// "value": what is scored of a noisy state (outlook_names()).
void describe_value(Fields& fields, std::string& value);

/// "window": {"begin", "size"}, in steps of the schedule; size 0: to the end.
void describe_window(Fields& fields, const char* doc, int64_t& begin, int64_t& size);

/// "probes" and "radius" of random directions.
void describe_probes(Fields& fields, SpsaOptions& probes);

}  // namespace thalweg
