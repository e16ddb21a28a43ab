// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "engine/layout.h"
#include "engine/read.h"
#include "engine/sign.h"
#include "engine/trust.h"
#include "engine/validate.h"
#include "engine/write.h"
#include "engine_support/plans.h"

namespace lathe::test {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

Bytes file_of(const EngineContents& c) {
  auto bytes = serialize_engine(c);
  EXPECT_TRUE(bytes) << (bytes ? "" : bytes.error().message);
  return bytes ? *bytes : Bytes{};
}

EngineContents two_targets() {
  EngineContents c = bias_engine();
  c.targets.push_back(target_of(c.targets[0].plan, "x86-64-avx512", {"avx512f", "avx512vl"}));
  return c;
}

/// All checks but the weights' hash.
Status read_all(std::span<const std::byte> file) {
  LATHE_TRY(const EngineHead head, read_head(file));
  for (size_t i = 0; i < head.targets.size(); ++i) LATHE_CHECK(read_plan(head, i));
  return {};
}

struct Folder {
  fs::path path = fs::temp_directory_path() / ("lathe-test-" + std::to_string(getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  [[nodiscard]] std::string operator/(const char* name) const { return (path / name).string(); }
  [[nodiscard]] size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
};

Bytes contents_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string s{std::istreambuf_iterator<char>(in), {}};
  Bytes b(s.size());
  std::memcpy(b.data(), s.data(), s.size());
  return b;
}

TEST(EngineFile, what_is_written_is_read) {
  const EngineContents c = two_targets();
  const Bytes file = file_of(c);
  const auto head = read_head(file);
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_FALSE(head->is_signed);
  ASSERT_EQ(head->provenance.size(), 2u);
  EXPECT_EQ(head->provenance[0].key, "model");
  ASSERT_EQ(head->targets.size(), 2u);
  EXPECT_EQ(head->targets[1].name, "x86-64-avx512");
  EXPECT_EQ(head->targets[1].features, (std::vector<std::string>{"avx512f", "avx512vl"}));
  EXPECT_EQ(head->weights_offset % 4096, 0u);
  ASSERT_EQ(head->blobs.size(), 1u);
  EXPECT_EQ(std::memcmp(file.data() + head->weights_offset, kBias.data(), sizeof kBias), 0);

  const auto plan = read_plan(*head, 1);
  ASSERT_TRUE(plan) << plan.error().message;
  const Plan& given = c.targets[1].plan;
  EXPECT_EQ(plan->exprs.size(), given.exprs.size());
  EXPECT_EQ(plan->symbols[0].name, "n");
  EXPECT_EQ(plan->buffers[3].bytes, given.buffers[3].bytes);
  EXPECT_EQ(plan->instrs[1].buffers, given.instrs[1].buffers);
  EXPECT_EQ(plan->instrs[1].node, "node_1");
  EXPECT_EQ(plan->inputs[0].name, "x");
}

TEST(EngineFile, equal_contents_give_equal_bytes) { EXPECT_EQ(file_of(two_targets()), file_of(two_targets())); }

TEST(EngineFile, a_second_target_adds_no_weights) {
  EngineContents c = bias_engine();
  const Bytes blob(1 << 20);
  c.weights.push_back(blob);
  const size_t one = file_of(c).size();
  c.targets.push_back(target_of(c.targets[0].plan, "other"));
  EXPECT_LT(file_of(c).size(), one + (1 << 14));
}

TEST(EngineFile, every_flipped_byte_outside_the_weights_is_an_error) {
  const Bytes good = file_of(two_targets());
  const uint64_t head_size = read_head(good)->bytes.size();
  ASSERT_TRUE(read_all(good));
  for (size_t at = 0; at < head_size; ++at)
    for (unsigned flip : {0x01u, 0x80u, 0xffu}) {
      Bytes bad = good;
      bad[at] ^= static_cast<std::byte>(flip);
      const auto status = read_all(bad);
      ASSERT_FALSE(status) << "byte " << at << " flipped by " << flip << " went unnoticed";
      const Code code = status.error().code;
      const bool version = at == layout::kAtMajor || at == layout::kAtMajor + 1;
      ASSERT_TRUE(version ? code == Code::kUnsupported : code == Code::kDamaged || code == Code::kIntegrity)
          << "byte " << at << ": " << status.error().message;
    }
}

TEST(EngineFile, a_flipped_weight_is_found_by_verify_alone) {
  Bytes file = file_of(two_targets());
  file[file.size() - 100] ^= std::byte{1};
  EXPECT_TRUE(read_all(file));
  const auto head = read_head(file);
  const auto status = check_weights(*head, std::span(file).subspan(head->weights_offset));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kIntegrity);
}

TEST(EngineFile, every_cut_is_an_error) {
  const Bytes good = file_of(two_targets());
  const auto refused = [&](size_t size) {
    const auto status = read_all(std::span(good).first(size));
    ASSERT_FALSE(status) << "cut to " << size << " of " << good.size() << " bytes went unnoticed";
    EXPECT_EQ(status.error().code, Code::kDamaged) << status.error().message;
  };
  for (size_t size = 0; size < good.size(); size += size < 1000 ? 1 : 61) refused(size);
  refused(good.size() - 1);
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(read_all(longer));
}

/// Hashes protect against accidents, not against those who can compute them: a plan that lies must be found by
/// validate_plan.
class EnginePlan : public testing::Test {
 protected:
  Plan plan = bias_engine().targets[0].plan;
  std::vector<uint64_t> weights = {sizeof kBias};
  void refused(const std::string& text) {
    const auto status = validate_plan(plan, weights, sizeof test_kernels::kCode);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kDamaged);
    EXPECT_NE(status.error().message.find(text), std::string::npos) << status.error().message;
  }
};

