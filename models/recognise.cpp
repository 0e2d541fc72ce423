// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <set>

#include "graph/error.h"
#include "models/families/bert.h"
#include "models/families/resnet.h"
#include "models/families/rnn_classifier.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using Shape = std::vector<std::int64_t>;

std::string to_text(const Shape& shape) {
  std::string out;
  for (const std::int64_t size : shape) out += (out.empty() ? "" : ",") + std::to_string(size);
  return "[" + out + "]";
}

/// "encoder.layer.11.output" -> "encoder.layer.#.output": names alike but for their counters.
std::string pattern(const std::string& key) {
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

/// Without a spec: how many of the file's names look like names of the family's default network.
void match_patterns(const Family& family, const Shapes& shapes, Match& match) {
  const auto network = family.build(family.complete(""));
  std::set<std::string> known;
  for (const auto& entry : network->entries()) known.insert(pattern(entry.key));
  match.expected = known.size();
  match.given = shapes.map().size();
  for (const auto& [key, shape] : shapes.map())
    if (known.contains(pattern(key)))
      ++match.matched;
    else
      match.unexpected.push_back(key);
  match.matched = std::min(match.matched, match.given);
}

void match_names(const Family& family, const Shapes& shapes, Match& match) {
  const auto network = family.build(match.spec_json);
  std::set<std::string> used;
  for (const auto& entry : network->entries()) {
    if (!entry.is_parameter() && !entry.slot->persistent) continue;
    const auto found = shapes.map().find(entry.key);
    if (found == shapes.map().end()) {
      // A tied name may be left out of a file, and so may counters and tables the constructor makes itself.
      if (entry.is_parameter() && entry.tied_to.empty()) match.missing.push_back(entry.key), ++match.expected;
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

Match match_family(const Family& family, const Shapes& shapes) {
  Match match{.family = &family};
  try {
    match.spec_json = family.complete(family.spec_from_shapes(shapes));
    match_names(family, shapes, match);
    return match;
  } catch (const Shapes::Missing&) {  // not its names
  } catch (const UserError&) {        // sizes that no member of the family has
  }
  match = {.family = &family};
  match_patterns(family, shapes, match);
  return match;
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> list{
      bert(), resnet(), cifar_resnet(), rnn_classifier(), agnews_lstm(),
  };
  return list;
}

const Family* find_family(std::string_view name) {
  for (const Family& family : families())
    if (family.name == name) return &family;
  return nullptr;
}

double Match::score() const {
  const std::size_t all = matched + missing.size() + unexpected.size();
  return all == 0 ? 0 : static_cast<double>(matched) / static_cast<double>(all);
}

std::string network_key(const Family& family, std::string_view key) {
  for (const std::string_view wrapper : {"module.", "_orig_mod."})
    if (key.starts_with(wrapper)) key.remove_prefix(wrapper.size());
  for (const std::string& ending : family.ignored)
    if (key.ends_with(ending)) return {};
  return family.rename ? family.rename(std::string(key)) : std::string(key);
}

std::vector<Match> recognise(const Shapes& shapes) {
  std::vector<Match> out;
  for (const Family& family : families()) {
    Shapes::Map renamed;
    for (const auto& [key, shape] : shapes.map())
      if (std::string name = network_key(family, key); !name.empty()) renamed.emplace(std::move(name), shape);
    out.push_back(match_family(family, Shapes(std::move(renamed))));
  }
  std::ranges::stable_sort(out, [](const Match& a, const Match& b) {
    if (a.spec_json.empty() != b.spec_json.empty()) return b.spec_json.empty();
    return a.score() > b.score();
  });
  return out;
}

}  // namespace pollard::models
