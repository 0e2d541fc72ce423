// SPDX-License-Identifier: Apache-2.0
// Bad input as a person meets it: the program's exit status and message, and nothing left behind. Rows are those of
// the table in docs/security.md.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "models/registry.h"
#include "tests/bad_files/make_bad_files.h"
#include "tests/cli/support/cases.h"
#include "tests/paths.h"

namespace pollard::cli::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::string squeezed(const std::string& text) {
  std::string out;
  for (const char c : text)
    if (c != ' ' && c != '\n') out += c;
  return out;
}

/// The message is wrapped to 80 columns: parts are looked for without spaces.
void expect_says(const Result& result, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(squeezed(result.err).find(squeezed(part)), std::string::npos)
        << "lacks \"" << part << "\" in:\n"
        << result.err;
}

struct InFolder {
  ScopedFolder folder;
  std::string in(const std::string& name) const { return folder / name; }
  std::string out = folder / "out.pt2";
  Result prune(const std::string& input, std::vector<std::string> more = {"--ratio", "0.5"}) const {
    std::vector<std::string> arguments{"prune", input, out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_cli(arguments);
  }
  void expect_only(std::vector<std::string> names) const { EXPECT_EQ(names_in(folder / ""), names); }
};

/// What this process takes at the most while `run` runs, beyond what it has before; 0 where the system does not say.
std::int64_t most_memory(const std::function<void()>& run) {
  const auto status = [](const std::string& name) {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;)
      if (std::int64_t kibibytes = 0; word == name && file >> kibibytes) return kibibytes * 1024;
    return std::int64_t{0};
  };
  std::ofstream("/proc/self/clear_refs") << "5";  // the highest mark is the present one again
  const std::int64_t before = status("VmRSS:");
  run();
  return status("VmHWM:") - before;
}

class EveryBadFile : public testing::TestWithParam<bad_files::BadFile> {};

TEST_P(EveryBadFile, StopsPruneWithItsCodeAndLeavesNothing) {
  const bad_files::BadFile& bad = GetParam();
  const InFolder place;
  write_text(place.in(bad.name), bad.bytes);
  Result result;
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t taken = most_memory([&] { result = place.prune(place.in(bad.name)); });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(result.exit, static_cast<int>(bad.exit)) << result.err;
  EXPECT_EQ(result.out, "");
  expect_says(result, {"error[" + bad.code + "]", bad.name});
  place.expect_only({bad.name});
  EXPECT_LT(taken, static_cast<std::int64_t>(bad.bytes.size()) + (std::int64_t{64} << 20));
  EXPECT_LT(seconds.count(), 5) << "a second on a machine that does nothing else";
}

/// A torch.export archive is refused as a checkpoint; here it is read as what it is.
std::vector<bad_files::BadFile> files() {
  std::vector<bad_files::BadFile> all = bad_files::all_bad_files();
  for (bad_files::BadFile& file : all)
    if (file.name == "export.pt2") file.code = "E0360";
  return all;
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryBadFile, testing::ValuesIn(files()), [](const auto& param) {
  std::string name = "row" + std::to_string(param.param.row) + "_" + param.param.name;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
});

TEST(Row1, WhatIsNoRegularFileIsRefusedAtOnce) {
  const InFolder place;
  fs::create_directory(place.in("folder.pt2"));
  ASSERT_EQ(mkfifo(place.in("pipe.pt2").c_str(), 0600), 0);
  for (const std::string& path : {place.in("folder.pt2"), place.in("pipe.pt2"), std::string("/dev/zero")}) {
    const Result result = place.prune(path);
    EXPECT_EQ(result.exit, 3) << result.err;
    expect_says(result, {path});
  }
  write_text(place.in("model.pt2"), "x");
  const Result near = place.prune(place.in("modle.pt2"));
  EXPECT_EQ(near.exit, 3);
  expect_says(near, {"no such file", "model.pt2"});
  place.expect_only({"folder.pt2", "model.pt2", "pipe.pt2"});
}

/// A .safetensors file of one f32 tensor filled with `bytes`.
std::string safetensors(const nlohmann::json& header, const std::string& bytes) {
  const std::string text = header.dump();
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return out + text + bytes;
}

nlohmann::json tensor(std::vector<std::int64_t> shape, std::int64_t begin, std::int64_t end) {
  return {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, end}}};
}

TEST(Row10, AFileWithoutWeightsFitsNoFamily) {
  const InFolder place;
  write_text(place.in("empty.safetensors"), safetensors(nlohmann::json::object(), ""));
  const Result result = place.prune(place.in("empty.safetensors"));
  EXPECT_EQ(result.exit, 4) << result.err;
  expect_says(result, {"no weights"});
  place.expect_only({"empty.safetensors"});
}

