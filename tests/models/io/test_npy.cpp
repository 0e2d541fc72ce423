// SPDX-License-Identifier: Apache-2.0
// NumPy and IDX arrays: what is read, and that damaged files are refused before anything is allocated.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <functional>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/npy.h"

namespace pollard::models::io {
namespace {

std::string little(std::uint64_t value, int bytes) {
  std::string out;
  for (int k = 0; k < bytes; ++k) out += static_cast<char>(value >> (8 * k));
  return out;
}

/// A .npy file of floats 0, 1, 2, ...
std::string npy(const std::string& shape, int count, const std::string& order = "False",
                const std::string& type = "<f4") {
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  std::string out = std::string("\x93NUMPY\x01\x00", 8) + little(header.size(), 2) + header;
  for (int k = 0; k < count; ++k) {
    const auto value = static_cast<float>(k);
    out.append(reinterpret_cast<const char*>(&value), 4);
  }
  return out;
}

std::string deflated(const std::string& plain, int window) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(plain.size() + 100, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  z.avail_in = static_cast<uInt>(plain.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

/// One entry a.npy, as numpy.savez (stored) or savez_compressed write it.
std::string npz(const std::string& array, bool packed) {
  const std::string data = packed ? deflated(array, -15) : array;
  const std::string method = little(packed ? 8 : 0, 2),
                    sizes = little(data.size(), 4) + little(array.size(), 4);
  const std::string local = "PK\x03\x04" + little(20, 2) + little(0, 2) + method + little(0, 8) + sizes +
                            little(5, 2) + little(0, 2) + "a.npy" + data;
  const std::string central = std::string("PK\x01\x02") + little(20, 2) + little(20, 2) + little(0, 2) +
                              method + little(0, 8) + sizes + little(5, 2) + little(0, 16) + "a.npy";
  return local + central + "PK\x05\x06" + little(0, 4) + little(1, 2) + little(1, 2) +
         little(central.size(), 4) + little(local.size(), 4) + little(0, 2);
}

std::shared_ptr<const ByteSource> source(const std::string& text) {
  const auto bytes = as_bytes(text);
  return memory_source({bytes.begin(), bytes.end()}, "samples");
}

std::string code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "none";
}

TEST(Arrays, OfNumPyAreReadInEitherOrder) {
  const at::Tensor plain = read_npy(as_bytes(npy("(2, 3)", 6)), "a"),
                   turned = read_npy(as_bytes(npy("(3, 2)", 6, "True")), "a");
  EXPECT_TRUE(plain.equal(at::arange(6, at::kFloat).view({2, 3})));
  EXPECT_TRUE(turned.equal(at::arange(6, at::kFloat).view({2, 3}).t()));
  EXPECT_EQ(read_npy(as_bytes(npy("()", 1)), "a").dim(), 0);
  EXPECT_EQ(read_npy(as_bytes(npy("(7,)", 7)), "a").size(0), 7);
}

TEST(Arrays, InArchivesAreReadStoredAndDeflated) {
  for (const bool packed : {false, true}) {
    const auto file = source(npz(npy("(4, 5)", 20), packed));
    EXPECT_TRUE(looks_like_arrays(*file));
    EXPECT_TRUE(read_npz(*file).at("a").equal(at::arange(20, at::kFloat).view({4, 5})));
  }
}

TEST(Arrays, OfIdxFilesAreReadPlainAndZipped) {
  const std::string idx = std::string("\0\0\x08\x02\0\0\0\x02\0\0\0\x03", 12) + "\1\2\3\4\5\6";
  for (const std::string& file : {idx, deflated(idx, 15 + 16)}) {
    EXPECT_TRUE(looks_like_arrays(*source(file)));
    EXPECT_TRUE(read_idx(*source(file)).equal(at::arange(1, 7, at::kByte).view({2, 3})));
  }
  const std::string wide = std::string("\0\0\x0B\x01\0\0\0\x02", 8) + std::string("\1\2\0\3", 4);
  EXPECT_TRUE(read_idx(*source(wide)).equal(at::tensor({258, 3}, at::kShort)));
}

TEST(Arrays, ThatAreDamagedAreRefused) {
  const std::string good = npy("(2, 3)", 6);
  const std::vector<std::string> bad = {good.substr(0, 9),
                                        good.substr(0, good.size() - 1),
                                        npy("(2, 4)", 6),
                                        npy("(2, 3", 6),
                                        npy("(-1,)", 0),
                                        npy("(4294967296, 4294967296)", 0),
                                        npy("(6,)", 6, "False", "|O"),
                                        npy("(6,)", 6, "False", ">f4"),
                                        "\x93NUMPX"};
  for (const std::string& file : bad)
    EXPECT_EQ(code_of([&] { read_npy(as_bytes(file), "a"); }), "E0396") << file;
  const std::string archive = npz(good, true);
  for (std::size_t cut = 0; cut < archive.size(); cut += 7)
    EXPECT_EQ(code_of([&] { read_npz(*source(archive.substr(0, cut))); }), "E0396") << cut;
  const std::string idx = std::string("\0\0\x08\x01\0\0\0\x03", 8) + "\1\2\3";
  for (const std::string& file :
       {idx.substr(0, 6), idx.substr(0, 10), idx + "x", std::string("\0\0\x07\x01", 4)})
    EXPECT_EQ(code_of([&] { read_idx(*source(file)); }), "E0396");
  const std::string zipped = deflated(idx, 15 + 16);
  EXPECT_EQ(code_of([&] { read_idx(*source(zipped.substr(0, zipped.size() - 9))); }), "E0396");
}

}  // namespace
}  // namespace pollard::models::io
