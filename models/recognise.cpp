// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "graph/error.h"
#include "models/families/bert.h"
#include "models/families/convlstm.h"
#include "models/families/crossformer.h"
#include "models/families/densenet.h"
#include "models/families/dgcnn.h"
#include "models/families/dinov2.h"
#include "models/families/efficientvit_msra.h"
#include "models/families/encoder_classifiers.h"
#include "models/families/flatten.h"
#include "models/families/gat.h"
#include "models/families/gpt2.h"
#include "models/families/gpt_neo.h"
#include "models/families/gptj.h"
#include "models/families/itransformer.h"
#include "models/families/llama.h"
#include "models/families/m2_bert.h"
#include "models/families/mobilenet_v2.h"
#include "models/families/oneformer.h"
#include "models/families/pathformer.h"
#include "models/families/resnet.h"
#include "models/families/rethinking_attention.h"
#include "models/families/rnn_classifier.h"
#include "models/families/sequencer.h"
#include "models/families/setformer.h"
#include "models/families/simplified_decoder.h"
#include "models/families/simplified_encoder.h"
#include "models/families/speech.h"
#include "models/families/swin.h"
#include "models/families/swinlstm.h"
#include "models/families/vgg.h"
#include "models/families/vision_lstm.h"
#include "models/families/vit.h"
#include "models/io/json.h"
#include "models/name_pattern.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using Shape = std::vector<std::int64_t>;

std::string to_text(const Shape& shape) {
  std::string out;
  for (const std::int64_t size : shape) out += (out.empty() ? "" : ",") + std::to_string(size);
  return "[" + out + "]";
}

/// The names of the family's default network; built once, since recognising asks every family.
const std::set<std::string>& default_patterns(const Family& family) {
  static std::mutex mutex;
  static std::map<std::string, std::set<std::string>> all;
  const std::scoped_lock lock(mutex);
  auto [found, fresh] = all.try_emplace(family.name);
  if (fresh) {
    const auto network = family.build(family.complete(""));
    for (const auto& entry : network->entries()) found->second.insert(name_pattern(entry.key));
  }
  return found->second;
}

/// Whether any of the file's names could be the family's: a configuration alone makes no network of the file.
bool may_be(const Family& family, const Shapes& shapes) {
  try {
    family.spec_from_shapes(shapes);
    return true;
  } catch (const std::exception&) {  // other names, or sizes out of range: the names below decide
  }
  const std::set<std::string>& known = default_patterns(family);
  return std::ranges::any_of(shapes.map(),
                             [&](const auto& entry) { return known.contains(name_pattern(entry.first)); });
}

/// Without a spec: how many of the file's names look like names of the family's default network.
void match_patterns(const Family& family, const Shapes& shapes, Match& match) {
  const std::set<std::string>& known = default_patterns(family);
  match.expected = known.size();
  match.given = shapes.map().size();
  for (const auto& [key, shape] : shapes.map())
    if (known.contains(name_pattern(key)))
      ++match.matched;
    else
      match.unexpected.push_back(key);
  match.matched = std::min(match.matched, match.given);
}

bool is_learnt(const Module::Entry& entry) {
  return entry.is_parameter() || entry.key.ends_with("running_mean") || entry.key.ends_with("running_var");
}

void match_names(const Family& family, const Shapes& shapes, Match& match) {
  const auto network = family.build(match.spec_json);
  std::set<std::string> used;
  for (const auto& entry : network->entries()) {
    if (!entry.is_parameter() && !entry.slot->persistent) continue;
    const auto found = shapes.map().find(entry.key);
    if (found == shapes.map().end()) {
      // A tied name may be left out of a file, and so may counters and tables the constructor makes itself.
      if (is_learnt(entry) && entry.tied_to.empty()) match.missing.push_back(entry.key), ++match.expected;
      continue;
    }
    ++match.expected;
    ++match.matched;
    used.insert(entry.key);
    if (found->second != entry.tensor().sizes().vec())
      match.wrong_shapes.push_back(entry.key + " is " + to_text(found->second) + ", expected " +
                                   to_text(entry.tensor().sizes().vec()));
  }
  match.given = shapes.map().size();
  for (const auto& [key, shape] : shapes.map())
    if (!used.contains(key)) match.unexpected.push_back(key);
}

Shapes network_shapes(const Family& family, const Shapes& file) {
  Shapes::Map map;
  auto names = std::make_shared<std::map<std::string, std::string>>();
  for (const auto& [key, shape] : file.map()) {
    const std::string name = network_key(family, key);
    if (name.empty()) continue;
    map.emplace(name, shape);
    names->emplace(name, key);
  }
  return Shapes(std::move(map), [&file, names](const std::string& a, const std::string& b) {
    return file.same(names->at(a), names->at(b));
  });
}

/// Matches under one way of finding the spec; nothing when it fails, and why when the names are the family's.
std::optional<Match> match_with(const Family& family, const Shapes& shapes,
                                const std::function<std::string()>& spec, std::string* problem = nullptr) {
  Match match{.family = &family};
  try {
    match.spec_json = family.complete(spec());
    match_names(family, shapes, match);
    return match;
  } catch (const Shapes::Missing&) {  // not its names
  } catch (const UserError& error) {  // sizes that no member of the family has
    if (problem) *problem = error.what();
  }
  return std::nullopt;
}

