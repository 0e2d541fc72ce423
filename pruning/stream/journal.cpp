// SPDX-License-Identifier: Apache-2.0
#include "pruning/stream/journal.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "graph/error.h"
#include "models/io/atomic_file.h"
#include "models/io/bytes.h"
#include "models/io/file.h"
#include "models/io/json.h"

namespace pollard::pruning {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargest = std::uint64_t{64} << 20;

std::vector<fs::path> journals(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".pollard-stream.") && name.ends_with(".json")) out.push_back(entry.path());
  }
  return out;
}

/// null where the object lacks it.
const nlohmann::json& field(const nlohmann::json& object, const char* name) {
  static const nlohmann::json none;
  const auto found = object.find(name);
  return found == object.end() ? none : *found;
}

}  // namespace

Journal::Journal(fs::path folder, bool kept, int rank, std::string plan_hash)
    : folder_(std::move(folder)), kept_(kept), rank_(rank), plan_hash_(std::move(plan_hash)) {
  if (kept_)
    for (const fs::path& path : journals(folder_)) read(path);
}

/// A journal that does not read, or of another plan, tells nothing: its files are written again.
void Journal::read(const fs::path& path) {
  const auto bytes = models::io::read_file(path, kLargest);
  const auto json = nlohmann::json::parse(models::io::as_text(bytes), nullptr, false);
  if (!json.is_object() || field(json, "schema") != "pollard.stream/1" ||
      field(json, "plan_sha256") != plan_hash_ || !field(json, "files").is_object())
    return;
  for (const auto& [name, entry] : json["files"].items())
    if (entry.is_object() && field(entry, "bytes").is_number_unsigned() && field(entry, "sha256").is_string())
      found_[name] = {entry["bytes"].get<std::uint64_t>(), entry["sha256"].get<std::string>()};
}

std::optional<std::string> Journal::whole(const std::string& name, const fs::path& path) const {
  const auto entry = found_.find(name);
  std::error_code error;
  if (entry == found_.end() || !fs::is_regular_file(path, error)) return std::nullopt;
  const auto source = models::io::open_file(path);
  if (source->size() != entry->second.bytes || models::io::sha256(*source) != entry->second.sha256)
    return std::nullopt;
  return entry->second.sha256;
}

void Journal::enter(const std::string& name, std::uint64_t bytes, const std::string& sha256) {
  if (!kept_) return;
  const std::lock_guard lock(mutex_);
  own_[name] = {bytes, sha256};
  write();
}

void Journal::begin() {
  if (kept_) write();
}

void Journal::write() const {
  nlohmann::ordered_json json{{"schema", "pollard.stream/1"},
                              {"plan_sha256", plan_hash_},
                              {"files", nlohmann::ordered_json::object()}};
  // What an interrupted run of this rank entered stays entered.
  std::map<std::string, Entry> all = found_;
  for (const auto& [file, entry] : own_) all.insert_or_assign(file, entry);
  for (const auto& [file, entry] : all)
    json["files"][file] = {{"bytes", entry.bytes}, {"sha256", entry.sha256}};
  models::io::write_file(folder_ / (".pollard-stream." + std::to_string(rank_) + ".json"),
                         models::io::as_bytes(json.dump(1)), true);
}

bool Journal::any(const fs::path& folder) { return !journals(folder).empty(); }

void Journal::remove_all(const fs::path& folder) {
  std::error_code error;
  for (const fs::path& path : journals(folder)) fs::remove(path, error);
}

}  // namespace pollard::pruning
