// SPDX-License-Identifier: Apache-2.0
// Disks that fill, processes that die, memory that is not there: rows 31 to 36 of the table in docs/security.md, on the
// commands as they are typed. What needs signals and limits starts the program itself.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "cli/prune_outcome.h"
#include "graph/error.h"
#include "tests/bad_files/builders.h"
#include "tests/bad_files/expect_error.h"
#include "tests/bad_files/failing_calls.h"
#include "tests/cli/support/cases.h"
#include "tests/cli/support/process.h"
#include "tests/graph/program_builder.h"
#include "tests/sanitizers.h"

namespace pollard::cli::test {
namespace {

namespace fs = std::filesystem;
using bad_files::FailingCalls;
using bad_files::little;
using models::io::SystemCalls;
using Contents = std::map<std::string, std::string>;  ///< of files, by their path below a folder

bool is_temporary(const std::string& name) {
  return name.find(".pollard-") != std::string::npos && name.ends_with(".tmp");
}

std::string big(std::uint32_t value) {
  std::string out = little(value, 4);
  std::ranges::reverse(out);
  return out;
}

/// Everything the commands read, beside an empty folder for what they write.
class Place {
 public:
  Place() {
    fs::create_directories(in("images"));
    fs::create_directories(in("shards"));
    fs::create_directories(out(""));
    fs::copy_file(case_path("syn_flatten_fc"), in("m.pt2"));
    fs::copy_file(case_path("syn_sdpa"), in("attention.pt2"));
    fs::copy_file(pollard::test::data_folder() + "/training/data/net.pt2", in("net.pt2"));
    run({"export", in("m.pt2"), in("shards/w.safetensors")});
    write_index();
    std::string images = std::string("\0\0\x08\x03", 4) + big(32) + big(6) + big(6),
                labels = std::string("\0\0\x08\x01", 4) + big(32);
    for (int i = 0; i < 32 * 36; ++i) images += static_cast<char>(i * 37 % 251);
    for (int i = 0; i < 32; ++i) labels += static_cast<char>(i % 4);
    write_text(in("images/train-images-idx3-ubyte"), images);
    write_text(in("images/train-labels-idx1-ubyte"), labels);
  }

  std::string in(const std::string& name) const { return folder_ / ("in/" + name); }
  std::string out(const std::string& name) const { return folder_ / ("out/" + name); }

  Result run(const std::vector<std::string>& arguments) const {
    const Result result = run_cli(arguments);
    EXPECT_EQ(result.exit, 0) << arguments.front() << "\n" << result.err;
    return result;
  }
  Contents written() const {
    Contents found;
    for (const auto& entry : fs::recursive_directory_iterator(out("")))
      if (entry.is_regular_file()) found[fs::relative(entry.path(), out(""))] = read_text(entry.path());
    return found;
  }
  /// Nothing there but what `old` says.
  void reset(const Contents& old = {}) const {
    fs::remove_all(out(""));
    fs::create_directories(out(""));
    for (const auto& [name, text] : old) write_text(out(name), text);
  }

 private:
  void write_index() const {
    const std::string text = read_text(in("shards/w.safetensors"));
    std::size_t length = 0;
    for (int i = 7; i >= 0; --i)
      length = length << 8 | static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
    const nlohmann::json header = nlohmann::json::parse(text.substr(8, length));
    nlohmann::json index;
    for (const auto& [name, entry] : header.items())
      if (name != "__metadata__") index["weight_map"][name] = "w.safetensors";
    write_text(in("shards/model.safetensors.index.json"), index.dump());
  }

