// SPDX-License-Identifier: Apache-2.0
#include "models/io/stage.h"

#include <utility>

namespace pollard::models::io {
namespace {

thread_local StageListener current;

}  // namespace

void tell_stage(const Stage& stage) {
  if (current) current(stage);
}

StageScope::StageScope(StageListener listener) : before_(std::exchange(current, std::move(listener))) {}
StageScope::~StageScope() { current = std::move(before_); }

}  // namespace pollard::models::io
