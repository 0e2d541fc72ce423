// SPDX-License-Identifier: Apache-2.0
// Pruning from disk to disk: the plan, the bytes and the proof of the network in memory, without the network in memory.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/io/checkpoint.h"
#include "models/io/stored_program.h"
#include "models/registry.h"
#include "models/stored_checkpoint.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/stream/rewrite.h"
#include "pruning/verify.h"
#include "tests/bad_files/temp_folder.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";

/// A small Llama in bf16 on three files with an index, as published checkpoints come.
class Folder {
 public:
  Folder() {
    fs::create_directories(in());
    const models::Family& family = *models::find_family("llama");
    const models::Model model = models::fresh_model(family, family.small_specs.front(), 0);
    std::vector<models::io::TensorMap> files(3);
    nlohmann::json index;
    std::size_t next = 0;
    for (const auto& [name, tensor] : model.weights) {
      if (name.ends_with("inv_freq")) continue;  // made by the constructor; published files lack it
      const std::size_t f = next++ % files.size();
      files[f][name] = tensor.is_floating_point() ? tensor.to(at::kBFloat16) : tensor;
      index["weight_map"][name] = file(f);
    }
    for (std::size_t f = 0; f < files.size(); ++f)
      models::io::save_safetensors(in() / file(f), files[f], {{"format", "pt"}}, false);
    std::ofstream(in() / kIndex) << index.dump();
    std::ofstream(in() / "config.json") << model.spec_json;
    std::ofstream(in() / "tokenizer.json") << "{}";
  }

  static std::string file(std::size_t f) {
    return "model-0000" + std::to_string(f + 1) + "-of-00003.safetensors";
  }
  fs::path in() const { return folder_ / "in"; }
  fs::path out(const char* name = "out") const { return folder_ / name; }

 private:
  bad_files::TempFolder folder_;
};

/// A checkpoint on disk with its plan of half the units.
struct Planned {
  models::StoredCheckpoint checkpoint;
  graph::Dependencies dependencies;
  StreamedSums sums;
  Plan plan;
  std::string json;

  explicit Planned(const fs::path& in, const StreamOptions& options = {}, const char* criterion = "magnitude")
      : checkpoint(models::open_stored(in)),
        dependencies(graph::analyse(checkpoint.model.program)),
        sums(checkpoint, dependencies, options),
        plan(make_plan(checkpoint.model, dependencies, {.ratio = 0.5, .criterion = criterion}, nullptr,
                       &sums)) {
    checkpoint.model.sha256 = checkpoint.sha256(sums.digests());
    json = to_json(plan, checkpoint.model, dependencies);
  }
  Planned(const Planned&) = delete;
  Planned& operator=(const Planned&) = delete;

  StreamReport write(const fs::path& out, const StreamOptions& options = {}, bool force = false) const {
    return rewrite_stored(checkpoint, dependencies, plan.removal,
                          {.out = out,
                           .plan_hash = plan_hash(json),
                           .metadata = {{models::io::kStoredProgram,
                                         models::io::stored_program(
                                             rewrite(checkpoint.model.program, dependencies, plan.removal))}},
                           .force = force},
                          options);
  }
};

