// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

/// How far long work has come, told by loops deep in the library to whoever runs it: the command line draws a bar from
/// it, hosts may do as they like, and nobody needs to listen. Beside cancel.h, which goes the other way.
namespace pollard::models::io {

struct Stage {
  std::string_view name;  ///< "verify", "repair"
  std::string_view unit;  ///< what is counted: "inputs", "layers"
  std::int64_t done = 0, total = 0;
};
using StageListener = std::function<void(const Stage&)>;

/// Tells the listener of this thread, if there is one. Loops call it before the first step (done = 0), so that what they
/// call in turn is known to be a part of them, and after each.
void tell_stage(const Stage& stage);

/// Listens while it lives; the one before it listens again afterwards.
class StageScope {
 public:
  explicit StageScope(StageListener listener);
  ~StageScope();
  StageScope(const StageScope&) = delete;
  StageScope& operator=(const StageScope&) = delete;

 private:
  StageListener before_;
};

}  // namespace pollard::models::io
