// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdint>

#include "ir/dim.h"

namespace {

using namespace lathe;  // NOLINT(google-build-using-namespace)

TEST(Dim, TheOrderOfOperandsDoesNotMatter) {
  const Dim a = Dim::symbol("a"), b = Dim::symbol("b");
  EXPECT_EQ(a + b, b + a);
  EXPECT_EQ(a * b, b * a);
  EXPECT_EQ(min(a, b), min(b, a));
  EXPECT_EQ(max(a, Dim(3)), max(Dim(3), a));
  EXPECT_EQ(max(a, b + 1) * 2, Dim(2) * max(b + 1, a));
  EXPECT_EQ(max(a, b).str(), max(b, a).str());
}

TEST(Dim, WhatItPrintsItParses) {
  const Dim a = Dim::symbol("a"), b = Dim::symbol("b");
  for (const Dim& d : {min(b, a), max(a, Dim(7)) + 1, floor_div(a + 1, 2) * b, mod(a, 3) - 1, a * a - b, Dim(0)}) {
    const auto again = parse_dim(d.str());
    ASSERT_TRUE(again) << d.str();
    EXPECT_EQ(*again, d) << d.str();
  }
}

TEST(Dim, SizesDoNotWrapAround) {
  const Dim big = int64_t{1} << 40;
  EXPECT_EQ((big * big).value(), INT64_MAX);
  EXPECT_EQ((big * big * Dim::symbol("a") * big).terms()[0].coefficient, INT64_MAX);
  EXPECT_EQ((Dim(INT64_MAX) + Dim(INT64_MAX)).value(), INT64_MAX);
  EXPECT_EQ(product({big, big, big}).value(), INT64_MAX);
  EXPECT_EQ(floor_div(Dim(INT64_MIN), Dim(-1)).value(), INT64_MAX);
}

}  // namespace