TEST(Row24, NamesOfNoKnownFamilyListTheNearest) {
  const InFolder place;
  write_text(place.in("odd.safetensors"),
             safetensors({{"conv1.weight", tensor({1}, 0, 4)}, {"foo.bar", tensor({1}, 4, 8)}}, "12345678"));
  const Result result = place.prune(place.in("odd.safetensors"));
  EXPECT_EQ(result.exit, 4) << result.err;
  expect_says(result, {"E0420", "%", "foo.bar"});
  place.expect_only({"odd.safetensors"});
}

/// A checkpoint of zeros with the names and shapes of a family's network.
std::string checkpoint(const models::Family& family, const std::string& spec, const std::string& odd_key,
                       std::vector<std::int64_t> odd_shape) {
  nlohmann::json header;
  std::int64_t end = 0;
  const auto network = family.build(spec);
  for (const auto& entry : network->entries()) {
    const std::vector<std::int64_t> shape = entry.key == odd_key ? odd_shape : entry.tensor().sizes().vec();
    std::int64_t bytes = 4;
    for (const std::int64_t size : shape) bytes *= size;
    header[entry.key] = tensor(shape, end, end + bytes);
    end += bytes;
  }
  return safetensors(header, std::string(static_cast<std::size_t>(end), '\0'));
}

TEST(Row25, RightNamesWithWrongShapesListTheMismatches) {
  const InFolder place;
  const models::Family& bert = *models::find_family("bert");
  write_text(
      place.in("w.safetensors"),
      checkpoint(bert, R"({"vocab_size":97,"hidden_size":64,"num_hidden_layers":1,"intermediate_size":48,
                                  "num_attention_heads":1})",
                 "encoder.layer.0.output.dense.bias", {3}));
  const Result result = place.prune(place.in("w.safetensors"));
  EXPECT_EQ(result.exit, 4) << result.err;
  expect_says(result, {"E0422", "encoder.layer.0.output.dense.bias is [3], expected", "--spec"});
  place.expect_only({"w.safetensors"});
}

TEST(Row26, ASpecOutOfRangeIsRefusedBeforeAnyAllocation) {
  const InFolder place;
  write_text(place.in("w.safetensors"), safetensors({{"x", tensor({1}, 0, 4)}}, "1234"));
  const std::pair<const char*, const char*> specs[] = {
      {R"({"num_hidden_layers":1000000000})", "num_hidden_layers"},
      {R"({"num_attention_heads":0})", "num_attention_heads"},
      {R"({"hidden_size":30,"num_attention_heads":4})", "num_attention_heads"},
      {R"({"hidden_size":"wide"})", "hidden_size"},
      {R"({"hidden_size":[)", "JSON"}};
  for (const auto& [spec, part] : specs) {
    write_text(place.in("spec.json"), spec);
    const Result result = place.prune(
        place.in("w.safetensors"), {"--ratio", "0.5", "--family", "bert", "--spec", place.in("spec.json")});
    EXPECT_TRUE(result.exit == 3 || result.exit == 4) << spec << "\n" << result.err;
    expect_says(result, {part});
  }
  const Result unknown = place.prune(place.in("w.safetensors"), {"--ratio", "0.5", "--family", "brt"});
  EXPECT_TRUE(unknown.exit == 2 || unknown.exit == 4) << unknown.err;
  expect_says(unknown, {"bert"});
  place.expect_only({"spec.json", "w.safetensors"});
}

/// The case's file with every byte of its largest weight's first element set: a NaN. Entries are stored raw, so the
/// checksum is all that notices.
std::string with_nan(const InFolder& place) {
  const std::string path = place.in("nan.pt2");
  const std::string script =
      "import sys, torch\n"
      "e = torch.export.load(sys.argv[1])\n"
      "w = max(e.state_dict.values(), key=lambda t: t.numel())\n"
      "w.data.view(-1)[0] = float('nan')\n"
      "torch.export.save(e, sys.argv[2])\n";
  write_text(place.in("nan.py"), script);
  shell(pollard::test::python() + " " + place.in("nan.py") + " " + case_path("syn_flatten_fc") + " " + path);
  fs::remove(place.in("nan.py"));
  return path;
}

