// SPDX-License-Identifier: Apache-2.0
#include "kernels/allowed_ops.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include "graph/error.h"
#include "kernels/executor.h"

namespace pollard::kernels {
namespace {

TEST(AllowedOps, TakesNamesApart) {
  const OpName name = parse_op_name("aten.add.Tensor");
  EXPECT_EQ(name.qualified(), "aten::add");
  EXPECT_EQ(name.overload, "Tensor");
  EXPECT_EQ(parse_op_name("aten.relu.default").overload, "");
  EXPECT_EQ(parse_op_name("nonsense").space, "");
}

TEST(AllowedOps, LetsPureTensorOpsRun) {
  for (const char* target :
       {"aten.linear.default", "aten.relu_.default", "aten.lstm.input", "aten.__and__.Tensor",
        "aten.index_put_.default", "aten.sym_size.int", "aten.scaled_dot_product_attention.default",
        "_operator.mul", "torch.sym_max", "pollard.rnn.default"})
    EXPECT_TRUE(is_allowed(target)) << target;
}

TEST(AllowedOps, KeepsOutWhatReachesBeyondTensors) {
  for (const char* target :
       {"aten.from_file.default", "aten.save.default", "aten._print.default", "aten.set_.source_Storage",
        "aten.resize_.default", "aten.manual_seed.default", "aten.set_data.default",
        "aten._cudnn_init_dropout_state.default", "aten.record_stream.default", "aten.add.out",
        "aten.linear.out", "torchvision.nms.default", "prim.Print", "quantized.linear.default", "os.system",
        "_operator.attrgetter", "_operator.call", "aten", ""})
    EXPECT_FALSE(is_allowed(target)) << target;
}

TEST(AllowedOps, NoAllowedOpTakesAFileNameOrACallback) {
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (!name.name.starts_with("aten::")) continue;
    std::string target =
        "aten." + name.name.substr(6) + "." + (name.overload_name.empty() ? "default" : name.overload_name);
    const auto handle = c10::Dispatcher::singleton().findSchema(name);
    if (!handle || !is_allowed(target)) continue;
    for (const c10::Argument& argument : handle->schema().arguments()) {
      EXPECT_NE(argument.name(), "filename") << target;
      EXPECT_NE(argument.type()->kind(), c10::TypeKind::StorageType) << target;
      EXPECT_NE(argument.type()->kind(), c10::TypeKind::AnyType) << target;
    }
  }
}

TEST(AllowedOps, TheRefusalNamesOpAndNode) {
  const graph::Op op{.target = "torchvision.nms.default", .name = "nms_1"};
  try {
    require_allowed(op);
    FAIL() << "torchvision::nms was allowed";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0410");
    EXPECT_EQ(error.exit(), Exit::Unsupported);
    EXPECT_EQ(error.parts().subject, "torchvision.nms.default");
    EXPECT_NE(error.parts().where.find("nms_1"), std::string::npos);
  }
}

}  // namespace
}  // namespace pollard::kernels
