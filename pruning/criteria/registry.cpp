// SPDX-License-Identifier: Apache-2.0
// Every criterion, in one list; and how its options are read from text.
#include <array>
#include <charconv>
#include <functional>
#include <map>

#include "graph/error.h"
#include "pruning/criteria/magnitude.h"
#include "pruning/criteria/random.h"
#include "pruning/scores.h"

namespace pollard::pruning {
namespace {

using Options = std::map<std::string, std::string, std::less<>>;

[[noreturn]] void refuse(std::string_view text, const std::string& message, const std::string& help) {
  throw UserError({.code = "E0208",
                   .exit = Exit::Usage,
                   .subject = "--criterion " + std::string(text),
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = help});
}

template <class Enum>
Enum pick(std::string_view text, const Options& options, std::string_view key,
          std::initializer_list<std::pair<std::string_view, Enum>> known, Enum fallback) {
  const auto found = options.find(key);
  if (found == options.end()) return fallback;
  std::string names;
  for (const auto& [name, value] : known) {
    if (name == found->second) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  refuse(text, "\"" + found->second + "\" is no value of " + std::string(key),
         std::string(key) + " is one of " + names);
}

std::unique_ptr<Criterion> make_magnitude(std::string_view text, const Options& options) {
  auto out = std::make_unique<Magnitude>();
  for (const auto& [key, value] : options) {
    if (key == "reduce" || key == "normalize") continue;
    const bool number =
        key == "p" &&
        std::from_chars(value.data(), value.data() + value.size(), out->p).ptr == value.data() + value.size();
    if (!number || !(out->p > 0))
      refuse(text, "no option " + key + "=" + value, "magnitude:p=2,reduce=mean,normalize=mean with p > 0");
  }
  out->reduce = pick<Reduce>(text, options, "reduce",
                             {{"mean", Reduce::Mean},
                              {"sum", Reduce::Sum},
                              {"max", Reduce::Max},
                              {"prod", Reduce::Prod},
                              {"first", Reduce::First}},
                             Reduce::Mean);
  out->normalize = pick<Normalize>(text, options, "normalize",
                                   {{"none", Normalize::None},
                                    {"sum", Normalize::Sum},
                                    {"mean", Normalize::Mean},
                                    {"max", Normalize::Max},
                                    {"gaussian", Normalize::Gaussian},
                                    {"lamp", Normalize::Lamp}},
                                   Normalize::Mean);
  return out;
}

std::unique_ptr<Criterion> make_random(std::string_view text, const Options& options) {
  if (!options.empty()) refuse(text, "random has no options", "set the seed with --seed");
  return std::make_unique<Random>();
}

struct Entry {
  CriterionInfo info;
  std::unique_ptr<Criterion> (*make)(std::string_view, const Options&);
};
constexpr std::array kCriteria{
    Entry{{"magnitude", "sum of |w|^p over everything a unit owns; options p, reduce, normalize"},
          make_magnitude},
    Entry{{"random", "uniform scores from --seed: the baseline"}, make_random},
};

Options parse_options(std::string_view text, std::string_view list) {
  Options options;
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    const auto equals = item.find('=');
    if (equals == std::string_view::npos)
      refuse(text, "\"" + std::string(item) + "\" is not key=value", "for example magnitude:p=1");
    options[std::string(item.substr(0, equals))] = std::string(item.substr(equals + 1));
  }
  return options;
}

}  // namespace

std::unique_ptr<Criterion> make_criterion(std::string_view text) {
  const auto colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  std::string names;
  for (const Entry& entry : kCriteria) {
    if (entry.info.name == name)
      return entry.make(text,
                        parse_options(text, colon == std::string_view::npos ? "" : text.substr(colon + 1)));
    names += (names.empty() ? "" : ", ") + std::string(entry.info.name);
  }
  refuse(text, "unknown criterion \"" + std::string(name) + "\"", "known: " + names);
}

std::vector<CriterionInfo> known_criteria() {
  std::vector<CriterionInfo> out;
  for (const Entry& entry : kCriteria) out.push_back(entry.info);
  return out;
}

}  // namespace pollard::pruning
