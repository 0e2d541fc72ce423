// SPDX-License-Identifier: Apache-2.0
#include "models/io/read_stage.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "models/io/safetensors.h"
#include "models/io/stage.h"
#include "tests/bad_files/temp_folder.h"

namespace pollard::models::io {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

struct Seen {
  std::vector<std::int64_t> done;
  std::int64_t total = 0;
};

template <class Work>
Seen told(Work work) {
  Seen seen;
  const StageScope scope([&](const Stage& stage) {
    EXPECT_EQ(stage.name, "read");
    seen.done.push_back(stage.done);
    seen.total = stage.total;
  });
  work();
  return seen;
}

TEST(ReadStage, TellsFromNothingToAll) {
  const Seen seen = told([] {
    ReadStage stage(200 * kMiB);
    stage.add(50 * kMiB);
    stage.add(500 * kMiB);  // damaged headers may promise more than there is
  });
  EXPECT_EQ(seen.done, (std::vector<std::int64_t>{0, 50, 200, 200}));
  EXPECT_EQ(seen.total, 200);
}

TEST(ReadStage, IsSilentOfWhatIsReadAtOnce) {
  EXPECT_TRUE(told([] {
                ReadStage stage(kMiB);
                stage.add(kMiB);
              }).done.empty());
}

TEST(ReadStage, IsToldByTheReaderOfALargeFile) {
  const bad_files::TempFolder folder;
  const auto path = folder.path() / "large.safetensors";
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[41943040],"data_offsets":[0,41943040]},"b":{"dtype":"U8","shape":[41943040],"data_offsets":[41943040,83886080]}})";
  {
    std::ofstream file(path, std::ios::binary);
    for (int i = 0; i < 8; ++i) file.put(static_cast<char>(header.size() >> (8 * i) & 255));
    file << header;
  }
  std::filesystem::resize_file(path, 8 + header.size() + 80 * kMiB);  // no bytes on the disk
  const Seen seen = told([&] { SafetensorsReader(open_file(path)).read_all(); });
  ASSERT_GE(seen.done.size(), 3u);
  EXPECT_EQ(seen.done.front(), 0);
  EXPECT_EQ(seen.done.back(), 80);
}

}  // namespace
}  // namespace pollard::models::io
