// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <optional>

#include "models/families/vision_lstm.h"
#include "models/layers/mlstm.h"

namespace pollard::models {
namespace {

struct MlstmCellSpec {
  std::int64_t dim = 384, num_heads = 4, seq = 196, chunk = 64;
  std::string form = "parallel";
  /// "cell" reads q, k, v. "compared" also gives h before the norm of the parallel and the recurrent form, and the last
  /// state. "projected" makes q, k, v of one input and the output of h by linear maps.
  std::string network = "compared";
  bool norm_bias = false;

  void fields(Fields& f) {
    f.integer("dim", dim, {1, 1 << 14});
    f.integer("num_heads", num_heads, {1, 1024});
    f.integer("seq", seq, {1, 1 << 14});
    f.integer("chunk", chunk, {1, 1 << 14});
    f.text("form", form, {"parallel", "recurrent", "chunkwise"});
    f.text("network", network, {"compared", "cell", "projected"});
    f.flag("norm_bias", norm_bias);
    f.require(dim % num_heads == 0, "num_heads divides dim");
  }
  bool projected() const { return network == "projected"; }
  MlstmCell::Options cell() const {
    return {.width = dim,
            .heads = num_heads,
            .norm_bias = norm_bias ? Bias::Yes : Bias::No,
            .form = form == "parallel"    ? MlstmForm::Parallel
                    : form == "recurrent" ? MlstmForm::Recurrent
                                          : MlstmForm::Chunkwise,
            .chunk = chunk};
  }
};

class MlstmCellNetwork : public Network {
 public:
  explicit MlstmCellNetwork(MlstmCellSpec spec) : spec_(std::move(spec)), cell_(spec_.cell()) {
    for (std::size_t i = 0; spec_.projected() && i < kNames.size(); ++i)
      child(kNames[i], projections_[i].emplace(spec_.dim, spec_.dim));
    child("", cell_);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    if (spec_.projected()) {
      const at::Tensor& x = inputs.at(0);
      return (*projections_[3])(cell_((*projections_[0])(x), (*projections_[1])(x), (*projections_[2])(x)));
    }
    const at::Tensor &q = inputs.at(0), &k = inputs.at(1), &v = inputs.at(2);
    const at::Tensor y = cell_(q, k, v);
    if (spec_.network == "cell") return y;
    const MlstmInputs x = cell_.inputs(q, k, v);
    const at::Tensor parallel = mlstm_parallel(x);
    const MlstmOutput recurrent = mlstm_recurrent(x, MlstmState::zeros(x));
    const MlstmState& last = recurrent.state;
    tap("h parallel, before the norm", parallel);
    tap("h recurrent, before the norm", recurrent.h);
    tap("C after last step", last.C);
    tap("n", last.n);
    tap("m", last.m);
    return Result::tuple({y, parallel, recurrent.h, last.C, last.n, last.m});
  }

  std::vector<Example> examples() const override {
    const std::vector<Dim> shape{batch(), spec_.seq, spec_.dim};
    if (spec_.projected()) return {{"x", shape}};
    return {{"q", shape}, {"k", shape}, {"v", shape}};
  }

 private:
  static constexpr std::array<const char*, 4> kNames{"q_proj", "k_proj", "v_proj", "out_proj"};
  MlstmCellSpec spec_;
  std::array<std::optional<Linear>, 4> projections_;
  MlstmCell cell_;
};

std::string guess(const Shapes& shapes) {
  MlstmCellSpec s;
  s.dim = shapes.dim("outnorm.weight", 0);
  s.num_heads = shapes.dim("igate.weight", 0);
  if (shapes.has("out_proj.weight")) s.network = "projected";
  s.norm_bias = shapes.has("outnorm.bias");
  return spec_to_json(s);
}

}  // namespace

Family mlstm_cell() {
  Family f =
      make_family<MlstmCellSpec, MlstmCellNetwork>("mlstm_cell", "one mLSTM cell, in any of its forms");
  f.golden_archs = {"mlstm_cell"};
  const std::string tiny = R"({"dim":16,"num_heads":4,"seq":7,"network":"projected")";
  f.small_specs = {tiny + "}", tiny + R"(,"form":"recurrent"})",
                   tiny + R"(,"form":"chunkwise","chunk":3,"norm_bias":true})"};
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
