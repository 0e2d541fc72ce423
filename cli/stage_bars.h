// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "cli/context.h"
#include "models/io/stage.h"

namespace pollard::cli {

/// Draws what models/io/stage.h tells as progress bars while it lives. Of stages within each other the outermost is
/// shown: a bar that jumps between parts says nothing about the whole.
class StageBars {
 public:
  explicit StageBars(Context& context);

 private:
  void see(const models::io::Stage& stage);

  Context& context_;
  std::string name_;  ///< of the stage that is shown, "" for none
  std::unique_ptr<Progress> bar_;
  models::io::StageScope scope_;
};

}  // namespace pollard::cli
