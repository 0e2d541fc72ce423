// SPDX-License-Identifier: Apache-2.0
#include "models/io/pickle_machine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <limits>
#include <utility>

#include "graph/error.h"
#include "models/io/convert_help.h"
#include "models/io/pickle_names.h"
#include "models/io/text.h"

namespace pollard::models::io::pickle {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20;
constexpr std::size_t kMostNodes = std::size_t{4} << 20;
constexpr std::size_t kMostOnStack = std::size_t{1} << 20;
constexpr std::size_t kMostMemo = std::size_t{1} << 20;
constexpr std::size_t kMostForeign = 1000;
constexpr std::uint64_t kLongestText = 64 << 10;
constexpr std::size_t kLongestGlobal = 512;
constexpr NodeId kHole = std::numeric_limits<NodeId>::max();

std::string opcode_text(std::uint8_t opcode) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), opcode > 0x20 && opcode < 0x7f ? "0x%02x ('%c')" : "0x%02x", opcode,
                opcode);
  return text.data();
}

}  // namespace

Machine::Machine(std::vector<std::byte> bytes, const std::string& subject, const std::string& entry)
    : cursor_({}), subject_(subject), entry_(entry) {
  if (bytes.size() > kMostBytes)
    too_much(human_bytes(static_cast<double>(bytes.size())) + " of pickle; at most 64 MiB");
  tree_.bytes_ = std::move(bytes);
  cursor_ = Cursor(tree_.bytes_);
  // Shared by every occurrence: a file of nothing but these costs no memory.
  for (const Kind kind : {Kind::None, Kind::Bool, Kind::Bool, Kind::Tuple})
    tree_.nodes_.push_back({.kind = kind});
  tree_.nodes_[2].payload = 1;
}

void Machine::malformed(std::string message) const {
  throw UserError({.code = "E0330",
                   .exit = Exit::BadFile,
                   .subject = subject_,
                   .message = std::move(message),
                   .where = "entry " + entry_ + ", byte offset " + std::to_string(opcode_at_),
                   .why = "the file is damaged or was not written by torch.save; nothing was loaded",
                   .help = "compare its SHA-256 with the publisher's, or download it again"});
}

void Machine::too_much(std::string message) const {
  throw UserError(
      {.code = "E0331",
       .exit = Exit::BadFile,
       .subject = subject_,
       .message = std::move(message),
       .where = "entry " + entry_ + ", byte offset " + std::to_string(opcode_at_),
       .why = "no state dict needs this much; the limits keep a hostile file from using up memory",
       .help = "save only the state dict, or convert it to safetensors in Python"});
}

NodeId Machine::add(Node added) {
  if (tree_.nodes_.size() == kMostNodes) too_much("more than " + std::to_string(kMostNodes) + " objects");
  tree_.nodes_.push_back(added);
  return static_cast<NodeId>(tree_.nodes_.size() - 1);
}

NodeId Machine::singleton(Kind kind, std::uint64_t payload) {
  if (kind == Kind::None) return 0;
  return kind == Kind::Tuple ? 3 : static_cast<NodeId>(1 + payload);
}

void Machine::push(NodeId id) {
  if (stack_.size() == kMostOnStack)
    too_much("more than " + std::to_string(kMostOnStack) + " objects on the stack");
  stack_.push_back(id);
}

NodeId Machine::pop() {
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) malformed("an opcode needs more values than there are");
  const NodeId id = stack_.back();
  stack_.pop_back();
  return id;
}

std::size_t Machine::pop_mark() {
  if (marks_.empty()) malformed("an opcode needs a MARK that is not there");
  const std::size_t mark = marks_.back();
  marks_.pop_back();
  return stack_.size() - mark;
}

void Machine::nest(NodeId parent, NodeId child) {
  const int depth = node(child).depth + 1;
  if (depth > Tree::kDeepest) too_much("objects nested deeper than " + std::to_string(Tree::kDeepest));
  node(parent).depth = static_cast<std::uint8_t>(std::max<int>(node(parent).depth, depth));
}

void Machine::push_text(std::uint64_t length) {
  if (length > kLongestText && length <= cursor_.remaining())
    too_much("a text of " + std::to_string(length) + " bytes; at most " + std::to_string(kLongestText));
  const std::uint64_t start = cursor_.position();
  const std::string_view text = cursor_.take_text(length);
  if (first_invalid_utf8(text) != std::string_view::npos) malformed("a text that is not UTF-8");
  push(add({.kind = Kind::String, .count = static_cast<std::uint32_t>(length), .payload = start}));
}

