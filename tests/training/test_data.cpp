// SPDX-License-Identifier: Apache-2.0
// Every layout of data reads as what was written, corrupt samples are named or left out, and batches do not depend on the
// number of threads or processes.
#include <gtest/gtest.h>

#include "graph/error.h"
#include "kernels/communicator.h"
#include "models/io/safetensors.h"
#include "tests/training/support.h"
#include "training/augment.h"
#include "training/loader.h"

namespace pollard::training {
namespace {

namespace fs = std::filesystem;
using test::Folder;

std::string code_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "";
}

void write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A program whose one input has this shape.
graph::Program taking(const std::vector<std::int64_t>& shape, graph::DType type = graph::DType::Float32) {
  graph::Program program;
  graph::Value value{.name = "x", .dtype = type};
  for (const std::int64_t size : shape) value.shape.push_back({size, ""});
  program.inputs.push_back({.value = program.add(value), .kind = graph::Input::Kind::User});
  return program;
}

std::string big_endian(std::uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}

void write_idx(const fs::path& folder, const std::string& part, std::uint32_t samples) {
  std::string images = std::string("\0\0\x08\x03", 4) + big_endian(samples) + big_endian(2) + big_endian(3);
  std::string labels = std::string("\0\0\x08\x01", 4) + big_endian(samples);
  for (std::uint32_t i = 0; i < samples; ++i) {
    images += std::string(6, static_cast<char>(51 * i));
    labels += static_cast<char>(i % 10);
  }
  write(folder / (part + "-images-idx3-ubyte"), images);
  write(folder / (part + "-labels-idx1-ubyte"), labels);
}

TEST(DataLayouts, IdxFoldersHaveATrainingAndAValidationPart) {
  const Folder folder;
  write_idx(folder.path(), "train", 5);
  write_idx(folder.path(), "t10k", 3);
  const Data data = open_data(folder.path(), {}, taking({1, 1, 2, 3}), {});
  ASSERT_EQ(data.train->size(), 5);
  ASSERT_EQ(data.validation->size(), 3);
  const Sample sample = data.train->read(2);
  EXPECT_TRUE(at::allclose(sample.inputs.at(0), at::full({1, 2, 3}, 0.4)));
  EXPECT_EQ(sample.target.item<std::int64_t>(), 2);
}

std::string cifar_record(int label, char pixel) {
  return static_cast<char>(label) + std::string(3072, pixel);
}

TEST(DataLayouts, CifarRecordsAreLabelAndThreePlanes) {
  const Folder folder;
  std::string record = cifar_record(7, 0);
  record[1 + 1024 + 33] = 90;  // green, row 1, column 1
  write(folder / "data_batch_1.bin", record + cifar_record(2, 1));
  write(folder / "test_batch.bin", cifar_record(3, 0));
  const Data data = open_data(folder.path(), {}, taking({1, 3, 32, 32}), {});
  ASSERT_EQ(data.train->size(), 2);
  const Sample sample = data.train->read(0);
  EXPECT_EQ(sample.target.item<std::int64_t>(), 7);
  EXPECT_EQ(sample.inputs.at(0)[1][1][1].item<int>(), 90);
  EXPECT_EQ(sample.inputs.at(0).to(at::kInt).sum().item<int>(), 90);
  EXPECT_EQ(data.validation->size(), 1);
}

TEST(DataLayouts, CifarRefusesOddLengthsAndStrangeLabelsOrLeavesThemOut) {
  const Folder folder;
  write(folder / "short.bin", cifar_record(1, 0) + "x");
  EXPECT_EQ(code_of([&] { read_cifar({folder / "short.bin"}, false, {}); }), "E0398");
  write(folder / "bad.bin", cifar_record(1, 0) + cifar_record(10, 0) + cifar_record(9, 0));
  EXPECT_EQ(code_of([&] { read_cifar({folder / "bad.bin"}, false, {}); }), "E0398");
  const auto left = read_cifar({folder / "bad.bin"}, false, {.skip_bad = true});
  EXPECT_EQ(left->size(), 2);
  EXPECT_EQ(left->left_out, 1);
}

const nlohmann::json& images() {
  static const nlohmann::json all = [] {
    std::ifstream in(test::data_path("images.json"));
    return nlohmann::json::parse(in);
  }();
  return all;
}

TEST(DataLayouts, ImagesDecodeAsPillowDecodesThem) {
  for (const char* name : {"color.png", "gray.png", "color.jpg", "gray.jpg"}) {
    const auto& want = images().at(name);
    const at::Tensor image =
        decode_image(models::io::read_file(test::data_path("images/" + std::string(name))), name);
    EXPECT_EQ(image.sizes().vec(), want.at("shape").get<std::vector<std::int64_t>>()) << name;
    EXPECT_NEAR(image.to(at::kDouble).mean().item<double>(), want.at("mean").get<double>(), 0.02) << name;
    for (std::int64_t c = 0; c < image.size(0); ++c)
      EXPECT_NEAR(image[c][3][5].item<int>(), want.at("corner").at(static_cast<std::size_t>(c)).get<int>(), 1)
          << name;
  }
}

TEST(DataLayouts, ImageFoldersAreClassesByName) {
  const Folder folder;
  for (const char* place :
       {"train/cat/1.png", "train/ant/2.jpg", "train/ant/1.png", "val/ant/3.png", "val/cat/4.png"}) {
    fs::create_directories((folder / place).parent_path());
    fs::copy_file(test::data_path(std::string("images/color") + fs::path(place).extension().string()),
                  folder / place);
  }
  const Data data = open_data(folder.path(), {}, taking({1, 3, 24, 32}), {});
  EXPECT_EQ(data.train->classes, (std::vector<std::string>{"ant", "cat"}));
  ASSERT_EQ(data.train->size(), 3);
  EXPECT_EQ(data.train->read(0).target.item<int>(), 0);
  EXPECT_EQ(data.train->read(2).target.item<int>(), 1);
  EXPECT_EQ(data.validation->size(), 2);
  fs::create_directories(folder / "train/empty");
  EXPECT_EQ(code_of([&] { open_data(folder.path(), {}, taking({1, 3, 24, 32}), {}); }), "E0397");
}

/// What is kept is seen by changing the files: only what has to be decoded again shows the change.
TEST(DataLayouts, DecodedImagesAreKeptWhileThereIsRoom) {
  const Folder folder;
  const auto fill = [&](const char* image) {
    for (const char* place : {"a/1.png", "a/2.png", "b/3.png"}) {
      fs::create_directories((folder / place).parent_path());
      fs::copy_file(test::data_path(image), folder / place, fs::copy_options::overwrite_existing);
    }
  };
  const std::int64_t bytes = 3 * 24 * 32;
  for (const std::uint64_t room :
       {std::uint64_t{0}, static_cast<std::uint64_t>(2 * bytes + 1), std::uint64_t{1} << 30}) {
    fill("images/color.png");
    const auto data = open_image_folder(folder.path(), {.kept_bytes = room});
    for (const std::int64_t index : {2, 0, 1}) EXPECT_EQ(data->read(index).inputs[0].numel(), bytes);
    fill("images/gray.png");
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < 3; ++i) kept += data->read(i).inputs[0].numel() == bytes;
    EXPECT_EQ(kept, std::min<std::int64_t>(3, static_cast<std::int64_t>(room) / bytes)) << room;
  }
  fill("images/color.png");
  const auto data = open_image_folder(folder.path(), {});
  const at::Tensor before = data->read(1).inputs[0];
  fill("images/gray.png");
  EXPECT_TRUE(at::equal(data->read(1).inputs[0], before)) << "three small images fit by default";
}

