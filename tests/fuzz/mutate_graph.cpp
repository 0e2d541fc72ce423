// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/mutate_graph.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "models/io/zip_reader.h"
#include "models/io/zip_writer.h"
#include "tests/paths.h"

namespace pollard::fuzz {
namespace {

using Json = nlohmann::json;
namespace io = models::io;

constexpr const char* kGraph = "models/model.json";
constexpr std::array<const char*, 12> kNetworks{
    "syn_rmsnorm",       "syn_glu",         "syn_prelu", "syn_gn",    "syn_group_conv",    "syn_chunk_mul",
    "syn_flatten_bn_fc", "syn_reuse_twice", "syn_sdpa",  "syn_lstm1", "syn_pixel_shuffle", "syn_input_skip"};

struct Network {
  std::map<std::string, std::string> entries;
  Json graph;

  explicit Network(const std::string& name) {
    const io::ZipReader zip(std::filesystem::path(test::data_folder()) / "cases" / (name + ".pt2"));
    for (const io::ZipEntry& entry : zip.entries()) entries[entry.name] = zip.read_text(entry);
    graph = Json::parse(entries.at(kGraph));
  }
};

const std::vector<Network>& networks() {
  static const std::vector<Network> all(kNetworks.begin(), kNetworks.end());
  return all;
}

/// The ops of all of them.
const std::vector<std::string>& targets() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> out;
    for (const Network& network : networks())
      for (const Json& node : network.graph["graph_module"]["graph"]["nodes"]) out.push_back(node["target"]);
    std::ranges::sort(out);
    out.erase(std::ranges::unique(out).begin(), out.end());
    return out;
  }();
  return all;
}

/// Hands out the bytes; 0 after the last.
class Choices {
 public:
  explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  bool any() const { return !bytes_.empty(); }
  std::size_t below(std::size_t count) {
    if (count < 2) return 0;
    std::size_t value = take();
    if (count > 256) value = value << 8 | take();
    return value % count;
  }
  template <class List>
  auto& of(List& list) {
    return list[below(list.size())];
  }

 private:
  std::size_t take() {
    if (bytes_.empty()) return 0;
    const std::size_t value = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return value;
  }
  std::span<const std::uint8_t> bytes_;
};

/// The numbers, flags and names of values below a part of the graph.
struct Leaves {
  std::vector<Json*> integers, reals, flags, names;

  explicit Leaves(Json& json) { collect(json, ""); }

 private:
  void collect(Json& json, const std::string& key) {
    if (json.is_number_integer()) integers.push_back(&json);
    if (json.is_number_float()) reals.push_back(&json);
    if (json.is_boolean()) flags.push_back(&json);
    if (json.is_string() && key == "name") names.push_back(&json);
    if (json.is_object())
      for (auto item = json.begin(); item != json.end(); ++item) collect(item.value(), item.key());
    if (json.is_array())
      for (Json& item : json) collect(item, key);
  }
};

Json other_integer(const Json& old, Choices& choose) {
  const auto n = static_cast<std::int64_t>(old.get<std::int32_t>());
  // 2^36 bytes and more are refused at once; less might be given, and take long to fill.
  constexpr std::int64_t zero = 0, kMuch = 1LL << 36, kMost = INT64_MAX;
  const std::array numbers{zero,     zero + 1, zero + 2, zero + 3, zero + 4, zero + 7, zero + 8,   zero - 1,
                           zero - 2, n + 1,    n - 1,    n * 2,    n / 2,    kMuch,    kMuch * 16, kMost};
  return choose.of(numbers);
}

void change_op(Json& nodes, Choices& choose) {
  if (nodes.empty()) return;
  Json &node = choose.of(nodes), &other = choose.of(nodes);
  Json& inputs = node["inputs"];
  switch (choose.below(6)) {
    case 0: node["target"] = choose.of(targets()); break;
    case 1: std::swap(node, other); break;
    case 2: inputs = Json(other["inputs"]); break;
    case 3: nodes.erase(choose.below(nodes.size())); break;
    case 4:
      if (!inputs.empty()) inputs.erase(choose.below(inputs.size()));
      break;
    default:
      if (!inputs.empty()) std::swap(choose.of(inputs)["arg"], choose.of(inputs)["arg"]);
      break;
  }
}

template <class To>
void change_one(std::vector<Json*>& list, Choices& choose, To to) {
  if (list.empty()) return;
  Json& leaf = *choose.of(list);
  leaf = to(leaf);
}

void change_leaf(Json& part, Choices& choose) {
  constexpr std::array<double, 6> kReals{0, 1, -1, 1e-300, 1e300, 0.5};
  Leaves leaves(part);
  switch (choose.below(4)) {
    case 0:
      change_one(leaves.integers, choose, [&](const Json& old) { return other_integer(old, choose); });
      break;
    case 1:
      change_one(leaves.names, choose, [&](const Json&) { return Json(*choose.of(leaves.names)); });
      break;
    case 2: change_one(leaves.flags, choose, [](const Json& old) { return Json(!old.get<bool>()); }); break;
    default: change_one(leaves.reals, choose, [&](const Json&) { return Json(choose.of(kReals)); }); break;
  }
}

void mutate(Json& tree, Choices& choose) {
  Json& graph = tree["graph_module"]["graph"];
  switch (choose.below(4)) {
    case 0: change_op(graph["nodes"], choose); break;
    case 1:
      if (!graph["nodes"].empty()) change_leaf(choose.of(graph["nodes"]), choose);
      break;
    case 2: change_leaf(graph["tensor_values"], choose); break;
    default: change_leaf(tree["graph_module"], choose); break;
  }
}

}  // namespace

std::string mutated_archive(std::span<const std::uint8_t> bytes) {
  constexpr int kMostChanges = 8;
  Choices choose(bytes);
  const Network& network = choose.of(networks());
  Json graph = network.graph;
  for (int change = 0; change < kMostChanges && choose.any(); ++change) mutate(graph, choose);
  TextWriter out;
  io::ZipWriter zip(out, "m");
  for (const auto& [name, data] : network.entries) zip.add(name, name == kGraph ? graph.dump() : data);
  zip.finish();
  return std::move(out.text);
}

}  // namespace pollard::fuzz
