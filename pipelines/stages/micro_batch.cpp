#include "pipelines/stages/micro_batch.h"

namespace thalweg {

std::vector<int64_t> MicroBatch::slot_B() const {
  std::vector<int64_t> slots;
  for (const auto& row : rows) slots.push_back(row.slot);
  return slots;
}

}  // namespace thalweg
