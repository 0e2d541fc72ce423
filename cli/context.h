// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/ui/progress.h"
#include "cli/ui/table.h"
#include "cli/ui/terminal.h"
#include "cli/ui/theme.h"

namespace pollard::cli {

using Json = nlohmann::ordered_json;

/// Where output goes. Data to `out`, narration to `err`.
struct Streams {
  std::ostream& out;
  std::ostream& err;
  Terminal out_terminal;
  Terminal err_terminal;
};

/// The options every command takes.
struct Globals {
  int verbosity = 0;
  bool quiet = false;
  bool json = false;
  std::string color = "auto";
  std::string device = "auto";
  int threads = 0;  ///< 0: LibTorch's own choice
  std::uint64_t seed = 0;
  std::string log_file;
  bool no_progress = false;
};

/// What a command needs to speak: its streams, the global options, and the one way to print each kind of thing.
class Context {
 public:
  Context(Streams streams, Globals globals, std::string command);

  const Globals& globals() const { return globals_; }
  bool json() const { return globals_.json; }
  int width() const { return streams_.out_terminal.width; }
  const Theme& theme() const { return out_theme_; }
  const Theme& err_theme() const { return err_theme_; }

  // Data, to stdout. With --json only print_json writes there; with -q tables are TSV without a header.
  void print(const Table& table);
  void print(const Table& table, TableFormat format);
  void print(const std::string& text);
  /// A line of the report around the tables; nothing with -q or --json.
  void report(const std::string& text);
  /// Adds "schema" (`pollard.<command>/1`), "tool" and "warnings" round the fields and prints one line.
  void print_json(const Json& fields);
  /// A line to stdout as it is, --json or not: documents whose text is canonical.
  void print_line(const std::string& line);

  // Narration, to stderr; -q leaves only warnings.
  void note(const std::string& text);
  void next(const std::string& command);
  void warn(const std::string& message);
  Progress progress(const std::string& label, std::int64_t total, const std::string& unit);

 private:
  Streams streams_;
  Globals globals_;
  std::string command_;
  Theme out_theme_, err_theme_;
  std::vector<std::string> warnings_;
};

/// One line of JSON. Bytes that are not UTF-8 are replaced, so printing never fails.
std::string dump(const Json& json);

ColorMode color_mode(const std::string& name);

}  // namespace pollard::cli