TEST(DataLayouts, EveryTruncationOfAnImageIsACorruptSample) {
  for (const char* name : {"gray.png", "gray.jpg"}) {
    const auto bytes = models::io::read_file(test::data_path("images/" + std::string(name)));
    // What follows the last pixel (a PNG's end mark and the checksum before it) may be missing.
    for (std::size_t length = 0; length + 24 < bytes.size(); length += 3)
      EXPECT_EQ(code_of([&] { decode_image(std::span(bytes).subspan(0, length), name); }), "E0398")
          << name << length;
  }
}

TEST(DataLayouts, SeriesReadAsTimeByChannel) {
  const Folder folder;
  write(folder / "Toy_TRAIN.ts",
        "#comment\n@problemName Toy\n@classLabel true one two\n@data\n1,2,3:4,5,6:two\n-1,?,.5:7,8,9:one\n");
  write(folder / "Toy_TEST.ts", "@classLabel true one two\n@data\n1,2:4,5:two\n");
  const Data data = open_data(folder.path(), {}, taking({1, 3, 2}), {});
  ASSERT_EQ(data.train->size(), 2);
  const Sample sample = data.train->read(0);
  EXPECT_TRUE(at::equal(sample.inputs.at(0), at::tensor({1.F, 4.F, 2.F, 5.F, 3.F, 6.F}).view({3, 2})));
  EXPECT_EQ(sample.target.item<int>(), 1);
  EXPECT_EQ(data.train->read(1).inputs.at(0)[1][0].item<float>(), 0);
  const auto turned = read_time_series(folder / "Toy_TRAIN.ts", taking({1, 2, 3}), {});
  EXPECT_TRUE(at::equal(turned->read(0).inputs.at(0), sample.inputs.at(0).t()));
  write(folder / "bad.ts", "@classLabel true one\n@data\n1,2:one\n1,x:one\n1,2:three\n");
  EXPECT_EQ(code_of([&] { read_time_series(folder / "bad.ts", taking({1, 2, 1}), {}); }), "E0398");
  EXPECT_EQ(read_time_series(folder / "bad.ts", taking({1, 2, 1}), {.skip_bad = true})->left_out, 2);
}

