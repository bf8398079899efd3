// A JSON schema as the field descriptions give it says the same section wherever it may stand: each sampler's
// schedule, each kind of job's model. Here each such section is written once.
#pragma once

#include "engine/core/json.h"

namespace thalweg {

/// The same draft-7 schema with every section (an object with keys or alternatives, or a list of them) that
/// stands more than once under "definitions", named after the key it first stands under, an alternative also
/// after its tag. In its places stands {"$ref"}; where they describe it differently {"allOf": [{"$ref"}],
/// "description"}, since draft 7 ignores what stands beside "$ref". `schema` has no references yet; keys of
/// sections are letters, digits and '_'.
Json with_definitions(const Json& schema);

}  // namespace thalweg
