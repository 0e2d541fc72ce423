// SPDX-License-Identifier: Apache-2.0
#include "models/io/state_dict.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "graph/error.h"
#include "models/io/convert_help.h"
#include "models/io/tensor_limits.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

using pickle::Kind;
using pickle::NodeId;
using pickle::Tree;

/// What training scripts call it, the commonest first.
constexpr std::array<std::string_view, 10> kUsualKeys{"state_dict",  "model_state_dict", "model",  "net",
                                                      "module",      "weights",          "params", "network",
                                                      "model_state", "params_ema"};

[[noreturn]] void reject(const TorchArchive& archive, std::string code, Exit exit, std::string message,
                         std::string why, std::string help) {
  throw UserError({.code = std::move(code),
                   .exit = exit,
                   .subject = archive.zip().name(),
                   .message = std::move(message),
                   .where = "entry data.pkl",
                   .why = std::move(why),
                   .help = std::move(help)});
}

bool holds_tensors(const Tree& tree, NodeId id) {
  const auto entries = tree.entries(id);
  return std::any_of(entries.begin(), entries.end(),
                     [&](const Tree::Entry& entry) { return tree.kind(entry.second) == Kind::Tensor; });
}

std::string key_text(const Tree& tree, NodeId key) {
  if (tree.kind(key) == Kind::String) return printable(tree.string(key));
  return tree.kind(key) == Kind::Int ? std::to_string(tree.as_int(key)) : "?";
}

std::vector<std::string> dict_keys(const Tree& tree, NodeId id) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : tree.entries(id))
    if (tree.kind(value) == Kind::Dict && keys.size() < 20) keys.push_back(key_text(tree, key));
  return keys;
}

/// Follows "a.b.c"; a key may itself hold dots, so every split is tried, longest first.
std::optional<NodeId> follow(const Tree& tree, NodeId id, std::string_view path) {
  if (const auto whole = tree.find(id, path)) return whole;
  for (std::size_t dot = path.rfind('.'); dot != std::string_view::npos && dot > 0;
       dot = path.rfind('.', dot - 1)) {
    const auto child = tree.find(id, path.substr(0, dot));
    if (!child) continue;
    if (const auto found = follow(tree, *child, path.substr(dot + 1))) return found;
  }
  return std::nullopt;
}

std::pair<NodeId, std::string> choose_by_key(const TorchArchive& archive, const std::string& key) {
  const Tree& tree = archive.tree();
  const auto found = follow(tree, tree.root(), key);
  if (found && tree.kind(*found) == Kind::Dict) return {*found, key};
  const auto keys = dict_keys(tree, tree.root());
  reject(archive, "E0337", Exit::Usage,
         "--key " + in_quotes(key) + (found ? " is not a dict" : " does not exist"), "",
         keys.empty() ? "the file holds no dicts inside its top level"
                      : "dicts at its top level: " + join_or(keys));
}

std::pair<NodeId, std::string> choose_automatically(const TorchArchive& archive) {
  const Tree& tree = archive.tree();
  // First, because a training checkpoint may keep a stray tensor (the state of a random generator) beside
  // them.
  for (const std::string_view key : kUsualKeys) {
    const auto child = tree.find(tree.root(), key);
    if (child && holds_tensors(tree, *child)) return {*child, std::string(key)};
    if (child && tree.kind(*child) == Kind::Opaque)
      refuse_format(OldFormat::Module, archive.zip().name(),
                    "key " + in_quotes(key) + ": " + tree.text(*child));
  }
  if (holds_tensors(tree, tree.root())) return {tree.root(), ""};
  std::vector<std::pair<NodeId, std::string>> candidates;
  for (const auto& [key, value] : tree.entries(tree.root()))
    if (tree.kind(key) == Kind::String && holds_tensors(tree, value))
      candidates.emplace_back(value, std::string(tree.string(key)));
  if (candidates.size() == 1) return candidates.front();
  std::vector<std::string> names;
  for (const auto& [id, name] : candidates)
    if (names.size() < 20) names.push_back("--key " + printable(name));
  if (!names.empty())
    reject(archive, "E0337", Exit::Usage, "several parts of it could be the weights", "",
           "choose one: " + join_or(names));
  const auto keys = dict_keys(tree, tree.root());
  reject(archive, "E0338", Exit::BadFile, "it holds no state dict (names with tensors)",
         keys.empty() ? "" : "its dicts are " + join_or(keys),
         "save the weights alone: torch.save(model.state_dict(), f)");
}

std::pair<NodeId, std::string> choose(const TorchArchive& archive, const std::string& key) {
  const Tree& tree = archive.tree();
  if (tree.kind(tree.root()) == Kind::Opaque)
    refuse_format(OldFormat::Module, archive.zip().name(),
                  "entry data.pkl: " + printable(tree.text(tree.root())));
  return key.empty() ? choose_automatically(archive) : choose_by_key(archive, key);
}

std::string check_name(const TorchArchive& archive, NodeId key) {
  const Tree& tree = archive.tree();
  if (tree.kind(key) != Kind::String)
    reject(archive, "E0315", Exit::BadFile,
           "the state dict has the key " + key_text(tree, key) + ", which is not text", "",
           "rename it in Python");
  const std::string_view name = tree.string(key);
  if (name.empty() || name.size() > kLongestName || has_control_characters(name))
    reject(archive, "E0315", Exit::BadFile, "the state dict has the key " + in_quotes(name.substr(0, 100)),
           "a name is 1 to 1024 bytes without control characters", "rename it in Python");
  return std::string(name);
}

}  // namespace

StateDict find_state_dict(const TorchArchive& archive, const std::string& wanted) {
  const Tree& tree = archive.tree();
  const auto [root, chosen_key] = choose(archive, wanted);
  StateDict out{.key = chosen_key};
  std::set<std::string> seen;
  for (const auto& [key, value] : tree.entries(root)) {
    const std::string name = check_name(archive, key);
    if (!seen.insert(name).second)
      reject(archive, "E0330", Exit::BadFile, "the state dict has the key " + in_quotes(name) + " twice",
             "readers differ on which one counts", "save it again with torch.save");
    if (tree.kind(value) == Kind::Tensor) {
      out.tensors.emplace_back(name, &tree.tensor(value));
    } else if (tree.kind(value) == Kind::Opaque || tree.kind(value) == Kind::Global) {
      reject(archive, "E0332", Exit::BadFile,
             "among the weights, " + in_quotes(name) + " is a Python object: " + printable(tree.text(value)),
             "only tensors are read; nothing of the file was run",
             "save the state dict alone, or choose one with --key");
    } else {
      out.ignored.push_back(printable(name));
    }
  }
  if (out.tensors.empty())
    reject(archive, "E0338", Exit::BadFile, "--key " + in_quotes(chosen_key) + " holds no tensors", "",
           "choose another with --key");
  for (const auto& [key, value] : tree.entries(tree.root()))
    if (root != tree.root() && value != root) out.ignored.push_back(key_text(tree, key));
  for (const std::string& name : tree.foreign()) out.ignored.push_back(printable(name) + " (never called)");
  return out;
}

}  // namespace pollard::models::io
