// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include "models/io/atomic_file.h"
#include "models/io/bytes.h"
#include "models/io/cancel.h"
#include "tests/bad_files/expect_error.h"
#include "tests/bad_files/failing_calls.h"
#include "tests/bad_files/temp_folder.h"

namespace pollard::models::io {
namespace {

using bad_files::expect_error;
using bad_files::FailingCalls;
using bad_files::TempFolder;
using Names = std::set<std::string>;

/// Writes at most three bytes at a time.
class ShortWrites final : public SystemCalls {
 public:
  ssize_t write(int fd, const void* bytes, std::size_t size) override {
    return SystemCalls::write(fd, bytes, std::min<std::size_t>(size, 3));
  }
};

void write_in_three_parts(const std::filesystem::path& path, SystemCalls& calls) {
  AtomicFile file(path, {.force = true, .expected_size = 9, .calls = &calls});
  for (const char* part : {"new", "con", "ten"}) file.write(as_bytes(part));
  file.commit();
}

TEST(AtomicFile, AppearsWholeAtCommit) {
  const TempFolder folder;
  AtomicFile file(folder / "m");
  file.write(as_bytes("content"));
  EXPECT_FALSE(std::filesystem::exists(folder / "m"));
  file.commit();
  EXPECT_EQ(TempFolder::read(folder / "m"), "content");
  EXPECT_EQ(folder.names(), Names{"m"});
}

TEST(AtomicFile, WithoutCommitLeavesNothing) {
  const TempFolder folder;
  { AtomicFile(folder / "m").write(as_bytes("content")); }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(AtomicFile, WhicheverCallFailsTheOldFileStaysAndNoTemporary) {
  for (const int error : {ENOSPC, EIO, EDQUOT, EACCES})
    for (int failing = 0;; ++failing) {
      const TempFolder folder;
      folder.write("m", "old");
      FailingCalls calls(failing, error);
      bool refused = false;
      try {
        write_in_three_parts(folder / "m", calls);
      } catch (const UserError& problem) {
        refused = true;
        EXPECT_EQ(static_cast<int>(problem.exit()), static_cast<int>(Exit::Environment)) << calls.failed;
      }
      EXPECT_EQ(folder.names(), Names{"m"}) << calls.failed;
      EXPECT_EQ(TempFolder::read(folder / "m"), refused ? "old" : "newconten") << calls.failed;
      EXPECT_EQ(refused, !calls.failed.empty() && !calls.harmless()) << calls.failed;
      if (failing >= calls.count) break;
    }
}

TEST(AtomicFile, FullDiskSaysWhatItNeeds) {
  const TempFolder folder;
  FailingCalls calls(2, ENOSPC);
  expect_error("E0501", Exit::Environment, {"No space left", "needs 9 bytes"},
               [&] { write_in_three_parts(folder / "m", calls); });
}

TEST(AtomicFile, FullDiskIsMetBeforeWriting) {
  const TempFolder folder;
  FailingCalls calls(1, ENOSPC);
  expect_error("E0501", Exit::Environment, {"reserving space"},
               [&] { write_in_three_parts(folder / "m", calls); });
}

class FullDisk final : public SystemCalls {
 public:
  std::int64_t free_bytes(const char*) override { return 100; }
};

TEST(DiskSpace, IsAskedForBeforeAnyWork) {
  const TempFolder folder;
  EXPECT_NO_THROW(check_disk_space(folder / "m", 1000));
  FullDisk disk;
  SystemCalls::replace(&disk);
  EXPECT_NO_THROW(check_disk_space(folder / "m", 100));
  expect_error("E0501", Exit::Environment, {"needs 1000", "100", "free on its disk"},
               [&] { check_disk_space(folder / "m", 1000); });
  SystemCalls::replace(nullptr);
}

TEST(AtomicFile, InterruptedCallsAreRepeated) {
  for (int failing = 0; failing < 6; ++failing) {
    const TempFolder folder;
    FailingCalls calls(failing, EINTR);
    write_in_three_parts(folder / "m", calls);
    EXPECT_EQ(TempFolder::read(folder / "m"), "newconten") << calls.failed;
  }
}

TEST(AtomicFile, ShortWritesAreContinued) {
  const TempFolder folder;
  ShortWrites calls;
  AtomicFile file(folder / "m", {.calls = &calls});
  file.write(as_bytes("a long enough content"));
  file.commit();
  EXPECT_EQ(TempFolder::read(folder / "m"), "a long enough content");
}

TEST(AtomicFile, FileSizeLimitIsAnEnvironmentError) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const TempFolder folder;
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file(folder / "m", as_bytes(std::string(5000, 'x')), false);
    } catch (const UserError& error) {
      ::_exit(error.parts().code == "E0501" && folder.names().empty() ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(AtomicFile, KilledAtAnyMomentLeavesTheOldFileOrTheNew) {
  const std::string old_content(200'000, 'o');
  const std::string new_content(300'000, 'n');
  for (int round = 0; round < 40; ++round) {
    const TempFolder folder;
    folder.write("m", old_content);
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) write_file(folder / "m", as_bytes(new_content), true);
    }
    ::usleep(static_cast<useconds_t>(100 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    const std::string content = TempFolder::read(folder / "m");
    EXPECT_TRUE(content == old_content || content == new_content);
  }
}

TEST(AtomicFile, TwoWritersOfOneNameBothWriteWholeFiles) {
  const TempFolder folder;
  AtomicFile first(folder / "m", {.force = true});
  AtomicFile second(folder / "m", {.force = true});
  first.write(as_bytes("first"));
  second.write(as_bytes("second"));
  second.commit();
  first.commit();
  EXPECT_EQ(TempFolder::read(folder / "m"), "first");
  EXPECT_EQ(folder.names(), Names{"m"});
}

TEST(AtomicFile, WithoutForceANameTakenMeanwhileIsKept) {
  const TempFolder folder;
  AtomicFile file(folder / "m");
  file.write(as_bytes("mine"));
  folder.write("m", "theirs");
  expect_error("E0224", Exit::Usage, {"exists already", "--force"}, [&] { file.commit(); });
  EXPECT_EQ(TempFolder::read(folder / "m"), "theirs");
}

TEST(AtomicFile, CancellingStopsItAndLeavesNothing) {
  const TempFolder folder;
  expect_error("E0509", Exit::Interrupted, {"interrupted"}, [&] {
    AtomicFile file(folder / "m");
    request_cancel();
    file.write(as_bytes("content"));
  });
  request_cancel(false);
  EXPECT_EQ(folder.names(), Names{});
}

TEST(CancelSignals, FirstSetsTheFlagSecondKills) {
  const pid_t child = ::fork();
  if (child == 0) {
    install_cancel_signals();
    ::raise(SIGINT);
    if (!cancel_requested()) ::_exit(1);
    ::raise(SIGINT);
    ::_exit(2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

/// How a process ends that begins to write `folder`/m by `calls` and then does `next`.
int ending_of_a_writer(const TempFolder& folder, SystemCalls& calls, const std::function<void()>& next) {
  const pid_t child = ::fork();
  if (child == 0) {
    install_cancel_signals();
    AtomicFile file(folder / "m", {.calls = &calls});
    next();
    ::_exit(2);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

void raise_twice() {
  ::raise(SIGTERM);
  ::raise(SIGTERM);
}

TEST(CancelSignals, SecondRemovesTheTemporaryFile) {
  const TempFolder folder;
  const int status = ending_of_a_writer(folder, SystemCalls::posix(), raise_twice);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_EQ(folder.names(), Names{});
}

/// The file is there and AtomicFile does not know it yet.
class SignalledWhileOpening final : public SystemCalls {
 public:
  explicit SignalledWhileOpening(std::function<void()> signals) : signals_(std::move(signals)) {}
  int open_new(const char* path, mode_t mode) override {
    const int fd = SystemCalls::open_new(path, mode);
    signals_();
    return fd;
  }

 private:
  std::function<void()> signals_;
};

TEST(CancelSignals, BetweenMakingTheTemporaryFileAndKnowingItRemoveIt) {
  const auto on_this_thread = [] {
    ::kill(::getpid(), SIGINT);
    ::kill(::getpid(), SIGTERM);
  };
  // Signals held back here are taken by another thread, which must wait for what this one does.
  const auto on_another = [] {
    sigset_t none;
    ::sigemptyset(&none);
    std::thread([none] {
      ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
      raise_twice();
    }).detach();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  };
  for (const std::function<void()>& signals :
       {std::function<void()>(on_this_thread), std::function<void()>(on_another)}) {
    const TempFolder folder;
    SignalledWhileOpening calls(signals);
    const int status =
        ending_of_a_writer(folder, calls, [] { std::this_thread::sleep_for(std::chrono::seconds(5)); });
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
    EXPECT_EQ(folder.names(), Names{});
  }
}

TEST(OutputPath, RefusesWhatCannotBeWrittenBeforeAnyWork) {
  const TempFolder folder;
  const auto input = folder.write("in.pt", "x");
  const auto other = folder.write("other.pt", "x");
  std::filesystem::create_symlink(other, folder / "link.pt");
  std::filesystem::create_hard_link(input, folder / "same.pt");
  const auto check = [&](const std::filesystem::path& output, bool force) {
    return [=] { check_output_path(output, {input}, force); };
  };
  expect_error("E0220", Exit::Usage, {"names no output file"}, check("", false));
  expect_error("E0221", Exit::Usage, {"is a directory"}, check(folder.path(), true));
  expect_error("E0222", Exit::Usage, {"symbolic link"}, check(folder / "link.pt", true));
  expect_error("E0222", Exit::Usage, {"not a regular file"}, check("/dev/null", true));
  expect_error("E0223", Exit::Usage, {"also an input"}, check(input, true));
  expect_error("E0223", Exit::Usage, {"also an input"}, check(folder / "same.pt", true));
  expect_error("E0224", Exit::Usage, {"exists already", "--force"}, check(other, false));
  expect_error("E0225", Exit::Usage, {"does not exist", "mkdir -p"}, check(folder / "no/out.pt", false));
  ::chmod(other.c_str(), 0444);
  expect_error("E0503", Exit::Environment, {"read-only"}, check(other, true));
  EXPECT_NO_THROW(check(folder / "new.pt", false)());
  EXPECT_EQ(folder.names(), (Names{"in.pt", "other.pt", "link.pt", "same.pt"}));
}

}  // namespace
}  // namespace pollard::models::io
