#include "options.h"

#include "engine/core/fields.h"
#include "engine/core/json.h"

namespace exported {

Options read_options(std::string_view config_json) {
  Options o;
  thalweg::read_fields(thalweg::parse_json(config_json, ""), "", [&](thalweg::Fields& f) {
    f.text({"path", "folder that export_reward.py wrote", true}, o.path);
    f.integer({"batch", "pictures or videos of one call of the network"}, o.batch, 1, 4096);
    f.choice({"dtype", "of the network; absent: as exported"}, o.dtype, {"float32", "float16", "bfloat16"});
  });
  return o;
}

}  // namespace exported
