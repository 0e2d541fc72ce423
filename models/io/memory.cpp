// SPDX-License-Identifier: Apache-2.0
#include "models/io/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>

#include "graph/error.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
/// Less is not worth asking the system for.
constexpr std::uint64_t kSmall = std::uint64_t{1} << 20;

std::uint64_t difference(std::uint64_t limit, std::uint64_t taken) {
  return limit > taken ? limit - taken : 0;
}

/// The number a file of the system begins with, or that follows `name` in it.
std::optional<std::uint64_t> number_in(const fs::path& path, const std::string& name = "") {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (name.empty()) return file >> value ? std::optional(value) : std::nullopt;
  for (std::string word; file >> word;)
    if (word == name) return file >> value ? std::optional(value) : std::nullopt;
  return std::nullopt;
}

std::uint64_t system_leaves() {
  const auto kibibytes = number_in("/proc/meminfo", "MemAvailable:");
  return kibibytes ? *kibibytes * 1024 : kUnlimited;
}

/// One level of a hierarchy of control groups; the files of version 1 and 2 have other names.
std::uint64_t group_leaves(const fs::path& folder) {
  std::uint64_t least = kUnlimited;
  for (const auto& [limit_name, taken_name, cache_name] :
       {std::array<const char*, 3>{"memory.max", "memory.current", "inactive_file"},
        {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}}) {
    const auto limit = number_in(folder / limit_name), taken = number_in(folder / taken_name);
    if (!limit || !taken) continue;  // "max" is no number
    const std::uint64_t cache = number_in(folder / "memory.stat", cache_name).value_or(0);
    least = std::min(least, difference(*limit, difference(*taken, cache)));
  }
  return least;
}

/// Every group the process is in counts, up to the root.
std::uint64_t groups_leave() {
  std::uint64_t least = kUnlimited;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && controllers.find("memory") == std::string::npos) continue;
    const fs::path root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    for (fs::path group = fs::path(line.substr(second + 1)).relative_path();; group = group.parent_path()) {
      least = std::min(least, group_leaves(root / group));
      if (group.empty()) break;
    }
  }
  return least;
}

std::uint64_t address_space_leaves() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const auto pages = number_in("/proc/self/statm");
  return difference(limit.rlim_cur, pages.value_or(0) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

}  // namespace

std::uint64_t free_memory() { return std::min({system_leaves(), groups_leave(), address_space_leaves()}); }

void require_memory(std::uint64_t bytes, const std::string& subject, const std::string& help) {
  if (bytes < kSmall) return;
  const std::uint64_t free = free_memory();
  if (bytes <= free) return;
  throw UserError({.code = "E0504",
                   .exit = Exit::Environment,
                   .subject = subject,
                   .message = "needs " + human_bytes(static_cast<double>(bytes)) + " of memory, " +
                              human_bytes(static_cast<double>(free)) + " are free",
                   .help = help.empty() ? "close other programs, or use a machine with more memory" : help});
}

}  // namespace pollard::models::io
