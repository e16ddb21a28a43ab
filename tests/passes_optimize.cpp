// SPDX-License-Identifier: Apache-2.0
// The whole pipeline: on small graphs with a known result, and on random ones against the reference.
#include "graph_testing.h"
#include "passes/passes.h"

namespace lathe {
namespace {

void optimize_checked(Graph& g, const std::string& text) {
  PassOptions options;
  options.verify = true;
  const auto done = optimize(g, options);
  ASSERT_TRUE(done) << done.error().message << "\n" << text << "\n" << print(g);
}

struct Case {
  const char* name;
  const char* after;
  const char* before;
};

// A convolution as importers write it: wrapped in transposes.
const Case kCases[] = {
    {"ConvReluConvHasOneTransposeAtEachEnd", "Transpose Conv+ Conv Transpose",
     "input x: f32[1,2,5,6]\nconst w: f32[3,3,3,2] = #r\nconst v: f32[4,1,1,3] = #r\nconst b: f32[3,1,1] = [1,2,3]\n"
     "a = Transpose(x) {perm=[0,2,3,1]}\nc = Conv(a, w)\nd = Transpose(c) {perm=[0,3,1,2]}\ne = Add(d, b)\nf = "
     "Relu(e)\n"
     "g = Transpose(f) {perm=[0,2,3,1]}\nh = Conv(g, v)\ni = Transpose(h) {perm=[0,3,1,2]}\noutput i\n"},
    {"ResidualGoesIntoTheLaterConv", "Transpose Conv+ Conv+ Transpose",
     "input x: f32[1,2,5,6]\nconst w: f32[2,1,1,2] = #r\nconst v: f32[2,1,1,2] = #r\n"
     "a = Transpose(x) {perm=[0,2,3,1]}\nc = Conv(a, w)\nd = Transpose(c) {perm=[0,3,1,2]}\nf = Relu(d)\n"
     "g = Transpose(f) {perm=[0,2,3,1]}\nh = Conv(g, v)\ni = Transpose(h) {perm=[0,3,1,2]}\nj = Add(i, f)\nk = "
     "Relu(j)\noutput k\n"},
    {"GlobalPoolEndsWithoutTranspose", "Transpose Conv Reduce MatMul",
     "input x: f32[1,2,5,6]\nconst w: f32[3,3,3,2] = #r\nconst s: i64[2] = [1,3]\nconst m: f32[3,4] = #r\n"
     "a = Transpose(x) {perm=[0,2,3,1]}\nc = Conv(a, w)\nd = Transpose(c) {perm=[0,3,1,2]}\n"
     "e = Reduce(d) {kind=\"mean\", axes=[2,3]}\nf = Reshape(e, s)\ny = MatMul(f, m)\noutput y\n"},
    {"SqueezeAndExcite", "Transpose Conv+ Reduce Conv+ Mul Conv Transpose",
     "input x: f32[1,2,5,6]\nconst w: f32[3,3,3,2] = #r\nconst v: f32[3,1,1,3] = #r\n"
     "a = Transpose(x) {perm=[0,2,3,1]}\nc = Conv(a, w)\nd = Transpose(c) {perm=[0,3,1,2]}\nr = Relu(d)\n"
     "e = Reduce(r) {kind=\"mean\", axes=[2,3]}\nf = Transpose(e) {perm=[0,2,3,1]}\ng = Conv(f, v)\nh = Transpose(g) "
     "{perm=[0,3,1,2]}\n"
     "s = Sigmoid(h)\nm = Mul(r, s)\nn = Transpose(m) {perm=[0,2,3,1]}\no = Conv(n, v)\np = Transpose(o) "
     "{perm=[0,3,1,2]}\noutput p\n"},
    {"SiluAndConcatStayChannelsLast", "Transpose Conv+ Conv+ Concat Conv Transpose",
     "input x: f32[1,2,5,6]\nconst w: f32[3,1,1,2] = #r\nconst v: f32[2,1,1,6] = #r\nconst u: f32[3,1,1,3] = #r\n"
     "a = Transpose(x) {perm=[0,2,3,1]}\nc = Conv(a, w)\nd = Transpose(c) {perm=[0,3,1,2]}\ns = Sigmoid(d)\nm = Mul(d, "
     "s)\n"
     "t = Transpose(m) {perm=[0,2,3,1]}\ne = Conv(t, u)\nf = Transpose(e) {perm=[0,3,1,2]}\nh = HardSwish(f)\n"
     "k = Concat(m, h) {axis=1}\nn = Transpose(k) {perm=[0,2,3,1]}\no = Conv(n, v)\np = Transpose(o) "
     "{perm=[0,3,1,2]}\noutput p\n"},
    {"BatchNormGoesIntoTheWeights", "Transpose Conv Transpose",
     "input x: f32[1,2,5,6]\nconst w: f32[3,3,3,2] = #r\nconst s: f32[3,1,1] = [1,2,3]\nconst b: f32[3,1,1] = "
     "[4,5,6]\nconst m: f32[3,1,1] = [1,2,-3]\n"
     "a = Transpose(x) {perm=[0,2,3,1]}\nc = Conv(a, w)\nd = Transpose(c) {perm=[0,3,1,2]}\nz = Sub(d, m)\ne = Mul(z, "
     "s)\nf = Add(e, b)\noutput f\n"},
    {"SplitProjectionFeedsAttentionWithoutTransposes",
     "MatMul Reshape MatMul Reshape MatMul Reshape Attention Reshape MatMul+",
     "input x: f32[1,5,8]\nconst w: f32[8,24] = #r\nconst o: f32[8,8] = #r\nconst s: i64[5] = [1,5,3,2,4]\nconst h: "
     "i64[4] = [1,2,5,4]\nconst f: i64[3] = [1,5,8]\n"
     "const zero: i64[1] = [0]\nconst one: i64[1] = [1]\nconst two: i64[1] = [2]\nconst three: i64[1] = [3]\nconst c: "
     "f32[] = [0.7]\n"
     "p = MatMul(x, w)\nr = Reshape(p, s)\nt = Transpose(r) {perm=[2,0,3,1,4]}\n"
     "q0 = Slice(t, zero, one, zero)\nk0 = Slice(t, one, two, zero)\nv0 = Slice(t, two, three, zero)\n"
     "q = Reshape(q0, h)\nk = Reshape(k0, h)\nv = Reshape(v0, h)\nqs = Mul(q, c)\nkt = Transpose(k) "
     "{perm=[0,1,3,2]}\nks = Mul(kt, c)\n"
     "l = MatMul(qs, ks)\na = Softmax(l) {axis=3}\nb = MatMul(a, v)\nd = Transpose(b) {perm=[0,2,1,3]}\ne = Reshape(d, "
     "f)\ng = MatMul(e, o)\ny = Add(x, g)\noutput y\n"},
    {"SharedIntermediateStays", "MatMul Pointwise",
     "input x: f32[2,3]\nconst w: f32[3,3] = #r\na = MatMul(x, w)\nb = Relu(a)\ny = Add(a, b)\noutput y\noutput a\n"},
    {"ConstantsAreFolded", "Mul",
     "input x: f32[2]\nconst a: f32[2] = [1,2]\nconst b: f32[2] = [3,4]\nc = Add(a, b)\nd = Exp(c)\ny = Mul(x, "
     "d)\noutput y\n"},
};

class Pipeline : public ::testing::TestWithParam<Case> {};

TEST_P(Pipeline, GivesTheExpectedOperatorsAndTheSameResults) {
  std::mt19937 rng(7);
  const auto g = testing::parse(GetParam().before, rng);
  const auto inputs = testing::random_inputs(*g, rng);
  const auto before = evaluate_graph(*g, inputs);
  ASSERT_TRUE(before) << before.error().message;
  optimize_checked(*g, GetParam().before);
  EXPECT_EQ(testing::op_names(*g), GetParam().after) << print(*g);
  const auto after = evaluate_graph(*g, inputs);
  ASSERT_TRUE(after) << after.error().message << print(*g);
  testing::expect_close(*before, *after, 1e-5, print(*g));
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(All, Pipeline, ::testing::ValuesIn(kCases), case_name);

/// Writes random graphs in the text form: convolutions wrapped in transposes, elementwise operators with broadcast
/// operands, concatenations, slices, reductions, reshapes and transposes over values that may be used many times.
class Author {
 public:
  explicit Author(uint32_t seed) : rng_(seed) {}

  std::string write() {
    text_ = "input x: f32[1,4,3,2]\ninput z: f32[1,4,3,2]\n";
    values_ = {{"x", {1, 4, 3, 2}}, {"z", {1, 4, 3, 2}}};
    const int count = 4 + pick(14);
    for (int i = 0; i < count; ++i) step();
    std::string out = text_;
    for (int i = 0; i < 2; ++i) out += "output " + values_[values_.size() - 1 - static_cast<size_t>(i)].name + "\n";
    return out + "output " + values_[static_cast<size_t>(pick(static_cast<int>(values_.size())))].name + "\n";
  }

 private:
  struct Made {
    std::string name;
    std::vector<int64_t> dims;
  };
  int pick(int n) { return static_cast<int>(rng_() % static_cast<uint32_t>(n)); }
  Made any() {  // recent values more often: deep graphs
    const int n = static_cast<int>(values_.size());
    return values_[static_cast<size_t>(pick(3) ? std::max(0, n - 1 - pick(4)) : pick(n))];
  }
  std::string fresh() { return "v" + std::to_string(next_++); }
  static std::string list(const std::vector<int64_t>& v) {
    std::string s = "[";
    for (size_t i = 0; i < v.size(); ++i) s += (i ? "," : "") + std::to_string(v[i]);
    return s + "]";
  }
  std::string constant(const std::vector<int64_t>& dims) {
    const std::string name = fresh();
    text_ += "const " + name + ": f32" + list(dims) + " = #r\n";
    return name;
  }
  std::string integers(const std::vector<int64_t>& v) {
    const std::string name = fresh();
    text_ += "const " + name + ": i64[" + std::to_string(v.size()) + "] = " + list(v) + "\n";
    return name;
  }
  std::string emit(const std::string& expression, std::vector<int64_t> dims) {
    const std::string name = fresh();
    text_ += name + " = " + expression + "\n";
    values_.push_back({name, std::move(dims)});
    return name;
  }

  void step() {
    const Made a = any();
    switch (pick(11)) {
      case 0:
      case 1:
        return conv(a);
      case 2: {
        const char* const unary[] = {"Relu", "Sigmoid", "Neg", "Tanh", "HardSwish", "Abs"};
        emit(std::string(unary[pick(6)]) + "(" + a.name + ")", a.dims);
        return;
      }
      case 3:
      case 4:
        return binary(a);
      case 5:
        return transpose(a);
      case 6:
        return concat(a);
      case 7:
        return slice(a);
      case 8:
        return reduce(a);
      case 9:
        return reshape(a);
      default: {
        const int axis = pick(static_cast<int>(a.dims.size()));
        emit("Softmax(" + a.name + ") {axis=" + std::to_string(axis) + "}", a.dims);
      }
    }
  }

  void conv(const Made& a) {
    if (a.dims.size() != 4) return;
    const int64_t out = 1 + pick(4), k = 1 + 2 * pick(2);
    const std::string w = constant({out, k, k, a.dims[1]});
    const std::string t =
        emit("Transpose(" + a.name + ") {perm=[0,2,3,1]}", {a.dims[0], a.dims[2], a.dims[3], a.dims[1]});
    const std::string p = std::to_string(k / 2);
    const std::string c = emit("Conv(" + t + ", " + w + ") {pads=[" + p + "," + p + "," + p + "," + p + "]}",
                               {a.dims[0], a.dims[2], a.dims[3], out});
    emit("Transpose(" + c + ") {perm=[0,3,1,2]}", {a.dims[0], out, a.dims[2], a.dims[3]});
  }

  void binary(const Made& a) {
    const char* const ops[] = {"Add", "Mul", "Sub", "Max"};
    std::string other;
    for (const Made& m : values_)
      if (m.name != a.name && m.dims == a.dims && pick(2)) other = m.name;
    if (other.empty()) {
      std::vector<int64_t> dims = a.dims;
      for (int64_t& d : dims)
        if (pick(2)) d = 1;
      dims.erase(dims.begin(), dims.begin() + pick(static_cast<int>(dims.size()) + 1));
      other = constant(dims);
    }
    emit(std::string(ops[pick(4)]) + (pick(2) ? "(" + a.name + ", " + other : "(" + other + ", " + a.name) + ")",
         a.dims);
  }

  void transpose(const Made& a) {
    std::vector<int64_t> perm(a.dims.size()), dims;
    for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(i);
    std::shuffle(perm.begin(), perm.end(), rng_);
    for (const int64_t p : perm) dims.push_back(a.dims[static_cast<size_t>(p)]);
    emit("Transpose(" + a.name + ") {perm=" + list(perm) + "}", dims);
  }

  void concat(const Made& a) {
    if (a.dims.empty()) return;
    const int axis = pick(static_cast<int>(a.dims.size()));
    std::string b = a.name;
    for (const Made& m : values_)
      if (m.dims == a.dims && pick(2)) b = m.name;
    auto dims = a.dims;
    if (dims[static_cast<size_t>(axis)] > 16) return;
    dims[static_cast<size_t>(axis)] *= 2;
    emit("Concat(" + a.name + ", " + b + ") {axis=" + std::to_string(axis) + "}", dims);
  }

  void slice(const Made& a) {
    if (a.dims.empty()) return;
    const int axis = pick(static_cast<int>(a.dims.size()));
    auto dims = a.dims;
    int64_t& n = dims[static_cast<size_t>(axis)];
    if (n < 2) return;
    const int64_t begin = pick(static_cast<int>(n)), end = begin + 1 + pick(static_cast<int>(n - begin));
    n = end - begin;
    const std::string s = integers({begin}), e = integers({end}), x = integers({axis});
    emit("Slice(" + a.name + ", " + s + ", " + e + ", " + x + ")", dims);
  }

  void reduce(const Made& a) {
    std::vector<int64_t> axes, dims;
    const bool keep = pick(2);
    for (size_t d = 0; d < a.dims.size(); ++d) {
      const bool gone = pick(3) == 0;
      if (gone) axes.push_back(static_cast<int64_t>(d));
      if (!gone || keep) dims.push_back(gone ? 1 : a.dims[d]);
    }
    const char* const kinds[] = {"mean", "sum", "max"};
    emit("Reduce(" + a.name + ") {kind=\"" + kinds[pick(3)] + "\", axes=" + list(axes) +
             ", keepdims=" + (keep ? "true" : "false") + "}",
         dims);
  }

  void reshape(const Made& a) {
    std::vector<int64_t> dims = a.dims;
    if (dims.size() >= 2 && pick(2)) {  // merge two neighbours
      const auto d = static_cast<size_t>(pick(static_cast<int>(dims.size()) - 1));
      dims[d] *= dims[d + 1];
      dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(d) + 1);
    } else if (!dims.empty() && pick(2)) {  // split an even one
      const auto d = static_cast<size_t>(pick(static_cast<int>(dims.size())));
      if (dims[d] % 2) return;
      dims[d] /= 2;
      dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(d) + pick(2), 2);
    } else if (dims.size() < 5) {
      dims.insert(dims.begin() + pick(static_cast<int>(dims.size()) + 1), 1);
    }
    if (dims.size() > 5) return;
    const std::string s = integers(dims);
    emit("Reshape(" + a.name + ", " + s + ")", dims);
  }