void Machine::push_global() {
  const std::uint64_t start = cursor_.position();
  for (int lines = 0; lines < 2;) {
    if (cursor_.position() - start > kLongestGlobal) too_much("a Python name longer than 512 bytes");
    lines += cursor_.u8() == '\n' ? 1 : 0;
  }
  const auto length = static_cast<std::uint32_t>(cursor_.position() - start - 1);
  const NodeId id = add({.kind = Kind::Global, .count = length, .payload = start});
  if (!is_known(tree_.string(id)) && foreign_seen_.size() < kMostForeign &&
      foreign_seen_.insert(tree_.text(id)).second)
    tree_.foreign_.push_back(tree_.text(id));
  push(id);
}

void Machine::push_long() {
  const std::uint8_t length = cursor_.u8();
  const auto bytes = cursor_.take(length);
  if (length > 8) return push(add({.kind = Kind::Opaque}));
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const bool negative = length > 0 && (bytes[length - 1U] & std::byte{0x80}) != std::byte{0};
    const std::uint64_t byte =
        i < length ? std::to_integer<std::uint64_t>(bytes[i]) : (negative ? 0xFFU : 0U);
    value |= byte << (8 * i);
  }
  push(add({.kind = Kind::Int, .payload = value}));
}

void Machine::push_float() {
  std::uint64_t bits = 0;
  for (const std::byte byte : cursor_.take(8)) bits = bits << 8U | std::to_integer<std::uint64_t>(byte);
  push(add({.kind = Kind::Float, .payload = bits}));
}

bool Machine::run_scalar(std::uint8_t opcode) {
  switch (opcode) {
    case 'N': push(singleton(Kind::None, 0)); return true;
    case 0x88: push(singleton(Kind::Bool, 1)); return true;                           // NEWTRUE
    case 0x89: push(singleton(Kind::Bool, 0)); return true;                           // NEWFALSE
    case 'K': push(add({.kind = Kind::Int, .payload = cursor_.u8()})); return true;   // BININT1
    case 'M': push(add({.kind = Kind::Int, .payload = cursor_.u16()})); return true;  // BININT2
    case 'J': {                                                                       // BININT, signed
      const auto value = static_cast<std::int32_t>(cursor_.u32());
      push(add({.kind = Kind::Int, .payload = static_cast<std::uint64_t>(std::int64_t{value})}));
      return true;
    }
    case 0x8a: push_long(); return true;              // LONG1
    case 'G': push_float(); return true;              // BINFLOAT
    case 'X': push_text(cursor_.u32()); return true;  // BINUNICODE
    case 'U': push_text(cursor_.u8()); return true;   // SHORT_BINSTRING
    default: return false;
  }
}

void Machine::make_tuple(std::size_t count) {
  if (count == 0) return push(singleton(Kind::Tuple, 0));
  const std::size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() - floor < count) malformed("a tuple needs more values than there are");
  const NodeId id =
      add({.kind = Kind::Tuple, .count = static_cast<std::uint32_t>(count), .payload = tree_.links_.size()});
  for (std::size_t i = stack_.size() - count; i < stack_.size(); ++i) {
    nest(id, stack_[i]);
    tree_.links_.push_back(stack_[i]);
  }
  stack_.resize(stack_.size() - count);
  push(id);
}

void Machine::append(std::size_t count) {
  if (stack_.size() <= count) malformed("no list to append to");
  const std::size_t first = stack_.size() - count;
  const NodeId list = stack_[first - 1];
  if (!marks_.empty() && first - 1 < marks_.back()) malformed("no list to append to");
  if (node(list).kind != Kind::List && node(list).kind != Kind::Opaque)
    malformed("appending to what is not a list");
  if (node(list).kind == Kind::List && count > 0) {
    if (node(list).count == 0) node(list).payload = (tree_.lists_.emplace_back(), tree_.lists_.size() - 1);
    for (std::size_t i = first; i < stack_.size(); ++i) {
      nest(list, stack_[i]);
      tree_.lists_[node(list).payload].push_back(stack_[i]);
    }
    node(list).count = 1;
  }
  stack_.resize(first);
}