TEST_F(EnginePlan, is_valid) { EXPECT_TRUE(validate_plan(plan, weights, sizeof test_kernels::kCode)); }

TEST_F(EnginePlan, lies_are_found) {
  const struct {
    const char* message;
    void (*lie)(Plan&);
  } lies[] = {
      {"expression 0: unknown kind", [](Plan& p) { p.exprs[0].kind = static_cast<SizeExpr::Kind>(8); }},
      {"expression 0: constant out of range", [](Plan& p) { p.exprs[0].value = INT64_MAX; }},
      {"expression 1: no such symbol", [](Plan& p) { p.exprs[1].value = 1; }},
      {"expression 2: an operand does not come before it", [](Plan& p) { p.exprs[2].a = 2; }},
      {"expression 2: an operand does not come before it", [](Plan& p) { p.exprs[2].b = -1; }},
      {"symbol 0: not 0 <= min", [](Plan& p) { p.symbols[0].min = -1; }},
      {"symbol 0: not 0 <= min", [](Plan& p) { p.symbols[0].max = 0; }},
      {"buffer 0: unknown element type", [](Plan& p) { p.buffers[0].dtype = static_cast<DType>(200); }},
      {"buffer 0: alignment", [](Plan& p) { p.buffers[0].align = 48; }},
      {"buffer 0: alignment", [](Plan& p) { p.buffers[0].align = INT32_MIN; }},
      {"buffer 0: has no size", [](Plan& p) { p.buffers[0].bytes = kNone; }},
      {"buffer 0: no such size expression", [](Plan& p) { p.buffers[0].bytes = 1000; }},
      {"buffer 0: invalid dimension", [](Plan& p) { p.buffers[0].dims = {-1}; }},
      {"buffer 0: more than 64", [](Plan& p) { p.buffers[0].dims.assign(65, 0); }},
      {"buffer 0: lifetime", [](Plan& p) { p.buffers[0].last = 2; }},
      {"buffer 0: does not match its input", [](Plan& p) { p.buffers[0].index = 1; }},
      {"buffer 1: does not match its output", [](Plan& p) { p.buffers[1].index = -1; }},
      {"buffer 2: no such weight", [](Plan& p) { p.buffers[2].index = 1; }},
      {"buffer 2: exceeds its weight blob", [](Plan& p) { p.buffers[2].bytes = p.buffers[3].bytes; }},
      {"buffer 3: unknown placement", [](Plan& p) { p.buffers[3].place = static_cast<PlanBuffer::Place>(8); }},
      {"buffer 3: alias of a later buffer",
       [](Plan& p) {
         p.buffers[3].place = PlanBuffer::Place::kAlias;
         p.buffers[3].index = 3;
       }},
      {"kernel 0: entry point outside", [](Plan& p) { p.kernels[0].code_offset = sizeof test_kernels::kCode; }},
      {"kernel 0: entry point outside", [](Plan& p) { p.kernels[0].code_offset = -1; }},
      {"instruction 0: unknown kind", [](Plan& p) { p.instrs[0].kind = static_cast<PlanInstr::Kind>(3); }},
      {"instruction 0: no such kernel", [](Plan& p) { p.instrs[0].kernel = 2; }},
      {"instruction 0: no such buffer", [](Plan& p) { p.instrs[0].buffers[0] = 4; }},
      {"instruction 0: no such buffer", [](Plan& p) { p.instrs[0].buffers[0] = -2; }},
      {"instruction 0: no such scalar", [](Plan& p) { p.instrs[0].scalars[0] = -1; }},
      {"instruction 0: has no task count", [](Plan& p) { p.instrs[0].tasks = kNone; }},
      {"instruction 0: defines an unknown symbol", [](Plan& p) { p.instrs[0].defines = {1}; }},
      {"instruction 0: grows a buffer that cannot grow", [](Plan& p) { p.instrs[0].grows = {0, 0, 1}; }},
      {"instruction 0: marks of growing buffers", [](Plan& p) { p.instrs[0].grows = {0}; }},
      {"instruction 1: jumps out of the plan",
       [](Plan& p) {
         p.instrs[1].kind = PlanInstr::Kind::kJump;
         p.instrs[1].target = 3;
       }},
      {"instruction 1: has no condition",
       [](Plan& p) {
         p.instrs[1].kind = PlanInstr::Kind::kJumpIfFalse;
         p.instrs[1].target = 2;
         p.instrs[1].buffers = {};
       }},
      {"buffer 0: does not match its input", [](Plan& p) { p.inputs[0].buffer = 9; }},
      {"does not match", [](Plan& p) { p.inputs[0].buffer = 1; }},
      {"arena 0: its size", [](Plan& p) { p.arena_bytes = -2; }},
  };
  for (const auto& l : lies) {
    plan = bias_engine().targets[0].plan;
    l.lie(plan);
    SCOPED_TRACE(l.message);
    refused(l.message);
  }
}

