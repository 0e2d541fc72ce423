// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// File formats written by hand, so that every field can lie.
namespace pollard::bad_files {

/// `value` in `width` bytes, least significant first.
std::string little(std::uint64_t value, int width);

/// Length, header and data.
std::string safetensors(std::string_view header, std::string_view data = "");

struct RawEntry {
  std::string name;
  std::string data;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::optional<std::uint32_t> crc;       ///< instead of the right one, in both headers
  std::optional<std::string> local_name;  ///< the next ones: in one header only
  std::optional<std::uint32_t> local_size;
  std::optional<std::uint16_t> local_method;
  std::optional<std::uint32_t> central_size;
  std::optional<std::uint32_t> central_offset;
  std::string local_extra;
  std::string central_extra;
  std::string tail;  ///< bytes after the data
};

struct RawZip {
  std::vector<RawEntry> entries;
  std::string before;   ///< bytes before the first local header, not counted in offsets
  std::string between;  ///< bytes before the directory
  std::string after;
  int end_records = 1;
  std::optional<std::uint16_t> count;
  std::optional<std::uint32_t> directory_offset;
  std::string zip64;  ///< bytes right before the end record
  std::string bytes() const;
};

/// Opcodes of pickle protocol 2, in the order they are called.
class Pickle {
 public:
  Pickle() : bytes_("\x80\x02") {}
  Pickle& raw(std::string_view bytes);
  Pickle& global(std::string_view module, std::string_view name);
  Pickle& text(std::string_view value);
  Pickle& integer(std::int64_t value);
  /// The numbers as a tuple.
  Pickle& tuple(const std::vector<std::int64_t>& values);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// One tensor of a state dict, as _rebuild_tensor_v2 has it.
struct RawTensor {
  std::string name = "weight";
  std::string storage_type = "FloatStorage";
  std::string key = "0";
  std::int64_t storage_elements = 6;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape = {2, 3};
  std::vector<std::int64_t> stride = {3, 1};
};

/// Appends the opcodes that leave the tensor on the stack.
void add_tensor(Pickle& pickle, const RawTensor& tensor);
/// A whole state dict, an OrderedDict.
std::string state_dict(const std::vector<RawTensor>& tensors);

/// A zip as torch.save makes it: archive/data.pkl, archive/byteorder, archive/data/<key>.
RawZip torch_zip(std::string pickle, const std::map<std::string, std::string>& storages);

/// `count` float32 numbers 0, 1, 2, ...
std::string floats(int count);

}  // namespace pollard::bad_files
