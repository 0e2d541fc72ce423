// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pollard::training {

/// How the learning rate moves over a run. All lengths are in steps.
struct Schedule {
  enum class Kind : std::uint8_t {
    Constant,
    Cosine,  ///< half a cosine from the peak to `floor` times the peak (Loshchilov and Hutter, SGDR, ICLR 2017)
    Step,    ///< times `factor` every `period` steps
    OneCycle  ///< cosine up from peak / 25 over 30 % of the run, then down to peak / 250,000 (Smith and Topin 2018)
  };
  Kind kind = Kind::Cosine;
  double peak = 0.1;         ///< the learning rate
  std::int64_t total = 1;    ///< steps of the whole run
  std::int64_t warm_up = 0;  ///< linear from 1 % of the peak; not with OneCycle, which has its own
  double floor = 0;
  std::int64_t period = 1;
  double factor = 0.1;

  /// The learning rate of a step, counted from 0.
  double rate(std::int64_t step) const;
};

/// "constant", "cosine", "step", "one-cycle".
std::optional<Schedule::Kind> schedule_from_string(std::string_view name);

}  // namespace pollard::training
