#include "samplers/tiled.h"

#include <ATen/ATen.h>

namespace thalweg {

Conditioning tiled(const Conditioning& c, int64_t copies) {
  if (copies == 1) return c;
  if (c.batch() == 1) return c.repeated(copies);
  std::vector<int64_t> rows;
  for (int64_t copy = 0; copy < copies; ++copy)
    for (int64_t row = 0; row < c.batch(); ++row) rows.push_back(row);
  return c.select(rows);
}

Step tiled(const Step& step, int64_t copies) {
  if (copies == 1) return step;
  Step all = step;
  all.sigma_B = step.sigma_B.repeat({copies});
  all.next_sigma_B = step.next_sigma_B.repeat({copies});
  for (int64_t copy = 1; copy < copies; ++copy)
    all.slot_B.insert(all.slot_B.end(), step.slot_B.begin(), step.slot_B.end());
  return all;
}

}  // namespace thalweg
