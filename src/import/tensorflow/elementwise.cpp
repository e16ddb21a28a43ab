// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <limits>

#include "import/tensorflow/handlers.h"
#include "ir/attr_visitor.h"

namespace lathe::tensorflow {

Result<Items> generic(Node& n) {
  const OpInfo* info = find_op(n.canonical());
  if (!info) return unsupported("operator " + std::string(n.canonical()) + " is not supported");
  std::shared_ptr<Op> op = info->make();
  n.copy_attributes(*op);
  return n.done(n.b.add_all(std::move(op), n.values()));
}

Result<Items> identity(Node& n) {
  LATHE_CHECK(n.needs(1));
  return Items{n.items().begin(), n.items().end()};
}

// Assertions, prints and the like: no value that anybody can use.
Result<Items> nothing(Node&) { return Items{}; }

Result<Items> cast(Node& n) {
  LATHE_CHECK(n.needs(1));
  const auto* to = n.attr("DstT");
  if (to && (to->i == 8 || to->i == 18)) {  // a real number as a complex one
    if (n.item(0).kind == Item::Kind::kComplex) return Items{n.item(0)};
    const DType part = to->i == 8 ? DType::kF32 : DType::kF64;
    const ValueId re = n.b.cast(n.in(0), part);
    const ValueId im = n.b.op("Mul", {re, n.b.scalar(part, 0)});
    return n.done(Items{Item(re, im)});
  }
  LATHE_TRY(const DType t, n.type("DstT"));
  if (t == DType::kString || n.dtype(0) == DType::kString) return unsupported("casts of strings are not supported");
  return n.done(n.b.cast(n.in(0), t));  // of a complex number the real part
}

namespace {

using Composition = ValueId (*)(Node& n, ValueId x, ValueId y);

ValueId is_zero(Node& n, ValueId v) { return n.b.op("Equal", {v, n.b.scalar(n.b.dtype(v), 0)}); }
ValueId zero_where(Node& n, ValueId condition, ValueId v) {
  return n.b.op("Where", {condition, n.b.scalar(n.b.dtype(v), 0), v});
}

ValueId floor_div(Node& n, ValueId x, ValueId y) {
  const DType t = n.dtype(0);
  if (dtype_info(t).is_float) return n.b.op("Floor", {n.b.op("Div", {x, y})});
  if (!n.b.ok() || !dtype_info(t).is_signed) return n.b.op("Div", {x, y});
  // Sizes are never negative, and there it is the plain division.
  if (content_of(n.b.info(x)) && content_of(n.b.info(y)) && !(n.b.constant_of(x) && n.b.constant_of(y)))
    return n.b.op("Div", {x, y});
  return n.b.op("Div", {n.b.op("Sub", {x, n.b.op("Mod", {x, y})}), y});
}

// log(1 + x) without the loss of small x: with u = 1 + x as rounded, log(u) * x / (u - 1). Kahan's formula.
ValueId log1p(Node& n, ValueId x, ValueId) {
  const ValueId one = n.number(1);
  const ValueId u = n.b.op("Add", {x, one}), rounded = n.b.op("Sub", {u, one});
  const ValueId whole = n.b.op("Equal", {u, n.b.scalar(n.dtype(0), std::numeric_limits<double>::infinity())});
  const ValueId better = n.b.op("Div", {n.b.op("Mul", {n.b.op("Log", {u}), x}), rounded});
  return n.b.op("Where", {is_zero(n, rounded), x, n.b.op("Where", {whole, u, better})});
}

// exp(x) - 1 likewise: with u = exp(x), (u - 1) * x / log(u).
ValueId expm1(Node& n, ValueId x, ValueId) {
  const ValueId one = n.number(1);
  const ValueId u = n.b.op("Exp", {x}), v = n.b.op("Sub", {u, one});
  const ValueId better = n.b.op("Div", {n.b.op("Mul", {v, x}), n.b.op("Log", {u})});
  const ValueId small = n.b.op("Less", {n.b.op("Abs", {x}), n.number(0.5)});
  return n.b.op("Where", {is_zero(n, v), x, n.b.op("Where", {small, better, v})});
}

ValueId atan2(Node& n, ValueId y, ValueId x) {
  constexpr double kPi = 3.14159265358979323846;
  const DType t = n.b.dtype(x);
  const ValueId zero = n.b.scalar(t, 0), pi = n.b.scalar(t, kPi);
  const ValueId below = n.b.op("Less", {y, zero}), left = n.b.op("Less", {x, zero});
  const ValueId turn = n.b.op("Where", {below, n.b.scalar(t, -kPi), pi});
  const ValueId angle = n.b.op("Atan", {n.b.op("Div", {y, x})});
  const ValueId beside = n.b.op("Where", {left, n.b.op("Add", {angle, turn}), angle});
  const ValueId upright =
      n.b.op("Where", {below, n.b.scalar(t, -kPi / 2), n.b.op("Where", {is_zero(n, y), zero, n.b.scalar(t, kPi / 2)})});
  return n.b.op("Where", {is_zero(n, x), upright, beside});
}

struct Composed {
  std::string_view op;
  Composition make;
};

constexpr std::array kComposed = {
    Composed{"Atan2", atan2},
    Composed{"DivNoNan",
             [](Node& n, ValueId x, ValueId y) { return zero_where(n, is_zero(n, y), n.b.op("Div", {x, y})); }},
    Composed{"Erfc", [](Node& n, ValueId x, ValueId) { return n.b.op("Sub", {n.number(1), n.b.op("Erf", {x})}); }},
    Composed{"Expm1", expm1},
    Composed{"FloorDiv", floor_div},
    Composed{"IsFinite",
             [](Node& n, ValueId x, ValueId) {
               return n.b.op("Not", {n.b.op("Or", {n.b.op("IsNaN", {x}), n.b.op("IsInf", {x})})});
             }},
    Composed{"L2Loss",
             [](Node& n, ValueId x, ValueId) {
               std::vector<int64_t> axes;
               for (int64_t d = 0; d < n.rank(0); ++d) axes.push_back(d);
               return n.b.op("Mul", {n.b.reduce("sum_square", x, axes, false), n.number(0.5)});
             }},
    Composed{"LeakyRelu",
             [](Node& n, ValueId x, ValueId) {
               const ValueId below = n.b.op("Mul", {x, n.number(n.f("alpha", 0.2))});
               return n.b.op("Where", {n.b.op("Less", {x, n.number(0)}), below, x});
             }},
    Composed{"Log1p", log1p},
    Composed{"MulNoNan",
             [](Node& n, ValueId x, ValueId y) { return zero_where(n, is_zero(n, y), n.b.op("Mul", {x, y})); }},
    Composed{"NotEqual", [](Node& n, ValueId x, ValueId y) { return n.b.op("Not", {n.b.op("Equal", {x, y})}); }},
    Composed{"Relu6", [](Node& n, ValueId x, ValueId) { return n.b.op("Clip", {x, n.number(0), n.number(6)}); }},
    Composed{"Rsqrt", [](Node& n, ValueId x, ValueId) { return n.b.op("Reciprocal", {n.b.op("Sqrt", {x})}); }},
    Composed{"Square", [](Node& n, ValueId x, ValueId) { return n.b.op("Mul", {x, x}); }},
    Composed{"SquaredDifference",
             [](Node& n, ValueId x, ValueId y) {
               const ValueId d = n.b.op("Sub", {x, y});
               return n.b.op("Mul", {d, d});
             }},
    Composed{"Xdivy",
             [](Node& n, ValueId x, ValueId y) { return zero_where(n, is_zero(n, x), n.b.op("Div", {x, y})); }},
    Composed{"Xlogy", [](Node& n, ValueId x,
                         ValueId y) { return zero_where(n, is_zero(n, x), n.b.op("Mul", {x, n.b.op("Log", {y})})); }},
};

}  // namespace

// Elementwise operators that are compositions of canonical ones.
Result<Items> composed(Node& n) {
  for (const Composed& c : kComposed)
    if (c.op == n.op()) {
      LATHE_CHECK(n.needs(1));
      return n.done(c.make(n, n.in(0), n.in(1)));
    }
  return unsupported("");
}

// A vector as condition chooses whole rows.
Result<Items> select_v1(Node& n) {
  LATHE_CHECK(n.needs(3));
  ValueId condition = n.in(0);
  if (n.rank(0) == 1 && n.rank(1) > 1) {
    Shape s(static_cast<size_t>(n.rank(1)), Dim(1));
    s[0] = n.shape(0)[0];
    condition = n.b.reshape(condition, s);
  }
  return n.done(n.b.op("Where", {condition, n.in(1), n.in(2)}));
}

Result<Items> shift(Node& n) {
  LATHE_CHECK(n.needs(2));
  if (dtype_info(n.dtype(0)).is_signed) return unsupported("shifts of signed integers are not supported");
  std::shared_ptr<Op> op = find_op("BitShift")->make();
  set_attribute(*op, "direction", std::string(n.canonical()));
  return n.done(n.b.add(std::move(op), n.values()));
}

}  // namespace lathe::tensorflow