  ScopedFolder folder_;
};

struct Command {
  std::string name;
  std::function<std::vector<std::string>(const Place&)> line;
  std::vector<std::string> outputs;  ///< that exist before, so that they are replaced
};

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      {"prune_pt2",
       [](const Place& p) {
         return std::vector<std::string>{"prune", p.in("m.pt2"), p.out("o.pt2"), "--ratio", "0.5"};
       },
       {"o.pt2"}},
      {"prune_safetensors",
       [](const Place& p) {
         return std::vector<std::string>{"prune", p.in("m.pt2"), p.out("o.safetensors"), "--ratio", "0.5"};
       },
       {"o.safetensors"}},
      {"stream",
       [](const Place& p) {
         return std::vector<std::string>{"prune",        p.in("shards/model.safetensors.index.json"),
                                         p.out("model"), "--ratio",
                                         "0.5",          "--stream"};
       },
       {}},
      {"plan",
       [](const Place& p) {
         return std::vector<std::string>{"plan", p.in("m.pt2"), "--ratio", "0.5", "-o", p.out("plan.json")};
       },
       {"plan.json"}},
      {"sweep",
       [](const Place& p) {
         return std::vector<std::string>{"plan",  p.in("m.pt2"),  "--sweep", "0.2:0.4:0.2",
                                         "--csv", p.out("t.csv"), "--svg",   p.out("t.svg")};
       },
       {"t.csv", "t.svg"}},
      {"couplings",
       [](const Place& p) {
         return std::vector<std::string>{"inspect", p.in("m.pt2"), "--dot", p.out("g.dot")};
       },
       {"g.dot"}},
      {"export",
       [](const Place& p) {
         return std::vector<std::string>{"export", p.in("m.pt2"), p.out("m.json")};
       },
       {"m.json"}},
      {"compress",
       [](const Place& p) {
         return std::vector<std::string>{"compress",     p.in("attention.pt2"),
                                         p.out("o.pt2"), "--monarch",
                                         "--blocks",     "2",
                                         "--keep",       "0.9",
                                         "--repeat",     "1"};
       },
       {"o.pt2"}},
      {"train",
       [](const Place& p) {
         return std::vector<std::string>{
             "train", p.in("net.pt2"), p.in("images"), p.out("t.safetensors"), "--epochs", "2", "--batch",
             "16"};
       },
       {"t.safetensors"}},
  };
  return all;
}

void PrintTo(const Command& command, std::ostream* out) { *out << command.name; }

class EveryCommand : public testing::TestWithParam<Command> {
 protected:
  std::vector<std::string> line() const {
    std::vector<std::string> words = GetParam().line(place);
    if (GetParam().name != "stream") words.push_back("--force");
    return words;
  }
  Contents old() const {
    Contents out;
    for (const std::string& name : GetParam().outputs) out[name] = "old";
    return out;
  }
  Place place;
};

std::string name_of(const testing::TestParamInfo<Command>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Row31, EveryCommand, testing::ValuesIn(commands()), name_of);

/// What a run that goes well leaves.
Contents whole(const Place& place, const std::vector<std::string>& line, const Contents& old) {
  place.reset(old);
  place.run(line);
  return place.written();
}

/// An intermediate file, which a later run goes on from.
bool is_unfinished(const std::string& name) {
  return name.ends_with(".checkpoint") || name.find(".pollard-stream.") != std::string::npos;
}

void expect_old_or_new(const Contents& found, const Contents& old, const Contents& reference,
                       const std::string& when) {
  for (const auto& [name, text] : found) {
    EXPECT_FALSE(is_temporary(name)) << name << " " << when;
    const auto before = old.find(name), after = reference.find(name);
    EXPECT_TRUE(is_unfinished(name) || (before != old.end() && before->second == text) ||
                (after != reference.end() && after->second == text))
        << name << " is neither the old file nor the new one " << when;
  }
  for (const auto& [name, text] : old) EXPECT_TRUE(found.contains(name)) << name << " vanished " << when;
}

