// SPDX-License-Identifier: Apache-2.0
#include "cli/stage_bars.h"

namespace pollard::cli {

StageBars::StageBars(Context& context)
    : context_(context), scope_([this](const models::io::Stage& stage) { see(stage); }) {}

void StageBars::see(const models::io::Stage& stage) {
  if (!name_.empty() && stage.name != name_) return;
  if (name_.empty()) {
    name_ = stage.name;
    bar_.reset(new Progress(context_.progress(name_, stage.total, std::string(stage.unit))));
  }
  bar_->update(stage.done);
  if (stage.done < stage.total) return;
  bar_.reset();
  name_.clear();
}

}  // namespace pollard::cli