TEST(DataLayouts, TextRecordsBecomeIdsByTheVocabulary) {
  const Folder folder;
  write(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nfox\nquick\n,\nthe\n");
  write(folder / "train.csv", "\"2\",\"The \"\"quick\"\"\",\"fox, fox\"\n\"1\",\"fox\",\"the\"\n");
  const DataOptions options{.tokenizer = folder.path()};
  const graph::Program program = taking({1, 12}, graph::DType::Int64);
  const Data data = open_data(folder.path(), {}, program, options);
  ASSERT_EQ(data.train->size(), 2);
  EXPECT_EQ(data.train->read(0).target.item<int>(), 1);
  EXPECT_TRUE(
      at::equal(data.train->read(1).inputs.at(0).slice(0, 0, 4), at::tensor({2, 4, 7, 3}, at::kLong)));
  EXPECT_EQ(data.train->read(0).inputs.at(0).size(0), 12);
  write(folder / "bad.csv", "\"0\",\"x\"\n\"1\",\"fox\"\n");
  EXPECT_EQ(code_of([&] { read_text_csv(folder / "bad.csv", program, options); }), "E0398");
  EXPECT_EQ(code_of([&] { read_text_csv(folder / "train.csv", program, {}); }), "E0399");
}

TEST(DataLayouts, TensorsBringTheirOwnTargets) {
  const Folder folder;
  models::io::save_safetensors(folder / "d.safetensors",
                               {{"x", at::ones({4, 3})}, {"targets", at::arange(8, at::kFloat).view({4, 2})}},
                               {}, false);
  const Data data = open_data(folder / "d.safetensors", {}, taking({1, 3}), {});
  EXPECT_TRUE(at::equal(data.train->read(3).target, at::tensor({6.F, 7.F})));
}

TEST(DataLayouts, UnknownOnesAndMisfitsAreNamed) {
  const Folder folder;
  EXPECT_EQ(code_of([&] { open_data(folder.path(), {}, taking({1, 3}), {}); }), "E0397");
  write(folder / "Toy_TRAIN.ts", "@classLabel true a\n@data\n1,2:a\n");
  EXPECT_EQ(code_of([&] { open_data(folder.path(), {}, taking({1, 1, 28, 28}), {}); }), "E0399");
}

TEST(Augmentations, FixedOnesAreTorchvisions) {
  const at::Tensor bytes =
      decode_image(models::io::read_file(test::data_path("images/color.png")), "color.png");
  for (const auto& [text, numbers] : images().at("steps").items()) {
    Random random{0};
    const at::Tensor out = Augmentation(text).apply(bytes, random, false).flatten();
    const at::Tensor want = at::tensor(numbers.get<std::vector<double>>(), at::kFloat);
    EXPECT_LT((out.slice(0, 0, out.numel(), 7) - want).abs().max().item<float>(), 1e-5) << text;
  }
}

TEST(Augmentations, RandomOnesActInTrainingOnlyAndKeepShapes) {
  const at::Tensor image = at::rand({3, 12, 12});
  for (const char* text : {"RandomCrop(12,padding=3)", "RandomHorizontalFlip(p=1)", "RandomVerticalFlip(p=1)",
                           "RandomResizedCrop(12)", "RandomErasing(p=1)", "RandomRotation(20)",
                           "ColorJitter(0.4,contrast=0.4)", "GaussianNoise(0.2)"}) {
    Random random{9, 2};
    const Augmentation augmentation(text);
    EXPECT_TRUE(at::equal(augmentation.apply(image, random, false), image)) << text;
    const at::Tensor changed = augmentation.apply(image, random, true);
    EXPECT_EQ(changed.sizes(), image.sizes()) << text;
    EXPECT_FALSE(at::equal(changed, image)) << text;
  }
  Random random{3};
  EXPECT_TRUE(at::equal(Augmentation("RandomHorizontalFlip(1)").apply(image, random, true), image.flip({2})));
}

TEST(Augmentations, WrongNamesAndArgumentsAreRefused) {
  for (const char* text : {"RandomCop(3)", "RandomCrop", "RandomCrop()", "RandomCrop(3,4,5)",
                           "Normalize(0.5,0)", "Resize(x)", "Resize(edge=3)"})
    EXPECT_EQ(code_of([&] { Augmentation{text}; }), "E0212") << text;
}

std::vector<Batch> all_batches(const Dataset& data, int threads, std::int64_t first = 0) {
  const auto alone = kernels::single_process();
  const Augmentation augmentation("RandomCrop(6,padding=2),RandomHorizontalFlip()");
  Loader loader(data, augmentation, *alone, {.batch = 8, .train = true, .threads = threads, .seed = 5});
  loader.start(3, first);
  std::vector<Batch> out;
  while (auto batch = loader.next()) out.push_back(std::move(*batch));
  return out;
}

TEST(Loading, GivesTheSameBatchesForAnyNumberOfThreadsAndFromAnyBatchOn) {
  const Data data = test::wave_data(60);
  const std::vector<Batch> want = all_batches(*data.train, 0);
  ASSERT_EQ(want.size(), 7u) << "the last, incomplete one is left out";
  for (const auto& [threads, first] : {std::pair<int, int>{1, 0}, {4, 0}, {2, 5}}) {
    const std::vector<Batch> got = all_batches(*data.train, threads, first);
    ASSERT_EQ(got.size(), want.size() - static_cast<std::size_t>(first));
    for (std::size_t i = 0; i < got.size(); ++i) {
      const Batch& wanted = want[i + static_cast<std::size_t>(first)];
      EXPECT_EQ(got[i].samples, wanted.samples);
      EXPECT_TRUE(at::equal(got[i].inputs.at(0), wanted.inputs.at(0)));
    }
  }
}

/// Every third sample is corrupt.
class Broken final : public Dataset {
 public:
  std::int64_t size() const override { return 24; }
  Sample read(std::int64_t index) const override {
    if (index % 3 == 0) bad_sample("sample " + std::to_string(index), "is corrupt");
    return {{at::full({2}, index, at::kFloat)}, at::scalar_tensor(index, at::kLong)};
  }
};

TEST(Loading, SkipsCorruptSamplesAndCountsThemOrStops) {
  const Broken data;
  const auto alone = kernels::single_process();
  const Augmentation none;
  Loader strict(data, none, *alone, {.batch = 8, .threads = 2});
  strict.start(0);
  EXPECT_EQ(code_of([&] {
              while (strict.next()) {}
            }),
            "E0398");
  Loader lenient(data, none, *alone, {.batch = 8, .skip_bad = true, .threads = 2});
  lenient.start(0);
  int batches = 0;
  while (const auto batch = lenient.next()) {
    ++batches;
    for (const std::int64_t index : batch->samples) EXPECT_NE(index % 3, 0);
    EXPECT_EQ(batch->samples.size(), 8u);
  }
  EXPECT_EQ(batches, 3);
  EXPECT_EQ(lenient.bad(), 8);
}

}  // namespace
}  // namespace pollard::training
