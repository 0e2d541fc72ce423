// SPDX-License-Identifier: Apache-2.0
#include "kernels/scalar_ops.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>

namespace pollard::kernels {
namespace {

using Args = std::vector<c10::IValue>;

[[noreturn]] void fail(const std::string& why) { throw std::domain_error(why); }

bool is_float(const c10::IValue& value) { return value.isDouble(); }

std::int64_t as_int(const c10::IValue& value) {
  if (value.isBool()) return value.toBool() ? 1 : 0;
  if (value.isInt()) return value.toInt();
  fail("expected an integer");
}

double as_double(const c10::IValue& value) {
  return value.isDouble() ? value.toDouble() : static_cast<double>(as_int(value));
}

std::int64_t to_integer(double value) {
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (!(value >= -kLimit && value < kLimit)) fail("result does not fit an integer");
  return static_cast<std::int64_t>(value);
}

template <class IntOp, class FloatOp>
c10::IValue arithmetic(const Args& args, IntOp&& on_ints, FloatOp&& on_floats) {
  if (is_float(args.at(0)) || is_float(args.at(1)))
    return on_floats(as_double(args.at(0)), as_double(args.at(1)));
  return on_ints(as_int(args.at(0)), as_int(args.at(1)));
}

/// An integer operation that reports overflow, __builtin_add_overflow and its kin.
template <class Checked>
auto checked(Checked&& operation) {
  return [operation](std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (operation(a, b, &result)) fail("integer overflow");
    return result;
  };
}

c10::IValue add(const Args& args) {
  return arithmetic(args, checked([](auto a, auto b, auto* r) { return __builtin_add_overflow(a, b, r); }),
                    std::plus<double>());
}
c10::IValue sub(const Args& args) {
  return arithmetic(args, checked([](auto a, auto b, auto* r) { return __builtin_sub_overflow(a, b, r); }),
                    std::minus<double>());
}
c10::IValue mul(const Args& args) {
  return arithmetic(args, checked([](auto a, auto b, auto* r) { return __builtin_mul_overflow(a, b, r); }),
                    std::multiplies<double>());
}

void require_divisor(std::int64_t a, std::int64_t b) {
  if (b == 0) fail("division by zero");
  if (b == -1 && a == std::numeric_limits<std::int64_t>::min()) fail("integer overflow");
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  require_divisor(a, b);
  const std::int64_t quotient = a / b;
  return (a % b != 0 && (a % b < 0) != (b < 0)) ? quotient - 1 : quotient;
}
std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
  require_divisor(a, b);
  const std::int64_t rest = a % b;
  return (rest != 0 && (rest < 0) != (b < 0)) ? rest + b : rest;
}

c10::IValue floordiv(const Args& args) {
  return arithmetic(args, floor_div, [](double a, double b) {
    if (b == 0) fail("division by zero");
    return std::floor(a / b);
  });
}
c10::IValue mod(const Args& args) {
  return arithmetic(args, floor_mod, [](double a, double b) {
    if (b == 0) fail("division by zero");
    return a - b * std::floor(a / b);
  });
}
c10::IValue truediv(const Args& args) {
  if (as_double(args.at(1)) == 0) fail("division by zero");
  return as_double(args.at(0)) / as_double(args.at(1));
}

c10::IValue power(const Args& args) {
  const bool floating = is_float(args.at(0)) || is_float(args.at(1)) || as_int(args.at(1)) < 0;
  if (floating) return std::pow(as_double(args.at(0)), as_double(args.at(1)));
  const std::int64_t base = as_int(args[0]);
  std::int64_t result = 1;
  if (base == 0 || base == 1) return as_int(args[1]) == 0 ? std::int64_t{1} : base;
  if (base == -1) return std::int64_t{as_int(args[1]) % 2 == 0 ? 1 : -1};
  for (std::int64_t i = as_int(args[1]); i > 0; --i)  // at most 63 rounds before it overflows
    if (__builtin_mul_overflow(result, base, &result)) fail("integer overflow");
  return result;
}

std::int64_t shift_count(const c10::IValue& value) {
  const std::int64_t count = as_int(value);
  if (count < 0 || count > 62) fail("shift count out of range");
  return count;
}

template <class Compare>
c10::IValue compare(const Args& args, Compare&& holds) {
  if (is_float(args.at(0)) || is_float(args.at(1)))
    return bool(holds(as_double(args.at(0)), as_double(args.at(1))));
  return bool(holds(as_int(args.at(0)), as_int(args.at(1))));
}

bool truth(const c10::IValue& value) { return as_double(value) != 0; }

template <class OnBools, class OnInts>
c10::IValue bitwise(const Args& args, OnBools&& on_bools, OnInts&& on_ints) {
  if (args.at(0).isBool() && args.at(1).isBool()) return bool(on_bools(args[0].toBool(), args[1].toBool()));
  return on_ints(as_int(args.at(0)), as_int(args.at(1)));
}

c10::IValue negate(const Args& args) {
  return is_float(args.at(0)) ? c10::IValue(-args[0].toDouble()) : sub({c10::IValue(0), args[0]});
}

c10::IValue rounded(const Args& args, double (*round)(double)) {
  return is_float(args.at(0)) ? c10::IValue(to_integer(round(args[0].toDouble())))
                              : c10::IValue(as_int(args[0]));
}

c10::IValue extreme(const Args& args, bool want_greater) {
  const bool second = want_greater ? as_double(args.at(1)) > as_double(args.at(0))
                                   : as_double(args.at(1)) < as_double(args.at(0));
  return args[second ? 1 : 0];
}

using Function = std::function<c10::IValue(const Args&)>;

const std::map<std::string_view, Function>& functions() {
  static const auto to_max = [](const Args& a) { return extreme(a, true); };
  static const auto to_min = [](const Args& a) { return extreme(a, false); };
  static const auto sqrt = [](const Args& a) -> c10::IValue { return std::sqrt(as_double(a.at(0))); };
  static const auto logical_not = [](const Args& a) -> c10::IValue { return !truth(a.at(0)); };
  static const std::map<std::string_view, Function> kFunctions{
      {"_operator.add", add},
      {"_operator.sub", sub},
      {"_operator.mul", mul},
      {"_operator.floordiv", floordiv},
      {"_operator.mod", mod},
      {"_operator.truediv", truediv},
      {"_operator.pow", power},
      {"_operator.neg", negate},
      {"_operator.pos", [](const Args& a) { return a.at(0); }},
      {"_operator.abs", [](const Args& a) { return as_double(a.at(0)) < 0 ? negate(a) : a[0]; }},
      {"_operator.not_", logical_not},
      {"_operator.eq", [](const Args& a) { return compare(a, std::equal_to<>()); }},
      {"_operator.ne", [](const Args& a) { return compare(a, std::not_equal_to<>()); }},
      {"_operator.lt", [](const Args& a) { return compare(a, std::less<>()); }},
      {"_operator.le", [](const Args& a) { return compare(a, std::less_equal<>()); }},
      {"_operator.gt", [](const Args& a) { return compare(a, std::greater<>()); }},
      {"_operator.ge", [](const Args& a) { return compare(a, std::greater_equal<>()); }},
      {"_operator.and_", [](const Args& a) { return bitwise(a, std::logical_and<>(), std::bit_and<>()); }},
      {"_operator.or_", [](const Args& a) { return bitwise(a, std::logical_or<>(), std::bit_or<>()); }},
      {"_operator.xor", [](const Args& a) { return bitwise(a, std::not_equal_to<>(), std::bit_xor<>()); }},
      {"_operator.lshift",
       [](const Args& a) {
         return mul({a.at(0), std::int64_t{1} << shift_count(a.at(1))});
       }},
      {"_operator.rshift",
       [](const Args& a) -> c10::IValue { return as_int(a.at(0)) >> shift_count(a.at(1)); }},
      {"math.trunc", [](const Args& a) { return rounded(a, std::trunc); }},
      {"math.ceil", [](const Args& a) { return rounded(a, std::ceil); }},
      {"math.floor", [](const Args& a) { return rounded(a, std::floor); }},
      {"math.sqrt", sqrt},
      {"builtins.round", [](const Args& a) { return rounded(a, std::nearbyint); }},
      {"builtins.max", to_max},
      {"builtins.min", to_min},
      {"torch.sym_max", to_max},
      {"torch.sym_min", to_min},
      {"torch.sym_not", logical_not},
      {"torch.sym_int", [](const Args& a) { return rounded(a, std::trunc); }},
      {"torch.sym_float", [](const Args& a) -> c10::IValue { return as_double(a.at(0)); }},
      {"torch.sym_ite", [](const Args& a) { return truth(a.at(0)) ? a.at(1) : a.at(2); }},
      {"torch.sym_sqrt", sqrt},
      {"torch._sym_sqrt", sqrt},
      {"torch.sym_sum",
       [](const Args& a) {
         c10::IValue total = 0;
         for (const c10::IValue& value : a) total = add({total, value});
         return total;
       }},
  };
  return kFunctions;
}

}  // namespace

c10::IValue run_scalar_op(std::string_view target, const std::vector<c10::IValue>& arguments) try {
  return functions().at(target)(arguments);
} catch (const std::out_of_range&) {
  fail("wrong number of arguments");
}

}  // namespace pollard::kernels
