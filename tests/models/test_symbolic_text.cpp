// SPDX-License-Identifier: Apache-2.0
#include "models/io/symbolic_text.h"

#include <gtest/gtest.h>

namespace pollard::models::io {
namespace {

std::string read(const std::string& text) {
  SymbolAssumptions assumptions;
  return read_symbolic(text, assumptions).value_or("refused");
}

const std::string kS0 = "Symbol('s0', positive=True, integer=True)", kS1 = "Symbol('s1', integer=True)";

TEST(SymbolicText, ReadsConstructorsAsPeopleWriteThem) {
  EXPECT_EQ(read(kS0), "s0");
  EXPECT_EQ(read("Mul(Integer(4), " + kS0 + ")"), "4*s0");
  EXPECT_EQ(read("Mul(Add(" + kS0 + ", Integer(-1)), " + kS1 + ")"), "(s0 + -1)*s1");
  EXPECT_EQ(read("Pow(Add(" + kS0 + ", Integer(1)), Integer(2))"), "(s0 + 1)**2");
  EXPECT_EQ(read("FloorDiv(" + kS0 + ", Integer(2))"), "FloorDiv(s0, 2)");
  EXPECT_EQ(read("s0*2 + 1"), "s0*2 + 1");
}

TEST(SymbolicText, RefusesWhatIsNotArithmetic) {
  for (const char* text : {"__import__('os')", "().__class__", "a.b", "open('x')", "Symbol('a;b')",
                           "Symbol('a', x=f())", "", "a\nb", "lambda: 0", "[1]"})
    EXPECT_EQ(read(text), "refused") << text;
  EXPECT_EQ(read(std::string(5000, '1')), "refused");
  std::string deep;
  for (int i = 0; i < 500; ++i) deep += "Add(";
  EXPECT_NE(read(deep), "s0");
}

TEST(SymbolicText, GivesSymbolsTheirAssumptionsBack) {
  SymbolAssumptions assumptions;
  const auto text =
      read_symbolic("Mul(Integer(4), " + kS0 + ", FloorDiv(" + kS1 + ", Integer(2)))", assumptions);
  EXPECT_EQ(assumptions.at("s1"), "integer=True");
  const std::string written = write_symbolic(text.value(), assumptions);
  EXPECT_EQ(written, "4*" + kS0 + "*FloorDiv(" + kS1 + ", 2)");
  EXPECT_EQ(read_symbolic(written, assumptions), text);
}

}  // namespace
}  // namespace pollard::models::io
