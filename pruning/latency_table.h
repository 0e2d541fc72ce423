// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace pollard::pruning {

/// How long ops take on this machine, in seconds, by what they are and the shapes they get ("aten.linear.default(
/// input=f32[8,64], ...)"). Kept on disk as JSON "pollard.latency/1", apart for every processor, number of threads and
/// LibTorch version, so that a file may travel or be shared. Delete the file to measure again.
class LatencyTable {
 public:
  /// Reads `path` where it exists; "" keeps the table in memory only. Throws UserError E0326 for a file that is no such
  /// table.
  explicit LatencyTable(std::filesystem::path path);
  std::optional<double> find(const std::string& op) const;
  void put(const std::string& op, double seconds) { mine_[op] = seconds, changed_ = true; }
  std::size_t size() const { return mine_.size(); }
  /// Writes what was put since, atomically; folders are made. Throws what AtomicFile throws.
  void save();

  /// latency.json in $XDG_CACHE_HOME/pollard or ~/.cache/pollard; "" where neither variable is set.
  static std::filesystem::path default_path();
  /// "Intel(R) Xeon(R) ..., 1 thread, LibTorch 2.13.0": whose times these are.
  static std::string machine();

 private:
  std::filesystem::path path_;
  std::map<std::string, double> mine_;                           ///< of this machine
  std::map<std::string, std::map<std::string, double>> others_;  ///< by machine
  bool changed_ = false;
};

}  // namespace pollard::pruning