void Machine::set_items(std::size_t count) {
  if (stack_.size() <= count) malformed("no dict to set items of");
  const std::size_t first = stack_.size() - count;
  const NodeId dict = stack_[first - 1];
  if (!marks_.empty() && first - 1 < marks_.back()) malformed("no dict to set items of");
  if (count % 2 != 0) malformed("a dict key without a value");
  if (node(dict).kind != Kind::Dict && node(dict).kind != Kind::Opaque)
    malformed("setting items of what is not a dict");
  if (node(dict).kind == Kind::Dict && count > 0) {
    if (node(dict).count == 0) node(dict).payload = (tree_.dicts_.emplace_back(), tree_.dicts_.size() - 1);
    for (std::size_t i = first; i < stack_.size(); i += 2) {
      nest(dict, stack_[i]);
      nest(dict, stack_[i + 1]);
      tree_.dicts_[node(dict).payload].emplace_back(stack_[i], stack_[i + 1]);
    }
    node(dict).count = 1;
  }
  stack_.resize(first);
}

bool Machine::run_container(std::uint8_t opcode) {
  switch (opcode) {
    case '(':
      if (marks_.size() == kMostOnStack) too_much("too many MARKs");
      marks_.push_back(stack_.size());
      return true;
    case '}': push(add({.kind = Kind::Dict})); return true;
    case ']': push(add({.kind = Kind::List})); return true;
    case ')': make_tuple(0); return true;
    case 't': make_tuple(pop_mark()); return true;
    case 0x85: make_tuple(1); return true;
    case 0x86: make_tuple(2); return true;
    case 0x87: make_tuple(3); return true;
    case 'a': append(1); return true;
    case 'e': append(pop_mark()); return true;
    case 's': set_items(2); return true;
    case 'u': set_items(pop_mark()); return true;
    default: return false;
  }
}

void Machine::put(std::uint64_t index) {
  if (stack_.empty()) malformed("nothing to memoize");
  // Picklers number densely, from 0 or from 1: a jump is an attempt to make the memo huge.
  if (index > memo_.size() + 1) malformed("memo index " + std::to_string(index) + " out of order");
  if (index >= kMostMemo) too_much("more than " + std::to_string(kMostMemo) + " memo entries");
  if (index >= memo_.size()) memo_.resize(static_cast<std::size_t>(index) + 1, kHole);
  memo_[static_cast<std::size_t>(index)] = stack_.back();
}

void Machine::get(std::uint64_t index) {
  if (index >= memo_.size() || memo_[static_cast<std::size_t>(index)] == kHole)
    malformed("memo index " + std::to_string(index) + " is not set");
  push(memo_[static_cast<std::size_t>(index)]);
}

bool Machine::run_memo(std::uint8_t opcode) {
  switch (opcode) {
    case 'q': put(cursor_.u8()); return true;
    case 'r': put(cursor_.u32()); return true;
    case 'h': get(cursor_.u8()); return true;
    case 'j': get(cursor_.u32()); return true;
    default: return false;
  }
}

void Machine::step(std::uint8_t opcode) {
  if (opcode == '.') {
    stopped_ = true;
  } else if (opcode == 0x80) {
    malformed("PROTO in the middle");
  } else if (!run_scalar(opcode) && !run_container(opcode) && !run_memo(opcode) && !run_object(opcode)) {
    malformed("opcode " + opcode_text(opcode) + " is not one torch.save writes");
  }
}

Tree Machine::run() {
  try {
    if (cursor_.u8() != 0x80) malformed("does not begin as a pickle of protocol 2");
    if (const int protocol = cursor_.u8(); protocol != 2) refuse_protocol(subject_, entry_, protocol);
    while (!stopped_) {
      opcode_at_ = cursor_.position();
      step(cursor_.u8());
    }
  } catch (const OutOfBytes&) {
    malformed("the pickle ends in the middle of an opcode, or without STOP");
  }
  if (stack_.size() != 1 || !marks_.empty())
    malformed("the pickle ends with " + std::to_string(stack_.size()) +
              " values on the stack; 1 was expected");
  if (!cursor_.at_end())
    malformed(std::to_string(cursor_.remaining()) + " bytes follow the end of the pickle");
  tree_.root_ = stack_.back();
  return std::move(tree_);
}

Tree parse(std::vector<std::byte> bytes, const std::string& subject, const std::string& entry) {
  return Machine(std::move(bytes), subject, entry).run();
}

}  // namespace pollard::models::io::pickle