  std::mt19937 rng_;
  std::string text_;
  std::vector<Made> values_;
  int next_ = 0;
};

TEST(RandomGraphs, OptimisedEqualsUnoptimised) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    const std::string text = Author(seed).write();
    std::mt19937 rng(seed);
    const auto g = testing::parse(text, rng);
    const auto inputs = testing::random_inputs(*g, rng);
    const auto before = evaluate_graph(*g, inputs);
    ASSERT_TRUE(before) << before.error().message << "\n" << text;
    const std::string what = "seed " + std::to_string(seed) + "\n" + text;
    optimize_checked(*g, what);
    if (HasFatalFailure()) return;
    const auto after = evaluate_graph(*g, inputs);
    ASSERT_TRUE(after) << after.error().message << "\n" << what << print(*g);
    testing::expect_close(*before, *after, 1e-4, what + "\n" + print(*g));
    if (HasFatalFailure()) return;
  }
}

TEST(Optimize, KeepsTheNamesOfOutputs) {
  std::mt19937 rng(1);
  const auto g = testing::parse(
      "input x: f32[2,3]\nt = Transpose(x) {perm=[1,0]}\ny = Transpose(t) {perm=[1,0]}\noutput y as \"result\"\n", rng);
  optimize_checked(*g, "");
  EXPECT_EQ(g->output_names, std::vector<std::string>{"result"});
  EXPECT_EQ(g->outputs[0], g->inputs[0]);
}

TEST(Optimize, SymbolicBatchIsKept) {
  std::mt19937 rng(1);
  const auto g = testing::parse(
      "input x: f32[n,2,5,6]\nconst w: f32[3,3,3,2] = #r\nconst s: i64[2] = [0,-1]\nconst m: f32[36,4] = #r\n"
      "a = Transpose(x) {perm=[0,2,3,1]}\nc = Conv(a, w)\nd = Transpose(c) {perm=[0,3,1,2]}\nr = Relu(d)\nf = "
      "Reshape(r, s)\ny = MatMul(f, m)\noutput y\n",
      rng);
  const auto inputs = testing::random_inputs(*g, rng);
  const auto before = evaluate_graph(*g, inputs);
  ASSERT_TRUE(before) << before.error().message;
  optimize_checked(*g, "");
  EXPECT_EQ(testing::op_names(*g), "Transpose Conv+ Reshape MatMul") << print(*g);
  testing::expect_close(*before, *evaluate_graph(*g, inputs), 1e-5, print(*g));
}

}  // namespace
}  // namespace lathe