TEST_F(EnginePlan, lies_about_state_are_found) {
  const struct {
    const char* message;
    void (*lie)(Plan&);
  } lies[] = {
      {"state 0: has no name", [](Plan& p) { p.states[0].name.clear(); }},
      {"buffer 2: does not match its state", [](Plan& p) { p.states[0].buffer = 99; }},
      {"buffer 2: does not match its state", [](Plan& p) { p.buffers[2].index = 1; }},
      {"buffer 2: does not match its state", [](Plan& p) { p.states.clear(); }},
      {"buffer 3: does not match its state", [](Plan& p) { p.states[0].next = 2; }},
      {"state 1: does not match its buffers", [](Plan& p) { p.states.push_back(p.states[0]); }},
      {"state 0: its buffers are not of one type", [](Plan& p) { p.buffers[3].dtype = DType::kI32; }},
      {"state 0: its buffers are not of one type", [](Plan& p) { p.buffers[3].bytes = p.buffers[3].dims[0]; }},
      {"state 0: its buffers are not of one type",
       [](Plan& p) {
         p.symbols.push_back({"n", 0, 1, 4});
         p.exprs.push_back({SizeExpr::Kind::kSymbol, 0, kNone, kNone});
         p.buffers[2].bytes = p.buffers[3].bytes = static_cast<ExprId>(p.exprs.size() - 1);
       }},
      {"state 0: no such weight", [](Plan& p) { p.states[0].initial = 1; }},
      {"state 0: no such weight", [](Plan& p) { p.states[0].initial = -2; }},
      {"state 0: its initial value is too small",
       [](Plan& p) {
         p.exprs.push_back({SizeExpr::Kind::kConstant, 17, kNone, kNone});
         p.buffers[2].bytes = p.buffers[3].bytes = static_cast<ExprId>(p.exprs.size() - 1);
       }},
      {"grows a buffer that cannot grow", [](Plan& p) { p.instrs[0].grows = {0, 0, 1}; }},
  };
  weights = {sizeof kFirst};
  plan = sum_engine().targets[0].plan;
  ASSERT_TRUE(validate_plan(plan, weights, sizeof test_kernels::kCode));
  for (const auto& l : lies) {
    plan = sum_engine().targets[0].plan;
    l.lie(plan);
    SCOPED_TRACE(l.message);
    refused(l.message);
  }
}

TEST(EngineWrite, replaces_the_old_engine_and_leaves_nothing_else) {
  const Folder folder;
  const std::string path = folder / "m.lathe";
  ASSERT_TRUE(write_engine(path, two_targets()));
  const auto identity = write_engine(path, bias_engine());
  ASSERT_TRUE(identity) << identity.error().message;
  EXPECT_EQ(contents_of(path), file_of(bias_engine()));
  EXPECT_EQ(folder.files(), 1u);
  EXPECT_EQ(*identity, to_hex(read_head(*File::open(path))->identity));
  EXPECT_TRUE(verify_engine(*File::open(path)));
}

