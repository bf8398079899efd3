#include "pipelines/methods/tree_edges.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/advantages/tree.h"

namespace thalweg {
namespace {

// Where an edge's tensors are: a row of the transitions of one step in one micro-batch of leaves.
struct Place {
  const MicroBatch* batch = nullptr;
  std::vector<Trajectory>* edges = nullptr;
  int64_t row = 0, leaf_row = 0;  // the latter: its tree's first leaf
  int64_t node = 0, edge = 0;
  int64_t state = 0;  // that the edge comes from; of its step alone
};

// The part of a micro-batch of edges that comes from one micro-batch of leaves.
MicroBatch part_of(size_t k, const std::vector<Place>& places) {
  const auto& from = *places.front().batch;
  std::vector<int64_t> rows, leaf_rows;
  MicroBatch part;
  for (const auto& place : places) {
    rows.push_back(place.row);
    leaf_rows.push_back(place.leaf_row);
    part.rows.push_back(from.rows[static_cast<size_t>(place.leaf_row)]);
    part.rows.back().slot += place.node;
  }
  part.conditioning = from.conditioning.select(leaf_rows);
  part.trajectory = selected(places.front().edges->at(k), rows);
  return part;
}

MicroBatch micro_batch_of(size_t k, const std::vector<Place>& places) {
  MicroBatch batch;
  for (auto begin = places.begin(); begin != places.end();) {
    const auto end =
        std::find_if(begin, places.end(), [&](const Place& p) { return p.batch != begin->batch; });
    append(batch, part_of(k, {begin, end}));
    begin = end;
  }
  return batch;
}

int64_t parent_of(const Trees& trees, const TreeEdge& edge) {
  return trees.shape.levels[static_cast<size_t>(edge.step)].nodes[static_cast<size_t>(edge.node)].parent;
}

// One after the last place of a micro-batch that begins at `from`.
size_t end_of_micro_batch(const std::vector<Place>& places, size_t from, int64_t states) {
  size_t to = from;
  for (int64_t seen = 0; to < places.size(); ++to)
    if (to == from || places[to].state != places[to - 1].state)
      if (++seen > states) break;
  return to;
}

// Of the edges of trained step `k` below the roots [begin, end), in order; `first`: the step's first edge.
std::vector<Place> places_of(Trees& trees, size_t k, int64_t first, int64_t begin, int64_t end,
                             const std::vector<TreeEdge>& edges, const std::vector<bool>& replayed) {
  const auto noisy = static_cast<int64_t>(trees.shape.noisy(trees.trained[k]).size());
  std::vector<Place> places;
  int64_t root = 0;
  for (const auto& batch : trees.leaves) {
    const auto in_batch = static_cast<int64_t>(batch.rows.size()) / trees.shape.leaves();
    auto& drawn = trees.edges_from(batch.rows.front().slot);
    for (int64_t local = 0; local < in_batch; ++local, ++root)
      for (int64_t j = 0; j < noisy && root >= begin && root < end; ++j) {
        const int64_t e = first + root * noisy + j;
        if (replayed[static_cast<size_t>(e)])
          places.push_back({&batch, &drawn, local * noisy + j, local * trees.shape.leaves(),
                            edges[static_cast<size_t>(e)].node, e,
                            root * trees.shape.leaves() + parent_of(trees, edges[static_cast<size_t>(e)])});
      }
  }
  return places;
}

RewardBatch means(const RewardBatch& leaves, const std::vector<std::vector<int64_t>>& node_SB,
                  const std::vector<int64_t>& nodes_S) {
  std::vector<at::Tensor> values;
  for (size_t s = 0; s < node_SB.size(); ++s)
    values.push_back(node_means(leaves.values_BK, leaves.valid_BK, node_SB[s], nodes_S[s]).values);
  return make_reward_batch(leaves.names_K, at::cat(values));
}

}  // namespace

std::vector<TreeEdge> edges_of(const Trees& trees) {
  std::vector<TreeEdge> edges;
  for (const int64_t step : trees.trained) {
    const auto noisy = trees.shape.noisy(step);
    for (int64_t root = 0; root < trees.roots(); ++root)
      for (const int64_t node : noisy)
        edges.push_back(
            {step, root, trees.scores.group_B[static_cast<size_t>(root * trees.shape.leaves())], node});
  }
  return edges;
}

Scores node_scores(const Trees& trees, const std::vector<TreeEdge>& edges,
                   const std::function<int64_t(const TreeEdge&)>& compared) {
  const auto& leaves = trees.scores;
  std::vector<std::vector<int64_t>> node_SB;  // by step: the node among its noisy ones above each leaf, or -1
  std::vector<int64_t> nodes_S;
  for (const int64_t step : trees.trained) {
    const auto noisy = trees.shape.noisy(step), above = trees.shape.above_leaves(step);
    auto& node_B = node_SB.emplace_back();
    nodes_S.push_back(trees.roots() * static_cast<int64_t>(noisy.size()));
    for (int64_t root = 0; root < trees.roots(); ++root)
      for (const int64_t node : above) {
        const auto found = std::lower_bound(noisy.begin(), noisy.end(), node);
        const bool there = found != noisy.end() && *found == node;
        node_B.push_back(there ? root * static_cast<int64_t>(noisy.size()) + (found - noisy.begin()) : -1);
      }
  }
  Scores scores;
  scores.weights_K = leaves.weights_K;
  scores.raw = means(leaves.raw, node_SB, nodes_S);
  scores.transformed = means(leaves.transformed, node_SB, nodes_S);
  std::vector<at::Tensor> totals, valid;
  for (size_t s = 0; s < node_SB.size(); ++s) {
    const auto total = node_means(leaves.total.total_B, leaves.total.valid_B, node_SB[s], nodes_S[s]);
    totals.push_back(total.values);
    valid.push_back(total.valid);
  }
  scores.total = {at::cat(totals), at::cat(valid)};
  for (const auto& edge : edges) scores.group_B.push_back(compared(edge));
  return scores;
}

Selection gather_edges(Trees& trees, const std::vector<TreeEdge>& edges, const std::vector<bool>& replayed,
                       int64_t micro_batch) {
  Selection result;
  for (int64_t update = 0; update < trees.plan.updates; ++update) {
    int64_t first = 0;
    for (size_t k = 0; k < trees.trained.size(); ++k) {
      const auto begin = trees.plan.begin(update) * trees.roots_per_group(),
                 end = trees.plan.begin(update + 1) * trees.roots_per_group();
      const auto places = places_of(trees, k, first, begin, end, edges, replayed);
      for (size_t from = 0, to = 0; from < places.size(); from = to) {
        to = end_of_micro_batch(places, from, micro_batch);
        result.batches.push_back(micro_batch_of(
            k, {places.begin() + static_cast<int64_t>(from), places.begin() + static_cast<int64_t>(to)}));
      }
      for (const auto& place : places) result.rows.push_back(place.edge);
      for (const auto& place : places) (*place.edges)[k] = {};
      first += trees.roots() * static_cast<int64_t>(trees.shape.noisy(trees.trained[k]).size());
    }
  }
  return result;
}

}  // namespace thalweg
