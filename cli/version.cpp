// SPDX-License-Identifier: Apache-2.0
#include "cli/version.h"

#ifndef POLLARD_VERSION
#define POLLARD_VERSION "0.1.0"
#endif
#ifndef POLLARD_COMMIT
#define POLLARD_COMMIT ""
#endif

namespace pollard::cli {

std::string version() {
  const std::string commit = POLLARD_COMMIT;
  return commit.empty() ? POLLARD_VERSION : POLLARD_VERSION "+g" + commit;
}

std::string tool_name() { return "pollard " + version(); }

}  // namespace pollard::cli
