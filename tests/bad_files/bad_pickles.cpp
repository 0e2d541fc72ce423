// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "tests/bad_files/builders.h"
#include "tests/bad_files/make_bad_files.h"

namespace pollard::bad_files {
namespace {

using namespace std::string_literals;

BadFile bad(int row, std::string name, const std::string& pickle, std::string code,
            std::vector<std::string> says) {
  return {.row = row,
          .name = std::move(name) + ".pt",
          .bytes = torch_zip(pickle, {{"0", floats(6)}}).bytes(),
          .code = std::move(code),
          .says = std::move(says)};
}

BadFile malformed(std::string name, std::string_view opcodes, std::vector<std::string> says) {
  says.emplace_back("byte offset");
  return bad(17, std::move(name), Pickle().raw(opcodes).bytes(), "E0330", std::move(says));
}

std::vector<BadFile> malformed_pickles() {
  const std::string whole = state_dict({{}});
  RawZip without = torch_zip(whole, {});
  without.entries.erase(without.entries.begin());
  return {
      {.row = 17,
       .name = "no_pickle.pt",
       .bytes = without.bytes(),
       .code = "E0324",
       .says = {"no entry", "data.pkl"}},
      bad(17, "empty_pickle", "", "E0330", {"STOP"}),
      bad(17, "no_stop", whole.substr(0, whole.size() - 1), "E0330", {"without STOP"}),
      bad(17, "bytes_after_stop", whole + "x", "E0330", {"1 bytes follow"}),
      malformed("empty_stack", ".", {"0 values on the stack"}),
      malformed("two_values", "NN.", {"2 values on the stack"}),
      malformed("open_mark", "N(.", {"on the stack"}),
      malformed("odd_setitems", "}(Nu.", {"without a value"}),
      malformed("setitem_on_none", "NNNs.", {"not a dict"}),
      malformed("setitems_on_list", "](NNu.", {"not a dict"}),
      malformed("append_on_dict", "}Na.", {"not a list"}),
      malformed("mark_underflow", "Nt.", {"MARK"}),
      malformed("tuple_underflow", "N\x86.", {"more values"}),
      malformed("setitem_below_mark", "}(NNs.", {"no dict"}),
      malformed("append_below_mark", "](Na.", {"no list"}),
      malformed("reduce_of_number", "K\x01)R.", {"not a function"}),
      malformed("reduce_without_tuple", "ccollections\nOrderedDict\nNR.", {"tuple"}),
      malformed("build_on_none", "NNb.", {"not an object"}),
      malformed("persistent_id_of_text", "U\x01xQ.", {"persistent id"}),
      malformed("memo_not_set", "h\x07.", {"memo index 7"}),
      malformed("unknown_opcode", "NB\x01\0\0\0x."s, {"0x42 ('B')"}),
      malformed("proto_twice", "\x80\x02N.", {"PROTO"}),
      malformed("text_not_utf8", "U\x02\xff\xfe.", {"UTF-8"}),
      malformed("text_past_end", "X\xf0\xff\xff\xff.", {"middle of an opcode"}),
  };
}

std::vector<BadFile> greedy_pickles() {
  std::string nested;
  for (int i = 0; i < 300'000; ++i) nested += "\x85";
  std::string lists = "]";
  for (int i = 0; i < 100; ++i) lists += "]";
  for (int i = 0; i < 100; ++i) lists += "a";
  // Each tuple holds the one before twice: 2^60 leaves in 200 bytes.
  std::string laughs = "N";
  for (int i = 0; i < 60; ++i) laughs += "q"s + static_cast<char>(i) + "h" + static_cast<char>(i) + "\x86";
  return {
      bad(18, "nested_300000", Pickle().raw("N" + nested + ".").bytes(), "E0331", {"nested deeper than 64"}),
      bad(18, "nested_lists", Pickle().raw(lists + ".").bytes(), "E0331", {"nested deeper than 64"}),
      bad(18, "memo_index_2_to_31", Pickle().raw("Nr\x00\x00\x00\x80."s).bytes(), "E0330",
          {"memo index 2147483648"}),
      bad(18, "text_of_100_kb", Pickle().text(std::string(100'000, 'x')).raw(".").bytes(), "E0331",
          {"100000 bytes"}),
      bad(18, "long_python_name", Pickle().global(std::string(1000, 'm'), "x").raw(".").bytes(), "E0331",
          {"512"}),
      bad(18, "million_laughs", Pickle().raw(laughs + ".").bytes(), "E0338", {"no state dict"}),
  };
}

BadFile foreign(std::string name, std::string_view module, std::string_view function,
                std::vector<std::string> says) {
  Pickle pickle;
  pickle.raw("}(").text("weight").global(module, function).text("echo pwned").raw("\x85R").text("b");
  add_tensor(pickle, {});
  return bad(19, std::move(name), pickle.raw("u.").bytes(), "E0332", std::move(says));
}

}  // namespace

std::vector<BadFile> bad_pickles() {
  std::vector<BadFile> all = malformed_pickles();
  for (BadFile& file : greedy_pickles()) all.push_back(std::move(file));
  for (BadFile& file : std::vector<BadFile>{
           foreign("os_system", "os", "system", {"os.system", "nothing of the file was run"}),
           foreign("eval", "builtins", "eval", {"builtins.eval"}),
           foreign("torch_load", "torch", "load", {"torch.load"}),
           foreign("dotted_name", "torch.serialization", "os.system", {"torch.serialization.os.system"}),
           foreign("look_alike",
                   "t\xd0\xbe"
                   "rch._utils",
                   "_rebuild_tensor_v2", {"_rebuild_tensor_v2"}),
       })
    all.push_back(std::move(file));
  return all;
}

std::vector<BadFile> large_bad_files() {
  std::vector<BadFile> files;
  files.push_back({.row = 5,
                   .name = "brackets_100_mb.safetensors",
                   .bytes = safetensors("{\"a\":" + std::string(99'000'000, '[')),
                   .code = "E0311",
                   .says = {"a list where \"a\""}});
  files.push_back(
      {.row = 5,
       .name = "depth_100000.safetensors",
       .bytes = safetensors("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}"),
       .code = "E0311",
       .says = {"a list where \"a\""}});
  std::string empty_tuples(100'000'000, ')');
  files.push_back({.row = 18,
                   .name = "tuples_100_million.pt",
                   .bytes = torch_zip(Pickle().raw(empty_tuples).raw(".").bytes(), {}).bytes(),
                   .code = "E0331",
                   .says = {"larger than what it describes"}});
  // As many as fit in the cap on bytes, beside enough weights that the pickle is not the larger part.
  empty_tuples.resize(std::size_t{60} << 20U);
  files.push_back({.row = 18,
                   .name = "tuples_60_million.pt",
                   .bytes = torch_zip(Pickle().raw(empty_tuples).raw(".").bytes(),
                                      {{"0", std::string(std::size_t{70} << 20U, '\0')}})
                                .bytes(),
                   .code = "E0331",
                   .says = {"on the stack"}});
  return files;
}

}  // namespace pollard::bad_files
