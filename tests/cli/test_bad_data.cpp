// SPDX-License-Identifier: Apache-2.0
// Row 37 of the table in docs/security.md: data sets that are damaged or lie, each as `train` meets it; and the smaller
// files that commands read beside models. All end with a message that names the file, at once, and leave nothing.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>

#include "tests/bad_files/builders.h"
#include "tests/cli/support/cases.h"

namespace pollard::cli::test {
namespace {

namespace fs = std::filesystem;
using bad_files::little;
using namespace std::string_literals;

std::string data_file(const std::string& name) {
  return pollard::test::data_folder() + "/training/data/" + name;
}

std::string big(std::uint32_t value) {
  std::string out = little(value, 4);
  std::ranges::reverse(out);
  return out;
}

std::string idx(char type, const std::vector<std::uint32_t>& lengths, const std::string& bytes) {
  std::string out = "\0\0"s + type + static_cast<char>(lengths.size());
  for (const std::uint32_t length : lengths) out += big(length);
  return out + bytes;
}

/// An array file as numpy writes it; the header's text is given, so that it can lie.
std::string npy(std::string header, const std::string& bytes) {
  header.resize((header.size() + 10 + 64) / 64 * 64 - 10, ' ');
  header.back() = '\n';
  return "\x93NUMPY\x01"s + '\0' + little(header.size(), 2) + header + bytes;
}

std::string npy_of(const char* type, const std::string& shape, const std::string& bytes) {
  return npy("{'descr': '"s + type + "', 'fortran_order': False, 'shape': (" + shape + "), }", bytes);
}

std::string good_images() { return npy_of("<f4", "4, 1, 6, 6", std::string(4 * 36 * 4, '\0')); }

std::string npz(const std::vector<std::pair<std::string, std::string>>& arrays) {
  bad_files::RawZip zip;
  for (const auto& [name, bytes] : arrays) zip.entries.push_back({.name = name + ".npy", .data = bytes});
  return zip.bytes();
}

std::string gzip(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 1024, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string cut(const std::string& text, double share) {
  return text.substr(0, static_cast<std::size_t>(share * static_cast<double>(text.size())));
}

/// Files by name, and the one (or the folder, "") that is named on the command line.
struct BadData {
  std::string name;
  std::vector<std::pair<std::string, std::string>> files;
  std::string named;
  std::string code;
  std::vector<std::string> says;
  std::vector<std::string> options = {};
};

void PrintTo(const BadData& data, std::ostream* out) { *out << data.name; }

std::vector<BadData> bad_images() {
  const std::string png = read_text(data_file("images/gray.png")),
                    jpeg = read_text(data_file("images/gray.jpg"));
  return {
      {"png_cut", {{"cat/1.png", cut(png, 0.5)}, {"dog/2.png", png}}, "", "E0398", {"1.png"}},
      {"png_is_text", {{"cat/1.png", "<html>not found</html>"}, {"dog/2.png", png}}, "", "E0398", {"1.png"}},
      {"png_empty", {{"cat/1.png", ""}, {"dog/2.png", png}}, "", "E0398", {"1.png", "empty"}},
      {"png_of_65535_squared",
       {{"cat/1.png", png.substr(0, 16) + big(65535) + big(65535) + png.substr(24)}},
       "",
       "E0398",
       {"1.png"}},
      {"jpeg_cut", {{"cat/1.jpg", cut(jpeg, 0.5)}}, "", "E0398", {"1.jpg"}},
      {"class_without_images", {{"cat/1.png", png}, {"dog/note.txt", "x"}}, "", "E0397", {"dog", "no image"}},
      {"cifar_odd_length",
       {{"data_batch_1.bin", std::string(3074, '\0')}},
       "",
       "E0398",
       {"data_batch_1.bin", "3073"}},
      {"cifar_label_10",
       {{"data_batch_1.bin", "\x0a" + std::string(3072, '\0')}},
       "",
       "E0398",
       {"data_batch_1.bin", "0 to 9"}},
      {"nothing_known", {{"readme.md", "x"}}, "", "E0397", {"no training data"}},
  };
}

std::vector<BadData> bad_arrays() {
  const std::string labels = idx(8, {4}, std::string(4, '\0')),
                    images = idx(8, {4, 6, 6}, std::string(144, '\0'));
  const auto mnist = [&](const std::string& name, const std::string& i, const std::string& l,
                         std::string code, std::vector<std::string> says) {
    return BadData{name,
                   {{"train-images-idx3-ubyte", i}, {"train-labels-idx1-ubyte", l}},
                   "",
                   std::move(code),
                   std::move(says)};
  };
  const auto one = [](const std::string& name, const std::string& bytes, std::string code,
                      std::vector<std::string> says) {
    return BadData{name, {{"d.npz", bytes}}, "d.npz", std::move(code), std::move(says)};
  };
  std::string twice = npz({{"x", good_images()}, {"x", good_images()}});
  return {
      mnist("idx_cut", cut(images, 0.7), labels, "E0396", {"images-idx3"}),
      mnist("idx_unknown_type", idx(7, {4, 6, 6}, std::string(144, '\0')), labels, "E0310", {"images-idx3"}),
      mnist("idx_rank_255", idx(8, std::vector<std::uint32_t>(255, 0xffffffff), ""), labels, "E0310",
            {"images-idx3"}),
      mnist("idx_of_no_bytes_and_any_length", idx(8, {0, 0xffffffff, 0xffffffff, 0xffffffff}, ""), labels,
            "E039", {}),
      mnist("idx_gzip_cut", cut(gzip(images), 0.5), labels, "E0396", {"images-idx3"}),
      mnist("idx_fewer_labels", images, idx(8, {3}, std::string(3, '\0')), "E0395", {"labels-idx1"}),
      mnist("idx_label_out_of_range", images, idx(8, {4}, "\0\0\0\xc8"s), "E0399", {"a label lies outside"}),
      {"idx_without_labels", {{"train-images-idx3-ubyte", images}}, "", "E0397", {"labels"}},
      one("npz_cut", cut(npz({{"x", good_images()}}), 0.5), "E0396", {"d.npz"}),
      one("npz_shape_lies", npz({{"x", npy_of("<f4", "4, 1, 6, 7", std::string(576, '\0'))}}), "E0396",
          {"d.npz", "does not fit"}),
      one("npz_shape_negative", npz({{"x", npy_of("<f4", "-4, 1", "")}}), "E0396", {"shape"}),
      one("npz_shape_huge", npz({{"x", npy_of("<f4", "0, 4611686018427387904, 4611686018427387904", "")}}),
          "E0396", {"2^40"}),
      one("npz_objects", npz({{"x", npy_of("|O", "4,", "")}}), "E0396", {"|O"}),
      one("npz_records",
          npz({{"x", npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }", "")}}),
          "E0396", {"records"}),
      one("npz_boolean_of_2", npz({{"x", npy_of("|b1", "4, 1, 6, 6", std::string(144, '\x02'))}}), "E0351",
          {"boolean"}),
      one("npz_name_twice", twice, "E0396", {"twice"}),
      one("npz_text", npz({{"x", "hello, world"}}), "E0396", {"no .npy"}),
      one("npz_label_out_of_range",
          npz({{"x", good_images()}, {"labels", npy_of("<i8", "4,", little(0, 24) + little(200, 8))}}),
          "E0399", {"d.npz", "a label lies outside"}),
      one("npz_label_negative",
          npz({{"x", good_images()}, {"labels", npy_of("<i8", "4,", little(0, 24) + little(~0ULL, 8))}}),
          "E0399", {"d.npz", "a label lies outside"}),
      one("npz_no_samples", npz({{"x", npy_of("<f4", "0, 1, 6, 6", "")}}), "E0390", {"no sample"}),
  };
}

std::vector<BadData> bad_texts() {
  const std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nfox\n";
  return {
      {"series_of_no_class",
       {{"a_TRAIN.ts", "@classLabel true one\n@data\n1,2:two\n"}},
       "",
       "E0398",
       {"a_TRAIN.ts", "line 3"}},
      {"series_of_letters",
       {{"a_TRAIN.ts", "@classLabel true one\n@data\n1,x:one\n"}},
       "",
       "E0398",
       {"a_TRAIN.ts", "line 3"}},
      {"series_ragged",
       {{"a_TRAIN.ts", "@classLabel true one\n@data\n1,2:1:one\n"}},
       "",
       "E0398",
       {"line 3"}},
      {"series_without_data", {{"a_TRAIN.ts", "@classLabel true one\n"}}, "", "E0398", {"no series"}},
      {"records_without_class",
       {{"train.csv", "\"x\",\"fox\"\n"}, {"vocab.txt", vocabulary}},
       "",
       "E0398",
       {"train.csv", "record 1"},
       {"--tokenizer", "@"}},
      {"records_without_vocabulary",
       {{"train.csv", "\"1\",\"fox\"\n"}},
       "",
       "E0399",
       {"train.csv", "--tokenizer"}},
      {"vocabulary_of_another_kind",
       {{"train.csv", "\"1\",\"fox\"\n"}, {"vocab.txt", "fox\n"}},
       "",
       "E0371",
       {"[PAD]"},
       {"--tokenizer", "@"}},
      {"open_quote",
       {{"train.csv", "\"1,fox\n" + std::string(1 << 20, 'x')}, {"vocab.txt", vocabulary}},
       "",
       "E0398",
       {"train.csv"},
       {"--tokenizer", "@"}},
  };
}

std::vector<BadData> all_bad_data() {
  std::vector<BadData> all = bad_images();
  for (const auto& part : {bad_arrays(), bad_texts()}) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::string squeezed(const std::string& text) {
  std::string out;
  for (const char c : text)
    if (c != ' ' && c != '\n') out += c;
  return out;
}

/// The message is wrapped to 80 columns: parts are looked for without spaces.
void expect_refused(const Result& result, const std::string& code, const std::vector<std::string>& says) {
  EXPECT_EQ(result.exit, 3) << result.err;
  EXPECT_NE(result.err.find("error[" + code), std::string::npos) << result.err;
  for (const std::string& part : says)
    EXPECT_NE(squeezed(result.err).find(squeezed(part)), std::string::npos) << part << "\nnot in\n"
                                                                            << result.err;
}

class EveryBadData : public testing::TestWithParam<BadData> {};

TEST_P(EveryBadData, StopsTrainingAndLeavesNothing) {
  const BadData& bad = GetParam();
  const ScopedFolder folder;
  fs::create_directories(folder / "data");
  for (const auto& [name, bytes] : bad.files) {
    fs::create_directories(fs::path(folder / ("data/" + name)).parent_path());
    write_text(folder / ("data/" + name), bytes);
  }
  std::vector<std::string> line{
      "train", data_file("net.pt2"), folder / ("data/" + bad.named), folder / "out.pt2", "--epochs", "1"};
  for (const std::string& option : bad.options) line.push_back(option == "@" ? folder / "data" : option);
  const auto start = std::chrono::steady_clock::now();
  const Result result = run_cli(line);
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 5);
  expect_refused(result, bad.code, bad.says);
  EXPECT_FALSE(fs::exists(folder / "out.pt2"));
  for (const auto& entry : fs::directory_iterator(folder / "")) EXPECT_EQ(entry.path().filename(), "data");
}

std::string name_of(const testing::TestParamInfo<BadData>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Row37, EveryBadData, testing::ValuesIn(all_bad_data()), name_of);

TEST(Row37, CorruptSamplesAreLeftOutAndCounted) {
  const ScopedFolder folder;
  const std::string png = read_text(data_file("images/gray.png"));
  for (const char* name : {"cat", "dog", "elk", "fox"}) {
    fs::create_directories(folder / ("data/"s + name));
    for (const char* file : {"1", "2", "3"})
      write_text(folder / ("data/"s + name + "/" + file + ".png"), *file == '2' ? cut(png, 0.5) : png);
  }
  const std::vector<std::string> line{
      "train", data_file("net.pt2"), folder / "data", folder / "out.pt2",        "--epochs", "1", "--batch",
      "4",     "--skip-bad",         "--augment",     "Resize(6),CenterCrop(6)", "--json"};
  const Result result = run_cli(line);
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_NE((result.out + result.err).find("\"skipped_samples\""), std::string::npos)
      << result.out << result.err;
  EXPECT_TRUE(fs::exists(folder / "out.pt2"));
}

/// A named pipe has no writer here: reading it would wait for ever.
TEST(OtherFiles, ThatAreNoRegularFilesAreRefusedAtOnce) {
  const ScopedFolder folder;
  const std::string model = case_path("syn_flatten_fc"), pipe = folder / "pipe", out = folder / "out.pt2";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((folder / "pipe.csv").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((folder / "pipe.ts").c_str(), 0600), 0);
  for (const std::string& path : {pipe, "/dev/zero"s, folder / "nothing"}) {
    for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
             {"prune", model, out, "--plan", path},
             {"prune", model, out, "--ratio", "0.5", "--spec", path, "--family", "bert"},
             {"plan", model, "--ratio", "0.5", "--criterion", "taylor", "--calib", path},
             {"plan", model, "--ratio", "0.5", "--criterion", "taylor", "--calib", path, "--tokenizer",
              folder / ""},
             {"plan", model, "--ratio", "0.5", "--criterion", "taylor", "--calib", path, "--labels", path},
             {"train", data_file("net.pt2"), path, out},
             {"train", data_file("net.pt2"), "x.npz", out, "--recipe", path},
             {"fairness", "score", model, "--prompts", path, "--text", path}}) {
      const Result result = run_cli(line);
      EXPECT_EQ(result.exit, 3) << line[0] << " " << path << "\n" << result.err;
      EXPECT_FALSE(fs::exists(out));
    }
    const Result config = run_cli({"--config", path, "inspect", model});
    EXPECT_TRUE(config.exit == 2 || config.exit == 3) << config.err;
  }
  for (const char* name : {"pipe.csv", "pipe.ts"})
    expect_refused(run_cli({"train", data_file("net.pt2"), folder / name, out, "--tokenizer", folder / ""}),
                   "E0302", {name, "named pipe"});
}

TEST(OtherFiles, AShardIndexMayNotLeaveItsFolder) {
  const ScopedFolder folder;
  for (const char* name :
       {"../w.safetensors", "/etc/w.safetensors", "a/w.safetensors", "w.pt", "", "w\\u0000.safetensors"}) {
    write_text(folder / "model.safetensors.index.json", R"({"weight_map":{"w":")"s + name + R"("}})");
    expect_refused(run_cli({"inspect", folder / "model.safetensors.index.json"}), "E0340",
                   {"not the name of a safetensors file"});
  }
  write_text(folder / "model.safetensors.index.json", R"({"weight_map":{"w":"w.safetensors"}})");
  expect_refused(run_cli({"inspect", folder / "model.safetensors.index.json"}), "E0302", {"w.safetensors"});
  write_text(folder / "model.safetensors.index.json", R"({"weight_map":)" + std::string(100'000, '['));
  expect_refused(run_cli({"inspect", folder / "model.safetensors.index.json"}), "E0326", {"index.json"});
}

TEST(OtherFiles, ARecipeThatDoesNotReadNamesItsLine) {
  const ScopedFolder folder;
  for (const std::string& text :
       {"epochs = \n"s, "epochs = 1\nepochs = 2\n"s, "\xff\xfe"s, std::string(100'000, '['),
        "epochs = 1979-05-27\n"s, "a.b = 1"s, "epochs = [[1]]"s}) {
    write_text(folder / "r.toml", text);
    const Result result =
        run_cli({"train", data_file("net.pt2"), "x.npz", folder / "out.pt2", "--recipe", folder / "r.toml"});
    EXPECT_EQ(result.exit, 2) << result.err;
    EXPECT_NE(result.err.find("E0209"), std::string::npos) << result.err;
    const Result config = run_cli({"--config", folder / "r.toml", "inspect", case_path("syn_flatten_fc")});
    EXPECT_EQ(config.exit, 2) << config.err;
  }
}

TEST(OtherFiles, ACheckpointOfSomethingElseIsNotResumed) {
  const ScopedFolder folder;
  write_text(folder / "d.npz", npz({{"x", good_images()}, {"labels", npy_of("<i8", "4,", little(0, 32))}}));
  const std::vector<std::string> line{
      "train",   data_file("net.pt2"), folder / "d.npz", folder / "out.pt2", "--epochs", "1", "--batch", "4",
      "--resume"};
  EXPECT_EQ(run_cli(line).exit, 2);
  for (const std::string& bytes :
       {""s, "text"s, bad_files::safetensors("{}"),
        bad_files::safetensors(R"({"__metadata__":{"pollard.program":"{}","pollard.training":"[]"}})")}) {
    write_text(folder / "out.pt2.checkpoint", bytes);
    const Result result = run_cli(line);
    EXPECT_EQ(result.exit, 3) << result.err;
    EXPECT_FALSE(fs::exists(folder / "out.pt2"));
  }
}

TEST(OtherFiles, AnOutputThatIsAnInputIsRefusedEvenWithForce) {
  const ScopedFolder folder;
  const std::string model = folder / "m.pt2", data = folder / "d.safetensors";
  fs::copy_file(case_path("syn_flatten_fc"), model);
  write_text(data, bad_files::safetensors(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                                          bad_files::floats(2)));
  const std::string before = read_text(model);
  for (const std::vector<std::string>& line :
       std::vector<std::vector<std::string>>{{"plan", model, "--ratio", "0.5", "-o", model},
                                             {"plan", model, "--sweep", "0.2:0.4:0.2", "--csv", model},
                                             {"plan", model, "--sweep", "0.2:0.4:0.2", "--svg", model},
                                             {"inspect", model, "--dot", model},
                                             {"export", model, model},
                                             {"fairness", "score", model, "-o", model},
                                             {"prune", model, data, "--ratio", "0.5", "--calib", data},
                                             {"train", model, data, data}}) {
    std::vector<std::string> words = line;
    words.push_back("--force");
    const Result result = run_cli(words);
    EXPECT_EQ(result.exit, 2) << line[0] << "\n" << result.err;
    EXPECT_NE(result.err.find("E0223"), std::string::npos) << result.err;
    EXPECT_EQ(read_text(model), before);
  }
}

TEST(OtherFiles, AnExistingOutputIsMetBeforeAnyWork) {
  const ScopedFolder folder;
  write_text(folder / "old", "old");
  // The model is missing: were it read first, that would be the message.
  for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
           {"plan", "none.pt2", "--ratio", "0.5", "-o", folder / "old"},
           {"plan", "none.pt2", "--sweep", "0.2:0.4:0.2", "--csv", folder / "old"},
           {"inspect", "none.pt2", "--dot", folder / "old"},
           {"fairness", "plan", "none.pt2", "-o", folder / "old"}}) {
    const Result result = run_cli(line);
    EXPECT_EQ(result.exit, 2) << result.err;
    EXPECT_NE(result.err.find("E0224"), std::string::npos) << result.err;
  }
  EXPECT_EQ(read_text(folder / "old"), "old");
}

}  // namespace
}  // namespace pollard::cli::test
