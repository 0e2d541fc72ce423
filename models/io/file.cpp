// SPDX-License-Identifier: Apache-2.0
#include "models/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/cancel.h"
#include "models/io/memory.h"
#include "models/io/sha256.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

constexpr std::uint64_t kReadChunk = std::uint64_t{8} << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void reject_open(const std::filesystem::path& path, std::string message, std::string help = {}) {
  throw UserError({.code = "E0302",
                   .exit = Exit::BadFile,
                   .subject = printable(path.string()),
                   .message = std::move(message),
                   .help = std::move(help)});
}

std::string suggest_neighbours(const std::filesystem::path& path) {
  constexpr std::size_t kMostNames = 10'000;
  std::vector<std::string> names;
  std::error_code error;
  const std::filesystem::path folder =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
    if (names.size() == kMostNames) break;
  }
  std::vector<std::string> near = near_names(path.filename().string(), names);
  for (std::string& name : near) name = printable(name);
  if (!near.empty()) return "did you mean " + join_or(near) + "?";
  return error ? "the folder " + printable(folder.string()) + " does not exist or cannot be listed" : "";
}

/// O_NONBLOCK so that a FIFO without a writer does not hang the open.
int open_read_only(const std::filesystem::path& path) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0) return fd;
    switch (errno) {
      case EINTR: continue;
      case ENOENT:
      case ENOTDIR: reject_open(path, "no such file", suggest_neighbours(path));
      case EACCES:
      case EPERM: reject_open(path, "no permission to read it", "check the file's owner and mode");
      default: reject_open(path, std::string("cannot be opened: ") + std::strerror(errno));
    }
  }
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "something else";
}

class FileSource final : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path)
      : file_(open_read_only(path)), name_(printable(path.string(), 4096)) {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) reject_open(path, std::strerror(errno));
    if (!S_ISREG(status.st_mode))
      reject_open(path, "not a regular file but " + std::string(kind_of(status.st_mode)),
                  S_ISDIR(status.st_mode) ? "name a file inside it" : "copy the bytes into a file first");
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  std::uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }

  void read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (!fits(offset, out.size(), size_)) reject_short(offset, out.size());
    while (!out.empty()) {
      throw_if_cancelled();
      const std::size_t want = std::min<std::size_t>(out.size(), kReadChunk);
      const ssize_t got = ::pread(file_.get(), out.data(), want, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) reject_io(offset, errno);
      if (got == 0) reject_short(offset, out.size());
      offset += static_cast<std::uint64_t>(got);
      out = out.subspan(static_cast<std::size_t>(got));
    }
  }

 private:
  [[noreturn]] void reject_short(std::uint64_t offset, std::uint64_t wanted) const {
    throw UserError({.code = "E0304",
                     .exit = Exit::BadFile,
                     .subject = name_,
                     .message = "ends before " + std::to_string(wanted) + " bytes that should be there",
                     .where = "byte offset " + std::to_string(offset),
                     .why = "the file is incomplete, or another process changed it while it was read",
                     .help = "compare its size and SHA-256 with the publisher's, or download it again"});
  }
  [[noreturn]] void reject_io(std::uint64_t offset, int error) const {
    throw UserError({.code = "E0502",
                     .exit = Exit::Environment,
                     .subject = name_,
                     .message = std::string("reading failed: ") + std::strerror(error),
                     .where = "byte offset " + std::to_string(offset),
                     .help = "check the disk or the mount"});
  }

  Descriptor file_;
  std::string name_;
  std::uint64_t size_ = 0;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::vector<std::byte> bytes, std::string name)
      : bytes_(std::move(bytes)), name_(std::move(name)) {}
  std::uint64_t size() const override { return bytes_.size(); }
  const std::string& name() const override { return name_; }
  void read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (!fits(offset, out.size(), bytes_.size()))
      throw UserError({.code = "E0304",
                       .exit = Exit::BadFile,
                       .subject = name_,
                       .message = "ends before " + std::to_string(out.size()) + " bytes that should be there",
                       .where = "byte offset " + std::to_string(offset)});
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }

 private:
  std::vector<std::byte> bytes_;
  std::string name_;
};

}  // namespace

std::vector<std::byte> ByteSource::read(std::uint64_t offset, std::uint64_t length) const {
  if (!fits(offset, length, size())) {
    std::byte probe{};
    read_at(offset < size() ? size() : offset, {&probe, 1});
  }
  require_memory(length, name());
  std::vector<std::byte> out(static_cast<std::size_t>(length));
  read_at(offset, out);
  return out;
}

std::shared_ptr<const ByteSource> open_file(const std::filesystem::path& path) {
  return std::make_shared<FileSource>(path);
}

std::shared_ptr<const ByteSource> memory_source(std::vector<std::byte> bytes, std::string name) {
  return std::make_shared<MemorySource>(std::move(bytes), std::move(name));
}

std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t limit) {
  const auto source = open_file(path);
  if (source->size() > limit)
    throw UserError({.code = "E0303",
                     .exit = Exit::BadFile,
                     .subject = source->name(),
                     .message = "holds " + human_bytes(static_cast<double>(source->size())) + "; at most " +
                                human_bytes(static_cast<double>(limit)) + " are read for this kind of file"});
  return source->read(0, source->size());
}

std::string sha256(const ByteSource& source) {
  Sha256 digest;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(source.size(), std::uint64_t{1} << 20)));
  for (std::uint64_t offset = 0; offset < source.size(); offset += buffer.size()) {
    throw_if_cancelled();
    const auto part = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), source.size() - offset)));
    source.read_at(offset, part);
    digest.update(part);
  }
  return digest.hex();
}

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.hex();
}

}  // namespace pollard::models::io
