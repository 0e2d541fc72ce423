// SPDX-License-Identifier: Apache-2.0
#include "cli/config_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <CLI/App.hpp>
#include <cstdlib>

namespace pollard::cli {
namespace {

std::string scalar(const toml::node& node, const std::string& key) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  throw CLI::ConfigError(fmt::format("line {}: \"{}\" must be a text, number, true/false or a list of those",
                                     node.source().begin.line, key),
                         CLI::ExitCodes::ConfigError);
}

// A list reads like the comma-separated text one would type.
std::string value_text(const toml::node& node, const std::string& key) {
  const auto* list = node.as_array();
  if (list == nullptr) return scalar(node, key);
  std::string text;
  for (const toml::node& element : *list) text += (text.empty() ? "" : ",") + scalar(element, key);
  return text;
}

bool set_by_environment(const std::string& option) {
  const char* value = std::getenv(environment_name(option).c_str());
  return value != nullptr && *value != '\0';
}

void collect(const toml::table& table, const std::vector<std::string>& parents,
             std::vector<CLI::ConfigItem>& items) {
  for (const auto& [name, node] : table) {
    const std::string key(name.str());
    if (const auto* inner = node.as_table()) {
      std::vector<std::string> path = parents;
      path.push_back(key);
      collect(*inner, path, items);
    } else if (!parents.empty() || !set_by_environment(key)) {
      CLI::ConfigItem item;
      item.parents = parents;
      item.name = key;
      item.inputs = {value_text(node, key)};
      items.push_back(std::move(item));
    }
  }
}

}  // namespace

std::string environment_name(const std::string& option) {
  std::string name = "POLLARD_";
  for (const char c : option)
    name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return name;
}

std::vector<CLI::ConfigItem> TomlConfig::from_config(std::istream& input) const {
  try {
    std::vector<CLI::ConfigItem> items;
    collect(toml::parse(input), {}, items);
    return items;
  } catch (const toml::parse_error& error) {
    const auto position = error.source().begin;
    throw CLI::ConfigError(
        fmt::format("line {}, column {}: {}", position.line, position.column, error.description()),
        CLI::ExitCodes::ConfigError);
  }
}

std::string TomlConfig::to_config(const CLI::App*, bool, bool, std::string) const { return {}; }

}  // namespace pollard::cli
