// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pollard::models {

struct Family;

/// A built-in network against reference outputs recorded elsewhere (tests/golden/README.md has the format).
struct ParityResult {
  enum class Status : std::uint8_t { Passed, Failed, NotBuiltIn, NotAGolden };

  /// One compared output: the network's own, or a named intermediate value.
  struct Tap {
    std::string name;
    double error = 0;      ///< largest |value - reference| over the recorded samples, sum and l2 aside
    double largest = 0;    ///< largest |reference|
    double tolerance = 0;  ///< absolute: max(20 * reference's own rounding, 1e-5 * largest)
    std::string problem;   ///< a wrong shape, a missing tap; "" when values were compared
    bool passed() const { return problem.empty() && error <= tolerance; }
    double relative() const { return largest > 0 ? error / largest : error; }
  };

  Status status = Status::Failed;
  std::string golden, arch, family;
  std::string problem;  ///< why nothing was compared, or what differs in keys and counts
  std::size_t keys = 0, keys_matched = 0;
  std::int64_t parameters = 0, parameters_expected = 0;
  std::int64_t macs = -1;           ///< at the golden's inputs; -1 = could not be counted
  std::int64_t macs_expected = -1;  ///< -1 = the golden does not say
  bool float64 = false;             ///< outputs_f64 were compared, in double
  std::vector<Tap> taps;            ///< the output first

  bool passed() const { return status == Status::Passed; }
  double largest_relative_error() const;
};

struct ParityOptions {
  double tolerance = 0;  ///< relative; 0 takes the golden's
  bool float64 = false;  ///< run in double even where the golden has no outputs_f64
};

/// Builds arch + config, fills by the golden rule, compares names, shapes and parameter count, runs in eval
/// mode and compares outputs and taps. Throws UserError E0370 when the file is not readable JSON.
ParityResult check_golden(const std::filesystem::path& golden, const ParityOptions& options = {});
ParityResult check_golden(std::string_view golden_json, std::string_view name,
                          const ParityOptions& options = {});
/// The same for a network that is not built in: a layer by itself, wrapped in a family of its own.
ParityResult check_golden(const Family& family, const std::filesystem::path& golden,
                          const ParityOptions& options = {});

}  // namespace pollard::models
