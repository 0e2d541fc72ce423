// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace pollard::pruning {

/// Which files of a streamed result are whole: FOLDER/.pollard-stream.RANK.json, written anew (atomically) after each. A
/// later run for the same plan finds the entries of all ranks. A single file needs none: it is whole when it exists.
class Journal {
 public:
  /// Reads what earlier runs with this plan hash entered. `kept`: false makes a journal that does nothing.
  Journal(std::filesystem::path folder, bool kept, int rank, std::string plan_hash);

  /// The SHA-256 of a file that is entered and has, on disk, the bytes it had then.
  std::optional<std::string> whole(const std::string& name, const std::filesystem::path& path) const;
  /// Before the first file: from here on the folder is known as an unfinished result.
  void begin();
  /// Safe from several threads.
  void enter(const std::string& name, std::uint64_t bytes, const std::string& sha256);

  /// Whether a run was interrupted here.
  static bool any(const std::filesystem::path& folder);
  static void remove_all(const std::filesystem::path& folder);

 private:
  struct Entry {
    std::uint64_t bytes;
    std::string sha256;
  };
  void read(const std::filesystem::path& path);
  void write() const;

  std::filesystem::path folder_;
  bool kept_;
  int rank_;
  std::string plan_hash_;
  std::map<std::string, Entry> found_, own_;
  std::mutex mutex_;
};

}  // namespace pollard::pruning