std::map<std::string, std::string> bytes_in(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    out[entry.path().filename().string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return out;
}

TEST(Stream, DescribesTheNetworkWithoutItsWeights) {
  const Folder folder;
  const models::StoredCheckpoint stored = models::open_stored(folder.in());
  const models::Model loaded = models::load(folder.in());
  EXPECT_EQ(stored.model.family, "llama");
  EXPECT_EQ(graph::to_string(stored.model.program), graph::to_string(loaded.program));
  for (const graph::Input& input : stored.model.program.inputs)
    if (input.kind == graph::Input::Kind::Parameter)
      EXPECT_TRUE(stored.model.weights.at(input.source).is_meta()) << input.source;
}

TEST(Stream, ThePlanIsTheOneMadeInMemory) {
  const Folder folder;
  const models::Model loaded = models::load(folder.in());
  const graph::Dependencies d = graph::analyse(loaded.program);
  for (const char* criterion : {"magnitude", "magnitude:p=1", "lamp", "random"}) {
    const Plan plan = make_plan(loaded, d, {.ratio = 0.5, .criterion = criterion});
    EXPECT_EQ(Planned(folder.in(), {}, criterion).json, to_json(plan, loaded, d)) << criterion;
  }
}

TEST(Stream, TheResultIsTheNetworkPrunedInMemory) {
  const Folder folder;
  const Planned planned(folder.in());
  const StreamReport report = planned.write(folder.out());
  EXPECT_EQ(report.files, 3U);
  EXPECT_EQ(report.resumed, 0U);
  const models::Model loaded = models::load(folder.in());
  const models::Model pruned = prune(loaded, planned.dependencies, planned.plan.removal);
  const models::io::Checkpoint written = models::io::read_checkpoint(folder.out());
  EXPECT_EQ(written.sha256, report.sha256);
  for (const auto& [name, tensor] : written.tensors) {
    const std::string prefix = models::io::kStoredConstant;
    const at::Tensor& want = pruned.weights.at(name.starts_with(prefix) ? name.substr(prefix.size()) : name);
    ASSERT_EQ(tensor.sizes(), want.sizes()) << name;
    EXPECT_TRUE(at::equal(tensor, want)) << name;
  }
  const models::Model small = models::load(folder.out());
  const Verification v = verify(loaded, small, planned.dependencies, planned.plan.removal, {.inputs = 2});
  EXPECT_TRUE(v.ok) << v.max_relative;
  EXPECT_GT(v.change, 0);
  EXPECT_EQ(compare_slices(planned.checkpoint, models::open_stored(folder.out(), {.family = {}}),
                           planned.dependencies, planned.plan.removal, 50, 0),
            50U);
}

TEST(Stream, CarriesTokenizersAndLeavesTheOldSizesBehind) {
  const Folder folder;
  Planned(folder.in()).write(folder.out());
  EXPECT_TRUE(fs::exists(folder.out() / "tokenizer.json"));
  EXPECT_FALSE(fs::exists(folder.out() / "config.json"));
}

TEST(Stream, SmallBuffersGiveTheSameBytes) {
  const Folder folder;
  const Planned planned(folder.in()), small(folder.in(), {.memory_bytes = 1});
  EXPECT_EQ(planned.json, small.json);
  planned.write(folder.out("a"));
  planned.write(folder.out("b"), {.memory_bytes = 1});
  EXPECT_EQ(bytes_in(folder.out("a")), bytes_in(folder.out("b")));
}

struct Killed {};

TEST(Stream, AnInterruptedRunIsNoModelAndIsResumed) {
  const Folder folder;
  const Planned planned(folder.in());
  planned.write(folder.out("whole"));
  std::size_t resumed = 0;
  for (int pieces = 1; pieces < 40; pieces += 3) {
    const fs::path out = folder.out(("cut" + std::to_string(pieces)).c_str());
    std::atomic<int> left = pieces;
    StreamOptions options;
    options.progress = [&](std::uint64_t) {
      if (--left == 0) throw Killed();
    };
    try {
      planned.write(out, options);
    } catch (const Killed&) {
      EXPECT_FALSE(fs::exists(out / kIndex)) << pieces;
      EXPECT_THROW(models::load(out), UserError) << pieces;
    }
    resumed += planned.write(out, {}, fs::exists(out / kIndex)).resumed;
    EXPECT_EQ(bytes_in(out), bytes_in(folder.out("whole"))) << pieces;
  }
  EXPECT_GT(resumed, 0U);
}

TEST(Stream, WhatAKilledProcessLeavesIsNoModelInTheWay) {
  const Folder folder;
  fs::create_directories(folder.out());
  std::ofstream(folder.out() / ".pollard-half-a-file.tmp") << "cut";
  const Planned planned(folder.in());
  planned.write(folder.out());
  EXPECT_FALSE(fs::exists(folder.out() / ".pollard-half-a-file.tmp"));
  EXPECT_TRUE(fs::exists(folder.out() / kIndex));
}

TEST(Stream, AFileThatIsNotWhatItWasIsWrittenAgain) {
  const Folder folder;
  const Planned planned(folder.in());
  planned.write(folder.out("whole"));
  std::atomic<int> left = 20;
  StreamOptions options;
  options.progress = [&](std::uint64_t) {
    if (--left == 0) throw Killed();
  };
  EXPECT_THROW(planned.write(folder.out(), options), Killed);
  for (const auto& entry : fs::directory_iterator(folder.out()))
    if (entry.path().extension() == ".safetensors")
      std::fstream(entry.path(), std::ios::in | std::ios::out | std::ios::binary)
          .seekp(-1, std::ios::end)
          .put('!');
  EXPECT_EQ(planned.write(folder.out()).resumed, 0U);
  EXPECT_EQ(bytes_in(folder.out()), bytes_in(folder.out("whole")));
}

std::string code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "none";
}

TEST(Stream, RefusesWhatItCannotDo) {
  const Folder folder;
  const Planned planned(folder.in());
  planned.write(folder.out());
  EXPECT_EQ(code_of([&] { planned.write(folder.out()); }), "E0224");
  EXPECT_EQ(code_of([&] { planned.write(folder.out(), {}, true); }), "none");
  EXPECT_EQ(code_of([&] { Planned(folder.in(), {}, "fpgm"); }), "E0461");
  EXPECT_EQ(code_of([&] { models::open_stored(pollard::test::data_folder() + "/cases/transenc.pt2"); }),
            "E0460");
}

}  // namespace
}  // namespace pollard::pruning
