// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <thread>

#include "engine_support/plans.h"
#include "runtime/engine.h"
#include "runtime/session.h"

namespace lathe::test {
namespace {

using Place = PlanBuffer::Place;

class RuntimeSession : public testing::Test {
 protected:
  void SetUp() override { LATHE_NEEDS_KERNELS(); }

  Engine::Ref load(const EngineContents& contents, EngineOptions options = {.trust = true, .target = {}, .keys = {}}) {
    auto file = serialize_engine(contents);
    EXPECT_TRUE(file) << (file ? "" : file.error().message);
    if (!file) return nullptr;
    files_.push_back(std::move(*file));
    auto engine = Engine::open_memory(files_.back(), options);
    EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
    return engine ? *engine : nullptr;
  }
  Engine::Ref load(Plan plan) {
    EngineContents c;
    c.targets.push_back(target_of(std::move(plan)));
    return load(c);
  }
  std::unique_ptr<Session> session(Engine::Ref engine, int threads = 1) {
    auto s = Session::create(std::move(engine), {.threads = threads});
    EXPECT_TRUE(s) << (s ? "" : s.error().message);
    return s ? std::move(*s) : nullptr;
  }

  std::vector<std::vector<std::byte>> files_;
};

#define EXPECT_OK(...)                                                \
  do {                                                                \
    const auto status_ = (__VA_ARGS__);                               \
    EXPECT_TRUE(status_) << (status_ ? "" : status_.error().message); \
  } while (false)
#define ASSERT_OK(...)                                                \
  do {                                                                \
    const auto status_ = (__VA_ARGS__);                               \
    ASSERT_TRUE(status_) << (status_ ? "" : status_.error().message); \
  } while (false)

template <class S>
void expect_error(const S& status, Code code, const std::string& text) {
  ASSERT_FALSE(status);
  EXPECT_EQ(static_cast<int>(status.error().code), static_cast<int>(code)) << status.error().message;
  EXPECT_NE(status.error().message.find(text), std::string::npos) << status.error().message << "\nlacks: " << text;
}

std::vector<float> ramp(size_t n) {
  std::vector<float> v(n);
  std::iota(v.begin(), v.end(), 1.0f);
  return v;
}

template <class T>
std::vector<T> output(Session& s, size_t index = 0) {
  const auto* p = static_cast<const T*>(s.output_data(index));
  return {p, p + s.output_bytes(index) / sizeof(T)};
}

std::vector<float> times3(std::vector<float> v) {
  for (float& x : v) x *= 3;
  return v;
}

TEST_F(RuntimeSession, runs_with_every_thread_count_and_shape) {
  const auto engine = load(bias_engine());
  for (int threads : {1, 2, 3, 8}) {
    const auto s = session(engine, threads);
    for (int64_t n : {1, 7, 100, 3, 1000}) {
      const auto x = ramp(static_cast<size_t>(4 * n));
      ASSERT_OK(s->bind_input(0, x.data(), std::array{n, int64_t{4}}));
      ASSERT_OK(s->run());
      EXPECT_EQ(output<float>(*s), times3(x)) << threads << " threads, n = " << n;
      const auto shape = s->output_shape(0);
      ASSERT_OK(shape);
      EXPECT_EQ(std::vector(shape->begin(), shape->end()), (std::vector<int64_t>{n, 4}));
    }
  }
}

TEST_F(RuntimeSession, results_go_to_the_callers_memory_when_it_is_bound) {
  const auto s = session(load(bias_engine()));
  const auto x = ramp(9);  // unaligned on purpose: only element alignment is promised
  std::vector<float> out(8, -1);
  ASSERT_OK(s->bind_input(0, x.data() + 1, std::array<int64_t, 2>{2, 4}));
  ASSERT_OK(s->bind_output(0, out.data(), 32));
  ASSERT_OK(s->run());
  EXPECT_EQ(out, times3({x.begin() + 1, x.end()}));

  ASSERT_OK(s->bind_output(0, out.data(), 31));
  expect_error(s->run(), Code::kUsage, "output \"out\" needs 32 bytes");
  ASSERT_OK(s->bind_output(0, nullptr, 0));
  ASSERT_OK(s->run());
  EXPECT_NE(s->output_data(0), out.data());
  EXPECT_EQ(output<float>(*s), out);
}

TEST_F(RuntimeSession, wrong_shapes_name_the_input_the_expected_and_the_given_shape) {
  const auto s = session(load(bias_engine()));
  const auto x = ramp(8);
  expect_error(s->run(), Code::kUsage, "input \"x\" is not bound: expected f32[n, 4]");
  expect_error(s->bind_input(0, x.data(), std::array<int64_t, 1>{8}), Code::kUsage, "expected f32[n, 4], got [8]");
  expect_error(s->bind_input(0, x.data(), std::array<int64_t, 2>{2, 5}), Code::kUsage, "dimension 1 differs");
  expect_error(s->bind_input(0, x.data(), std::array<int64_t, 2>{0, 4}), Code::kUsage, "n must be between 1 and 1000");
  expect_error(s->bind_input(0, x.data(), std::array<int64_t, 2>{1001, 4}), Code::kUsage,
               "n must be between 1 and 1000");
  expect_error(s->bind_input(0, nullptr, std::array<int64_t, 2>{2, 4}), Code::kUsage, "null pointer");
  expect_error(s->bind_input(1, x.data(), std::array<int64_t, 2>{2, 4}), Code::kUsage, "no input 1");
}

TEST_F(RuntimeSession, a_symbol_must_be_the_same_in_all_inputs) {
  Builder b;
  const ExprId n = b.value_of(b.symbol("n", 0, 100));
  const BufferId x = b.input("x", DType::kF32, n), y = b.input("y", DType::kF32, n);
  const BufferId out = b.output("out", DType::kF32, n);
  b.call("add_f32", test_kernels::add_f32, {x, y, out}, {b.constant(1)}, n);
  const auto s = session(load(b.take()));
  const auto v = ramp(5);
  ASSERT_OK(s->bind_input(0, v.data(), std::array<int64_t, 1>{5}));
  ASSERT_OK(s->bind_input(1, v.data(), std::array<int64_t, 1>{4}));
  expect_error(s->run(), Code::kUsage,
               "input \"y\": expected f32[n], which is [5] with the other inputs' shapes, got [4]");
  ASSERT_OK(s->bind_input(1, v.data(), std::array<int64_t, 1>{5}));
  ASSERT_OK(s->run());
  EXPECT_EQ(output<float>(*s), (std::vector<float>{2, 4, 6, 8, 10}));
  for (size_t i : {0u, 1u}) ASSERT_OK(s->bind_input(i, nullptr, std::array<int64_t, 1>{0}));
  ASSERT_OK(s->run());
  EXPECT_EQ(s->output_bytes(0), 0u);
}

TEST_F(RuntimeSession, aliases_are_parts_of_their_buffer) {
  Builder b;  // out = concat(x + x, x + x), each half written through an alias of out
  const ExprId n = b.value_of(b.symbol("n", 1, 100));
  const BufferId x = b.input("x", DType::kF32, n), out = b.output("out", DType::kF32, b.times(n, 2));
  const BufferId left = b.buffer(Place::kAlias, DType::kF32, n, b.constant(0), out);
  const BufferId right = b.buffer(Place::kAlias, DType::kF32, n, b.times(n, 4), out);
  b.call("add_f32", test_kernels::add_f32, {x, x, left}, {n}, b.constant(1));
  b.call("add_f32", test_kernels::add_f32, {left, x, right}, {n}, b.constant(1));
  const auto s = session(load(b.take()));
  const auto v = ramp(3);
  ASSERT_OK(s->bind_input(0, v.data(), std::array<int64_t, 1>{3}));
  ASSERT_OK(s->run());
  EXPECT_EQ(output<float>(*s), (std::vector<float>{2, 4, 6, 3, 6, 9}));
}

TEST_F(RuntimeSession, an_alias_that_exceeds_its_buffer_for_the_bound_shape_is_refused) {
  Builder b;
  const ExprId n = b.value_of(b.symbol("n", 1, 100));
  const BufferId x = b.input("x", DType::kF32, n), out = b.output("out", DType::kF32, n);
  const BufferId part = b.buffer(Place::kAlias, DType::kF32, n, b.constant(4), out);
  b.call("add_f32", test_kernels::add_f32, {x, x, part}, {n}, b.constant(1));
  const auto s = session(load(b.take()));
  const auto v = ramp(3);
  ASSERT_OK(s->bind_input(0, v.data(), std::array<int64_t, 1>{3}));
  expect_error(s->run(), Code::kDamaged, "exceeds the memory it is part of");
}

TEST_F(RuntimeSession, a_negative_size_of_the_whole_is_what_is_told_not_that_its_part_exceeds_it) {
  Builder b;
  const ExprId n = b.value_of(b.symbol("n", 1, 100));
  const BufferId x = b.input("x", DType::kF32, n);
  const BufferId out = b.output("out", DType::kF32, b.op(SizeExpr::Kind::kAdd, n, b.constant(-5)));
  const BufferId part = b.buffer(Place::kAlias, DType::kF32, n, b.constant(0), out);
  b.call("add_f32", test_kernels::add_f32, {x, x, part}, {n}, b.constant(1));
  const auto s = session(load(b.take()));
  const auto v = ramp(3);
  ASSERT_OK(s->bind_input(0, v.data(), std::array<int64_t, 1>{3}));
  expect_error(s->run(), Code::kUsage, "is negative");
}

/// x → indices of its nonzero elements (grown by the kernel) → doubled, their number known only at run time.
Plan nonzero_plan(Place middle) {
  Builder b;
  const ExprId n = b.value_of(b.symbol("n", 0, 100000));
  const int32_t count = b.symbol("count", 0, 50000);
  const ExprId k = b.value_of(count);
  const BufferId x = b.input("x", DType::kF32, n);
  const BufferId found = b.buffer(Place::kDynamic, DType::kI64, k);
  const BufferId tmp = b.buffer(middle, DType::kI64, k);
  const BufferId out = b.output("out", DType::kI64, k);
  PlanInstr& nz = b.call("nonzero", test_kernels::nonzero_f32, {x, found}, {n}, b.constant(1));
  nz.grows = {0, 1};
  nz.defines = {count};
  b.call("double", test_kernels::double_i64, {found, tmp}, {}, k);
  b.call("double", test_kernels::double_i64, {tmp, out}, {}, k);
  return b.take();
}

TEST_F(RuntimeSession, data_dependent_sizes_grow_what_comes_after) {
  for (Place middle : {Place::kArena, Place::kDynamic}) {
    const auto s = session(load(nonzero_plan(middle)), 2);
    std::vector<float> x(5000);
    for (size_t stride : {1000u, 1u, 7u, 4999u}) {  // few, all, some, two: growing and shrinking
      if (stride == 1) x.resize(20000);
      std::vector<int64_t> expected;
      for (size_t i = 0; i < x.size(); ++i) {
        x[i] = i % stride == 0 ? 1.0f : 0.0f;
        if (x[i] != 0) expected.push_back(static_cast<int64_t>(4 * i));
      }
      ASSERT_OK(s->bind_input(0, x.data(), std::array{static_cast<int64_t>(x.size())}));
      ASSERT_OK(s->run());
      EXPECT_EQ(output<int64_t>(*s), expected) << "every " << stride;
      EXPECT_EQ((*s->output_shape(0))[0], static_cast<int64_t>(expected.size()));
    }
    std::fill(x.begin(), x.end(), 0.0f);
    ASSERT_OK(s->run());
    EXPECT_TRUE(output<int64_t>(*s).empty());
  }
}

TEST_F(RuntimeSession, a_data_dependent_result_that_does_not_fit_says_how_much_it_needs) {
  const auto s = session(load(nonzero_plan(Place::kDynamic)));
  const std::vector<float> x(10, 1.0f);
  std::vector<int64_t> out(9);
  ASSERT_OK(s->bind_input(0, x.data(), std::array<int64_t, 1>{10}));
  ASSERT_OK(s->bind_output(0, out.data(), 9 * 8));
  expect_error(s->run(), Code::kUsage, "output \"out\" needs 80 bytes");
  out.resize(10);
  ASSERT_OK(s->bind_output(0, out.data(), 80));
  ASSERT_OK(s->run());
  EXPECT_EQ(out[9], 36);
}

TEST_F(RuntimeSession, a_data_dependent_size_outside_its_range_is_an_error_at_its_node) {
  const auto s = session(load(nonzero_plan(Place::kDynamic)));
  const std::vector<float> x(60000, 1.0f);
  ASSERT_OK(s->bind_input(0, x.data(), std::array<int64_t, 1>{60000}));
  expect_error(s->run(), Code::kUsage, "count is 60000 in \"node_0\" and must be between 0 and 50000");
}

TEST_F(RuntimeSession, jumps_make_loops_and_branches) {
  Builder b;  // out = 0; do ++out while out < n
  const ExprId one = b.constant(1), n = b.value_of(b.symbol("n", 1, 100));
  b.input("x", DType::kF32, n);
  const BufferId out = b.output("out", DType::kI64, one);
  const BufferId more = b.buffer(Place::kArena, DType::kBool, one);
  b.call("set", test_kernels::set_i64, {out}, {b.constant(0)}, one);
  b.call("count", test_kernels::count_i64, {out, more}, {n}, one);
  PlanInstr leave, again;
  leave.kind = PlanInstr::Kind::kJumpIfFalse;
  leave.buffers = {more};
  leave.target = 4;
  again.kind = PlanInstr::Kind::kJump;
  again.target = 1;
  b.plan.instrs.push_back(leave);
  b.plan.instrs.push_back(again);
  const auto s = session(load(b.take()));
  const auto x = ramp(37);
  for (int64_t rounds : {1, 37, 5}) {
    ASSERT_OK(s->bind_input(0, x.data(), std::array{rounds}));
    ASSERT_OK(s->run());
    EXPECT_EQ(output<int64_t>(*s), std::vector<int64_t>{rounds});
  }
}

TEST_F(RuntimeSession, state_goes_from_one_run_to_the_next) {
  const auto engine = load(sum_engine());
  const auto s = session(engine), other = session(engine);
  const std::vector<float> x = {10, 10, 10, 10};
  for (const auto* one : {s.get(), other.get()})
    ASSERT_OK(const_cast<Session*>(one)->bind_input(0, x.data(), std::array<int64_t, 1>{4}));
  const auto held = [](const Session& of) {
    const auto bytes = of.state(0);
    const auto* p = reinterpret_cast<const float*>(bytes.data());
    return std::vector<float>(p, p + bytes.size() / sizeof(float));
  };
  EXPECT_EQ(held(*s), (std::vector<float>{1, 2, 3, 4}));
  for (const float round : {1.f, 2.f, 3.f}) {
    ASSERT_OK(s->run());
    const std::vector<float> want = {1 + 10 * round, 2 + 10 * round, 3 + 10 * round, 4 + 10 * round};
    EXPECT_EQ(output<float>(*s), want);
    EXPECT_EQ(held(*s), want);
  }
  ASSERT_OK(other->run());  // has state of its own
  EXPECT_EQ(output<float>(*other), (std::vector<float>{11, 12, 13, 14}));
  ASSERT_OK(s->reset());
  EXPECT_EQ(held(*s), (std::vector<float>{1, 2, 3, 4}));
  ASSERT_OK(s->run());
  EXPECT_EQ(output<float>(*s), (std::vector<float>{11, 12, 13, 14}));
  const std::vector<float> given = {0, 0, 0, 5};
  ASSERT_OK(s->set_state(0, given.data(), 16));
  ASSERT_OK(s->run());
  EXPECT_EQ(output<float>(*s), (std::vector<float>{10, 10, 10, 15}));
  expect_error(s->set_state(0, given.data(), 12), Code::kUsage, "state \"sum\" has 16 bytes, got 12");
  expect_error(s->set_state(1, given.data(), 16), Code::kUsage, "no state 1");
}

TEST_F(RuntimeSession, a_run_that_fails_leaves_the_state_as_it_was) {
  EngineContents c = sum_engine();
  Plan& p = c.targets[0].plan;
  p.kernels.push_back({"fail", test_kernels::fault});
  PlanInstr i = p.instrs[0];
  i.kernel = 2;
  i.buffers = {};
  i.node = "late";
  p.exprs.push_back({SizeExpr::Kind::kConstant, LATHE_FAULT_VALUE, kNone, kNone});
  i.scalars = {static_cast<ExprId>(p.exprs.size() - 1)};
  p.instrs.push_back(i);
  const auto s = session(load(c));
  const std::vector<float> x = {10, 10, 10, 10};
  ASSERT_OK(s->bind_input(0, x.data(), std::array<int64_t, 1>{4}));
  for (int round = 0; round < 3; ++round) {
    expect_error(s->run(), Code::kFailed, "late");
    EXPECT_EQ(std::memcmp(s->state(0).data(), kFirst.data(), sizeof kFirst), 0);
  }
}

TEST_F(RuntimeSession, a_kernels_fault_names_the_node) {
  Builder b;
  b.call("Gather", test_kernels::fault, {}, {b.constant(LATHE_FAULT_INDEX)}, b.constant(1));
  const auto s = session(load(b.take()));
  expect_error(s->run(), Code::kFailed, "[Gather] an index is out of range (node \"node_0\"");
}

TEST_F(RuntimeSession, threads_have_scratch_of_their_own) {
  Builder b;
  const ExprId tasks = b.constant(5000), length = b.constant(64);
  const BufferId out = b.output("out", DType::kI64, tasks);
  b.call("scratch", test_kernels::scratch_i64, {out}, {length}, tasks).scratch = b.constant(64 * 8);
  const auto s = session(load(b.take()), 4);
  for (int round = 0; round < 20; ++round) {
    ASSERT_OK(s->run());
    const auto v = output<int64_t>(*s);
    for (int64_t i = 0; i < 5000; ++i) ASSERT_EQ(v[static_cast<size_t>(i)], i * 64 * 64 + 64 * 63 / 2);
  }
}

TEST_F(RuntimeSession, a_profile_counts_the_time_of_every_instruction) {
  const auto s = session(load(bias_engine()));
  const auto x = ramp(4000);
  std::array<int64_t, 2> ns{};
  expect_error(s->set_profile(std::span(ns).first(1)), Code::kUsage, "room for 2 instructions");
  ASSERT_OK(s->set_profile(ns));
  ASSERT_OK(s->bind_input(0, x.data(), std::array<int64_t, 2>{1000, 4}));
  ASSERT_OK(s->run());
  EXPECT_GT(ns[0], 0);
  EXPECT_GT(ns[1], 0);
}

TEST_F(RuntimeSession, sessions_of_one_engine_run_concurrently) {
  auto engine = load(bias_engine());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&wrong, t, engine] {
      const auto s = Session::create(engine, {.threads = 1 + t % 3});
      for (int64_t round = 0; round < 200; ++round) {
        const int64_t n = 1 + (round * 37 + t) % 200;
        const auto x = ramp(static_cast<size_t>(4 * n));
        if (!(*s)->bind_input(0, x.data(), std::array{n, int64_t{4}}) || !(*s)->run() ||
            output<float>(**s) != times3(x))
          ++wrong;
      }
    });
  engine.reset();  // sessions keep it alive
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(RuntimeSession, the_target_with_the_most_usable_features_is_chosen) {
  EngineContents c = bias_engine();
  c.targets.push_back(target_of(c.targets[0].plan, "sse", {"sse3", "ssse3"}));
  c.targets.push_back(target_of(c.targets[0].plan, "future", {"sse3", "ssse3", "no-such-feature"}));
  EXPECT_EQ(load(c)->target().name, "sse");
  EngineOptions named{.trust = true, .target = "x86-64", .keys = {}};
  EXPECT_EQ(load(c, named)->target().name, "x86-64");

  c.targets = {target_of(c.targets[0].plan, "pi", {"dotprod"})};
  c.targets[0].arch = "aarch64";
  const auto file = *serialize_engine(c);
  const auto engine = Engine::open_memory(file, {.trust = true, .target = {}, .keys = {}});
  expect_error(engine, Code::kNoTarget, "it has: pi (aarch64 with dotprod); this device is x86_64");
  const auto inspected = Engine::open_memory(file, {.inspect_only = true, .target = {}, .keys = {}});
  ASSERT_OK(inspected);
  expect_error(Session::create(*inspected), Code::kUsage, "inspection only");
}

}  // namespace
}  // namespace lathe::test
