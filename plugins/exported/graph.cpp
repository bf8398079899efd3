#include "graph.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/core/text.h"

namespace exported {
namespace {

using thalweg::Error;
using thalweg::Json;

constexpr std::string_view kFormat = "thalweg-graph/1";
constexpr size_t kMaxOutputs = 4096, kMaxInputs = 16;

std::string quoted(const std::string& name) {
  return "\"" + thalweg::printable(name, 200) + "\"";
}

/// An object with these keys and no other.
void require_keys(const Json& json, const std::vector<std::string>& keys, const std::string& place) {
  if (!json.is_object()) throw Error(place, "must be an object");
  for (const auto& key : keys)
    if (!json.contains(key)) throw Error(place, "has no \"" + key + "\"");
  for (const auto& [key, value] : json.items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw Error(place, "unknown key " + quoted(key) + thalweg::suggestion(key, keys));
}

const std::string& text_at(const Json& json, const std::string& place) {
  if (!json.is_string() || json.get_ref<const std::string&>().empty())
    throw Error(place, "must be a text that is not empty");
  return json.get_ref<const std::string&>();
}

const Json& array_at(const Json& json, size_t most, const std::string& place) {
  if (!json.is_array()) throw Error(place, "must be a list");
  if (json.size() > most)
    throw Error(place, "has " + std::to_string(json.size()) + " entries; at most " + std::to_string(most) +
                           " are read");
  return json;
}

int define(Graph& graph, const std::string& value, const std::string& place) {
  const auto slot = static_cast<int>(graph.values.size());
  if (!graph.slots.emplace(value, slot).second)
    throw Error(place, "the value " + quoted(value) + " is defined twice");
  graph.values.push_back(value);
  return slot;
}

Weight read_weight(const std::string& value, const Json& json, const std::string& place) {
  require_keys(json, {"tensor", "dtype", "shape"}, place);
  Weight weight;
  weight.value = value;
  weight.tensor = text_at(json.at("tensor"), place + "/tensor");
  weight.dtype = text_at(json.at("dtype"), place + "/dtype");
  for (const auto& size : array_at(json.at("shape"), kMaxRank, place + "/shape")) {
    if (!size.is_number_integer() || size.get<int64_t>() < 0)
      throw Error(place + "/shape", "must hold sizes, not " + size.dump());
    weight.shape.push_back(size);
  }
  return weight;
}

/// "aten::conv2d", "aten::add.Tensor", "sym::mul".
void read_operator(const std::string& text, Node& node, const std::string& place) {
  const auto colons = text.find("::");
  if (colons == std::string::npos) throw Error(place, "is no operator's name: " + quoted(text));
  node.domain = text.substr(0, colons);
  const auto point = text.find('.', colons);
  node.name = text.substr(colons + 2, point == std::string::npos ? point : point - colons - 2);
  if (point != std::string::npos) node.overload = text.substr(point + 1);
}

Node read_node(Graph& graph, Json& json, const std::string& place) {
  require_keys(json, {"op", "args", "outputs"}, place);
  Node node;
  node.first_slot = static_cast<int>(graph.values.size());
  read_operator(text_at(json.at("op"), place + "/op"), node, place + "/op");
  if (!json.at("args").is_object())
    throw Error(place + "/args", "must be an object of the operator's arguments");
  node.arguments = std::move(json.at("args"));
  const auto at = place + "/outputs";
  for (const auto& output : array_at(json.at("outputs"), kMaxOutputs, at))
    node.outputs.push_back(output.is_null() ? -1 : define(graph, text_at(output, at), at));
  return node;
}

}  // namespace

int Graph::slot_of(const std::string& value, int limit, const std::string& place) const {
  const auto found = slots.find(value);
  if (found == slots.end()) throw Error(place, "reads " + quoted(value) + ", which nothing defines");
  if (found->second >= limit)
    throw Error(place, "reads " + quoted(value) +
                           " before it is defined: nodes must stand in the "
                           "order of execution, without circles");
  return found->second;
}

Graph read_graph(const std::filesystem::path& path) {
  const auto at = path.string() + "#";
  auto json = thalweg::parse_json_file(path, kMaxGraphBytes);
  require_keys(json, {"format", "inputs", "weights", "nodes", "output"}, at);
  if (text_at(json.at("format"), at + "/format") != kFormat)
    throw Error(at + "/format", "is not " + std::string(kFormat) + ", which this program reads");
  Graph graph;
  for (const auto& input : array_at(json.at("inputs"), kMaxInputs, at + "/inputs")) {
    graph.inputs.push_back(text_at(input, at + "/inputs"));
    define(graph, graph.inputs.back(), at + "/inputs");
  }
  const auto& weights = json.at("weights");
  if (!weights.is_object() || weights.size() > kMaxWeights)
    throw Error(at + "/weights", "must be an object of at most " + std::to_string(kMaxWeights) + " weights");
  for (const auto& [value, weight] : weights.items()) {
    const auto place = at + "/weights/" + thalweg::printable(value, 200);
    define(graph, value, place);
    graph.weights.push_back(read_weight(value, weight, place));
  }
  array_at(json.at("nodes"), kMaxNodes, at + "/nodes");
  for (size_t i = 0; i < json.at("nodes").size(); ++i)
    graph.nodes.push_back(read_node(graph, json.at("nodes")[i], at + "/nodes/" + std::to_string(i)));
  graph.output = graph.slot_of(text_at(json.at("output"), at + "/output"),
                               static_cast<int>(graph.values.size()), at + "/output");
  return graph;
}

}  // namespace exported