TEST(Row27, NonFiniteWeightsAreCountedAndRefusedUnlessAllowed) {
  if (pollard::test::python().empty()) GTEST_SKIP() << "no Python with torch to make the file";
  const InFolder place;
  const std::string path = with_nan(place);
  const Result inspected = run_cli({"inspect", path, "--show", "values"});
  EXPECT_EQ(inspected.exit, 0);
  EXPECT_NE(inspected.out.find("NaN"), std::string::npos) << inspected.out;
  for (const char* command : {"plan", "prune"}) {
    std::vector<std::string> arguments{command, path};
    if (std::string(command) == "prune") arguments.push_back(place.out);
    arguments.insert(arguments.end(), {"--ratio", "0.5"});
    const Result refused = run_cli(arguments);
    EXPECT_EQ(refused.exit, 3) << refused.err;
    expect_says(refused, {"E0350", "1 NaN", "--allow-nonfinite"});
  }
  place.expect_only({"nan.pt2"});
  const Result allowed = place.prune(path, {"--ratio", "0.5", "--allow-nonfinite"});
  EXPECT_EQ(allowed.exit, 0) << allowed.err;
  place.expect_only({"nan.pt2", "out.pt2"});
}

TEST(Row28, EqualScoresAreTakenInOrderOfIndex) {
  const InFolder place;
  const models::Family& lstm = *models::find_family("agnews_lstm");
  write_text(place.in("w.safetensors"), checkpoint(lstm, lstm.small_specs.front(), "", {}));
  const auto plan = run_json({"plan", place.in("w.safetensors"), "--ratio", "0.5", "--json"});
  ASSERT_FALSE(plan["groups"].empty());
  for (const auto& group : plan["groups"]) {
    std::int64_t next = 0;
    for (const auto& unit : group["removed"]) EXPECT_EQ(unit, next++);
    EXPECT_GT(next, 0);
  }
}

TEST(Row29, APlanThatDoesNotFitIsRefusedWithTheHashFirst) {
  const InFolder place;
  const std::string model = case_path("syn_flatten_fc");
  const nlohmann::json good = run_json({"plan", model, "--ratio", "0.5", "--json"});
  const auto refuse = [&](const char* what, const auto& change, const char* part) {
    nlohmann::json plan = good;
    change(plan);
    write_text(place.in("plan.json"), plan.dump());
    const Result result = place.prune(model, {"--plan", place.in("plan.json")});
    EXPECT_EQ(result.exit, 3) << what << "\n" << result.err;
    expect_says(result, {part});
    place.expect_only({"plan.json"});
  };
  const auto removing = [](nlohmann::json indices) {
    return [indices](nlohmann::json& p) { p["groups"][0]["removed"] = indices; };
  };
  const auto& group = good["groups"][0];
  std::vector<std::int64_t> all(group["kept"].get<std::size_t>() + group["removed"].size());
  std::iota(all.begin(), all.end(), 0);
  refuse(
      "another model and nonsense",
      [](auto& p) {
        p["input"]["sha256"] = std::string(64, '0');
        p["groups"] = 7;
      },
      "another file");
  refuse(
      "another version", [](auto& p) { p["schema"] = "pollard.plan/9"; }, "pollard.plan/9");
  refuse("unsorted", removing({2, 1}), "sorted");
  refuse("duplicate", removing({1, 1}), "sorted");
  refuse("out of range", removing({1, 1 << 20}), "range");
  refuse("all removed", removing(all), "no unit would be left");
  refuse("not a number", removing({"a"}), "removed");
}

TEST(Row30, OutputsThatMayNotBeWrittenAreRefusedBeforeAnyWork) {
  const InFolder place;
  fs::copy_file(case_path("syn_flatten_fc"), place.in("in.pt2"));
  fs::create_directory(place.in("folder"));
  fs::create_symlink(place.in("in.pt2"), place.in("link.pt2"));
  write_text(place.in("old.pt2"), "old");
  const std::tuple<std::string, const char*> outputs[] = {
      {place.in("in.pt2"), "E0223"},  {place.in("folder"), "E0221"},       {place.in("link.pt2"), "E0222"},
      {place.in("old.pt2"), "E0224"}, {place.in("none/out.pt2"), "E0225"}, {place.in("out.xyz"), "E0226"}};
  for (const auto& [path, code] : outputs) {
    const Result result = run_cli({"prune", place.in("in.pt2"), path, "--ratio", "0.5"});
    EXPECT_TRUE(result.exit == 2 || result.exit == 5) << result.err;
    EXPECT_EQ(result.out, "");
    expect_says(result, {std::string("error[") + code});
  }
  EXPECT_EQ(read_text(place.in("old.pt2")), "old");
  place.expect_only({"folder", "in.pt2", "link.pt2", "old.pt2"});
}

}  // namespace
}  // namespace pollard::cli::test
