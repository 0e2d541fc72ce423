// SPDX-License-Identifier: Apache-2.0
// Criteria that look at samples, for networks whose weights stay on disk: part by part, with the scores of the network in memory.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "graph/error.h"
#include "models/io/safetensors.h"
#include "models/io/stored_program.h"
#include "models/registry.h"
#include "models/stored_checkpoint.h"
#include "pruning/plan.h"
#include "pruning/sample_stream.h"
#include "pruning/stream/activation_store.h"
#include "pruning/stream/segments.h"
#include "pruning/stream/slab_sums.h"
#include "pruning/verify.h"
#include "tests/bad_files/temp_folder.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

namespace fs = std::filesystem;

/// Weights of a network that is in memory after all, with the bounds of one that is not.
class InMemory final : public StoredWeights {
 public:
  InMemory(const models::Model& model, std::uint64_t bytes, fs::path folder)
      : model_(model), bytes_(bytes), folder_(std::move(folder)) {}
  std::vector<std::vector<double>> power_sums(const std::string&, std::span<const std::int64_t>,
                                              double) override {
    throw InternalError("not asked for here");
  }
  at::Tensor load(const graph::Input& input) override {
    ++loads;
    return model_.weights.at(input.source);
  }
  std::uint64_t memory_bytes() const override { return bytes_; }
  const fs::path& spill_folder() const override { return folder_; }
  int loads = 0;

 private:
  const models::Model& model_;
  std::uint64_t bytes_;
  fs::path folder_;
};

std::vector<at::Tensor> outputs_in_parts(const models::Model& model, std::uint64_t bytes,
                                         std::size_t& parts) {
  const bad_files::TempFolder folder;
  const graph::Dependencies d = graph::analyse(model.program);
  const CalibrationSet samples{.inputs = example_inputs(model, 1, 0).front()};
  const SampleStream stream(model, d, samples, samples.samples());
  InMemory weights(model, bytes, folder.path());
  std::vector<at::Tensor> out;
  parts = 0;
  stream.run_by_parts(
      weights, {}, {},
      [&](const SampleStream::Batch&, const std::vector<at::Tensor>& outputs) { out = outputs; },
      [&](std::size_t) { ++parts; });
  std::vector<at::Tensor> whole;
  stream.run(model.weights, {}, {},
             [&](const SampleStream::Batch&, const std::vector<at::Tensor>& outputs) { whole = outputs; });
  EXPECT_EQ(out.size(), whole.size());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(at::equal(out[i], whole[i]));
  return out;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(pollard::test::data_folder() + "/cases"))
    if (entry.path().extension() == ".pt2") names.push_back(entry.path().stem().string());
  std::ranges::sort(names);
  return names;
}

class InParts : public ::testing::TestWithParam<std::string> {};

/// One byte of room: a cut wherever there can be one, all activations on the disk.
TEST_P(InParts, ComputesWhatTheWholeComputes) {
  const models::Model model = models::load(pollard::test::data_folder() + "/cases/" + GetParam() + ".pt2");
  std::size_t parts = 0, one = 0;
  outputs_in_parts(model, 1, parts);
  outputs_in_parts(model, std::uint64_t{1} << 40, one);
  EXPECT_EQ(one, 1u);
  EXPECT_TRUE(parts > 1 || Segments(model.program, 0).size() == 1);
}

INSTANTIATE_TEST_SUITE_P(All, InParts, ::testing::ValuesIn(case_names()),
                         [](const auto& test) { return test.param; });

TEST(Segments, WeightsOfAPartStayWithinTheBound) {
  const models::Family& family = *models::find_family("llama");
  const models::Model model = models::fresh_model(family, family.small_specs.front(), 0);
  constexpr std::uint64_t kBound = 24'000;  // a block has 37 kB
  const Segments parts(model.program, kBound);
  EXPECT_GT(parts.size(), 3u);
  std::size_t ops = 0;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Segment part = parts.segment(model.program, p);
    std::uint64_t bytes = 0;
    std::size_t weights = 0;
    for (const graph::Input& input : part.program.inputs)
      if (input.kind != graph::Input::Kind::User)
        bytes += static_cast<std::uint64_t>(4 * part.program[input.value].numel()), ++weights;
    EXPECT_TRUE(bytes <= kBound || weights == 1) << "part " << p << ": " << bytes;
    EXPECT_GT(part.end, ops);
    ops = part.end;
  }
  EXPECT_EQ(ops, model.program.ops.size());
}

