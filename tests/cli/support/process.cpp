// SPDX-License-Identifier: Apache-2.0
#include "tests/cli/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>

#include "tests/paths.h"

namespace pollard::cli::test {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void limit(int what, std::uint64_t bytes) {
  const rlimit value{bytes, bytes};
  if (bytes > 0) ::setrlimit(static_cast<__rlimit_resource_t>(what), &value);
}

void redirect(const std::string& path, int descriptor) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(126);
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, Limits limits) : started_(now()) {
  std::vector<std::string> words{pollard::test::program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  const std::string out = folder_ / "out", err = folder_ / "err";
  id_ = ::fork();
  if (id_ < 0) throw std::runtime_error("no process");
  if (id_ > 0) return;
  redirect(out, STDOUT_FILENO);
  redirect(err, STDERR_FILENO);
  limit(RLIMIT_AS, limits.address_space);
  limit(RLIMIT_FSIZE, limits.file_size);
  ::execv(list[0], list.data());
  ::_exit(127);
}

Process::~Process() {
  if (!running()) return;
  send(SIGKILL);
  wait();
}

void Process::send(int signal) const {
  if (!ended_) ::kill(id_, signal);
}

bool Process::reap(int flags) {
  if (ended_ || ::waitpid(id_, &status_, flags) != id_) return ended_;
  seconds_ = now() - started_;
  return ended_ = true;
}

bool Process::running() { return !reap(WNOHANG); }

Ending Process::wait() {
  while (!reap(0)) {}
  return {.exit = WIFEXITED(status_) ? WEXITSTATUS(status_) : -1,
          .signal = WIFSIGNALED(status_) ? WTERMSIG(status_) : 0,
          .out = read_text(folder_ / "out"),
          .err = read_text(folder_ / "err"),
          .seconds = seconds_};
}

}  // namespace pollard::cli::test
