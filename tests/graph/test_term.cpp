// SPDX-License-Identifier: Apache-2.0
#include "graph/term.h"

#include <gtest/gtest.h>

#include <array>

namespace pollard::graph {
namespace {

TEST(Term, BindingAnAxisRefinesEveryTermThatMentionsIt) {
  Terms terms;
  const TermId rows = terms.axis(64), gates = terms.frozen_axis(4, {FreezeWhy::Gate}), H = terms.axis(16);
  const TermId doubled = terms.sum(std::array{rows, rows});
  ASSERT_TRUE(terms.unify(rows, terms.product({gates, H}), 0));
  EXPECT_EQ(terms.factors(rows), (std::vector{gates, H}));
  EXPECT_EQ(terms.axes(doubled), (std::vector{gates, H, gates, H}));
}

TEST(Term, ProductsUnifyFromTheMinorEnd) {
  Terms terms;
  const TermId packed = terms.axis(24);
  const TermId heads = terms.axis(6), d = terms.axis(4);
  ASSERT_TRUE(terms.unify(packed, terms.product({heads, d}), 0));
  // (6 x 4) against (2 x 12): 12 splits into 3 x 4.
  const TermId two = terms.axis(2), twelve = terms.axis(12);
  ASSERT_TRUE(terms.unify(packed, terms.product({two, twelve}), 0));
  ASSERT_EQ(terms.factors(twelve).size(), 2U);
  EXPECT_EQ(terms.find(terms.factors(twelve)[1]), terms.find(d));
  EXPECT_EQ(terms.size(terms.factors(twelve)[0]), 3);
}

TEST(Term, SumsUnifyFromTheLeft) {
  Terms terms;
  const TermId a = terms.axis(5), b = terms.axis(3), whole = terms.axis(8);
  ASSERT_TRUE(terms.unify(whole, terms.sum(std::array{a, b}), 0));
  const TermId c = terms.axis(2), e = terms.axis(6);
  ASSERT_TRUE(terms.unify(whole, terms.sum(std::array{c, e}), 0));
  EXPECT_EQ(terms.segments(whole).size(), 3U);  // 2 + 3 + 3
  EXPECT_EQ(terms.segments(a).size(), 2U);
  EXPECT_EQ(terms.find(terms.segments(e)[1]), terms.find(b));
}

TEST(Term, ASumWhoseSegmentsDivideReadsAsAProductWithTiedMinors) {
  Terms terms;
  const TermId a = terms.axis(4), b = terms.axis(6);
  const auto split = terms.split_minor(terms.sum(std::array{a, b}), 2, 0);
  ASSERT_TRUE(split);
  EXPECT_EQ(terms.size(split->first), 5);
  EXPECT_EQ(terms.find(terms.factors(a).back()), terms.find(terms.factors(b).back()));
}

TEST(Term, AWholeThatWasCutBeforeItMetTheProductStillReadsAsItsMinor) {
  Terms terms;
  const TermId a = terms.axis(9), b = terms.axis(3), groups = terms.axis(2), each = terms.axis(12);
  const TermId whole = terms.sum(std::array{a, b});
  EXPECT_TRUE(terms.unify(terms.product({groups, each}), terms.sum(std::array{whole, whole}), 0));
  EXPECT_EQ(terms.segments(each), (std::vector{a, b}));
  EXPECT_FALSE(terms.freeze_of(a));
  EXPECT_FALSE(terms.freeze_of(b));
  const TermId other = terms.sum(std::array{terms.axis(9), terms.axis(15)});
  EXPECT_FALSE(terms.unify(terms.product({terms.axis(2), terms.axis(12)}), other, 0));
}

TEST(Term, WhatNoSumOfProductsDescribesIsFrozenOnBothSides) {
  Terms terms;
  const TermId a = terms.axis(2), b = terms.axis(3), c = terms.axis(3), d = terms.axis(2);
  EXPECT_FALSE(terms.unify(terms.product({a, b}), terms.product({c, d}), 7));
  for (TermId term : {a, b, c, d}) {
    EXPECT_EQ(terms.freeze_of(term).why, FreezeWhy::Unfit);
    EXPECT_EQ(terms.freeze_of(term).op, 7);
  }
}

TEST(Term, FreezingReachesEveryAxisAndKeepsTheFirstReason) {
  Terms terms;
  const TermId a = terms.axis(2), b = terms.frozen_axis(3, {FreezeWhy::Gate});
  terms.freeze(terms.product({a, b}), {FreezeWhy::Softmax, 1});
  EXPECT_EQ(terms.freeze_of(a).why, FreezeWhy::Softmax);
  EXPECT_EQ(terms.freeze_of(b).why, FreezeWhy::Gate);
}

TEST(Term, AFrozenAxisFreezesWhatItIsBoundTo) {
  Terms terms;
  const TermId input = terms.frozen_axis(6, {FreezeWhy::Input}), a = terms.axis(2), b = terms.axis(3);
  ASSERT_TRUE(terms.unify(input, terms.product({a, b}), 0));
  EXPECT_EQ(terms.freeze_of(a).why, FreezeWhy::Input);
  EXPECT_EQ(terms.freeze_of(b).why, FreezeWhy::Input);
}

TEST(Term, SplittingAProductCutsOnlyWholeMajorUnits) {
  Terms terms;
  const TermId heads = terms.axis(6), d = terms.axis(4);
  const TermId packed = terms.product({heads, d});
  EXPECT_FALSE(terms.split_left(packed, 6, 0));  // inside a head
  const auto split = terms.split_left(packed, 8, 0);
  ASSERT_TRUE(split);
  EXPECT_EQ(terms.size(split->first), 8);
  EXPECT_EQ(terms.segments(heads).size(), 2U);
}

}  // namespace
}  // namespace pollard::graph