/// The fields of `changes` over those of `base`; null says nothing.
std::string merged(const std::string& base, const std::string& changes) {
  auto json = nlohmann::json::parse(base);
  const auto over = nlohmann::json::parse(changes, nullptr, false);
  if (over.is_object())
    for (const auto& [name, value] : over.items())
      if (!value.is_null()) json[name] = value;
  return json.dump();
}

/// How many of a spec's fields the configuration has too.
std::size_t fields_named(const std::string& spec_json, std::string_view config_json) {
  const auto spec = nlohmann::json::parse(spec_json, nullptr, false);
  const auto config = nlohmann::json::parse(config_json, nullptr, false);
  if (!spec.is_object() || !config.is_object()) return 0;
  return static_cast<std::size_t>(
      std::ranges::count_if(config.items(), [&](const auto& field) { return spec.contains(field.key()); }));
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> list{
      bert(),
      resnet(),
      cifar_resnet(),
      cifar_vgg(),
      vgg(),
      mobilenet_v2(),
      densenet(),
      vit(),
      torchvision_vit(),
      dinov2(),
      swin(),
      oneformer(),
      efficientvit_msra(),
      flatten_swin(),
      flatten_pvt(),
      flatten_cswin(),
      flatten_deit(),
      sequencer(),
      swinlstm_b(),
      swinlstm_d(),
      convlstm(),
      convlstm_fused(),
      rnn_classifier(),
      agnews_lstm(),
      silero_vad(),
      voice_encoder(),
      transformer_model(),
      cnn_transformer(),
      rnn_transformer(),
      gpt2(),
      gpt_neo(),
      masformer(),
      gptj(),
      llama(),
      itransformer(),
      crossformer(),
      rethinking_attention(),
      pathformer(),
      dgcnn(),
      gat_pyg(),
      gat_depgraph(),
      setformer(),
      setformer_text(),
      simplified_decoder(),
      simplified_encoder(),
      m2_bert(),
      vision_lstm(),
      vision_lstm2(),
      xlstm_block_stack(),
      mlstm_cell(),
  };
  return list;
}

const Family* find_family(std::string_view name) {
  for (const Family& family : families())
    if (family.name == name) return &family;
  return nullptr;
}

std::string name_pattern(const std::string& key) {
  std::string out;
  for (const char c : key) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (!digit)
      out += c;
    else if (out.empty() || out.back() != '#')
      out += '#';
  }
  return out;
}

std::string network_key(const Family& family, std::string_view key) {
  for (const std::string_view wrapper : {"module.", "_orig_mod."})
    if (key.starts_with(wrapper)) key.remove_prefix(wrapper.size());
  for (const std::string& ending : family.ignored)
    if (key.ends_with(ending)) return {};
  return family.rename ? family.rename(std::string(key)) : std::string(key);
}

double Match::score() const {
  const std::size_t all = matched + missing.size() + unexpected.size();
  return all == 0 ? 0 : static_cast<double>(matched) / static_cast<double>(all);
}

std::string spec_from(const Family& family, const Shapes& file, std::string_view config_json,
                      std::string_view arch) {
  const Shapes shapes = network_shapes(family, file);
  std::string guess = "{}";
  try {
    guess = family.spec_from_shapes(shapes);
  } catch (const Shapes::Missing&) {  // the configuration must say it all
  }
  return family.complete(merged(guess, family.spec_from_config
                                           ? family.spec_from_config(config_json, arch, shapes)
                                           : std::string(config_json)));
}

Match match(const Family& family, const Shapes& file, std::string_view config_json) {
  const Shapes shapes = network_shapes(family, file);
  if (!config_json.empty() && may_be(family, shapes)) {
    const auto configured = [&] { return spec_from(family, file, config_json, ""); };
    if (auto fits = match_with(family, shapes, configured); fits && fits->complete()) return *fits;
  }
  Match none{.family = &family};
  if (auto fits = match_with(
          family, shapes, [&] { return family.spec_from_shapes(shapes); }, &none.problem))
    return *fits;
  match_patterns(family, shapes, none);
  return none;
}

Match match_as(const Family& family, const Shapes& file, std::string_view spec_json) {
  io::parse_json(spec_json, "--spec");
  Match match{.family = &family, .spec_json = spec_from(family, file, spec_json, "")};
  match_names(family, network_shapes(family, file), match);
  return match;
}

std::vector<Match> recognise(const Shapes& shapes, std::string_view config_json) {
  std::vector<Match> out;
  for (const Family& family : families()) {
    out.push_back(match(family, shapes, config_json));
    out.back().configured = fields_named(out.back().spec_json, config_json);
  }
  std::ranges::stable_sort(out, [](const Match& a, const Match& b) {
    if (a.spec_json.empty() != b.spec_json.empty()) return b.spec_json.empty();
    return std::pair(a.score(), a.configured) > std::pair(b.score(), b.configured);
  });
  return out;
}

}  // namespace pollard::models