TEST_P(EveryCommand, WhicheverCallFailsLeavesTheOldFilesOrTheNewOnesWhole) {
  const Contents reference = whole(place, line(), old());
  bool all_seen = false;
  for (int failing = 0; failing < 1000 && !all_seen; ++failing) {
    place.reset(old());
    FailingCalls calls(failing, failing % 2 == 0 ? ENOSPC : EIO);
    SystemCalls::replace(&calls);
    const Result result = run_cli(line());
    SystemCalls::replace(nullptr);
    all_seen = calls.failed.empty();
    const std::string when = "when call " + std::to_string(failing) + " (" + calls.failed + ") fails";
    EXPECT_EQ(result.exit, all_seen || calls.harmless() ? 0 : 5) << when << "\n" << result.err;
    if (result.exit != 0) EXPECT_NE(result.err.find("error[E050"), std::string::npos) << result.err;
    expect_old_or_new(place.written(), old(), reference, when);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_TRUE(all_seen);
}

class FullDisk final : public SystemCalls {
 public:
  std::int64_t free_bytes(const char*) override { return 100; }
};

TEST(Row31, AFullDiskIsMetBeforeTheWorkIsDone) {
  const Place place;
  FullDisk disk;
  for (const char* name : {"prune_pt2", "stream", "train"}) {
    place.reset();
    const auto command = std::ranges::find(commands(), name, &Command::name);
    SystemCalls::replace(&disk);
    const Result result = run_cli(command->line(place));
    SystemCalls::replace(nullptr);
    EXPECT_EQ(result.exit, 5) << result.err;
    EXPECT_NE(result.err.find("E0501"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("free on its disk"), std::string::npos) << result.err;
    for (const char* work : {"verify", "wrote", "loss"})
      EXPECT_EQ(result.out.find(work), std::string::npos) << result.out;
    EXPECT_EQ(place.written(), Contents{}) << name;
  }
}

TEST(Row31, ALimitOfTheFileSizeIsAnErrorBeforeOrWhileWriting) {
  const Place place;
  for (const std::uint64_t bytes : {1000, 8000}) {
    const Ending end = Process({"prune", place.in("m.pt2"), place.out("o.pt2"), "--ratio", "0.5", "-q"},
                               {.file_size = bytes})
                           .wait();
    EXPECT_EQ(end.exit, 5) << "signal " << end.signal << "\n" << end.err;
    EXPECT_NE(end.err.find("E0501"), std::string::npos) << end.err;
    EXPECT_EQ(place.written(), Contents{});
  }
}

/// Half the epochs of a run that never ends by itself in a test's time.
std::vector<std::string> long_training(const Place& place, const std::string& epochs) {
  return {"train",
          place.in("net.pt2"),
          place.in("images"),
          place.out("t.safetensors"),
          "--epochs",
          epochs,
          "--batch",
          "16",
          "--loaders",
          "0",
          "--threads",
          "1"};
}

void wait_for(const std::string& path, Process& process) {
  while (process.running() && !fs::exists(path)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

TEST(Row32, PruneIsInterruptedAtAnyMomentAndLeavesNothingHalf) {
  const Place place;
  const std::vector<std::string> line{"prune", place.in("m.pt2"), place.out("o.pt2"), "--ratio", "0.5"};
  const Ending undisturbed = Process(line).wait();
  ASSERT_EQ(undisturbed.exit, 0) << undisturbed.err;
  const Contents reference = place.written();
  const int signals[] = {SIGINT, SIGTERM, SIGHUP};
  for (int round = 0; round < 9; ++round) {
    place.reset();
    Process process(line);
    std::this_thread::sleep_for(std::chrono::duration<double>(undisturbed.seconds * (round + 1) / 10));
    process.send(signals[round % 3]);
    const Ending end = process.wait();
    // Before main() has begun, a signal ends any process.
    EXPECT_TRUE(end.exit == 130 || end.exit == 0 || end.signal == signals[round % 3]) << end.exit << "\n"
                                                                                      << end.err;
    if (end.exit == 130) EXPECT_NE(end.err.find("E0509"), std::string::npos) << end.err;
    const Contents found = place.written();
    if (end.exit == 0) EXPECT_TRUE(found == reference);
    if (end.exit != 0) EXPECT_EQ(found, Contents{}) << round;
  }
}

TEST(Row32, TrainingSavesACheckpointAndGoesOnAsIfNothingHadHappened) {
  const Place place;
  ASSERT_EQ(Process(long_training(place, "60")).wait().exit, 0);
  const std::string reference = read_text(place.out("t.safetensors"));
  place.reset();
  Process process(long_training(place, "60"));
  wait_for(place.out("t.safetensors.checkpoint"), process);
  process.send(SIGINT);
  const Ending end = process.wait();
  if (end.exit != 0) {  // it may have been faster
    EXPECT_EQ(end.exit, 130) << end.err;
    EXPECT_NE(end.err.find("E0515"), std::string::npos) << end.err;
    const Contents found = place.written();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found.begin()->first, "t.safetensors.checkpoint");
    std::vector<std::string> again = long_training(place, "60");
    again.push_back("--resume");
    EXPECT_EQ(Process(again).wait().exit, 0);
  }
  EXPECT_TRUE(read_text(place.out("t.safetensors")) == reference);
}

TEST(Row32, ASecondSignalEndsItAtOnce) {
  const Place place;
  Process process(long_training(place, "100000"));
  wait_for(place.out("t.safetensors.checkpoint"), process);
  process.send(SIGINT);
  process.send(SIGTERM);
  const Ending end = process.wait();
  EXPECT_TRUE(end.exit == 130 || end.signal == SIGTERM || end.signal == SIGINT) << end.exit;
  for (const auto& [name, text] : place.written()) EXPECT_FALSE(is_temporary(name)) << name;
}

TEST(Row33, KilledWhileItWritesTheOldFileOrTheNewOneIsWhole) {
  const Place place;
  const std::vector<std::string> line{"prune", place.in("m.pt2"), place.out("o.pt2"), "--ratio",
                                      "0.5",   "--force"};
  const Ending undisturbed = Process(line).wait();
  ASSERT_EQ(undisturbed.exit, 0) << undisturbed.err;
  const std::string reference = place.written().at("o.pt2");
  for (int round = 0; round < 8; ++round) {
    place.reset({{"o.pt2", "old"}});
    Process process(line);
    std::this_thread::sleep_for(std::chrono::duration<double>(undisturbed.seconds * (8 + round) / 16));
    process.send(SIGKILL);
    process.wait();
    const std::string found = place.written().at("o.pt2");
    EXPECT_TRUE(found == "old" || found == reference) << round;
  }
}

/// A training run writes its checkpoint after every epoch, which here is most of what it does.
TEST(Row33, KilledBetweenCheckpointsTrainingGoesOn) {
  const Place place;
  for (int round = 0; round < 4; ++round) {
    Process process(long_training(place, "100000"));
    wait_for(place.out("t.safetensors.checkpoint"), process);
    std::this_thread::sleep_for(std::chrono::milliseconds(7 * round));
    process.send(SIGKILL);
    EXPECT_EQ(process.wait().signal, SIGKILL);
    std::vector<std::string> again = long_training(place, "100000");
    again.push_back("--resume");
    Process resumed(again);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    while (resumed.running() && read_text(place.out("t.safetensors.checkpoint")).empty()) {}
    resumed.send(SIGINT);
    const Ending end = resumed.wait();
    EXPECT_TRUE(end.exit == 130 || end.signal == SIGINT) << end.exit << "\n" << end.err;
    if (end.exit == 130) EXPECT_NE(end.err.find("E0515"), std::string::npos) << end.err;
  }
}

/// A file of one tensor of `bytes`, none of them on the disk.
void write_sparse(const std::string& path, std::uint64_t bytes) {
  const std::string size = std::to_string(bytes);
  const std::string head =
      R"({"w":{"dtype":"U8","shape":[)" + size + R"(],"data_offsets":[0,)" + size + "]}}";
  write_text(path, bad_files::safetensors(head));
  fs::resize_file(path, 8 + head.size() + bytes);
}

TEST(Row35, WhatCannotFitIsRefusedBeforeItIsTaken) {
  const Place place;
  write_sparse(place.in("huge.safetensors"), std::uint64_t{1} << 40);
  const Result refused =
      run_cli({"prune", place.in("huge.safetensors"), place.out("o.pt2"), "--ratio", "0.5"});
  EXPECT_EQ(refused.exit, 5) << refused.err;
  for (const char* part : {"E0504", "needs 1", "are free"})
    EXPECT_NE(refused.err.find(part), std::string::npos) << refused.err;
  const Result batch = run_cli({"bench", place.in("m.pt2"), "--batch", "1000000000"});
  EXPECT_EQ(batch.exit, 5) << batch.err;
  EXPECT_NE(batch.err.find("--batch"), std::string::npos) << batch.err;
  EXPECT_EQ(place.written(), Contents{});
}

TEST(Row35, ALimitOfTheShellCountsAsWell) {
  SKIP_WHERE_SHADOWS_TAKE_ADDRESSES();
  const Place place;
  write_sparse(place.in("large.safetensors"), std::uint64_t{3} << 30);
  const Ending limited =
      Process({"inspect", place.in("large.safetensors")}, {.address_space = std::uint64_t{2} << 30}).wait();
  EXPECT_EQ(limited.exit, 5) << limited.err;
  EXPECT_NE(limited.err.find("needs 3.0 GiB"), std::string::npos) << limited.err;
  EXPECT_LT(limited.seconds, 20);
}

/// What a proof takes is known from the shapes: this network's is never run.
TEST(Row35, WhatTheProofTakesIsKnownBeforeItIsTaken) {
  constexpr std::int64_t kRows = std::int64_t{1} << 40;
  graph::testing::ProgramBuilder b;
  const graph::ValueId hidden = b.linear(b.input("x", {kRows, 4}), b.parameter("w", {8, 4}), {kRows, 8});
  AnalysedModel m{.path = "wide.pt2", .model = {}, .dependencies = {}};
  m.model.program = b.finish(b.linear(hidden, b.parameter("v", {2, 8}), {kRows, 2}));
  m.dependencies = graph::analyse(m.model.program);
  const graph::Removal nothing(m.dependencies);
  check_memory(m, nothing, false);
  bad_files::expect_error("E0504", Exit::Environment,
                          {"wide.pt2", "needs 4", "TiB", "are free", "--no-verify"},
                          [&] { check_memory(m, nothing, true, "skip the proof: --no-verify"); });
}

/// With one thread: OpenMP ends a process that cannot have its threads.
TEST(Row35, HoweverLittleMemoryThereIsNothingCrashes) {
  SKIP_WHERE_SHADOWS_TAKE_ADDRESSES();
  const Place place;
  for (std::uint64_t mebibytes = 300; mebibytes <= 700; mebibytes += 25) {
    const Limits limits{.address_space = mebibytes << 20};
    if (Process({"--version"}, limits).wait().exit != 0) continue;  // the libraries alone do not fit
    place.reset();
    const Ending end =
        Process({"prune", place.in("m.pt2"), place.out("o.pt2"), "--ratio", "0.5", "--threads", "1"}, limits)
            .wait();
    EXPECT_TRUE(end.exit == 0 || end.exit == 5)
        << mebibytes << " MiB: exit " << end.exit << ", signal " << end.signal << "\n"
        << end.err;
    EXPECT_EQ(place.written().size(), end.exit == 0 ? 1u : 0u);
    if (end.exit == 0) break;  // with more there is more
  }
}

TEST(Row35, WithoutAGpuTheMessageSaysWhatToDo) {
  const Place place;
  const Result result = run_cli({"bench", place.in("m.pt2"), "--device", "cuda", "--repeat", "1"});
  if (result.exit == 0) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_EQ(result.exit, 5) << result.err;
  for (const char* part : {"E0510", "--device cpu"})
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
}

TEST(Row36, OfTwoRunsWithOneOutputTheLastWinsAndBothWroteWholeFiles) {
  const Place place;
  const auto line = [&](const char* ratio) {
    return std::vector<std::string>{"prune", place.in("m.pt2"), place.out("o.pt2"), "--ratio",
                                    ratio,   "--force"};
  };
  const std::string half = whole(place, line("0.5"), {}).at("o.pt2"),
                    quarter = whole(place, line("0.25"), {}).at("o.pt2");
  place.reset();
  for (int round = 0; round < 3; ++round) {
    Process first(line("0.5")), second(line("0.25"));
    EXPECT_EQ(first.wait().exit, 0);
    EXPECT_EQ(second.wait().exit, 0);
    const Contents found = place.written();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_TRUE(found.at("o.pt2") == half || found.at("o.pt2") == quarter);
  }
}

}  // namespace
}  // namespace pollard::cli::test
