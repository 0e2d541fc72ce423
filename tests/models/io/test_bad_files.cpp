// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <ostream>
#include <set>

#include "models/io/checkpoint.h"
#include "models/io/file.h"
#include "models/io/safetensors.h"
#include "tests/bad_files/expect_error.h"
#include "tests/bad_files/make_bad_files.h"
#include "tests/bad_files/temp_folder.h"
#include "tests/sanitizers.h"

namespace pollard::bad_files {

void PrintTo(const BadFile& file, std::ostream* out) { *out << file.name; }

namespace {

using models::io::CheckpointInfo;
using models::io::describe_checkpoint;
using models::io::read_checkpoint;

class EveryBadFile : public testing::TestWithParam<BadFile> {};

TEST_P(EveryBadFile, IsRefusedWithItsCodeAndLeavesNothing) {
  const BadFile& bad = GetParam();
  const TempFolder folder;
  const auto path = folder.write(bad.name, bad.bytes);
  std::vector<std::string> says = bad.says;
  says.push_back(path.string());
  expect_error(bad.code, bad.exit, says, [&] { read_checkpoint(path); });
  EXPECT_EQ(folder.names(), std::set<std::string>{bad.name});
}

std::string test_name(const testing::TestParamInfo<BadFile>& info) {
  std::string name = "row" + std::to_string(info.param.row) + "_" + info.param.name;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryBadFile, testing::ValuesIn(all_bad_files()), test_name);

/// What does not show in the description is found when the data is read: checksums only.
TEST_P(EveryBadFile, IsRefusedByTheDescriptionToo) {
  const BadFile& bad = GetParam();
  if (bad.code == "E0323") return;
  const TempFolder folder;
  const auto path = folder.write(bad.name, bad.bytes);
  expect_error(bad.code, bad.exit, bad.says, [&] { describe_checkpoint(path); });
}

long peak_kilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(LargeBadFiles, AreRefusedInASecondAndLittleMemory) {
  for (const BadFile& bad : large_bad_files()) {
    const TempFolder folder;
    const auto path = folder.write(bad.name, bad.bytes);
    const long before = peak_kilobytes();
    const auto start = std::chrono::steady_clock::now();
    expect_error(bad.code, bad.exit, bad.says, [&] { read_checkpoint(path); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), pollard::test::kSanitized ? 10.0 : 1.0) << bad.name;
    EXPECT_LT(peak_kilobytes() - before, static_cast<long>(bad.bytes.size() / 1024) + 64 * 1024) << bad.name;
  }
}

TEST(GoodFiles, AreRead) {
  const TempFolder folder;
  for (const GoodFile& good : good_files()) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : read_checkpoint(folder.write(good.name, good.bytes)).tensors)
      names.push_back(name);
    EXPECT_EQ(names, good.tensors) << good.name;
  }
}

TEST(MissingFile, NamesItsNeighbours) {
  const TempFolder folder;
  folder.write("resnet56.pt", "x");
  expect_error("E0302", Exit::BadFile, {"no such file", "did you mean resnet56.pt?"},
               [&] { read_checkpoint(folder / "resnet65.pt"); });
}

TEST(MissingFile, NamesAMissingFolder) {
  expect_error("E0302", Exit::BadFile, {"no such file", "/nowhere/at/all"},
               [] { read_checkpoint("/nowhere/at/all/m.pt"); });
}

TEST(Paths, ThatAreNoRegularFilesAreRefusedWithoutWaiting) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe.pt").c_str(), 0600), 0);
  expect_error("E0302", Exit::BadFile, {"not a regular file but a named pipe"},
               [&] { read_checkpoint(folder / "pipe.pt"); });
  expect_error("E0302", Exit::BadFile, {"not a regular file but a device"},
               [] { read_checkpoint("/dev/zero"); });
  expect_error("E0302", Exit::BadFile, {"not a regular file but a directory"},
               [&] { read_checkpoint(folder.path()); });
}

TEST(Paths, AreEscapedInMessages) {
  const TempFolder folder;
  expect_error("E0302", Exit::BadFile, {"\\x1b[2J.pt"}, [&] { read_checkpoint(folder / "\x1b[2J.pt"); });
}

TEST(Row34, AFileCutAfterItsHeaderWasReadIsRefused) {
  const TempFolder folder;
  const GoodFile good = good_files().front();
  ASSERT_TRUE(good.name.ends_with(".safetensors"));
  const auto path = folder.write(good.name, good.bytes);
  const models::io::SafetensorsReader reader(models::io::open_file(path));
  std::filesystem::resize_file(path, good.bytes.size() - 1);
  expect_error("E0304", Exit::BadFile, {"byte offset", "incomplete", good.name}, [&] { reader.read_all(); });
}

TEST(File, CutWhileItIsReadIsRefused) {
  const TempFolder folder;
  const auto path = folder.write("m.bin", std::string(1000, 'x'));
  const auto source = models::io::open_file(path);
  std::filesystem::resize_file(path, 500);
  expect_error("E0304", Exit::BadFile, {"byte offset 500", "incomplete"}, [&] { source->read(0, 1000); });
}

TEST(File, PastItsEndIsRefusedBeforeAnyAllocation) {
  const TempFolder folder;
  const auto source = models::io::open_file(folder.write("m.bin", "12345"));
  expect_error("E0304", Exit::BadFile, {"byte offset"}, [&] { source->read(3, std::uint64_t{1} << 60U); });
}

TEST(Sha256, IsThatOfTheStandard) {
  const TempFolder folder;
  const auto source = models::io::open_file(folder.write("abc", "abc"));
  EXPECT_EQ(models::io::sha256(*source), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace pollard::bad_files
