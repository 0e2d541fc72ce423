// SPDX-License-Identifier: Apache-2.0
#include "models/io/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "graph/error.h"
#include "models/io/array_error.h"

namespace pollard::models::io {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& message) {
  throw array_error(name, message, "write the file again with the program that made it");
}

struct Stream {
  z_stream z{};
  ~Stream() { inflateEnd(&z); }
};

}  // namespace

std::vector<std::byte> inflate(std::span<const std::byte> bytes, Deflated form, std::uint64_t limit,
                               const std::string& name) {
  constexpr std::size_t kBlock = std::size_t{1} << 20;
  if (bytes.size() > std::numeric_limits<uInt>::max()) refuse(name, "holds more than 4 GiB compressed");
  Stream stream;
  POLLARD_CHECK(inflateInit2(&stream.z, form == Deflated::Gzip ? 15 + 16 : -15) == Z_OK, "zlib");
  // zlib reads through a pointer that is not const.
  stream.z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
  stream.z.avail_in = static_cast<uInt>(bytes.size());
  std::vector<std::byte> out;
  for (int state = Z_OK; state != Z_STREAM_END;) {
    const std::size_t before = out.size();
    out.resize(before + kBlock);
    stream.z.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.z.avail_out = kBlock;
    state = ::inflate(&stream.z, Z_NO_FLUSH);
    out.resize(out.size() - stream.z.avail_out);
    if (state != Z_OK && state != Z_STREAM_END) refuse(name, "its compressed bytes are damaged or end early");
    if (out.size() > limit) refuse(name, "unpacks to more than " + std::to_string(limit) + " bytes");
  }
  return out;
}

}  // namespace pollard::models::io
