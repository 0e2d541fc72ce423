// SPDX-License-Identifier: Apache-2.0
#include "graph/malformed.h"

#include "graph/error.h"

namespace pollard::graph {

void malformed(const Op& op, const std::string& detail) {
  throw UserError({.code = "E0312",
                   .exit = Exit::BadFile,
                   .subject = op.name,
                   .message = "the graph contradicts itself at " + op.target + ": " + detail,
                   .where = op.module.empty() ? "node " + op.name : "node " + op.name + " in " + op.module,
                   .why = "no torch.export archive looks like this; the file was damaged or edited",
                   .help = "export the network again"});
}

}  // namespace pollard::graph
