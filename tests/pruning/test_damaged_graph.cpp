// SPDX-License-Identifier: Apache-2.0
// A file whose ops compute something else than its values say is refused before anything is proved of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "graph/error.h"
#include "models/io/pt2_reader.h"
#include "models/io/zip_reader.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

TEST(DamagedGraph, AValueOfAnotherShapeThanTheFileSaysIsRefused) {
  models::Model model = models::io::read_pt2(
      models::io::ZipReader(std::filesystem::path(test::data_folder()) / "cases" / "syn_sdpa.pt2"));
  const auto view = std::ranges::find(model.program.ops, "aten.view.default", &graph::Op::target);
  ASSERT_NE(view, model.program.ops.end());
  // The file says [2, 6, 3, 4, 4]; so the op makes [2, 3, 3, 4, 8], and the ops after it take that as well.
  view->set("size", graph::Arg::List{2L, 3L, 3L, 4L, -1L});
  const auto dependencies = graph::analyse(model.program);
  PlanOptions options;
  options.ratio = 0.5;
  const Plan plan = make_plan(model, dependencies, options);
  const models::Model pruned = prune(model, dependencies, plan.removal);
  try {
    verify(model, pruned, dependencies, plan.removal);
    FAIL() << "was taken";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0312");
    EXPECT_NE(error.parts().message.find("[2, 3, 3, 4, 8]"), std::string::npos) << error.parts().message;
  }
}

}  // namespace
}  // namespace pollard::pruning