/// A Llama in f32, and samples for it.
struct Stored {
  bad_files::TempFolder folder;
  models::Model model;
  graph::Dependencies dependencies;
  CalibrationSet samples;
  fs::path file = folder / "model.safetensors";

  explicit Stored(const std::string& spec = models::find_family("llama")->small_specs.front()) {
    model = models::fresh_model(*models::find_family("llama"), spec, 0);
    models::save(model, file);
    model = models::load(file.string());
    dependencies = graph::analyse(model.program);
    samples.inputs = {at::randint(97, {13, 11}, at::kLong)};
  }
  Plan in_memory(const std::string& criterion) const {
    return make_plan(model, dependencies, {.ratio = 0.5, .criterion = criterion}, &samples);
  }
  Plan streamed(const std::string& criterion, std::uint64_t memory) const {
    const models::StoredCheckpoint checkpoint = models::open_stored(file);
    const graph::Dependencies d = graph::analyse(checkpoint.model.program);
    StreamedSums sums(checkpoint, d, {.memory_bytes = memory, .spill_folder = folder.path()});
    return make_plan(checkpoint.model, d, {.ratio = 0.5, .criterion = criterion}, &samples, &sums);
  }
};

TEST(StreamedSamples, ScoreAsInMemory) {
  const Stored stored;
  for (const char* criterion :
       {"wanda", "flap", "wanda:batch=4", "least-squares:metric=local,swaps=0,batch=5"})
    for (const std::uint64_t memory : {std::uint64_t{100'000}, std::uint64_t{1} << 30}) {
      const Plan whole = stored.in_memory(criterion), parts = stored.streamed(criterion, memory);
      EXPECT_FALSE(whole.empty());
      EXPECT_EQ(parts.removal.removed, whole.removal.removed) << criterion << ' ' << memory;
    }
}

TEST(StreamedSamples, AGroupThatNeedsTooMuchAtOnceIsKeptWithTheReason) {
  // 512 units that one layer reads: moments of 2 MiB.
  const Stored stored(R"({"vocab_size":97,"hidden_size":64,"intermediate_size":512,"num_hidden_layers":1,
                          "num_attention_heads":4,"max_position_embeddings":40})");
  const Plan plan = stored.streamed("least-squares:metric=local,swaps=0,memory=1", 1 << 20);
  EXPECT_FALSE(plan.empty());
  for (const GroupPlan& group : plan.groups) {
    const graph::Group& g = stored.dependencies.groups[static_cast<std::size_t>(group.group)];
    const bool wide = stored.dependencies.axes[static_cast<std::size_t>(g.axis)].size == 512;
    EXPECT_EQ(group.kept_whole.find("at once") != std::string::npos, wide) << group.kept_whole;
  }
}

TEST(StreamedSamples, GradientsAreRefused) {
  const Stored stored;
  for (const char* criterion : {"least-squares", "taylor", "fisher"}) try {
      stored.streamed(criterion, 1 << 20);
      ADD_FAILURE() << criterion;
    } catch (const UserError& error) {
      EXPECT_EQ(error.parts().code, "E0461");
    }
}

TEST(ActivationStore, GivesBackWhatDidNotFitAndUsesPlacesAgain) {
  const bad_files::TempFolder folder;
  ActivationStore store(folder.path(), 100);
  const at::Tensor a = at::randn({5, 4}), b = at::randn({7, 9}), c = at::randn({9, 7}).to(at::kHalf);
  const auto key = [](std::int64_t batch) { return ActivationStore::Key{batch, graph::ValueId{3}}; };
  store.put(key(0), a);
  store.put(key(1), b);
  store.put(key(2), c.t());  // not contiguous
  EXPECT_TRUE(at::equal(store.get(key(0)), a));
  EXPECT_TRUE(at::equal(store.get(key(1)), b));
  EXPECT_TRUE(at::equal(store.get(key(2)), c.t()));
  EXPECT_EQ(store.most_in_memory(), a.nbytes());
  EXPECT_EQ(store.most_on_disk(), b.nbytes() + c.nbytes());
  store.drop(key(1));
  store.put(key(5), b + 1);
  EXPECT_TRUE(at::equal(store.get(key(5)), b + 1));
  EXPECT_EQ(store.most_on_disk(), b.nbytes() + c.nbytes());
  EXPECT_TRUE(folder.names().empty());  // the file has no name
}

TEST(ActivationStore, RefusesAFolderThatIsNotThere) {
  const bad_files::TempFolder folder;
  ActivationStore store(folder / "missing", 0);
  EXPECT_THROW(store.put({0, graph::ValueId{0}}, at::ones({4})), UserError);
}

}  // namespace
}  // namespace pollard::pruning
