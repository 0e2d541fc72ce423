// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace pollard::models {

/// Inclusive bounds of a number. Specs come from files: every size is checked before anything is built.
struct Range {
  std::int64_t low = 1;
  std::int64_t high = 1 << 24;
};

/// Visits the fields of a family's Spec, either reading them from JSON or writing them. A Spec has
///
///     void fields(Fields& f) {
///       f.integer("hidden_size", hidden_size, {1, 1 << 16});
///       f.text("hidden_act", hidden_act, {"gelu", "relu"});
///       f.require(hidden_size % heads == 0, "num_attention_heads divides hidden_size");
///     }
///
/// Names are those of the reference implementation's configuration file. Reading ignores unknown names, keeps
/// the default for absent or null ones, and throws UserError E0414 for a wrong type, a number outside its range
/// or a broken requirement.
class Fields {
 public:
  virtual ~Fields() = default;
  virtual void integer(std::string_view name, std::int64_t& value, Range range = {}) = 0;
  virtual void integers(std::string_view name, std::vector<std::int64_t>& value, Range each = {},
                        std::size_t longest = 4096) = 0;
  /// Lists of lists: the stages of a plain convolutional network.
  virtual void integer_lists(std::string_view name, std::vector<std::vector<std::int64_t>>& value,
                             Range each = {}) = 0;
  virtual void real(std::string_view name, double& value) = 0;
  virtual void flag(std::string_view name, bool& value) = 0;
  /// An empty `choices` allows any text.
  virtual void text(std::string_view name, std::string& value,
                    const std::vector<std::string_view>& choices = {}) = 0;
  virtual void texts(std::string_view name, std::vector<std::string>& value) = 0;
  virtual void require(bool condition, std::string_view what) = 0;
};

namespace detail {
struct AnySpec {
  virtual ~AnySpec() = default;
  virtual void fields(Fields& f) = 0;
};
void read(AnySpec& spec, std::string_view json);
std::string write(AnySpec& spec);

template <class Spec>
struct SpecRef : AnySpec {
  explicit SpecRef(Spec& s) : spec(s) {}
  void fields(Fields& f) override { spec.fields(f); }
  Spec& spec;
};
}  // namespace detail

/// A spec from JSON text ("" and "{}" give the defaults). Throws UserError E0414.
template <class Spec>
Spec spec_from_json(std::string_view json) {
  Spec spec;
  detail::SpecRef ref(spec);
  detail::read(ref, json);
  return spec;
}

/// Canonical JSON: every field, names sorted, no spaces.
template <class Spec>
std::string spec_to_json(Spec spec) {
  detail::SpecRef ref(spec);
  return detail::write(ref);
}

}  // namespace pollard::models