TEST(EngineWrite, a_full_disk_keeps_the_old_engine) {
  const Folder folder;
  const std::string path = folder / "m.lathe";
  ASSERT_TRUE(write_engine(path, bias_engine()));
  const Bytes old = contents_of(path);
  EngineContents big = bias_engine();
  const Bytes blob(1 << 20);
  big.weights.push_back(blob);

  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{300000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto result = write_engine(path, big);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);

  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kFailed) << result.error().message;
  EXPECT_EQ(contents_of(path), old);
  EXPECT_EQ(folder.files(), 1u);

  const auto full = write_engine("/dev/full", big);
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().message.find("No space left"), std::string::npos) << full.error().message;
}

TEST(EngineWrite, an_interruption_keeps_the_old_engine) {
  const Folder folder;
  const std::string path = folder / "m.lathe";
  ASSERT_TRUE(write_engine(path, bias_engine()));
  const Bytes old = contents_of(path);
  const std::atomic<bool> cancel{true};
  const auto result = write_engine(path, two_targets(), &cancel);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInterrupted);
  EXPECT_EQ(contents_of(path), old);
  EXPECT_EQ(folder.files(), 1u);
}

TEST(EngineWrite, refuses_a_plan_that_could_not_be_read) {
  EngineContents c = bias_engine();
  c.targets[0].plan.instrs[0].buffers[0] = 99;
  const auto result = serialize_engine(c);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("target x86-64: damaged plan: instruction 0"), std::string::npos)
      << result.error().message;
  c = bias_engine();
  c.targets[0].plan.instrs[0].node.assign(layout::kMaxString + 1, 'x');
  EXPECT_FALSE(serialize_engine(c)) << "a name that no reader accepts";
}

class EngineTrust : public testing::Test {
 protected:
  void SetUp() override { setenv("XDG_STATE_HOME", (folder / "state").c_str(), 1); }
  void TearDown() override { unsetenv("XDG_STATE_HOME"); }
  Folder folder;
};

TEST_F(EngineTrust, an_engine_is_trusted_by_its_identity) {
  const std::string path = folder / "m.lathe";
  const auto identity = write_engine(path, bias_engine());
  const auto head = read_head(*File::open(path));
  EXPECT_FALSE(is_trusted(*head));
  ASSERT_TRUE(trust_engine(*identity));
  ASSERT_TRUE(trust_engine(*identity));
  EXPECT_TRUE(is_trusted(*head));
  EXPECT_EQ(contents_of(trust_file()).size(), 7 + 64 + 1u) << "recorded once";
  EXPECT_FALSE(is_trusted(*read_head(file_of(two_targets()))));
  chmod(trust_file().c_str(), 0666);
  EXPECT_FALSE(is_trusted(*head)) << "anyone could have written that list";
  EXPECT_FALSE(trust_engine("abc"));
}

TEST_F(EngineTrust, an_engine_is_trusted_by_its_signer) {
  const std::string path = folder / "m.lathe";
  const auto identity = write_engine(path, bias_engine());
  const KeyPair key = generate_key(), other = generate_key();
  const auto signed_now = sign_engine(path, key.secret_key);
  ASSERT_TRUE(signed_now) << signed_now.error().message;
  const auto head = read_head(*File::open(path));
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_TRUE(head->is_signed);
  EXPECT_EQ(head->signer, key.public_key);
  EXPECT_EQ(to_hex(head->identity), *identity) << "signing changes no contents";
  EXPECT_FALSE(is_trusted(*head));
  EXPECT_FALSE(is_trusted(*head, std::vector<PublicKey>{other.public_key}));
  EXPECT_TRUE(is_trusted(*head, std::vector{other.public_key, key.public_key}));
  ASSERT_TRUE(trust_key(to_hex(key.public_key)));
  EXPECT_TRUE(is_trusted(*head));

  const Bytes good = contents_of(path);
  const auto header_end = std::to_integer<size_t>(good[12]) + 256 * std::to_integer<size_t>(good[13]);
  for (size_t at = header_end - 96; at < header_end; ++at) {
    Bytes bad = good;
    bad[at] ^= std::byte{4};
    const auto status = read_all(bad);
    ASSERT_FALSE(status) << "byte " << at;
    EXPECT_EQ(status.error().code, Code::kIntegrity);
  }
}

}  // namespace
}  // namespace lathe::test
